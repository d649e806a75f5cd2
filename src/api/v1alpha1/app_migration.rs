//! `AppMigration`: one consumer group moves.

use std::time::Duration as StdDuration;

use kube::{CustomResource, KubeSchema, core::Duration};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::{AppMigrationStatus, Policies};

/// Longest name of a migration: `-plan` and the number of a further part are put behind it.
pub const MAX_NAME_LENGTH: usize = 240;

/// One consumer group moves from the source to the target cluster of a replicator.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "k2k.dev",
    version = "v1alpha1",
    kind = "AppMigration",
    plural = "appmigrations",
    shortname = "appmig",
    namespaced,
    status = "AppMigrationStatus",
    derive = "PartialEq",
    doc = "One consumer group moves from the source to the target cluster of a K2KReplicator, and resumes on exactly the next record it had not read.",
    printcolumn(name = "Replicator", type_ = "string", json_path = ".spec.replicatorRef.name"),
    printcolumn(name = "Group", type_ = "string", json_path = ".spec.consumerGroup"),
    printcolumn(name = "Target Group", type_ = "string", json_path = ".spec.targetConsumerGroup", priority = 1),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "Partitions", type_ = "string", json_path = ".status.summary.progress", description = "Partitions committed on the target, of all"),
    printcolumn(name = "Exact", type_ = "integer", json_path = ".status.summary.exact", description = "Partitions whose position is proven exact", priority = 1),
    printcolumn(name = "Reread", type_ = "integer", json_path = ".status.summary.reread", description = "Records that are read again"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1
    ),
    validation = Rule::new("size(self.metadata.name) <= 240").message("metadata.name can have at most 240 characters: the plan's name is made from it"),
    validation = Rule::new(IDENTITY_IS_FIXED)
        .message("replicatorRef, consumerGroup, targetConsumerGroup and topics cannot change once stopConfirmed was true; delete the object and create a new one"),
)]
#[serde(rename_all = "camelCase")]
pub struct AppMigrationSpec {
    /// The `K2KReplicator` that copies what the group reads, in the same namespace.
    pub replicator_ref: ReplicatorRef,

    /// The consumer group on the source cluster. Example: `orders-app`.
    #[schemars(length(min = 1, max = 255))]
    pub consumer_group: String,

    /// The consumer group on the target cluster. Default: `consumerGroup`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub target_consumer_group: Option<String>,

    /// Which of the topics with committed offsets move. Default: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topics: Option<TopicSelection>,

    /// Your word that the application is stopped. The operator checks it, and keeps to it once given: taking
    /// it back has no effect, `suspend` or deleting the object has.
    #[serde(default)]
    pub stop_confirmed: bool,

    /// How long the committed offsets must stand still before the group counts as stopped, between `1s` and
    /// `1h`. Consumers that use `assign` (Flink, Spark) never show as members: give them more than their
    /// checkpoint interval. Example: `30s`.
    #[serde(default = "default_quiet_period", deserialize_with = "quiet_period")]
    #[schemars(schema_with = "quiet_period_schema")]
    pub quiet_period: Duration,

    /// Nothing is done while true. A commit that has begun is finished later.
    #[serde(default)]
    pub suspend: bool,

    /// What to do where the case is not clear-cut.
    #[serde(default)]
    pub policies: Policies,
}

const IDENTITY_IS_FIXED: &str = "\
!((has(oldSelf.spec.stopConfirmed) && oldSelf.spec.stopConfirmed) \
|| (has(oldSelf.status) && has(oldSelf.status.stopConfirmedAt))) \
|| (self.spec.replicatorRef == oldSelf.spec.replicatorRef \
&& self.spec.consumerGroup == oldSelf.spec.consumerGroup \
&& has(self.spec.targetConsumerGroup) == has(oldSelf.spec.targetConsumerGroup) \
&& (!has(self.spec.targetConsumerGroup) || self.spec.targetConsumerGroup == oldSelf.spec.targetConsumerGroup) \
&& has(self.spec.topics) == has(oldSelf.spec.topics) \
&& (!has(self.spec.topics) || self.spec.topics == oldSelf.spec.topics))";

/// Names a `K2KReplicator` in the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct ReplicatorRef {
    /// Name of the `K2KReplicator`.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Chooses topics by anchored regular expressions over source topic names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct TopicSelection {
    /// Topics that move. Empty: all with a committed offset. A pattern that matches no topic of the source blocks.
    /// Example: `["orders"]`.
    #[serde(default)]
    #[schemars(length(max = 128), inner(length(min = 1, max = 512)))]
    pub include: Vec<String>,

    /// Topics that stay, even where `include` names them.
    #[serde(default)]
    #[schemars(length(max = 128), inner(length(min = 1, max = 512)))]
    pub exclude: Vec<String>,
}

impl AppMigrationSpec {
    /// The group on the target cluster, with its default resolved.
    pub fn target_group(&self) -> &str {
        self.target_consumer_group.as_deref().unwrap_or(&self.consumer_group)
    }
}

fn default_quiet_period() -> Duration {
    StdDuration::from_secs(10).into()
}

/// Longest run of digits in a duration, and longest text of one, in bytes.
const MOST_DIGITS: usize = 15;
const LONGEST_DURATION: usize = 32;

/// `Duration`'s own parser panics on numbers that are too large; the rest is for its rule and for whoever reads
/// the spec, as no API server has checked every object.
fn quiet_period<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let digits = text.split(|c: char| !c.is_ascii_digit()).map(str::len).max();
    if text.len() > LONGEST_DURATION || digits.is_some_and(|digits| digits > MOST_DIGITS) {
        return Err(D::Error::custom("quietPeriod must be between 1s and 1h"));
    }
    text.parse().map_err(|error| D::Error::custom(format!("quietPeriod: {error}")))
}

fn quiet_period_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "string",
        "maxLength": 32,
        "x-kubernetes-validations": [{
            "rule": "duration(self) >= duration('1s') && duration(self) <= duration('1h')",
            "message": "quietPeriod must be between 1s and 1h",
        }],
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::AppMigrationSpec;

    fn quiet(text: &str) -> Result<AppMigrationSpec, serde_json::Error> {
        let spec = serde_json::json!({
            "replicatorRef": { "name": "k2k" }, "consumerGroup": "a", "quietPeriod": text,
        });
        serde_json::from_value(spec)
    }

    #[test]
    fn no_quiet_period_ends_the_process() {
        let most = format!("{0}h{0}h", "9".repeat(15));
        for text in ["1s", "1.5s", "1m30s", "+5s", "-5s", "0s", &most] {
            assert!(quiet(text).is_ok(), "{text}");
        }
        let (digits, long) = (format!("{}h", "9".repeat(16)), "9h".repeat(17));
        for text in ["s", "1", "1e9h", "inf", "NaNs", "h", "1h1", &digits, &long] {
            assert!(quiet(text).unwrap_err().to_string().contains("quietPeriod"), "{text}");
        }
    }
}
