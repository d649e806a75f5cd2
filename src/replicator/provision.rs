//! Target topics: creates missing ones as planned, and looks at what those that are there can take. Writes to
//! the target only.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    ReplicateError,
    creation::{self, ESSENTIAL},
    settings::Settings,
};
use crate::{
    kafka::{
        KafkaError,
        replication::{NewTopicSpec, TopicAdmin, is_invalid_config},
    },
    mapping::Route,
};

/// What the target topics can take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// The largest batch that every one takes, in bytes.
    pub batch_limit: Option<u64>,
    /// Topics that give each record the time of its arrival, whatever it says itself.
    pub own_timestamps: Vec<String>,
}

/// Creates the targets of the source topics `missing`. Returns the topics that could not be created, and why.
pub async fn create(
    settings: &Settings,
    routed: &BTreeMap<String, Route>,
    on_source: &BTreeMap<String, u32>,
    on_target: &BTreeMap<String, u32>,
    missing: &[String],
) -> Result<BTreeMap<String, String>, ReplicateError> {
    let configs = TopicAdmin::open(&settings.source)?.configs(missing).await?;
    let target = TopicAdmin::open(&settings.target)?;
    let mut failed = BTreeMap::new();
    // With the target's defaults (7 days of retention, say) old copies would be deleted.
    let unknown: BTreeSet<&String> = missing
        .iter()
        .filter(|topic| !configs.contains_key(*topic))
        .filter_map(|topic| Some(&routed.get(topic)?.topic))
        .collect();
    for topic in &unknown {
        let why = format!(
            "{topic} is missing on the target and not created, as the configuration of its source is not shown; allow \
             DescribeConfigs on the source topics, or create it yourself"
        );
        failed.insert((*topic).clone(), why);
    }
    for (spec, notes) in creation::plan(routed, on_source, on_target, &configs, settings.keep_timestamps) {
        if unknown.contains(&spec.name) {
            continue;
        }
        for note in notes {
            tracing::warn!(topic = spec.name, "{note}");
        }
        let topic = spec.name.clone();
        let why = match create_one(&target, spec).await {
            Ok(true) => continue,
            Ok(false) => format!("{topic} is on the target, but may not be described; allow Write on it"),
            Err(error) if is_outage(&error) => return Err(error.into()),
            Err(error) => format!("{error}; create it yourself, or allow it"),
        };
        failed.insert(topic, why);
    }
    Ok(failed)
}

/// Creates a topic; where the target does not know a setting that is not essential, without it. False where it is
/// there already.
async fn create_one(target: &TopicAdmin, mut spec: NewTopicSpec) -> Result<bool, KafkaError> {
    let created = match target.create(&spec, false).await {
        // An older broker, perhaps: ask for each setting by itself.
        Err(error) if is_invalid_config(&error) => {
            leave_out_unknown(target, &mut spec).await?;
            target.create(&spec, false).await?
        }
        outcome => outcome?,
    };
    if created {
        tracing::info!(topic = spec.name, partitions = spec.partitions, "created on the target");
    }
    Ok(created)
}

async fn leave_out_unknown(target: &TopicAdmin, spec: &mut NewTopicSpec) -> Result<(), KafkaError> {
    for (name, value) in spec.configs.clone() {
        let alone = [(name.clone(), value.clone())].into();
        let alone = NewTopicSpec { name: spec.name.clone(), partitions: spec.partitions, configs: alone };
        match target.create(&alone, true).await {
            Err(error) if is_invalid_config(&error) && !ESSENTIAL.contains(&name.as_str()) => {
                tracing::warn!(
                    topic = spec.name,
                    name,
                    value,
                    "the target does not take this setting; left out"
                );
                spec.configs.remove(&name);
            }
            outcome => drop(outcome?),
        }
    }
    Ok(())
}

/// What `topics` of the target take, where it can be read.
pub async fn capacity(settings: &Settings, topics: &[String]) -> Result<Capacity, KafkaError> {
    if topics.is_empty() {
        return Ok(Capacity::default());
    }
    let configs = TopicAdmin::open(&settings.target)?.configs(topics).await?;
    let value = |topic: &str, name: &str| Some(configs.get(topic)?.get(name)?.value.as_str());
    let limits = topics.iter().filter_map(|topic| value(topic, "max.message.bytes")?.parse().ok());
    let own = |topic: &&String| value(topic, "message.timestamp.type") == Some("LogAppendTime");
    Ok(Capacity { batch_limit: limits.min(), own_timestamps: topics.iter().filter(own).cloned().collect() })
}

/// The largest batch that the source `topics` may hold, where it can be known.
pub async fn largest_batch(settings: &Settings, topics: &[String]) -> Option<u64> {
    if topics.is_empty() {
        return None;
    }
    let configs = TopicAdmin::open(&settings.source).ok()?.configs(topics).await.ok()?;
    configs.values().filter_map(|topic| topic.get("max.message.bytes")?.value.parse().ok()).max()
}

/// Whether trying again later may help: not where a broker has refused it (a policy, a right, a setting).
fn is_outage(error: &KafkaError) -> bool {
    error.is_retriable() && !matches!(error, KafkaError::Other { code, .. } if *code > 0)
}
