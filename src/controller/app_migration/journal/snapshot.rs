//! What stood on the source when the confirmation was latched.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};

use crate::{
    TopicPartition,
    api::v1alpha1::{AppMigrationSpec, TopicSelection},
    kafka::Committed,
};

/// The committed offsets of then, and the fields that the confirmation fixed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// When it was taken, RFC 3339.
    pub taken_at: String,
    /// The replicator's name.
    pub replicator: String,
    /// The group on the source.
    pub group: String,
    /// The group on the target.
    pub target_group: String,
    /// Which topics take part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topics: Option<Topics>,
    /// The committed offsets and last stable offsets.
    pub partitions: Vec<SnapshotPartition>,
}

/// `spec.topics`, as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topics {
    include: Vec<String>,
    exclude: Vec<String>,
}

impl From<&TopicSelection> for Topics {
    fn from(topics: &TopicSelection) -> Self {
        Self { include: topics.include.clone(), exclude: topics.exclude.clone() }
    }
}

/// One source partition in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotPartition {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The committed offset, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed: Option<i64>,
    /// The commit's metadata, base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<String>,
    /// The last stable offset.
    pub last_stable_offset: i64,
}

impl Snapshot {
    /// What stands on the source now.
    pub fn new(
        spec: &AppMigrationSpec,
        committed: &BTreeMap<TopicPartition, Committed>,
        last_stable: &BTreeMap<TopicPartition, i64>,
        taken_at: String,
    ) -> Self {
        let partition = |(q, end): (&TopicPartition, &i64)| SnapshotPartition {
            topic: q.topic.clone(),
            partition: q.partition,
            committed: committed.get(q).map(|c| c.offset),
            metadata: committed.get(q).map(|c| BASE64.encode(&c.metadata)),
            last_stable_offset: *end,
        };
        Self {
            taken_at,
            replicator: spec.replicator_ref.name.clone(),
            group: spec.consumer_group.clone(),
            target_group: spec.target_group().to_owned(),
            topics: spec.topics.as_ref().map(Topics::from),
            partitions: last_stable.iter().map(partition).collect(),
        }
    }

    /// The fields that the confirmation fixed and that have changed all the same.
    pub fn changed_fields(&self, spec: &AppMigrationSpec) -> Vec<&'static str> {
        let mut changed = Vec::new();
        let mut check = |differs: bool, field| {
            if differs {
                changed.push(field);
            }
        };
        check(self.replicator != spec.replicator_ref.name, "spec.replicatorRef");
        check(self.group != spec.consumer_group, "spec.consumerGroup");
        check(self.target_group != spec.target_group(), "spec.targetConsumerGroup");
        check(self.topics != spec.topics.as_ref().map(Topics::from), "spec.topics");
        changed
    }

    /// The last stable offset of `q` at the confirmation.
    pub fn last_stable(&self, q: &TopicPartition) -> Option<i64> {
        self.partitions
            .iter()
            .find(|p| p.topic == q.topic && p.partition == q.partition)
            .map(|p| p.last_stable_offset)
    }

    /// Partitions that had a committed offset then and have none now (rule 31).
    pub fn gone<'a>(
        &'a self,
        committed: &'a BTreeMap<TopicPartition, Committed>,
    ) -> impl Iterator<Item = (TopicPartition, i64)> + 'a {
        self.partitions.iter().filter_map(|p| {
            let q = TopicPartition::new(&p.topic, p.partition);
            let was = p.committed?;
            (!committed.contains_key(&q)).then_some((q, was))
        })
    }
}
