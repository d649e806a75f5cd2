//! Reads ranges of many logs once, as a `read_committed` consumer is given them, on a consumer and a
//! thread of its own. Interprets nothing: records go to the caller's closure.

use std::{
    ops::ControlFlow,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{
    Cluster, ConnectionConfig, HeaderNames, KafkaError, LogRecord, ScanRange, ScanStats, TopicPartition,
    ffi::{self, Failure, Isolation, OffsetSpec, Polled, RecordEvent, code},
    handle::Handle,
    patience::Patience,
    scan_consumer::ScanConsumer,
    scan_progress::{Progress, Ranges, Step},
    signals::Cause,
};

/// How soon a scan notices that its caller is gone.
const SLICE: Duration = Duration::from_millis(50);
/// How long the log starts may take to be told.
const LOG_STARTS: Duration = Duration::from_secs(10);
/// A scan as a whole has no deadline, only one without progress.
const FOR_EVER: Duration = Duration::from_hours(365 * 24);

impl Cluster {
    /// Reads each range once and gives its records to `on`, in offset order within a partition: those of
    /// committed transactions and those outside any, with `from <= offset < to`. Ends when every
    /// partition has reached its `to`; markers and aborted records there need no record behind them. An
    /// empty range is skipped.
    ///
    /// A log that begins above `from` by now is read from its start, see [`ScanStats::truncated`]. One
    /// that ends below `to` and stays there is [`KafkaError::OffsetOutOfRange`]. `on` runs on the scan's
    /// thread and may end the scan by breaking; dropping the future ends it within 50 ms, without
    /// waiting for it.
    pub async fn scan<F>(
        &self,
        ranges: Vec<ScanRange>,
        header_names: HeaderNames,
        deadline_without_progress: Duration,
        on: F,
    ) -> Result<ScanStats, KafkaError>
    where
        F: FnMut(&TopicPartition, &LogRecord<'_>) -> ControlFlow<()> + Send + 'static,
    {
        let ranges = Ranges::new(ranges);
        if ranges.all_done() {
            return Ok(ScanStats::default());
        }
        let asked = self.asked(format!("read {} partitions", ranges.len()));
        let (patience, _gives_up_when_dropped) = Patience::until(asked.start + FOR_EVER);
        let scan = Scan {
            questions: self.inner.handle(),
            patience,
            stall: deadline_without_progress,
            ranges,
            names: header_names,
            on,
            stats: ScanStats::default(),
        };
        let (answer, result) = oneshot::channel();
        let config = self.inner.config.clone();
        let broken = |reason: String| Failure::Call {
            code: code::DESTROY,
            reason,
        };
        thread::Builder::new()
            .name("kafka-scan".into())
            .spawn(move || scan.run(&config, answer))
            .map_err(|error| asked.explain(broken(error.to_string()), None))?;
        let result = result.await;
        self.inner.touch();
        match result {
            Ok(Ok(stats)) => Ok(stats),
            Ok(Err(Trouble::Refused(error))) => Err(error),
            Ok(Err(Trouble::Failed(failure, cause))) => Err(asked.explain(failure, cause)),
            Err(_) => Err(asked.explain(broken("the scan's thread ended early".into()), None)),
        }
    }
}

/// Why a scan ended early.
enum Trouble {
    /// The consumer could not be made.
    Refused(KafkaError),
    Failed(Failure, Option<Cause>),
}

/// One scan, on its thread.
struct Scan<F> {
    /// The cluster's own handle, for log starts.
    questions: Arc<Handle>,
    patience: Patience,
    stall: Duration,
    ranges: Ranges,
    names: HeaderNames,
    on: F,
    stats: ScanStats,
}

impl<F> Scan<F>
where
    F: FnMut(&TopicPartition, &LogRecord<'_>) -> ControlFlow<()>,
{
    /// Reads, answers, then closes the consumer: the caller need not wait for the 100 ms that takes.
    fn run(mut self, config: &ConnectionConfig, answer: oneshot::Sender<Result<ScanStats, Trouble>>) {
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
        let result = result
            .map(|()| stats)
            .map_err(|failure| Trouble::Failed(failure, cause));
        let _ = answer.send(result);
    }

    fn read(&mut self, consumer: &ScanConsumer, start: Instant) -> Result<(), Failure> {
        self.skip_what_is_gone()?;
        let queue = consumer.queue()?;
        consumer.assign(&self.ranges.open_places())?;
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
            if consumer
                .signals()
                .give_up_at(start)
                .is_some_and(|at| at <= Instant::now())
            {
                return Err(Failure::Expired);
            }
            if progress.since.elapsed() >= self.stall {
                return Err(self.stalled());
            }
        }
        Ok(())
    }

    /// Asks for all log starts before the first fetch: one round trip, and the place where a topic that
    /// does not exist or may not be read is told at once (a consumer would only wait).
    fn skip_what_is_gone(&mut self) -> Result<(), Failure> {
        let places = self.ranges.open_places();
        let partitions: Vec<_> = places.iter().map(|(partition, _)| partition.clone()).collect();
        let starts = self.log_starts(&partitions)?;
        for (partition, from) in places {
            match starts.get(&partition) {
                Some(&start) if start > from => {
                    self.ranges.skip_to(&partition, start);
                    self.stats.truncated.insert(partition, start);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn log_starts(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<std::collections::BTreeMap<TopicPartition, i64>, Failure> {
        let patience = self.patience.at_most(LOG_STARTS);
        let level = Isolation::ReadUncommitted;
        ffi::list_offsets(
            self.questions.native(),
            partitions,
            OffsetSpec::Earliest,
            level,
            &patience,
        )
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
            Polled::Partition {
                partition,
                offset,
                code,
                reason,
            } => {
                self.partition_failed(consumer, partition, offset, code, reason)?;
            }
            Polled::Client { code, reason } => {
                consumer.signals().report(code, &reason);
                progress.troubled = true;
            }
            Polled::Log {
                level,
                facility,
                line,
            } => consumer.signals().log(level, &facility, &line),
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
            code::LOG_TRUNCATION => Err(Failure::OutOfRange {
                partition,
                offset,
                reason,
            }),
            // The client goes on by itself.
            code::TRANSPORT | code::TIMED_OUT | code::RESOLVE | code::ALL_BROKERS_DOWN => Ok(()),
            _ => Err(Failure::Named {
                name: partition.to_string(),
                code: error,
                reason,
            }),
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
        let start = *starts
            .get(&partition)
            .ok_or_else(|| Failure::named(&partition, code::BAD_MSG))?;
        if start <= offset {
            let reason = format!("the log begins at {start} and ends below {offset}");
            return Err(Failure::OutOfRange {
                partition,
                offset,
                reason,
            });
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
                reason: format!(
                    "the log ends at {end} and did not grow in {} ms",
                    self.stall.as_millis()
                ),
            },
            None => Failure::Expired,
        }
    }
}
