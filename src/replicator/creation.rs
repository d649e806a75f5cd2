//! How a missing target topic is made: partition count and configuration after its sources. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    kafka::replication::{ConfigValue, NewTopicSpec},
    mapping::Route,
};

/// Configuration by name, as a topic has it.
type Configs = BTreeMap<String, ConfigValue>;

/// What must hold on the target as it does on the source, wherever it comes from there: with the target's own
/// defaults (7 days of retention, say) old copies would be deleted, or keys compacted away earlier.
const IN_FORCE: &[&str] = &[
    "cleanup.policy",
    "retention.ms",
    "retention.bytes",
    "max.message.bytes",
    "delete.retention.ms",
    "min.compaction.lag.ms",
    "max.compaction.lag.ms",
];

/// Without these, as given, records would be lost or altered: a target that does not take them is refused.
pub const ESSENTIAL: &[&str] =
    &["cleanup.policy", "retention.ms", "retention.bytes", "message.timestamp.type"];

/// Set on the topic, but belonging to the source cluster's own layout: replicas, tiers, message formats.
const LEFT_OUT: &[&str] = &[
    "leader.replication.throttled.replicas",
    "follower.replication.throttled.replicas",
    "min.insync.replicas",
    "unclean.leader.election.enable",
    "message.format.version",
    "message.downconversion.enable",
    "message.timestamp.difference.max.ms",
];
const LEFT_OUT_PREFIXES: &[&str] = &["remote.", "local.retention.", "confluent.", "errors.deadletterqueue."];

/// The longest time there is, in milliseconds: copies have timestamps of any age, and the broker's default
/// refuses those of more than an hour ahead (KIP-937).
const ANY_TIMESTAMP: &str = "9223372036854775807";

/// The topics to create, each with what cannot be carried over (one line each).
pub fn plan(
    routed: &BTreeMap<String, Route>,
    source: &BTreeMap<String, u32>,
    target: &BTreeMap<String, u32>,
    configs: &BTreeMap<String, Configs>,
    keep_timestamps: bool,
) -> Vec<(NewTopicSpec, Vec<String>)> {
    let mut by_target: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (topic, route) in routed.iter().filter(|(_, route)| !target.contains_key(&route.topic)) {
        by_target.entry(&route.topic).or_default().push(topic);
    }
    let specs = by_target.into_iter().map(|(name, sources)| {
        let partitions = sources.iter().filter_map(|topic| source.get(*topic)).max().copied().unwrap_or(1);
        let of_sources: Vec<&Configs> = sources.iter().filter_map(|topic| configs.get(*topic)).collect();
        let (configs, notes) = merge(&of_sources, keep_timestamps);
        (NewTopicSpec { name: name.to_owned(), partitions, configs }, notes)
    });
    specs.collect()
}

/// The configuration of a target topic that takes the records of all `sources`.
fn merge(sources: &[&Configs], keep_timestamps: bool) -> (BTreeMap<String, String>, Vec<String>) {
    let mut merged = BTreeMap::new();
    let mut notes = Vec::new();
    let names: BTreeSet<&str> = sources.iter().flat_map(|configs| carried(configs)).collect();
    for name in names {
        let values: Vec<&str> =
            sources.iter().filter_map(|configs| Some(configs.get(name)?.value.as_str())).collect();
        match agree(name, &values) {
            Some(value) => {
                merged.insert(name.to_owned(), value);
            }
            None => notes.push(format!(
                "{name} differs among the sources ({}) and is left to the target",
                values.join(", ")
            )),
        }
    }
    if keep_timestamps {
        merged.insert("message.timestamp.type".to_owned(), "CreateTime".to_owned());
        for name in ["message.timestamp.before.max.ms", "message.timestamp.after.max.ms"] {
            merged.insert(name.to_owned(), ANY_TIMESTAMP.to_owned());
        }
    }
    (merged, notes)
}

/// The names that are carried over from a topic.
fn carried(configs: &Configs) -> impl Iterator<Item = &str> {
    let foreign = |name: &str| {
        LEFT_OUT.contains(&name) || LEFT_OUT_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    };
    configs
        .iter()
        .filter(move |(name, config)| {
            IN_FORCE.contains(&name.as_str()) || (config.explicit && !foreign(name))
        })
        .map(|(name, _)| name.as_str())
}

/// One value for all: the same, or the one that keeps most.
fn agree(name: &str, values: &[&str]) -> Option<String> {
    let first = *values.first()?;
    if values.iter().all(|value| *value == first) {
        return Some(first.to_owned());
    }
    let numbers = values.iter().map(|value| value.parse::<i64>().ok()).collect::<Option<Vec<_>>>();
    match name {
        // -1 is "for ever".
        "retention.ms" | "retention.bytes" => {
            let most = numbers?.into_iter().max_by_key(|value| if *value < 0 { i64::MAX } else { *value })?;
            Some(most.to_string())
        }
        "max.message.bytes" | "delete.retention.ms" | "min.compaction.lag.ms" | "max.compaction.lag.ms" => {
            Some(numbers?.into_iter().max()?.to_string())
        }
        // Compaction would take records of the topics that are not compacted.
        "cleanup.policy" => Some("delete".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::api::v1alpha1::TargetPartitioning;

    fn configs(of: &[(&str, &str, bool)]) -> Configs {
        let value = |value: &str, explicit| ConfigValue { value: value.into(), explicit };
        of.iter().map(|(name, v, explicit)| ((*name).to_owned(), value(v, *explicit))).collect()
    }

    fn created(sources: &[(&str, u32, Configs)], keep: bool) -> (NewTopicSpec, Vec<String>) {
        let route = |_: &str| Route { topic: "copy".into(), partitioning: TargetPartitioning::Source };
        let routed = sources.iter().map(|(name, ..)| ((*name).to_owned(), route(name))).collect();
        let counts = sources.iter().map(|(name, count, _)| ((*name).to_owned(), *count)).collect();
        let configs =
            sources.iter().map(|(name, _, configs)| ((*name).to_owned(), configs.clone())).collect();
        plan(&routed, &counts, &BTreeMap::new(), &configs, keep).remove(0)
    }

    #[test]
    fn what_is_in_force_is_set_even_where_it_is_the_source_s_default() {
        let source = configs(&[
            ("retention.ms", "-1", false),
            ("cleanup.policy", "compact", true),
            ("segment.ms", "1000", true),
            ("flush.ms", "5", false),
            ("min.insync.replicas", "2", true),
            ("confluent.tier.enable", "true", true),
        ]);
        let (spec, notes) = created(&[("a", 6, source)], false);
        let expected = [("cleanup.policy", "compact"), ("retention.ms", "-1"), ("segment.ms", "1000")];
        assert_eq!(spec.configs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect::<Vec<_>>(), expected);
        assert_eq!((spec.partitions, notes.len()), (6, 0));
    }

    #[test]
    fn kept_timestamps_need_create_time_of_any_age() {
        let source = configs(&[("message.timestamp.type", "LogAppendTime", true)]);
        let (spec, _) = created(&[("a", 1, source)], true);
        assert_eq!(spec.configs["message.timestamp.type"], "CreateTime");
        assert_eq!(spec.configs["message.timestamp.after.max.ms"], ANY_TIMESTAMP);
    }

    #[test]
    fn a_merge_keeps_most() {
        let a = configs(&[
            ("retention.ms", "1000", true),
            ("cleanup.policy", "compact", true),
            ("segment.ms", "1", true),
        ]);
        let b = configs(&[
            ("retention.ms", "-1", true),
            ("cleanup.policy", "delete", true),
            ("segment.ms", "2", true),
        ]);
        let (spec, notes) = created(&[("a", 2, a), ("b", 5, b)], false);
        assert_eq!(spec.partitions, 5);
        assert_eq!(
            (spec.configs["retention.ms"].as_str(), spec.configs["cleanup.policy"].as_str()),
            ("-1", "delete")
        );
        assert_eq!(notes, ["segment.ms differs among the sources (1, 2) and is left to the target"]);
    }

    #[test]
    fn what_exists_is_left_alone() {
        let routed =
            [("a".to_owned(), Route { topic: "copy".into(), partitioning: TargetPartitioning::Source })]
                .into();
        let there = [("copy".to_owned(), 1)].into();
        assert!(plan(&routed, &[("a".to_owned(), 3)].into(), &there, &BTreeMap::new(), true).is_empty());
    }
}
