//! One life of the two clients: takes records from the source, sends them to the target, and moves the
//! position. Blocking; runs on a thread of its own. Resolves nothing and creates nothing, see `lookout`.
//!
//! What a restart may rely on: a position is committed only when everything below it was acknowledged by all
//! in-sync replicas of the target (see [`Position`](super::position::Position)). Records of one source
//! partition are sent in their order, and the idempotent producer keeps it on each target partition.
//!
//! - here: opening, the loop, and news from the look-out.
//! - `group`: what the group's generations bring.
//! - `records`: from the source to the target.
//! - `commits`: the position.

mod commits;
mod group;
mod records;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, mpsc::Receiver},
    time::{Duration, Instant},
};

use self::commits::Commit;
use super::{
    ReplicateError,
    partitions::Partitions,
    settings::Settings,
    shared::{News, Shared},
    table::Table,
};
use crate::{
    TopicPartition,
    kafka::replication::{Parcel, Sink, SinkSettings, Source, TargetTopic, Trouble},
};

/// How long the end waits for the source.
const CLOSE: Duration = Duration::from_secs(2);
/// The producer's own bound, where the target topics allow it.
const BATCH_SIZE: u64 = 1_000_000;
/// What the broker counts beside the records of a batch.
const BATCH_OVERHEAD: u64 = 512;
/// The least and the most to fetch of a partition at once, in bytes.
const FETCH_SIZE: (u64, u64) = (1 << 20, 100 << 20);
/// The same trouble is not logged more often than this.
const REPEAT_TROUBLE: Duration = Duration::from_secs(30);
/// A target that acknowledges nothing for so long is told of, whether its client has said why or not.
const SILENCE: Duration = Duration::from_secs(10);
/// The group notices topics that come or go within this time; else new clients do.
const NOTICE: Duration = Duration::from_secs(15);

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
    table_since: Instant,
    partitions: Partitions,
    /// A record for which the producer had no room.
    waiting: Option<(TargetTopic, Box<Parcel>)>,
    /// What this instance copies: none where it stands by.
    working: Option<Vec<TopicPartition>>,
    /// Why new clients are needed, once they are.
    renew: Option<String>,
    commit: Commit,
    /// When trouble was logged last, by cluster and code.
    troubles: HashMap<(&'static str, i32), Instant>,
    /// When the target last acknowledged a record, or had none to acknowledge.
    acknowledged: Instant,
    batch_size: u64,
    sink: Sink,
    source: Source,
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
        let (least, most) = FETCH_SIZE;
        let largest_batch = largest_batch.unwrap_or(least).clamp(least, most);
        let batch_size = batch_size(&table);
        let session = Self {
            settings,
            shared,
            news,
            table,
            table_since: Instant::now(),
            partitions: Partitions::default(),
            waiting: None,
            working: None,
            renew: None,
            commit: Commit::new(),
            troubles: HashMap::new(),
            acknowledged: Instant::now(),
            batch_size,
            sink: Sink::open(&settings.target, SinkSettings { batch_size })?,
            source: Source::open(&settings.source, &settings.group, largest_batch)?,
        };
        session.subscribe()?;
        Ok(session)
    }

    /// Works, or stands by, until asked to stop or until new clients are needed. Gives the table back as it
    /// is then.
    pub fn run(mut self) -> Result<(End, Arc<Table>), ReplicateError> {
        let outcome = self.work();
        // Whatever happened: what was acknowledged is worth a commit.
        let settled = self.give_back();
        self.shared.set_positions(BTreeMap::new());
        self.source.close(CLOSE);
        let end = outcome?;
        settled?;
        Ok((end, self.table))
    }

    fn work(&mut self) -> Result<End, ReplicateError> {
        while !self.shared.stopping() {
            self.take_news()?;
            while let Some(change) = self.source.poll_group(Duration::ZERO) {
                self.serve_group(change)?;
            }
            self.serve_reports()?;
            self.copy()?;
            if self.commit.is_due() {
                self.check_table();
                self.show_positions();
                self.tell_silence();
                self.commit()?;
            }
            if let Some(reason) = self.renew.take() {
                return Ok(End::Renew(reason));
            }
        }
        Ok(End::Stopped)
    }

    fn take_news(&mut self) -> Result<(), ReplicateError> {
        while let Ok(news) = self.news.try_recv() {
            match news {
                News::Failed(error) => return Err(error),
                News::Strangers(why) => self.renew = Some(why),
                News::Table(table) => {
                    let before = std::mem::replace(&mut self.table, table);
                    self.table_since = Instant::now();
                    if !self.table.topics.keys().eq(before.topics.keys()) {
                        self.subscribe()?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Sees whether these clients can follow the table. Where topics come or go the group begins a new
    /// generation. Where a topic got other partitions neither client may have noticed yet: new ones have.
    fn check_table(&mut self) {
        let Some(working) = &self.working else { return };
        if batch_size(&self.table) < self.batch_size {
            self.renew = Some("a target topic takes smaller batches only".to_owned());
        } else if *working != self.table.partitions() {
            let of_working = working.iter().map(|at| &at.topic).collect::<std::collections::BTreeSet<_>>();
            if of_working.into_iter().eq(self.table.topics.keys()) || self.table_since.elapsed() > NOTICE {
                self.renew = Some("other partitions are to be copied".to_owned());
            }
        }
    }

    fn subscribe(&self) -> Result<(), ReplicateError> {
        if self.table.topics.is_empty() {
            tracing::info!(
                "no topic to copy yet; waiting for one (one that may not be described looks as if it were not there)"
            );
        }
        Ok(self.source.subscribe(self.table.topics.keys().map(String::as_str))?)
    }

    fn show_positions(&mut self) {
        let positions = self.partitions.held().map(|slot| (slot.partition.clone(), slot.position.safe()));
        self.shared.set_positions(positions.collect());
    }

    /// Trouble that time does not cure ends the process; anything else is waited out. A right may be granted yet.
    fn judge(&mut self, trouble: &Trouble, cluster: &'static str) -> Result<(), ReplicateError> {
        let refused = || ReplicateError::by_source(trouble.clone(), &self.settings.group);
        if trouble.is_authorization() {
            self.renew = Some(refused().to_string());
            return Ok(());
        }
        if trouble.is_fatal() || trouble.is_unreadable() {
            return Err(refused());
        }
        self.log_trouble(trouble, cluster);
        Ok(())
    }

    fn tell_silence(&mut self) {
        let records = self.partitions.in_flight();
        if records == 0 {
            self.acknowledged = Instant::now();
        }
        let since = self.acknowledged.elapsed();
        if since > SILENCE {
            let reason =
                format!("{records} records are under way, none was acknowledged for {} s", since.as_secs());
            self.log_trouble(&Trouble { code: 0, place: None, offset: -1, reason }, "target");
        }
    }

    fn log_trouble(&mut self, trouble: &Trouble, cluster: &'static str) {
        let now = Instant::now();
        let last = self.troubles.get(&(cluster, trouble.code));
        if trouble.is_summary() || last.is_some_and(|at| now - *at < REPEAT_TROUBLE) {
            return;
        }
        self.troubles.insert((cluster, trouble.code), now);
        let at = trouble.place.as_ref().map(|at| format!("{at}: ")).unwrap_or_default();
        tracing::warn!(cluster, "trouble, going on: {at}{}", trouble.reason);
    }
}

/// The largest batch that every target topic takes.
fn batch_size(table: &Table) -> u64 {
    let limit = table.batch_limit.map(|limit| limit.saturating_sub(BATCH_OVERHEAD));
    limit.unwrap_or(BATCH_SIZE).clamp(1, BATCH_SIZE)
}
