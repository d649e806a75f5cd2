//! Which source partitions take part, where each goes, and what in the routes stands in the way. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    TopicPartition,
    api::v1alpha1::{
        AppMigrationSpec, Reason, TargetPartitioning, TopicPatterns, UncommittedPartitions,
        UnreplicatedTopics,
    },
    kafka::Committed,
    mapping::{Finding, Route, origin::Implied, plan::LeftOut},
};

use super::super::replicator::Replicator;

/// Which of the group's topics take part.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Absent: every topic.
    include: Option<TopicPatterns>,
    exclude: Option<TopicPatterns>,
}

impl Selection {
    /// Compiles `spec.topics`. The error names the field.
    pub fn new(spec: &AppMigrationSpec) -> Result<Self, String> {
        let Some(topics) = &spec.topics else {
            return Ok(Self { include: None, exclude: None });
        };
        let compile = |field: &str, patterns: &[String]| {
            let all = (!patterns.is_empty()).then(|| TopicPatterns::new(patterns)).transpose();
            all.map_err(|error| format!("spec.topics.{field}: {}", error.reason))
        };
        Ok(Self {
            include: compile("include", &topics.include)?,
            exclude: compile("exclude", &topics.exclude)?,
        })
    }

    /// Whether `topic` takes part.
    pub fn takes(&self, topic: &str) -> bool {
        self.include.as_ref().is_none_or(|include| include.matches(topic))
            && !self.exclude.as_ref().is_some_and(|exclude| exclude.matches(topic))
    }

    /// What is wrong with `include`, if one of its patterns matches none of `topics`: a topic that somebody misspelt
    /// would be left behind.
    pub fn misspelt<'a>(&self, topics: impl IntoIterator<Item = &'a str>) -> Option<String> {
        let unmatched = self.include.as_ref()?.unmatched(topics);
        (!unmatched.is_empty()).then(|| {
            format!(
                "spec.topics.include: no topic that the credentials may see on the source matches {}: correct it, \
                 grant Describe on what it means, or take it out (after the confirmation: delete this object and \
                 create a new one)",
                unmatched.join(", ")
            )
        })
    }
}

/// What the scope follows from.
pub struct Inputs<'a> {
    /// The migration's spec.
    pub spec: &'a AppMigrationSpec,
    /// Its topics.
    pub selection: &'a Selection,
    /// The replicator.
    pub replicator: &'a Replicator,
    /// The group's committed offsets on the source.
    pub committed: &'a BTreeMap<TopicPartition, Committed>,
    /// All topics of the source, with their partition counts.
    pub source_topics: &'a BTreeMap<String, u32>,
    /// The target topics that are there, with their partition counts.
    pub target_topics: &'a BTreeMap<String, u32>,
}

/// The partitions that take part.
#[derive(Debug, Default)]
pub struct Scope {
    /// Source partitions, with the commit or the policy that stands in for it.
    pub sources: BTreeMap<TopicPartition, Chosen>,
    /// What the routes imply on each target partition where a header is not written.
    pub targets: BTreeMap<TopicPartition, Implied>,
    /// What a policy left out.
    pub left_out: Vec<LeftOut>,
}

/// A source partition that takes part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The commit; none where a policy stands in for it.
    pub committed: Option<Committed>,
    /// The target partitions that can hold copies of it.
    pub targets: Vec<TopicPartition>,
}

/// Chooses the partitions. An error is everything that stands in the way.
pub fn choose(inputs: &Inputs<'_>) -> Result<Scope, Vec<Finding>> {
    let mut chooser = Chooser { inputs, scope: Scope::default(), findings: Vec::new() };
    let topics: BTreeSet<&str> = inputs.committed.keys().map(|q| q.topic.as_str()).collect();
    for topic in &topics {
        if inputs.selection.takes(topic) {
            chooser.topic(topic);
        } else {
            chooser.leave_out(topic, None, "spec.topics");
        }
    }
    chooser.shared();
    chooser.implied();
    if chooser.findings.is_empty() { Ok(chooser.scope) } else { Err(chooser.findings) }
}

struct Chooser<'a> {
    inputs: &'a Inputs<'a>,
    scope: Scope,
    findings: Vec<Finding>,
}

impl Chooser<'_> {
    fn find(&mut self, reason: Reason, topic: &str, partition: i32, text: String) {
        self.findings.push(Finding::new(reason, &TopicPartition::new(topic, partition), text));
    }

    fn leave_out(&mut self, topic: &str, partition: Option<i32>, why: &str) {
        self.scope.left_out.push(LeftOut { topic: topic.to_owned(), partition, why: why.to_owned() });
    }

    fn topic(&mut self, topic: &str) {
        let committed = self.inputs.committed;
        let first = committed.keys().find(|q| q.topic == topic).map_or(0, |q| q.partition);
        let Some(route) = self.inputs.replicator.routes.route(topic) else {
            if self.inputs.spec.policies.unreplicated_topics == UnreplicatedTopics::Ignore {
                return self.leave_out(topic, None, "policies.unreplicatedTopics: Ignore");
            }
            let text = "no route of the replicator covers this topic: add it to spec.replication, set \
                        policies.unreplicatedTopics: Ignore, or, before the confirmation, exclude it by \
                        spec.topics.exclude";
            return self.find(Reason::TopicNotReplicated, topic, first, text.to_owned());
        };
        let partitions = self.inputs.source_topics.get(topic).copied().unwrap_or_default();
        for number in 0..i32::try_from(partitions).unwrap_or(i32::MAX) {
            let q = TopicPartition::new(topic, number);
            match (committed.get(&q), self.inputs.spec.policies.uncommitted_partitions) {
                (None, UncommittedPartitions::Skip) => {
                    self.leave_out(
                        topic,
                        Some(number),
                        "no committed offset (policies.uncommittedPartitions: Skip)",
                    );
                }
                (commit, _) => self.partition(&q, &route, commit.cloned()),
            }
        }
        let beyond = |q: &&TopicPartition| q.topic == topic && q.partition.unsigned_abs() >= partitions;
        for q in committed.keys().filter(beyond).cloned().collect::<Vec<_>>() {
            let text = format!(
                "committed {}, but the source has {partitions} partitions of this topic: it was deleted or \
                 recreated; exclude the topic or delete the offset",
                committed[&q].offset
            );
            self.find(Reason::SourceOffsetOutOfRange, &q.topic, q.partition, text);
        }
    }

    fn partition(&mut self, q: &TopicPartition, route: &Route, committed: Option<Committed>) {
        let count = self.inputs.target_topics.get(&route.topic).copied();
        let targets = match (count, route.partitioning) {
            (Some(n), TargetPartitioning::Source) if q.partition.unsigned_abs() < n => vec![q.partition],
            (Some(n), TargetPartitioning::Producer) if n > 0 => {
                (0..i32::try_from(n).unwrap_or(i32::MAX)).collect()
            }
            (Some(n), _) => {
                let text =
                    format!("the target topic {} has only {n} partitions; add partitions to it", route.topic);
                return self.find(Reason::TargetPartitionMissing, &q.topic, q.partition, text);
            }
            (None, _) => {
                let text = format!(
                    "the target has no topic {}; is the replicator running, and with this route?",
                    route.topic
                );
                return self.find(Reason::TargetPartitionMissing, &q.topic, q.partition, text);
            }
        };
        let targets: Vec<_> = targets.into_iter().map(|n| TopicPartition::new(&route.topic, n)).collect();
        self.scope.targets.extend(targets.iter().map(|t| (t.clone(), Implied::default())));
        self.scope.sources.insert(q.clone(), Chosen { committed, targets });
    }

    /// Rule 16: on a target partition that it shares with one that takes part, none can be left absent.
    fn shared(&mut self) {
        let left_out: Vec<LeftOut> = self.scope.left_out.clone();
        for left in &left_out {
            let Some(route) = self.inputs.replicator.routes.route(&left.topic) else {
                continue;
            };
            // Of a topic that is gone from the source, copies can be anywhere.
            let partitions = self.inputs.source_topics.get(&left.topic);
            let holds = |t: &TopicPartition| match left.partition {
                Some(n) => n == t.partition,
                None => partitions.is_none_or(|n| t.partition.unsigned_abs() < *n),
            };
            let shares = |t: &&TopicPartition| {
                t.topic == route.topic && (route.partitioning == TargetPartitioning::Producer || holds(t))
            };
            let Some(t) = self.scope.targets.keys().find(shares).cloned() else {
                continue;
            };
            let text = format!(
                "it is copied into {t} together with partitions that move, so it cannot be left without an \
                 offset ({}): set policies.uncommittedPartitions to Earliest or Latest, or let its topic take part",
                left.why
            );
            self.find(Reason::UncommittedPartitions, &left.topic, left.partition.unwrap_or(0), text);
        }
    }

    /// What the route tells where the topic or the partition header is not written.
    fn implied(&mut self) {
        let replicator = self.inputs.replicator;
        let (topic_off, partition_off) =
            (replicator.format.topic.is_none(), replicator.format.partition.is_none());
        if !topic_off && !partition_off {
            return;
        }
        let routed = replicator.routes.resolve(self.inputs.source_topics.keys().map(String::as_str));
        let targets: Vec<TopicPartition> = self.scope.targets.keys().cloned().collect();
        for t in targets {
            let into: Vec<_> = routed.iter().filter(|(_, route)| route.topic == t.topic).collect();
            let spread = into.iter().any(|(_, route)| route.partitioning == TargetPartitioning::Producer);
            if (topic_off && into.len() > 1) || (partition_off && spread) {
                let text = "it can hold records of several source partitions: enable the topic and partition \
                            headers in features.tracingHeaders of the K2KReplicator";
                self.find(Reason::TracingHeadersDisabled, &t.topic, t.partition, text.to_owned());
                continue;
            }
            let implied = Implied {
                topic: into.first().map(|(topic, _)| (*topic).clone()),
                partition: Some(t.partition),
            };
            self.scope.targets.insert(t, implied);
        }
    }
}

#[cfg(test)]
mod tests;
