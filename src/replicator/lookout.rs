//! Looks at both clusters beside the copy loop: which topics there are, which are missing on the target, what
//! retention took before it was copied, and how far behind the copies are. Moves no record.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, mpsc::Sender},
    time::Duration,
};

use super::{
    ReplicateError,
    progress::Progress,
    provision::{self, Capacity},
    settings::Settings,
    shared::{News, Shared},
    table::{Table, find_loop, routed},
};
use crate::{
    TopicPartition,
    kafka::{Cluster, KafkaError, replication::POSITION},
};

/// Until the first contact with each cluster is given up.
const FIRST_CONTACT: Duration = Duration::from_secs(15);

/// The copies wait for this answer, and a stop does.
const GROUP_DEADLINE: Duration = Duration::from_secs(3);

/// Partitions that a message names.
const LISTED: usize = 5;

/// See the module.
pub struct Lookout {
    settings: Arc<Settings>,
    source: Cluster,
    target: Cluster,
    /// What was said last, so that each thing is said once.
    said: BTreeSet<String>,
    /// What the target topics take, and of which topics that was asked.
    capacity: (Vec<String>, Capacity),
}

impl Lookout {
    /// Connects to both clusters. Whatever is wrong with either is an error here, and only here.
    pub async fn connect(settings: Arc<Settings>) -> Result<Self, ReplicateError> {
        let source = Cluster::connect(&settings.source, FIRST_CONTACT).await?;
        let target = Cluster::connect(&settings.target, FIRST_CONTACT).await?;
        Ok(Self { settings, source, target, said: BTreeSet::new(), capacity: Default::default() })
    }

    /// What is to be copied now. Creates what is missing on the target.
    pub async fn resolve(&mut self) -> Result<Table, ReplicateError> {
        let on_source = self.source.topics().await?;
        let routed = routed(&self.settings.routes, &on_source);
        if self.source.id() == self.target.id()
            && let Some((topic, target)) = find_loop(&self.settings.routes, &routed)
        {
            return Err(ReplicateError::Loop { cluster: self.source.id().to_owned(), topic, target });
        }
        let mut on_target = self.target.topics().await?;
        let missing = routed.iter().filter(|(_, route)| !on_target.contains_key(&route.topic));
        let missing: Vec<String> = missing.map(|(topic, _)| topic.clone()).collect();
        let mut failed = BTreeMap::new();
        if !missing.is_empty() {
            failed = provision::create(&self.settings, &routed, &on_source, &on_target, &missing).await?;
            on_target = self.target.topics().await?;
            // Somebody else may have made one in the meantime.
            failed.retain(|topic, _| !on_target.contains_key(topic));
        }
        let mut table = Table::new(&routed, &on_source, &on_target);
        table.waiting.extend(failed.into_values());
        table.batch_limit = self.batch_limit(&table).await;
        let unmatched = self.settings.routes.unmatched(on_source.keys().map(String::as_str));
        let waiting = table.waiting.iter().cloned().chain(unmatched);
        self.say(waiting.map(|line| format!("waiting: {line}")).collect());
        Ok(table)
    }

    /// The largest batch that the source topics may hold, where it can be known.
    pub async fn largest_batch(&self, table: &Table) -> Option<u64> {
        let topics: Vec<String> = table.topics.keys().cloned().collect();
        provision::largest_batch(&self.settings, &topics).await
    }

    /// The source.
    pub fn source(&self) -> &Cluster {
        &self.source
    }

    /// Goes on looking until the process ends.
    pub async fn watch(mut self, shared: Arc<Shared>, news: Sender<News>, first: Arc<Table>) {
        let mut table = first;
        let mut progress = Progress::new();
        let mut refresh = ticks(self.settings.refresh);
        let mut report = ticks(self.settings.progress);
        loop {
            tokio::select! {
                _ = refresh.tick() => self.look_again(&mut table, &news).await,
                () = shared.nudge.notified() => self.look_again(&mut table, &news).await,
                _ = report.tick() => progress.report(&self.source, &shared).await,
            }
        }
    }

    async fn look_again(&mut self, table: &mut Arc<Table>, news: &Sender<News>) {
        match self.resolve().await {
            Ok(now) if now != **table => {
                *table = Arc::new(now);
                let _ = news.send(News::Table(Arc::clone(table)));
            }
            Ok(_) => {}
            Err(error @ ReplicateError::Loop { .. }) => {
                let _ = news.send(News::Failed(error));
            }
            Err(error) => tracing::warn!(%error, "could not look for new topics; will try again"),
        }
        // While it is at work its offsets are its own, or will be.
        let members = members(&self.source.with_deadline(GROUP_DEADLINE), &self.settings).await;
        if let Ok(Some(why)) = members {
            let _ = news.send(News::Strangers(why));
        }
        match self.taken_by_retention(table).await {
            Ok(lines) => self.say(lines),
            Err(error) => tracing::debug!(%error, "could not compare the positions with the log starts"),
        }
    }

    /// Records that were deleted on the source before they were copied. The client goes on at the log's start
    /// by itself and says nothing.
    async fn taken_by_retention(&self, table: &Table) -> Result<Vec<String>, KafkaError> {
        // Starts first: they only grow, and so do positions.
        let starts = self.source.log_starts(&table.partitions()).await?;
        let committed = self.source.committed(&self.settings.group).await?;
        let lost = |(at, start): (&TopicPartition, &i64)| {
            let position = committed.get(at)?.offset;
            (position < *start).then(|| {
                format!("{at}: the log begins at {start}, copied is up to {position}: what lay between was deleted on the source before it was copied")
            })
        };
        Ok(starts.iter().filter_map(lost).collect())
    }

    /// What every target topic takes. Asked anew where the topics are others; what was known last stays where
    /// the target does not answer or does not allow the question.
    async fn batch_limit(&mut self, table: &Table) -> Option<u64> {
        let topics: BTreeSet<String> = table.topics.values().map(|copying| copying.target.clone()).collect();
        let topics: Vec<String> = topics.into_iter().collect();
        if self.capacity.0 != topics {
            match provision::capacity(&self.settings, &topics).await {
                Ok(capacity) => self.capacity = (topics, capacity),
                Err(error) => tracing::debug!(%error, "what the target topics take is not known"),
            }
        }
        let (_, capacity) = &self.capacity;
        if self.settings.keep_timestamps && !capacity.own_timestamps.is_empty() {
            let topics = capacity.own_timestamps.join(", ");
            self.say(vec![format!(
                "timestamps are not kept on {topics}: set message.timestamp.type=CreateTime there"
            )]);
        }
        self.capacity.1.batch_limit
    }

    /// Says each thing once.
    fn say(&mut self, lines: Vec<String>) {
        for line in lines {
            if !self.said.contains(&line) {
                tracing::warn!("{line}");
                self.said.insert(line);
            }
        }
    }
}

/// What shows that the replicator's group is an application's, for a message: members that are no replicators, or
/// offsets that no replicator has committed. Such an application would lose its place, and what only it has read
/// would count as copied: in doubt nothing is copied. None also where the group may not be described, as it cannot be
/// joined then.
pub async fn strangers(source: &Cluster, settings: &Settings) -> Option<String> {
    let source = source.with_deadline(GROUP_DEADLINE);
    let found = match members(&source, settings).await {
        Ok(None) if !settings.take_group => offsets(&source, settings).await,
        found => found,
    };
    match found {
        Ok(found) => found,
        Err(KafkaError::Authorization { .. }) => None,
        Err(error) => Some(format!("it is not known whose group {} is: {error}", settings.group)),
    }
}

/// Members that are no replicators, for a message.
async fn members(source: &Cluster, settings: &Settings) -> Result<Option<String>, KafkaError> {
    let described = source.group(&settings.group).await?;
    let ours = settings.source.client_id();
    let strange = described.members.iter().filter(|member| member.client_id != ours);
    let who: BTreeSet<String> = strange.map(|m| format!("{} at {}", m.client_id, m.host)).collect();
    let who = who.into_iter().collect::<Vec<_>>().join(", ");
    Ok((!who.is_empty()).then(|| of_an_application(settings, &format!("its members are {who}"))))
}

/// Offsets that no replicator has committed, for a message.
async fn offsets(source: &Cluster, settings: &Settings) -> Result<Option<String>, KafkaError> {
    let committed = source.committed(&settings.group).await?;
    let strange: Vec<String> = committed
        .iter()
        .filter(|(_, committed)| committed.metadata != POSITION)
        .map(|(partition, committed)| format!("{partition} at {}", committed.offset))
        .collect();
    let listed = strange.iter().take(LISTED).cloned().collect::<Vec<_>>().join(", ");
    let more = if strange.len() > LISTED { ", …" } else { "" };
    let why = format!(
        "no replicator has committed {listed}{more} (if these were set for one, by hand say: start it once with \
         --take-group)"
    );
    Ok((!strange.is_empty()).then(|| of_an_application(settings, &why)))
}

fn of_an_application(settings: &Settings, why: &str) -> String {
    format!(
        "spec.source.consumerGroup, {}, is the group of an application: {why}; choose a name that no application uses",
        settings.group
    )
}

/// Ticks that begin after one period and do not pile up.
fn ticks(period: Duration) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks
}
