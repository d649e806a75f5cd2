//! `K2KReplicator`: a replicator that runs, and how it marks what it copies.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ClusterSpec, SourceSpec};

/// A replicator (K2K, Kafka to Kafka) that runs, and how it marks what it copies. Names follow the K2K
/// pipeline file, so that one can be carried over by eye.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "k2k.dev",
    version = "v1alpha1",
    kind = "K2KReplicator",
    plural = "k2kreplicators",
    shortname = "k2k",
    namespaced,
    status = "K2KReplicatorStatus",
    derive = "PartialEq",
    doc = "A replicator that copies topics from a source to a target Kafka cluster, and how it marks what it copies.",
    printcolumn(name = "Source", type_ = "string", json_path = ".spec.source.bootstrapServers"),
    printcolumn(name = "Target", type_ = "string", json_path = ".spec.target.bootstrapServers"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#
    ),
    printcolumn(name = "Topics", type_ = "integer", json_path = ".status.summary.topics"),
    printcolumn(name = "Partitions", type_ = "integer", json_path = ".status.summary.partitions"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.pipelineFrom) != has(self.replication)")
        .message("exactly one of pipelineFrom and replication must be set"),
    validation = Rule::new("has(self.pipelineFrom) || (has(self.source) && has(self.target))")
        .message("source and target are required where pipelineFrom is not set")
)]
pub struct K2KReplicatorSpec {
    /// Value of the pipeline header that this replicator writes. Default: the object's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub pipeline_name: Option<String>,

    /// The cluster that records are copied from. Nothing is ever written to it, but for the replicator's
    /// own position under `consumerGroup`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceSpec>,

    /// The cluster that records are copied to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<ClusterSpec>,

    /// Which topics are copied, and where to: the first entry that matches a topic wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub replication: Option<Vec<Replication>>,

    /// Fills this spec from a K2K pipeline file that a ConfigMap holds, in place of `replication`. What is stated
    /// beside it (`source`, `target`, `pipelineName`) goes before the file; a feature is on where either says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline_from: Option<PipelineFrom>,

    /// What the replicator does with each record.
    #[serde(default)]
    pub features: Features,

    /// How the origin headers are named and written.
    #[serde(default)]
    pub tracing: Tracing,
}

/// Topics that are copied in the same way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Replication {
    /// Anchored regular expressions; a source topic that matches one of them is copied.
    /// Example: `["orders", "returns-.*"]`.
    #[schemars(length(min = 1, max = 128), inner(length(min = 1, max = 512)))]
    pub topics: Vec<String>,

    /// Where the records go. Default: the same topic, the same partition.
    #[serde(default)]
    pub target: TargetTopic,
}

/// The target topic and partition of a record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "!has(self.topicName) || size(self.topicName) == 0 || ((!has(self.topicPrefix) || size(self.topicPrefix) == 0) && (!has(self.topicSuffix) || size(self.topicSuffix) == 0))"
).message("topicName stands alone: it cannot be combined with topicPrefix or topicSuffix"))]
pub struct TargetTopic {
    /// Put before the source topic's name. Example: `eu.`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 249))]
    pub topic_prefix: String,

    /// Put behind the source topic's name. Example: `-copy`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 249))]
    pub topic_suffix: String,

    /// One fixed topic for all that match, in place of prefix and suffix.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 249))]
    pub topic_name: String,

    /// How the target partition is chosen.
    #[serde(default)]
    pub partition: TargetPartitioning,
}

/// How the target partition is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TargetPartitioning {
    /// The source partition's number.
    #[default]
    Source,
    /// By the producer's partitioner: a source partition can be spread over several target partitions.
    Producer,
}

/// A switch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Toggle {
    /// On.
    Enabled,
    /// Off.
    #[default]
    Disabled,
}

impl Toggle {
    /// Whether it is on.
    pub fn is_enabled(self) -> bool {
        self == Self::Enabled
    }

    fn enabled() -> Self {
        Self::Enabled
    }
}

/// What the replicator does with each record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Features {
    /// Whether a copy keeps its record's timestamp.
    #[serde(default = "Toggle::enabled")]
    pub keep_record_creation_timestamp: Toggle,

    /// Which origin headers the replicator writes. A migration needs at least `offset`.
    #[serde(default)]
    pub tracing_headers: TracingHeaders,

    /// Enabled: the replicator drops some records on purpose, so that a hole between two copies is no loss.
    #[serde(default)]
    pub record_filtering: Toggle,
}

impl Default for Features {
    fn default() -> Self {
        Self {
            keep_record_creation_timestamp: Toggle::Enabled,
            tracing_headers: TracingHeaders::default(),
            record_filtering: Toggle::Disabled,
        }
    }
}

/// Which origin headers the replicator writes. All are off by default, as they are in K2K.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TracingHeaders {
    /// The source topic. Where it is off it follows from the route, if only one source topic can be meant.
    #[serde(default)]
    pub topic: Toggle,
    /// The source partition. Where it is off it follows from the route, if only one can be meant.
    #[serde(default)]
    pub partition: Toggle,
    /// The source offset. Without it no position can be found.
    #[serde(default)]
    pub offset: Toggle,
    /// The name of the pipeline that wrote the copy.
    #[serde(default)]
    pub pipeline: Toggle,
}

/// How the origin headers are named and written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tracing {
    /// The header names.
    #[serde(default)]
    pub headers: HeaderNames,
    /// How numbers are written.
    #[serde(default)]
    pub encoding: Encoding,
}

/// Names of the origin headers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeaderNames {
    /// Header that holds the source topic.
    #[serde(default = "HeaderNames::default_topic")]
    #[schemars(length(min = 1, max = 255))]
    pub topic: String,
    /// Header that holds the source partition.
    #[serde(default = "HeaderNames::default_partition")]
    #[schemars(length(min = 1, max = 255))]
    pub partition: String,
    /// Header that holds the source offset.
    #[serde(default = "HeaderNames::default_offset")]
    #[schemars(length(min = 1, max = 255))]
    pub offset: String,
    /// Header that holds the pipeline's name.
    #[serde(default = "HeaderNames::default_pipeline")]
    #[schemars(length(min = 1, max = 255))]
    pub pipeline: String,
}

impl HeaderNames {
    fn default_topic() -> String {
        "k2k_topic".to_owned()
    }
    fn default_partition() -> String {
        "k2k_partition".to_owned()
    }
    fn default_offset() -> String {
        "k2k_offset".to_owned()
    }
    fn default_pipeline() -> String {
        "k2k_pipeline".to_owned()
    }
}

impl Default for HeaderNames {
    fn default() -> Self {
        Self {
            topic: Self::default_topic(),
            partition: Self::default_partition(),
            offset: Self::default_offset(),
            pipeline: Self::default_pipeline(),
        }
    }
}

/// How the numbers in origin headers are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Encoding {
    /// Decided once per topic from many records.
    #[default]
    Auto,
    /// Decimal digits (K2K from 1.0).
    String,
    /// Eight bytes, big-endian (K2K before 1.0).
    Int64BE,
    /// Eight bytes, little-endian.
    Int64LE,
    /// Four bytes, big-endian.
    Int32BE,
}

/// Where a K2K pipeline file is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PipelineFrom {
    /// The ConfigMap, in the same namespace, and its key.
    pub config_map_ref: ConfigMapKeyRef,

    /// The Secret, in the same namespace, whose keys the file's variables name: `${env:NAME}` is its key `NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
}

/// A Secret in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct SecretRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// One key of a ConfigMap in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct ConfigMapKeyRef {
    /// Name of the ConfigMap.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key within the ConfigMap's data.
    #[serde(default = "ConfigMapKeyRef::default_key")]
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

impl ConfigMapKeyRef {
    fn default_key() -> String {
        "config.yaml".to_owned()
    }
}

/// What the operator saw of a replicator.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct K2KReplicatorStatus {
    /// The `metadata.generation` that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// What the routes resolve to now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<K2KReplicatorSummary>,

    /// Keys of the pipeline file that are not used: they have no bearing on a migration, or none that is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128), inner(length(max = 512)))]
    pub unused_keys: Vec<String>,

    /// `Ready`, and `Reconciling` or `Stalled` while True.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "super::conditions_schema")]
    pub conditions: Vec<Condition>,
}

/// What the routes of a replicator resolve to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct K2KReplicatorSummary {
    /// Source topics that a route matches.
    pub topics: u32,
    /// Partitions of those topics.
    pub partitions: u32,
    /// Of those topics, how many have no topic to go to on the target.
    pub missing_on_target: u32,
}
