//! Status of an `AppMigration`: conditions and counts. What grows with the partitions is in the plan.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::Reason;

/// How far a migration has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppMigrationStatus {
    /// The `metadata.generation` that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// When `spec.stopConfirmed` was first seen true. Latched: it outlives a reverted field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_confirmed_at: Option<Time>,

    /// What would happen if the application were stopped now. Only before the confirmation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<Preview>,

    /// Topics that members of the group were seen to read and that the credentials may not describe on the source:
    /// a broker leaves their offsets out silently.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden_topics: Option<HiddenTopics>,

    /// The plan that was stored before the first commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanRef>,

    /// The value of the annotation `k2k.dev/retry` that was acted on last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_retry: Option<String>,

    /// Counts over all partitions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,

    /// When the migration was completed. A completed object is never worked on again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Time>,

    /// The way of the migration in order, `Ready`, and `Reconciling` or `Stalled` while True.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::conditions_schema")]
    pub conditions: Vec<Condition>,
}

/// Topics of a group that cannot be seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HiddenTopics {
    /// The id of the source cluster.
    pub cluster_id: String,
    /// The consumer group.
    pub consumer_group: String,
    /// The first 100 of them, those that take part before the others.
    #[schemars(length(max = 100), inner(length(max = 249)))]
    pub topics: Vec<String>,
}

/// What would happen if the application were stopped now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Preview {
    /// Since when it was seen so. It is looked at again at growing intervals, up to an hour.
    pub observed_at: Time,
    /// Source partitions that would move.
    pub partitions: u32,
    /// Of those, how many would be exact.
    pub exact: u32,
    /// Records that would be read again.
    pub reread: u64,
    /// Records that replication still has to copy.
    pub lag: u64,
    /// What would block, each with its reason first. At most 20.
    #[serde(default)]
    #[schemars(length(max = 20))]
    pub blocks: Vec<String>,
}

impl Preview {
    /// The reason that a block begins with. None where it begins with none ("and 3 more").
    pub fn reason(block: &str) -> Option<Reason> {
        block.split([' ', ':']).next().and_then(Reason::parse)
    }

    /// Whether waiting does not end what is in the way.
    pub fn needs_somebody(&self) -> bool {
        self.blocks.iter().filter_map(|block| Self::reason(block)).any(Reason::needs_somebody)
    }
}

/// Names the stored plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanRef {
    /// The ConfigMap that holds it (its first part, where there are several).
    pub config_map: String,
    /// `sha256:` and the hex digest of the plan's canonical lines.
    pub hash: String,
    /// When it was computed.
    pub computed_at: Time,
}

/// Counts over all partitions. Topics and partitions are those of the source that take part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Source topics.
    pub topics: u32,
    /// Source partitions.
    pub partitions: u32,
    /// Of those, how many have their offset on the target.
    pub committed: u32,
    /// `committed/partitions`.
    pub progress: String,
    /// Partitions whose position is proven exact.
    pub exact: u32,
    /// Records that are read again.
    pub reread: u64,
    /// Records that the target misses.
    pub gaps: u64,
    /// Records without an origin that the group skips on the target. A lower bound where a log was not read
    /// whole: the plan says from where on it was (`countedFrom`). `policies.nativeRecords: Fail` reads all.
    pub natives_skipped: u64,
}
