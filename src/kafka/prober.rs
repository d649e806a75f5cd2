//! Looks into many logs at once: a few records of each from a given offset on, one fetch round for all.
//! Decides nothing.

use std::{
    thread,
    time::{Duration, Instant},
};

use rdkafka::ClientConfig;
use tokio::sync::oneshot;

use super::{
    Cluster, ConnectionConfig, HeaderNames, KafkaError, LogRecord, Purpose, ScanRange,
    ffi::{Failure, Polled, ProbeConsumer, code},
    handle,
    meter::{Call, measured},
    patience::Patience,
    scan_worker::Trouble,
    signals::{Context, Signals},
};
use crate::crash;

/// The search as a whole; a round has its own deadline.
const FOR_EVER: Duration = Duration::from_hours(1);
/// Bytes that one look fetches of one partition: a batch of a producer's default
/// size first, one of a broker's largest last. A broker answers
/// for a partition whose next batch is larger only where no other partition is, so the size grows where looks
/// go unanswered. Of so many partitions at once, to bound what is in memory.
const FETCHES: [Fetch; 3] = [
    Fetch { bytes: 20 * 1024, partitions: 512 },
    Fetch { bytes: 160 * 1024, partitions: 64 },
    Fetch { bytes: 1088 * 1024, partitions: 8 },
];
/// An answer of more than so many times the bytes that were asked for is a batch larger than those, however
/// well it was compressed.
const OVERSIZE: u64 = 8;
/// No answer for so long after others have come tells of it too.
const PATIENCE: Duration = Duration::from_millis(300);
/// The pause between two sweeps over the queues.
const PAUSE: Duration = Duration::from_micros(200);

struct Fetch {
    bytes: u32,
    partitions: usize,
}

/// How a round of looks went.
enum Swept {
    /// All are answered.
    Done,
    /// The fetches are too small; what is not answered needs this size.
    TooSmall(usize),
}

/// A look failed.
#[derive(Debug)]
pub struct LookFailed(Failure);

/// Looks into the logs of one cluster, on the thread that it was made for.
pub struct Prober {
    config: ConnectionConfig,
    names: HeaderNames,
    stall: Duration,
    patience: Patience,
    size: usize,
    /// That of the present fetch size.
    consumer: Option<ProbeConsumer<Context>>,
}

impl Cluster {
    /// Runs `work` with a [`Prober`], on a thread of its own. A look that brings nothing for `stall` fails.
    /// Dropping the future ends the next look.
    pub async fn probe<T, F>(&self, names: HeaderNames, stall: Duration, work: F) -> Result<T, KafkaError>
    where
        F: FnOnce(&mut Prober) -> Result<T, LookFailed> + Send + 'static,
        T: Send + 'static,
    {
        crash::before_call(|| format!("look into logs on {}", self.servers())).await;
        let asked = self.asked("look into logs".to_owned());
        let (patience, _gives_up_when_dropped) = Patience::until(asked.start + FOR_EVER);
        let config = self.inner.config.clone();
        let (answer, result) = oneshot::channel();
        let run = move || {
            let mut prober = Prober { config, names, stall, patience, size: 0, consumer: None };
            let result = work(&mut prober);
            let cause = prober.signals().and_then(Signals::cause);
            // The answer before the consumer is closed, which takes 100 ms.
            let _ = answer.send(result.map_err(|LookFailed(failure)| Trouble::Failed(failure, cause)));
        };
        let broken = |reason: String| Failure::Call { code: code::DESTROY, reason };
        thread::Builder::new()
            .name("kafka-probe".into())
            .spawn(run)
            .map_err(|error| asked.explain(broken(error.to_string()), None))?;
        let outcome = async {
            match result.await {
                Ok(Ok(done)) => Ok(done),
                Ok(Err(Trouble::Refused(error))) => Err(error),
                Ok(Err(Trouble::Failed(failure, cause))) => Err(asked.explain(failure, cause)),
                Err(_) => Err(asked.explain(broken("the search's thread ended early".into()), None)),
            }
        };
        let done = measured(Call::Search, self.servers(), outcome).await;
        self.inner.touch();
        done
    }
}

impl Prober {
    /// Looks into each log from `from` on and gives what one answer of the broker brings, in offset order,
    /// as a `read_committed` consumer is given it, with the place of its range in `ranges`. Returns for each
    /// range up to where everything was given: its `to` where the log holds no more before it.
    ///
    /// At least one record of each range is given, unless there is none. Where the log begins above `from`
    /// by now, nothing is given and `from` is returned; it cannot be looked into again.
    pub fn look(
        &mut self,
        ranges: &[ScanRange],
        mut on: impl FnMut(usize, &LogRecord<'_>),
    ) -> Result<Vec<i64>, LookFailed> {
        let mut covered: Vec<Option<i64>> = vec![None; ranges.len()];
        while covered.contains(&None) {
            let aimed = self.aim(ranges, &covered).map_err(LookFailed)?;
            match self.sweep(ranges, &mut covered, &aimed, &mut on).map_err(LookFailed)? {
                Swept::Done => {}
                Swept::TooSmall(size) => {
                    self.size = size;
                    // Closing it takes a while.
                    let former = self.consumer.take();
                    thread::spawn(move || drop(former));
                }
            }
        }
        Ok(covered.into_iter().flatten().collect())
    }

    fn signals(&self) -> Option<&Signals> {
        self.consumer.as_ref().map(|c| &c.context().signals)
    }

    /// Has some of the open ranges fetched from their start: their places in `ranges`.
    fn aim(&mut self, ranges: &[ScanRange], covered: &[Option<i64>]) -> Result<Vec<usize>, Failure> {
        let fetch = &FETCHES[self.size];
        let consumer = match &mut self.consumer {
            Some(consumer) => consumer,
            none => {
                let made = handle::consumer(&mut settings(&self.config, fetch.bytes));
                let refused = |error: KafkaError| Failure::Call {
                    code: code::INVALID_ARGUMENT,
                    reason: error.to_string(),
                };
                none.insert(ProbeConsumer::new(made.map_err(refused)?)?)
            }
        };
        let open = (0..ranges.len()).filter(|index| covered[*index].is_none());
        let open: Vec<usize> = open.take(fetch.partitions).collect();
        let place = |index: &usize| (&ranges[*index].partition, ranges[*index].from);
        consumer.assign(&open.iter().map(place).collect::<Vec<_>>())?;
        Ok(open)
    }

    /// Waits for an answer for each, unless the fetches seem too small.
    fn sweep(
        &mut self,
        ranges: &[ScanRange],
        covered: &mut [Option<i64>],
        aimed: &[usize],
        on: &mut impl FnMut(usize, &LogRecord<'_>),
    ) -> Result<Swept, Failure> {
        let start = Instant::now();
        let (mut moved, mut any) = (start, false);
        let Some(consumer) = &self.consumer else { return Ok(Swept::Done) };
        let mut pending: Vec<(usize, usize)> = aimed.iter().copied().enumerate().collect();
        let signals = &consumer.context().signals;
        let mut trickle = Trickle::default();
        loop {
            let (mut failed, mut largest, mut answers) = (None, 0, 0);
            pending.retain(|(number, index)| {
                if failed.is_some() {
                    return true;
                }
                let mut bytes = 0;
                let taken = take(consumer, *number, &ranges[*index], |record| {
                    let record = LogRecord::new(record, &self.names);
                    bytes += (record.key.map_or(0, <[u8]>::len) + record.value_len.unwrap_or(0)) as u64;
                    on(*index, &record);
                });
                largest = largest.max(bytes);
                match taken {
                    Ok(done) => {
                        covered[*index] = done;
                        answers += u32::from(done.is_some());
                        done.is_none()
                    }
                    Err(failure) => {
                        failed = Some(failure);
                        true
                    }
                }
            });
            if let Some(failure) = failed {
                return Err(failure);
            }
            if pending.is_empty() {
                signals.succeeded();
                return Ok(Swept::Done);
            }
            if let Some(size) = self.larger_for(largest) {
                return Ok(Swept::TooSmall(size));
            }
            if answers > 0 {
                trickle.answered(answers, moved.elapsed());
                (moved, any) = (Instant::now(), true);
            }
            if trickle.is_one() && self.size + 1 < FETCHES.len() {
                return Ok(Swept::TooSmall(self.size + 1));
            }
            while let Some(event) = consumer.poll_client() {
                match event {
                    Polled::Client { code, reason } => signals.report(code, &reason),
                    Polled::Log { level, facility, line } => signals.log(level, &facility, &line),
                    _ => {}
                }
            }
            self.patience.check()?;
            if !any && signals.hopeless(start) {
                return Err(Failure::Expired);
            }
            if any && moved.elapsed() > PATIENCE && self.size + 1 < FETCHES.len() {
                return Ok(Swept::TooSmall(self.size + 1));
            }
            if moved.elapsed() > self.stall {
                return Err(Failure::Expired);
            }
            thread::sleep(PAUSE);
        }
    }
}

/// Answers that come one at a time, each with a fetch of its own, tell of batches larger than the fetch.
#[derive(Default)]
struct Trickle {
    /// Answers, and groups of them that came together.
    answers: u32,
    groups: u32,
}

impl Trickle {
    /// That much time without an answer ends a group.
    const GAP: Duration = Duration::from_millis(1);
    /// So many groups are looked at.
    const GROUPS: u32 = 4;

    fn answered(&mut self, answers: u32, since_last: Duration) {
        self.answers += answers;
        self.groups += u32::from(self.groups == 0 || since_last > Self::GAP);
    }

    fn is_one(&self) -> bool {
        self.groups >= Self::GROUPS && self.answers < 2 * self.groups
    }
}

impl Prober {
    /// The fetch size for batches of about so many bytes, where the present one is too small by far.
    fn larger_for(&self, bytes: u64) -> Option<usize> {
        if bytes <= OVERSIZE * u64::from(FETCHES[self.size].bytes) {
            return None;
        }
        let fits = FETCHES.iter().position(|fetch| u64::from(fetch.bytes) >= bytes);
        Some(fits.unwrap_or(FETCHES.len() - 1)).filter(|size| *size > self.size)
    }
}

/// Takes what has come of one partition. The last record stays on the queue: an empty queue is fetched for.
fn take(
    consumer: &ProbeConsumer<Context>,
    number: usize,
    range: &ScanRange,
    mut on: impl FnMut(&super::ffi::RecordEvent),
) -> Result<Option<i64>, Failure> {
    let mut covered = None;
    while covered.is_none() || consumer.waiting(number) > 1 {
        match consumer.poll(number, Duration::ZERO) {
            None => break,
            Some(Polled::Record(record)) => {
                let offset = record.offset();
                if offset < range.from {
                    continue;
                }
                if offset >= range.to {
                    return Ok(Some(range.to));
                }
                on(&record);
                covered = Some(offset + 1);
            }
            Some(Polled::End { .. }) => return Ok(Some(range.to)),
            Some(Polled::Partition { offset, code: error, reason, partition }) => match error {
                code::AUTO_OFFSET_RESET | code::OFFSET_OUT_OF_RANGE => return Ok(Some(range.from)),
                code::LOG_TRUNCATION => return Err(Failure::OutOfRange { partition, offset, reason }),
                code::TRANSPORT | code::TIMED_OUT | code::RESOLVE | code::ALL_BROKERS_DOWN => {}
                _ => return Err(Failure::Named { name: partition.to_string(), code: error, reason }),
            },
            Some(_) => {}
        }
    }
    Ok(covered)
}

/// Settings for many small quick fetches.
fn settings(config: &ConnectionConfig, fetch: u32) -> ClientConfig {
    let mut settings = config.client_config(Purpose::Operator);
    settings
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error")
        .set("check.crcs", "true")
        .set("fetch.queue.backoff.ms", "1")
        .set("queued.min.messages", "1")
        .set("fetch.wait.max.ms", "10")
        .set("fetch.error.backoff.ms", "10")
        .set("topic.metadata.propagation.max.ms", "5000")
        .set("fetch.message.max.bytes", fetch.to_string());
    settings
}
