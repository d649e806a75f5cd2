//! One scan at work, on its thread: takes what the consumer gives, one event at a time.

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{
    ConnectionConfig, HeaderNames, KafkaError, LogRecord, ScanStats, TopicPartition,
    connection::Lease,
    ffi::{self, Failure, Isolation, OffsetSpec, Polled, RecordEvent, code},
    patience::Patience,
    scan_consumer::ScanConsumer,
    scan_motion::Progress,
    scan_progress::{Ranges, Step},
    signals::Cause,
};

/// How soon a scan notices that its caller is gone.
const SLICE: Duration = Duration::from_millis(50);
/// How long the log starts may take to be told.
const LOG_STARTS: Duration = Duration::from_secs(10);

/// Why a scan ended early.
pub(super) enum Trouble {
    /// The consumer could not be made.
    Refused(KafkaError),
    Failed(Failure, Option<Cause>),
}

/// One scan, on its thread.
pub(super) struct Scan<F> {
    /// The cluster's own handle, for log starts.
    pub(super) questions: Lease,
    pub(super) patience: Patience,
    pub(super) stall: Duration,
    pub(super) ranges: Ranges,
    pub(super) names: HeaderNames,
    pub(super) on: F,
    pub(super) stats: ScanStats,
}

impl<F> Scan<F>
where
    F: FnMut(&TopicPartition, &LogRecord<'_>) -> ControlFlow<()>,
{
    /// Reads, answers, then closes the consumer: the caller need not wait for the 100 ms that takes.
    pub(super) fn run(
        mut self,
        config: &ConnectionConfig,
        answer: oneshot::Sender<Result<ScanStats, Trouble>>,
    ) {
        let start = Instant::now();
        let consumer = match ScanConsumer::new(config, self.stall) {
            Ok(consumer) => consumer,
            Err(error) => {
                let _ = answer.send(Err(Trouble::Refused(error)));
                return;
            }
        };
        let result = self.read(&consumer, start);
        let cause = consumer.signals().cause();
        let stats = std::mem::take(&mut self.stats);
        // The closure goes before the answer: who has the answer may rely on its captures being free.
        drop(self);
        let result = result.map(|()| stats).map_err(|failure| Trouble::Failed(failure, cause));
        let _ = answer.send(result);
    }

    fn read(&mut self, consumer: &ScanConsumer, start: Instant) -> Result<(), Failure> {
        let queue = consumer.queue()?;
        consumer.assign(&self.ranges.open_places())?;
        self.skip_what_is_gone(consumer)?;
        let mut progress = Progress::default();
        while !self.ranges.all_done() {
            if self.patience.cancelled() {
                return Err(Failure::Cancelled);
            }
            let polled = queue.poll(SLICE);
            if let Some(Polled::Record(record)) = &polled {
                progress.moved = true;
                if self.record(consumer, record)?.is_break() {
                    self.stats.stopped = true;
                    return Ok(());
                }
                continue;
            }
            if let Some(event) = polled {
                self.event(consumer, event, &mut progress)?;
            }
            if progress.settle() {
                consumer.signals().succeeded();
            }
            // Before anything has come, what the events say decides; after that a broker that restarts
            // is waited for, as long as the caller said.
            if !progress.began && consumer.signals().hopeless(start) {
                return Err(Failure::Expired);
            }
            if progress.since.elapsed() >= self.stall {
                return Err(self.stalled());
            }
        }
        Ok(())
    }

    /// Asks for all log starts while the consumer connects: the place where a topic that does not exist or may
    /// not be read is told at once (a consumer would only wait).
    fn skip_what_is_gone(&mut self, consumer: &ScanConsumer) -> Result<(), Failure> {
        let places = self.ranges.open_places();
        let partitions: Vec<_> = places.iter().map(|(partition, _)| partition.clone()).collect();
        let starts = self.log_starts(&partitions)?;
        for (partition, from) in places {
            match starts.get(&partition) {
                Some(&start) if start > from => {
                    if !self.ranges.skip_to(&partition, start).reached {
                        consumer.restart(&partition, start)?;
                    }
                    self.stats.truncated.insert(partition, start);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn log_starts(&self, partitions: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, i64>, Failure> {
        let patience = self.patience.at_most(LOG_STARTS);
        let level = Isolation::ReadUncommitted;
        self.questions.work(|handle| {
            ffi::list_offsets(handle.native(), partitions, OffsetSpec::Earliest, level, &patience)
        })
    }

    /// Gives a record, unless it lies outside its range.
    fn record(&mut self, consumer: &ScanConsumer, event: &RecordEvent) -> Result<ControlFlow<()>, Failure> {
        let Some(index) = self.ranges.index_of(event) else {
            return Ok(ControlFlow::Continue(()));
        };
        let (step, range) = self.ranges.record(index, event.offset());
        let mut flow = ControlFlow::Continue(());
        if matches!(step, Step::Give | Step::GiveLast) {
            let record = LogRecord::new(event, &self.names);
            self.stats.records += 1;
            self.stats.bytes += (record.key.map_or(0, <[u8]>::len) + record.value_len.unwrap_or(0)) as u64;
            flow = (self.on)(&range.partition, &record);
        }
        if matches!(step, Step::GiveLast | Step::Past) && !self.ranges.all_done() {
            consumer.pause(&self.ranges.range(index).partition)?;
        }
        Ok(flow)
    }

    /// Takes whatever is not a record.
    fn event(
        &mut self,
        consumer: &ScanConsumer,
        event: Polled,
        progress: &mut Progress,
    ) -> Result<(), Failure> {
        match event {
            Polled::End { partition, offset } => {
                let end = self.ranges.end(&partition, offset);
                progress.moved |= end.moved;
                if end.reached && !self.ranges.all_done() {
                    consumer.pause(&partition)?;
                }
            }
            Polled::Partition { partition, offset, code, reason } => {
                self.partition_failed(consumer, partition, offset, code, reason)?;
            }
            Polled::Client { code, reason } => {
                consumer.signals().report(code, &reason);
                progress.troubled = true;
            }
            Polled::Log { level, facility, line } => consumer.signals().log(level, &facility, &line),
            Polled::Statistics(json) => progress.statistics(&json),
            Polled::Other | Polled::Record(_) => {}
        }
        Ok(())
    }

    fn partition_failed(
        &mut self,
        consumer: &ScanConsumer,
        partition: TopicPartition,
        offset: i64,
        error: i32,
        reason: String,
    ) -> Result<(), Failure> {
        match error {
            code::AUTO_OFFSET_RESET | code::OFFSET_OUT_OF_RANGE => {
                self.out_of_range(consumer, partition, offset)
            }
            code::LOG_TRUNCATION => Err(Failure::OutOfRange { partition, offset, reason }),
            // The client goes on by itself.
            code::TRANSPORT | code::TIMED_OUT | code::RESOLVE | code::ALL_BROKERS_DOWN => Ok(()),
            _ => Err(Failure::Named { name: partition.to_string(), code: error, reason }),
        }
    }

    /// Below the log start: retention moved on, read what is left. Above the end: never a silent jump.
    fn out_of_range(
        &mut self,
        consumer: &ScanConsumer,
        partition: TopicPartition,
        offset: i64,
    ) -> Result<(), Failure> {
        let starts = self.log_starts(std::slice::from_ref(&partition))?;
        let start = *starts.get(&partition).ok_or_else(|| Failure::named(&partition, code::BAD_MSG))?;
        if start <= offset {
            let reason = format!("the log begins at {start} and ends below {offset}");
            return Err(Failure::OutOfRange { partition, offset, reason });
        }
        self.stats.truncated.insert(partition.clone(), start);
        if !self.ranges.skip_to(&partition, start).reached {
            consumer.restart(&partition, start)?;
        }
        Ok(())
    }

    /// What a scan that does not move is told as.
    fn stalled(&self) -> Failure {
        match self.ranges.short() {
            Some((range, end)) => Failure::OutOfRange {
                partition: range.partition.clone(),
                offset: range.to,
                reason: format!("the log ends at {end} and did not grow in {} ms", self.stall.as_millis()),
            },
            None => Failure::Expired,
        }
    }
}
