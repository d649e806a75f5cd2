//! What is copied where to, now that both clusters have been looked at. Pure.

use std::collections::BTreeMap;

use crate::{
    TopicPartition,
    api::v1alpha1::TargetPartitioning,
    mapping::{Route, Routes},
};

/// How one source topic is copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copying {
    /// The target topic.
    pub target: String,
    /// How its partition is chosen.
    pub partitioning: TargetPartitioning,
    /// How many partitions it has.
    pub target_partitions: u32,
    /// How many the source topic has.
    pub source_partitions: u32,
}

impl Copying {
    /// The target partition of source partition `partition`: none where the partitioner chooses.
    pub fn target_partition(&self, partition: i32) -> Option<i32> {
        (self.partitioning == TargetPartitioning::Source).then_some(partition)
    }

    /// How many of the source partitions have a place to go.
    fn with_place(&self) -> u32 {
        match self.partitioning {
            TargetPartitioning::Producer => self.source_partitions,
            TargetPartitioning::Source => self.source_partitions.min(self.target_partitions),
        }
    }
}

/// The routes, resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// By source topic.
    pub topics: BTreeMap<String, Copying>,
    /// What cannot be copied now, and what would end the wait: one line each.
    pub waiting: Vec<String>,
    /// The largest batch that every target topic takes, in bytes.
    pub batch_limit: Option<u64>,
}

/// The source topics that `routes` cover.
pub fn routed(routes: &Routes, source: &BTreeMap<String, u32>) -> BTreeMap<String, Route> {
    routes.resolve(source.keys().map(String::as_str))
}

/// A source topic and its target, where a copy would be copied again on one and the same cluster.
pub fn find_loop(routes: &Routes, resolved: &BTreeMap<String, Route>) -> Option<(String, String)> {
    let (topic, route) = resolved.iter().find(|(_, route)| routes.route(&route.topic).is_some())?;
    Some((topic.clone(), route.topic.clone()))
}

impl Table {
    /// Puts the routes beside the topics of both clusters (with their partition counts).
    pub fn new(
        routed: &BTreeMap<String, Route>,
        source: &BTreeMap<String, u32>,
        target: &BTreeMap<String, u32>,
    ) -> Self {
        let mut table = Self::default();
        for (topic, route) in routed {
            let Some(&target_partitions) = target.get(&route.topic) else {
                continue;
            };
            let partitions = source.get(topic).copied().unwrap_or(0);
            if route.partitioning == TargetPartitioning::Source && partitions > target_partitions {
                table.waiting.push(format!(
                    "{topic} has {partitions} partitions and {} on the target {target_partitions}: partitions from {target_partitions} on wait until it has {partitions} (kafka-topics.sh --alter --topic {} --partitions {partitions}), or until the route says `partition: Producer`",
                    route.topic, route.topic,
                ));
            }
            let copying = Copying {
                target: route.topic.clone(),
                partitioning: route.partitioning,
                target_partitions,
                source_partitions: partitions,
            };
            table.topics.insert(topic.clone(), copying);
        }
        table
    }

    /// All source partitions that have a place to go, in order.
    pub fn partitions(&self) -> Vec<TopicPartition> {
        let of = |(topic, copying): (&String, &Copying)| -> Vec<TopicPartition> {
            let count = i32::try_from(copying.with_place()).unwrap_or(i32::MAX);
            (0..count).map(|partition| TopicPartition::new(topic.clone(), partition)).collect()
        };
        self.topics.iter().flat_map(of).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Table, find_loop, routed};
    use crate::{
        api::v1alpha1::{Replication, TargetPartitioning, TargetTopic},
        mapping::Routes,
    };

    fn routes(topic: &str, target: TargetTopic) -> Routes {
        Routes::new(&[Replication { topics: vec![topic.into()], target }]).unwrap()
    }

    fn topics(of: &[(&str, u32)]) -> BTreeMap<String, u32> {
        of.iter().map(|(name, partitions)| ((*name).to_owned(), *partitions)).collect()
    }

    #[test]
    fn kafka_s_own_topics_are_left_out() {
        let source = topics(&[("__consumer_offsets", 50), ("orders", 3)]);
        let routed = routed(&routes(".*", TargetTopic::default()), &source);
        assert_eq!(routed.keys().collect::<Vec<_>>(), ["orders"]);
    }

    #[test]
    fn a_target_with_too_few_partitions_is_waited_for_with_both_numbers() {
        let source = topics(&[("orders", 6)]);
        let same = routes("orders", TargetTopic::default());
        let table = Table::new(&routed(&same, &source), &source, &topics(&[("orders", 3)]));
        assert_eq!(table.partitions().last().unwrap().to_string(), "orders-2");
        assert!(table.waiting[0].contains("orders has 6 partitions and orders on the target 3"));

        let target = TargetTopic { partition: TargetPartitioning::Producer, ..TargetTopic::default() };
        let spread = routes("orders", target);
        let table = Table::new(&routed(&spread, &source), &source, &topics(&[("orders", 3)]));
        assert_eq!(table.partitions().last().unwrap().to_string(), "orders-5");
        assert!(table.waiting.is_empty());
    }

    #[test]
    fn a_copy_that_would_be_copied_again_is_found() {
        let source = topics(&[("orders", 1)]);
        let prefixed = TargetTopic { topic_prefix: "eu.".into(), ..TargetTopic::default() };
        let endless = routes(".*", prefixed.clone());
        assert!(find_loop(&endless, &routed(&endless, &source)).is_some());
        let once = routes("orders", prefixed);
        assert_eq!(find_loop(&once, &routed(&once, &source)), None);
    }
}
