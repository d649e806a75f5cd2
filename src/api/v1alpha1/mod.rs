//! `k2k.dev/v1alpha1`: what users write and read. The doc comments are what `kubectl explain` shows.

mod app_migration;
mod conditions;
mod connection;
mod k2k_replicator;
mod pattern;
mod policies;
mod status;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

pub use app_migration::{AppMigration, AppMigrationSpec, MAX_NAME_LENGTH, ReplicatorRef, TopicSelection};
pub use conditions::{ConditionType, Reason};
pub use connection::{ClusterSpec, SaslMechanism, SaslSpec, SecretKeyRef, SourceSpec, TlsSpec};
pub use k2k_replicator::{
    ConfigMapKeyRef, Encoding, Features, HeaderNames, K2KReplicator, K2KReplicatorSpec, K2KReplicatorStatus,
    K2KReplicatorSummary, PipelineFrom, Replication, TargetPartitioning, TargetTopic, Toggle, Tracing,
    TracingHeaders,
};
pub use pattern::TopicPattern;
pub use policies::{
    ExistingTargetOffsets, GapPolicy, NativeRecords, Policies, RecordTimestamps, ReplicationProof,
    Reprocessing, UncommittedPartitions, UnreplicatedTopics, Verification,
};
pub use status::{AppMigrationStatus, PlanRef, Preview, Summary};

/// API group of both kinds.
pub const GROUP: &str = "k2k.dev";

/// Annotation: a new value makes the operator look at a stalled object again at once.
pub const RETRY_ANNOTATION: &str = "k2k.dev/retry";

/// Annotation: holds the object's uid where moving a group on the target backwards is intended.
pub const ALLOW_REWIND_ANNOTATION: &str = "k2k.dev/allow-rewind";

/// The CRDs of both kinds, as they are written to `crds/`.
pub fn crds() -> [CustomResourceDefinition; 2] {
    [AppMigration::crd(), K2KReplicator::crd()]
}

/// The one list map that conditions are: merged by `type`, so that several writers can share it.
fn conditions_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
    let mut schema = generator.subschema_for::<Vec<Condition>>();
    schema.insert("x-kubernetes-list-type".into(), "map".into());
    schema.insert("x-kubernetes-list-map-keys".into(), serde_json::json!(["type"]));
    schema
}
