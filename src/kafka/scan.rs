//! Reads ranges of many logs once, as a `read_committed` consumer is given them, on a consumer and a
//! thread of its own. Interprets nothing: records go to the caller's closure.

use std::{
    ops::ControlFlow,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
};
use tokio::sync::oneshot;

use super::{
    Cluster, ConnectionConfig, HeaderNames, KafkaError, LogRecord, Purpose, ScanRange, ScanStats,
    TopicPartition,
    ffi::{self, ConsumerQueue, Failure, Isolation, OffsetSpec, Polled, RecordEvent, code},
    handle::{self, Handle},
    patience::Patience,
    scan_progress::{Ranges, Step, next_offsets},
    signals::{Cause, Context, log_line},
};

/// How soon a scan notices that its caller is gone.
const SLICE: Duration = Duration::from_millis(50);
/// How long a log start may take to be told.
const LOG_START: Duration = Duration::from_secs(10);
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
    /// thread and may end the scan by breaking; dropping the future ends it within 50 ms.
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
            start: asked.start,
            patience,
            stall: deadline_without_progress,
            ranges,
            names: header_names,
            on,
            stats: ScanStats::default(),
        };
        let (answer, result) = oneshot::channel();
        let config = self.inner.config.clone();
        thread::Builder::new()
            .name("kafka-scan".into())
            .spawn(move || scan.run(&config, answer))
            .map_err(|error| {
                asked.explain(
                    Failure::Call {
                        code: code::DESTROY,
                        reason: error.to_string(),
                    },
                    None,
                )
            })?;
        let result = result.await;
        self.inner.touch();
        match result {
            Ok(Ok(stats)) => Ok(stats),
            Ok(Err(Trouble::Refused(error))) => Err(error),
            Ok(Err(Trouble::Failed(failure, cause))) => Err(asked.explain(failure, cause)),
            Err(_) => Err(asked.explain(
                Failure::Call {
                    code: code::DESTROY,
                    reason: "the scan's thread ended early".into(),
                },
                None,
            )),
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
    start: Instant,
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
        let consumer = match handle::consumer(&mut settings(config, self.stall)) {
            Ok(consumer) => consumer,
            Err(error) => {
                let _ = answer.send(Err(Trouble::Refused(error)));
                return;
            }
        };
        let result = self.read(&consumer).map(|()| self.stats);
        let cause = consumer.context().signals.cause();
        let _ = answer.send(result.map_err(|failure| Trouble::Failed(failure, cause)));
    }

    fn read(&mut self, consumer: &BaseConsumer<Context>) -> Result<(), Failure> {
        let signals = &consumer.context().signals;
        let queue = ConsumerQueue::new(consumer.client().native_client())?;
        assign(consumer, &self.ranges.assignment())?;
        let (mut since, mut moved, mut troubled) = (Instant::now(), false, false);
        let mut fetched_to = 0;
        while !self.ranges.all_done() {
            if self.patience.cancelled() {
                return Err(Failure::Cancelled);
            }
            let polled = queue.poll(SLICE);
            if let Some(Polled::Record(record)) = &polled {
                if self.record(consumer, record)?.is_break() {
                    self.stats.stopped = true;
                    return Ok(());
                }
                moved = true;
                continue;
            }
            match polled {
                Some(Polled::End { partition, offset }) => moved |= self.end(consumer, &partition, offset)?,
                Some(Polled::Partition {
                    partition,
                    offset,
                    code,
                    reason,
                }) => {
                    self.partition_failed(consumer, &partition, offset, code, reason)?;
                }
                Some(Polled::Client { code, reason }) => {
                    signals.report(code, &reason);
                    troubled = true;
                }
                Some(Polled::Log { level, text }) => log_line(level, &text),
                // A long stretch of aborted records gives none, and is progress all the same.
                Some(Polled::Statistics(json)) => {
                    let fetched = next_offsets(&json);
                    moved |= fetched > fetched_to;
                    fetched_to = fetched;
                }
                Some(Polled::Other | Polled::Record(_)) | None => {}
            }
            if moved {
                (since, moved) = (Instant::now(), false);
                if std::mem::take(&mut troubled) {
                    signals.succeeded();
                }
            }
            self.check(signals.give_up_at(self.start), since)?;
        }
        Ok(())
    }

    /// Gives a record, unless it lies outside its range.
    fn record(
        &mut self,
        consumer: &BaseConsumer<Context>,
        event: &RecordEvent,
    ) -> Result<ControlFlow<()>, Failure> {
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
        if matches!(step, Step::GiveLast | Step::Past) {
            let partition = range.partition.clone();
            self.stop(consumer, &partition)?;
        }
        Ok(flow)
    }

    /// Takes an end of partition; true where it lies further on than what was known.
    fn end(
        &mut self,
        consumer: &BaseConsumer<Context>,
        partition: &TopicPartition,
        offset: i64,
    ) -> Result<bool, Failure> {
        let end = self.ranges.end(partition, offset);
        if end.reached {
            self.stop(consumer, partition)?;
        }
        Ok(end.moved)
    }

    /// Fetches no more of a partition that has reached its end, while others have not.
    fn stop(&self, consumer: &BaseConsumer<Context>, partition: &TopicPartition) -> Result<(), Failure> {
        if self.ranges.all_done() {
            return Ok(());
        }
        consumer
            .pause(&list(&[(partition.clone(), 0)])?)
            .map_err(|error| local(partition, &error))
    }

    fn partition_failed(
        &mut self,
        consumer: &BaseConsumer<Context>,
        partition: &TopicPartition,
        offset: i64,
        error: i32,
        reason: String,
    ) -> Result<(), Failure> {
        match error {
            code::AUTO_OFFSET_RESET | code::OFFSET_OUT_OF_RANGE => {
                self.out_of_range(consumer, partition, offset)
            }
            code::LOG_TRUNCATION => Err(Failure::OutOfRange {
                partition: partition.clone(),
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
        consumer: &BaseConsumer<Context>,
        partition: &TopicPartition,
        offset: i64,
    ) -> Result<(), Failure> {
        let asked = std::slice::from_ref(partition);
        let patience = self.patience.at_most(LOG_START);
        let (spec, level) = (OffsetSpec::Earliest, Isolation::ReadUncommitted);
        let starts = ffi::list_offsets(self.questions.native(), asked, spec, level, &patience)?;
        let start = *starts
            .get(partition)
            .ok_or_else(|| Failure::named(partition, code::BAD_MSG))?;
        if start <= offset {
            let reason = format!("the log begins at {start} and ends below {offset}");
            return Err(Failure::OutOfRange {
                partition: partition.clone(),
                offset,
                reason,
            });
        }
        self.stats.truncated.insert(partition.clone(), start);
        if self.ranges.end(partition, start).reached {
            return self.stop(consumer, partition);
        }
        let again = list(&[(partition.clone(), start)])?;
        consumer
            .incremental_unassign(&again)
            .map_err(|error| local(partition, &error))?;
        consumer
            .incremental_assign(&again)
            .map_err(|error| local(partition, &error))
    }

    /// Whether to go on waiting.
    fn check(&self, give_up_at: Option<Instant>, since: Instant) -> Result<(), Failure> {
        if give_up_at.is_some_and(|at| at <= Instant::now()) {
            return Err(Failure::Expired);
        }
        if since.elapsed() < self.stall {
            return Ok(());
        }
        Err(match self.ranges.short() {
            Some((range, end)) => Failure::OutOfRange {
                partition: range.partition.clone(),
                offset: range.to,
                reason: format!(
                    "the log ends at {end}, and did not grow within {} ms",
                    self.stall.as_millis()
                ),
            },
            None => Failure::Expired,
        })
    }
}

/// Settings for reading much, quickly, in bounded memory.
fn settings(config: &ConnectionConfig, stall: Duration) -> ClientConfig {
    let mut settings = config.client_config(Purpose::Operator);
    let statistics = (stall.as_millis() / 3).clamp(1_000, 60_000);
    settings
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        // An offset that is not there must be an error, never a jump.
        .set("auto.offset.reset", "error")
        .set("check.crcs", "true")
        // The default, 1000, rules the speed of every read; 0 is a busy loop.
        .set("fetch.queue.backoff.ms", "2")
        // How long the broker holds a fetch at the end of a log back: the end event waits for it.
        .set("fetch.wait.max.ms", "10")
        .set("fetch.error.backoff.ms", "20")
        // Below a topic's largest batch the broker would answer for one partition at a time only.
        .set("fetch.message.max.bytes", "4194304")
        .set("queued.min.messages", "100000")
        .set("topic.metadata.propagation.max.ms", "5000")
        .set("statistics.interval.ms", statistics.to_string());
    settings
}

fn assign(consumer: &BaseConsumer<Context>, places: &[(TopicPartition, i64)]) -> Result<(), Failure> {
    consumer
        .incremental_assign(&list(places)?)
        .map_err(|error| local("assign", &error))
}

fn list(places: &[(TopicPartition, i64)]) -> Result<TopicPartitionList, Failure> {
    let mut list = TopicPartitionList::with_capacity(places.len());
    for (at, offset) in places {
        list.add_partition_offset(&at.topic, at.partition, Offset::Offset(*offset))
            .map_err(|error| local(at, &error))?;
    }
    Ok(list)
}

/// A refusal of the client itself.
fn local(name: &(impl ToString + ?Sized), error: &rdkafka::error::KafkaError) -> Failure {
    let code = error
        .rdkafka_error_code()
        .map_or(code::INVALID_ARGUMENT, |code| code as i32);
    Failure::Named {
        name: name.to_string(),
        code,
        reason: error.to_string(),
    }
}
