//! One life of the two clients: takes records from the source, sends them to the target, and moves the
//! position. Blocking; runs on a thread of its own. Resolves nothing and creates nothing, see `lookout`.
//!
//! What a restart may rely on: a position is committed only when everything below it was acknowledged by all
//! in-sync replicas of the target (see [`Position`](super::position::Position)). Records of one source
//! partition are sent in their order, and the idempotent producer keeps it on each target partition.

use std::{
    sync::{Arc, mpsc::Receiver},
    thread,
    time::{Duration, Instant},
};

use super::{
    ReplicateError, election,
    partitions::{Partitions, SlotId},
    settings::Settings,
    shared::{News, Shared},
    table::Table,
};
use crate::{
    TopicPartition,
    kafka::replication::{
        Arrival, Delivery, Failed, GroupChange, Parcel, Rejected, Sink, SinkSettings, Source, SourceRecord,
        TargetTopic, Trouble,
    },
};

/// Records between two looks at the group and at the reports.
const BATCH: usize = 512;
/// How long to wait for a record: short while reports are awaited, since they are looked at in between.
const WAIT_BUSY: Duration = Duration::from_millis(5);
const WAIT_IDLE: Duration = Duration::from_millis(50);
/// Between two commits.
const COMMIT_EVERY: Duration = Duration::from_secs(1);
/// A commit without an answer is not waited for longer; positions are sent again.
const COMMIT_ANSWER: Duration = Duration::from_secs(10);
/// How long partitions that are taken back wait for reports of what is in flight. What is not acknowledged
/// by then is copied again by the next one.
const FLUSH_ON_REVOKE: Duration = Duration::from_secs(10);
/// The same at the end of the process, which shall take a few seconds at most.
const FLUSH_ON_STOP: Duration = Duration::from_secs(5);
/// How long the end waits for the source.
const CLOSE: Duration = Duration::from_secs(3);
/// The producer's own bound, where the target topics allow it.
const BATCH_SIZE: u64 = 1_000_000;
/// What the broker counts beside the records of a batch.
const BATCH_OVERHEAD: u64 = 512;
/// Fetch size where the topics' largest batch is not known.
const FETCH_SIZE: u64 = 1 << 20;
/// The same trouble is not logged more often than this.
const REPEAT_TROUBLE: Duration = Duration::from_secs(10);

/// How long after an assignment fetchers of the one before may still be stopping.
const SETTLE: Duration = Duration::from_secs(5);

/// How a session ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// As asked.
    Stopped,
    /// New clients are needed, for this reason; nothing is lost.
    Renew(String),
}

/// See the module.
pub struct Session<'s> {
    settings: &'s Settings,
    shared: &'s Shared,
    news: &'s Receiver<News>,
    table: Arc<Table>,
    partitions: Partitions,
    /// A record for which the producer had no room.
    waiting: Option<(TargetTopic, Box<Parcel>, SlotId)>,
    /// What this instance copies: none where it stands by.
    working: Option<Vec<TopicPartition>>,
    /// Until when the client may still be stopping former fetchers.
    settle_until: Instant,
    commit: Commit,
    trouble: Option<(i32, Instant)>,
    batch_size: u64,
    sink: Sink,
    source: Source,
}

/// The commit under way.
struct Commit {
    due: Instant,
    /// Until when the answer is waited for.
    answer_by: Option<Instant>,
}

impl<'s> Session<'s> {
    /// Opens both clients and joins the group.
    pub fn open(
        settings: &'s Settings,
        shared: &'s Shared,
        news: &'s Receiver<News>,
        table: Arc<Table>,
        largest_batch: Option<u64>,
    ) -> Result<Self, ReplicateError> {
        let largest = largest_batch.unwrap_or(FETCH_SIZE).clamp(FETCH_SIZE, 100 << 20);
        let source = Source::open(&settings.source, &settings.group, largest)?;
        let batch_size = batch_size(&table);
        let sink = Sink::open(&settings.target, SinkSettings { batch_size })?;
        let session = Self {
            settings,
            shared,
            news,
            table,
            partitions: Partitions::default(),
            waiting: None,
            working: None,
            settle_until: Instant::now(),
            commit: Commit {
                due: Instant::now() + COMMIT_EVERY,
                answer_by: None,
            },
            trouble: None,
            batch_size,
            sink,
            source,
        };
        session.subscribe()?;
        Ok(session)
    }

    /// Works, or stands by, until asked to stop or until new clients are needed.
    pub fn run(mut self) -> Result<(End, Arc<Table>), ReplicateError> {
        let outcome = self.work();
        // Whatever happened: what was acknowledged is worth a commit. After an error nothing is waited for.
        let flush = if outcome.is_ok() {
            FLUSH_ON_STOP
        } else {
            Duration::ZERO
        };
        let closing = self.give_back(flush);
        self.shared.set_positions(std::collections::BTreeMap::new());
        self.source.close(CLOSE);
        let end = outcome?;
        closing?;
        Ok((end, self.table))
    }

    fn work(&mut self) -> Result<End, ReplicateError> {
        while !self.shared.stopping() {
            if let Some(reason) = self.take_news()? {
                return Ok(End::Renew(reason));
            }
            while let Some(change) = self.source.poll_group(Duration::ZERO) {
                self.serve_group(change)?;
            }
            if let Some(reason) = self.serve_reports()? {
                return Ok(End::Renew(reason));
            }
            self.copy()?;
            self.commit_when_due()?;
        }
        Ok(End::Stopped)
    }

    fn take_news(&mut self) -> Result<Option<String>, ReplicateError> {
        while let Ok(news) = self.news.try_recv() {
            match news {
                News::Failed(error) => return Err(error),
                News::Table(table) => {
                    let before = std::mem::replace(&mut self.table, table);
                    if batch_size(&self.table) < self.batch_size {
                        return Ok(Some("a target topic takes smaller batches only".to_owned()));
                    }
                    if !self.table.topics.keys().eq(before.topics.keys()) {
                        self.subscribe()?;
                    }
                }
            }
        }
        Ok(None)
    }

    fn subscribe(&self) -> Result<(), ReplicateError> {
        if self.table.topics.is_empty() {
            tracing::info!("no topic to copy yet; waiting for one");
        }
        Ok(self
            .source
            .subscribe(self.table.topics.keys().map(String::as_str))?)
    }

    fn serve_group(&mut self, change: GroupChange) -> Result<(), ReplicateError> {
        match change {
            GroupChange::Assigned(partitions) => self.begin(&partitions),
            GroupChange::Revoked { lost } => {
                if lost {
                    tracing::warn!("this instance was taken for dead; what is in flight may be copied twice");
                    self.let_go()
                } else {
                    self.give_back(FLUSH_ON_REVOKE)
                }
            }
            GroupChange::Committed(result) => {
                self.commit_answered(result);
                Ok(())
            }
            GroupChange::Trouble(trouble) => self.judge(&trouble, "source"),
            GroupChange::Nothing => Ok(()),
        }
    }

    /// A new generation of the group: works or stands by, see [`election`].
    fn begin(&mut self, assigned: &[TopicPartition]) -> Result<(), ReplicateError> {
        self.shared.nudge.notify_one();
        let group = &self.settings.group;
        if election::works(assigned, &self.table.topics) {
            tracing::info!(group, topics = self.table.topics.len(), "at work");
            return self.take_over();
        }
        let token = election::token(&self.table.topics)
            .map(|token| token.to_string())
            .unwrap_or_default();
        tracing::info!(
            group,
            token,
            "standing by: another member of the group holds the token and works"
        );
        Ok(self.source.assign(&[])?)
    }

    /// Takes all partitions that have a place to go.
    fn take_over(&mut self) -> Result<(), ReplicateError> {
        let partitions = self.table.partitions();
        for at in &partitions {
            if let Some(copying) = self.table.topics.get(&at.topic) {
                let topic = self.sink.topic(&copying.target)?;
                self.partitions
                    .hold(at.clone(), topic, copying.target_partition(at.partition));
            }
        }
        self.source.assign(&partitions)?;
        self.settle_until = Instant::now() + SETTLE;
        self.working = Some(partitions);
        self.show_positions();
        Ok(())
    }

    /// Follows the table while at work. Where topics came or went the group begins a new generation by
    /// itself; this is for partitions, and for what the group did not notice.
    fn adjust(&mut self) -> Result<(), ReplicateError> {
        let Some(working) = &self.working else {
            return Ok(());
        };
        if *working != self.table.partitions() {
            self.give_back(FLUSH_ON_REVOKE)?;
            tracing::info!(group = self.settings.group, "going on with other partitions");
            return self.take_over();
        }
        if Instant::now() < self.settle_until {
            self.source.settle(working)?;
        }
        Ok(())
    }

    /// Hands the partitions back, with everything settled that can be within `patience`.
    fn give_back(&mut self, patience: Duration) -> Result<(), ReplicateError> {
        self.waiting = None;
        let until = Instant::now() + patience;
        while self.partitions.in_flight() > 0 && Instant::now() < until {
            if self.serve_reports()?.is_some() {
                break;
            }
            thread::sleep(Duration::from_millis(1));
        }
        match self.partitions.in_flight() {
            0 => {}
            left => tracing::warn!(
                records = left,
                "not acknowledged in time; they will be copied again"
            ),
        }
        self.commit_now()?;
        let until = Instant::now() + CLOSE;
        while self.commit.answer_by.is_some() && Instant::now() < until {
            if let Some(change) = self.source.poll_group(Duration::from_millis(20)) {
                match change {
                    GroupChange::Committed(result) => self.commit_answered(result),
                    GroupChange::Trouble(trouble) => self.judge(&trouble, "source")?,
                    _ => {}
                }
            }
        }
        self.let_go()
    }

    fn let_go(&mut self) -> Result<(), ReplicateError> {
        self.waiting = None;
        self.commit.answer_by = None;
        self.partitions.release_all();
        self.working = None;
        self.show_positions();
        Ok(self.source.unassign()?)
    }

    fn serve_reports(&mut self) -> Result<Option<String>, ReplicateError> {
        while let Some(delivery) = self.sink.poll() {
            match delivery {
                Delivery::Reports(reports) => {
                    let count = reports.len();
                    for (ticket, code) in reports {
                        if code == 0 {
                            self.partitions.acknowledge(ticket);
                        } else if let Some(reason) = self.not_delivered(ticket, code)? {
                            return Ok(Some(reason));
                        }
                    }
                    Shared::count(&self.shared.records, count);
                }
                Delivery::Trouble(trouble) if trouble.is_fatal() => return Ok(Some(trouble.reason)),
                Delivery::Trouble(trouble) => self.log_trouble(&trouble, "target"),
                Delivery::Nothing => {}
            }
        }
        Ok(None)
    }

    fn not_delivered(&self, ticket: usize, code: i32) -> Result<Option<String>, ReplicateError> {
        if Failed::new(code) == Failed::Session {
            return Ok(Some(crate::kafka::replication::describe(code)));
        }
        match self.partitions.record(ticket) {
            Some((slot, offset)) => {
                let target = self.sink.name(slot.topic);
                Err(ReplicateError::record(
                    slot.partition.clone(),
                    offset,
                    target,
                    code,
                    "",
                ))
            }
            None => Ok(None),
        }
    }

    fn copy(&mut self) -> Result<(), ReplicateError> {
        if let Some((topic, parcel, slot)) = self.waiting.take() {
            self.send(topic, *parcel, slot)?;
        }
        let wait = if self.partitions.in_flight() > 0 {
            WAIT_BUSY
        } else {
            WAIT_IDLE
        };
        for nth in 0..BATCH {
            if self.waiting.is_some() {
                // The target is slower: leave the records with the source's client.
                thread::sleep(Duration::from_millis(1));
                break;
            }
            let wait = if nth == 0 { wait } else { Duration::ZERO };
            match self.source.poll_record(wait) {
                Some(Arrival::Record(record)) => self.forward(record)?,
                Some(Arrival::End { partition, offset }) => self.reached_end(&partition, offset),
                Some(Arrival::Trouble(trouble)) => self.judge(&trouble, "source")?,
                None => break,
            }
        }
        Ok(())
    }

    fn forward(&mut self, record: SourceRecord) -> Result<(), ReplicateError> {
        let (partition, offset) = (record.partition(), record.offset());
        let Some(id) = self
            .partitions
            .find(record.topic_address(), partition, || record.topic())
        else {
            return Ok(());
        };
        let Some(ticket) = self.partitions.ticket(id, offset) else {
            return Ok(());
        };
        let Some(slot) = self.partitions.slot(id) else {
            return Ok(());
        };
        let (topic, to) = (slot.topic, slot.target_partition);
        let refused = |reason: &str| {
            ReplicateError::record(slot.partition.clone(), offset, self.sink.name(topic), 0, reason)
        };
        Shared::count(&self.shared.bytes, record.size());
        let timestamp = if self.settings.keep_timestamps {
            kept(record.timestamp_ms())
        } else {
            0
        };
        let headers = &self.settings.headers;
        let mut written = Ok(());
        let parcel = Parcel::new(record, headers.len(), to, timestamp, ticket, |add| {
            written = headers.each(&slot.partition.topic, partition, offset, add);
        });
        let parcel = parcel.map_err(|reason| refused(&reason))?;
        written.map_err(|error| refused(&error.to_string()))?;
        self.send(topic, parcel, id)
    }

    fn send(&mut self, topic: TargetTopic, parcel: Parcel, id: SlotId) -> Result<(), ReplicateError> {
        match self.sink.send(topic, parcel) {
            Ok(()) => Ok(()),
            Err(Rejected::Full(parcel)) => {
                self.waiting = Some((topic, parcel, id));
                Ok(())
            }
            Err(Rejected::Refused { code, reason }) => {
                let target = self.sink.name(topic).to_owned();
                let Some(slot) = self.partitions.slot(id) else {
                    return Ok(());
                };
                let offset = slot.position.next().map_or(0, |next| next - 1);
                Err(ReplicateError::record(
                    slot.partition.clone(),
                    offset,
                    &target,
                    code,
                    &reason,
                ))
            }
        }
    }

    fn reached_end(&mut self, partition: &TopicPartition, offset: i64) {
        if let Some(slot) = self
            .partitions
            .named(partition)
            .and_then(|id| self.partitions.slot(id))
        {
            slot.position.reached_end(offset);
        }
    }

    fn commit_when_due(&mut self) -> Result<(), ReplicateError> {
        let now = Instant::now();
        if now < self.commit.due {
            return Ok(());
        }
        self.commit.due = now + COMMIT_EVERY;
        self.adjust()?;
        self.show_positions();
        match self.commit.answer_by {
            Some(answer_by) if now < answer_by => Ok(()),
            Some(_) => {
                self.forget_commits();
                self.commit_now()
            }
            None => self.commit_now(),
        }
    }

    fn commit_now(&mut self) -> Result<(), ReplicateError> {
        let positions: Vec<_> = self
            .partitions
            .held()
            .filter_map(|slot| Some((slot.partition.clone(), slot.position.take_uncommitted()?)))
            .collect();
        if positions.is_empty() {
            return Ok(());
        }
        self.commit.answer_by = Some(Instant::now() + COMMIT_ANSWER);
        Ok(self.source.commit(&positions)?)
    }

    /// A commit that failed is sent again with the next one: positions only grow, nothing is lost meanwhile.
    fn commit_answered(&mut self, result: Result<(), Vec<(TopicPartition, i32)>>) {
        self.commit.answer_by = None;
        let Err(failed) = result else { return };
        if let Some((partition, code)) = failed.first() {
            let reason = crate::kafka::replication::describe(*code);
            tracing::warn!(%partition, partitions = failed.len(), reason, "positions were not committed; will try again");
        }
        self.forget_commits();
    }

    fn forget_commits(&mut self) {
        self.partitions
            .held()
            .for_each(|slot| slot.position.commit_failed());
    }

    fn show_positions(&mut self) {
        let positions = self
            .partitions
            .held()
            .map(|slot| (slot.partition.clone(), slot.position.safe()));
        let positions = positions.collect();
        self.shared.set_positions(positions);
    }

    /// Trouble that time does not cure ends the process; anything else is waited out.
    fn judge(&mut self, trouble: &Trouble, side: &str) -> Result<(), ReplicateError> {
        if trouble.is_authorization() || trouble.is_fatal() {
            return Err(ReplicateError::not_allowed(trouble.clone()));
        }
        self.log_trouble(trouble, side);
        Ok(())
    }

    fn log_trouble(&mut self, trouble: &Trouble, cluster: &str) {
        let now = Instant::now();
        if self
            .trouble
            .is_none_or(|(code, at)| code != trouble.code || now - at > REPEAT_TROUBLE)
        {
            self.trouble = Some((trouble.code, now));
            let at = trouble
                .place
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default();
            tracing::warn!(cluster, at, reason = trouble.reason, "trouble; going on");
        }
    }
}

/// The largest batch that every target topic takes.
fn batch_size(table: &Table) -> u64 {
    let limit = table
        .batch_limit
        .unwrap_or(BATCH_SIZE)
        .saturating_sub(BATCH_OVERHEAD);
    limit.clamp(1, BATCH_SIZE)
}

/// A record's own timestamp. The client takes 0 for "now": a record of the first millisecond of 1970 gets the
/// second one. A record without a timestamp (-1) stays without.
fn kept(timestamp_ms: Option<i64>) -> i64 {
    match timestamp_ms {
        Some(0) => 1,
        Some(timestamp_ms) => timestamp_ms,
        None => -1,
    }
}
