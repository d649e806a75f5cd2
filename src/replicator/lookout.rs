//! Looks at both clusters beside the copy loop: which topics there are, which are missing on the target,
//! and how far behind the copies are. Creates missing target topics; writes nothing else.

use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc::Sender},
    time::Duration,
};

use super::{
    ReplicateError,
    creation::{self, ESSENTIAL},
    progress::Progress,
    settings::Settings,
    shared::{News, Shared},
    table::{Table, find_loop, routed},
};
use crate::kafka::{
    Cluster, KafkaError,
    replication::{NewTopicSpec, TopicAdmin, is_invalid_config},
};

/// Until the first contact with each cluster is given up.
const FIRST_CONTACT: Duration = Duration::from_secs(15);
/// See the module.
pub struct Lookout {
    settings: Arc<Settings>,
    source: Cluster,
    target: Cluster,
    /// What was said last, so that each thing is said once.
    said: Vec<String>,
    /// The limit that was known last: it does not change because the target is away.
    batch_limit: Option<u64>,
}

impl Lookout {
    /// Connects to both clusters. Whatever is wrong with either is an error here, and only here.
    pub async fn connect(settings: Arc<Settings>) -> Result<Self, ReplicateError> {
        let source = Cluster::connect(&settings.source, FIRST_CONTACT).await?;
        let target = Cluster::connect(&settings.target, FIRST_CONTACT).await?;
        Ok(Self {
            settings,
            source,
            target,
            said: Vec::new(),
            batch_limit: None,
        })
    }

    /// What is to be copied now. Creates what is missing on the target.
    pub async fn resolve(&mut self) -> Result<Table, ReplicateError> {
        let on_source = self.source.topics().await?;
        let routed = routed(&self.settings.routes, &on_source);
        if self.source.id() == self.target.id()
            && let Some((topic, target)) = find_loop(&self.settings.routes, &routed)
        {
            return Err(ReplicateError::Loop {
                cluster: self.source.id().to_owned(),
                topic,
                target,
            });
        }
        let mut on_target = self.target.topics().await?;
        let missing: Vec<String> = routed
            .iter()
            .filter(|(_, route)| !on_target.contains_key(&route.topic))
            .map(|(topic, _)| topic.clone())
            .collect();
        let mut waiting = Vec::new();
        if !missing.is_empty() {
            waiting = self.create(&routed, &on_source, &on_target, &missing).await?;
            on_target = self.target.topics().await?;
        }
        let mut table = Table::new(&routed, &on_source, &on_target);
        table.waiting.append(&mut waiting);
        table.batch_limit = self.batch_limit(&table).await.or(self.batch_limit);
        self.batch_limit = table.batch_limit;
        self.say(&table);
        Ok(table)
    }

    /// The largest batch that the source topics may hold, where it can be known.
    pub async fn largest_batch(&self, table: &Table) -> Option<u64> {
        let topics: Vec<String> = table.topics.keys().cloned().collect();
        let limits = limits(&TopicAdmin::open(&self.settings.source).ok()?, &topics)
            .await
            .ok()?;
        limits.into_iter().max()
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
    }

    /// Creates the targets of `missing`. Returns what could not be created, and why.
    async fn create(
        &self,
        routed: &BTreeMap<String, crate::mapping::Route>,
        on_source: &BTreeMap<String, u32>,
        on_target: &BTreeMap<String, u32>,
        missing: &[String],
    ) -> Result<Vec<String>, ReplicateError> {
        let source = TopicAdmin::open(&self.settings.source)?;
        let configs = match source.configs(missing).await {
            Ok(configs) => configs,
            Err(error @ KafkaError::Authorization { .. }) => {
                let way_out =
                    "allow DescribeConfigs on the source topics, or create the target topics yourself";
                return Ok(vec![format!(
                    "missing on the target and not created: {error}; {way_out}"
                )]);
            }
            Err(error) => return Err(error.into()),
        };
        let target = TopicAdmin::open(&self.settings.target)?;
        let mut waiting = Vec::new();
        let plan = creation::plan(
            routed,
            on_source,
            on_target,
            &configs,
            self.settings.keep_timestamps,
        );
        for (spec, notes) in plan {
            for note in notes {
                tracing::warn!(topic = spec.name, "{note}");
            }
            match create_one(&target, spec).await {
                Ok(()) => {}
                Err(error) if error.is_retriable() && !is_invalid_config(&error) && !refused(&error) => {
                    return Err(error.into());
                }
                Err(error) => waiting.push(format!("{error}; create it yourself, or allow it")),
            }
        }
        Ok(waiting)
    }

    /// The smallest limit of the target topics, where they can be read.
    async fn batch_limit(&self, table: &Table) -> Option<u64> {
        let mut topics: Vec<String> = table
            .topics
            .values()
            .map(|copying| copying.target.clone())
            .collect();
        topics.sort();
        topics.dedup();
        let limits = match TopicAdmin::open(&self.settings.target) {
            Ok(admin) => limits(&admin, &topics).await,
            Err(error) => Err(error),
        };
        limits
            .inspect_err(
                |error| tracing::debug!(%error, "max.message.bytes of the target topics is not known"),
            )
            .ok()?
            .into_iter()
            .min()
    }

    fn say(&mut self, table: &Table) {
        for line in table.waiting.iter().filter(|line| !self.said.contains(line)) {
            tracing::warn!("waiting: {line}");
        }
        self.said.clone_from(&table.waiting);
    }
}

/// Creates a topic; where the target does not know a setting that is not essential, without it.
async fn create_one(target: &TopicAdmin, mut spec: NewTopicSpec) -> Result<(), KafkaError> {
    let refused = match target.create(&spec, false).await {
        Err(error) if is_invalid_config(&error) => error,
        outcome => {
            return outcome.inspect(|()| {
                tracing::info!(
                    topic = spec.name,
                    partitions = spec.partitions,
                    "created on the target"
                )
            });
        }
    };
    // An older broker, perhaps: ask for each setting by itself.
    for (name, value) in spec.configs.clone() {
        let alone = NewTopicSpec {
            configs: [(name.clone(), value.clone())].into(),
            ..spec.clone()
        };
        match target.create(&alone, true).await {
            Err(error) if is_invalid_config(&error) && ESSENTIAL.contains(&name.as_str()) => {
                return Err(error);
            }
            Err(error) if is_invalid_config(&error) => {
                tracing::warn!(
                    topic = spec.name,
                    name,
                    value,
                    "the target does not take this setting; left out"
                );
                spec.configs.remove(&name);
            }
            outcome => outcome?,
        }
    }
    tracing::debug!(error = %refused, "trying again without the settings left out");
    target.create(&spec, false).await?;
    tracing::info!(
        topic = spec.name,
        partitions = spec.partitions,
        "created on the target"
    );
    Ok(())
}

/// `max.message.bytes` of each topic.
async fn limits(admin: &TopicAdmin, topics: &[String]) -> Result<Vec<u64>, KafkaError> {
    if topics.is_empty() {
        return Ok(Vec::new());
    }
    let configs = admin.configs(topics).await?;
    let limit = |configs: &BTreeMap<String, crate::kafka::replication::ConfigValue>| {
        configs.get("max.message.bytes")?.value.parse().ok()
    };
    Ok(configs.values().filter_map(limit).collect())
}

/// A broker's own refusal (a policy, a bad name), which is not an outage.
fn refused(error: &KafkaError) -> bool {
    matches!(error, KafkaError::Other { code, .. } if *code > 0)
}

/// Ticks that begin after one period and do not pile up.
fn ticks(period: Duration) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks
}
