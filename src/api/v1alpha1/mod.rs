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
use serde_json::Value;

pub use app_migration::{AppMigration, AppMigrationSpec, MAX_NAME_LENGTH, ReplicatorRef, TopicSelection};
pub use conditions::{ConditionType, Reason};
pub use connection::{ClusterSpec, SaslMechanism, SaslSpec, SecretKeyRef, SourceSpec, TlsSpec};
pub use k2k_replicator::{
    ConfigMapKeyRef, Encoding, Features, HeaderNames, K2KReplicator, K2KReplicatorSpec, K2KReplicatorStatus,
    K2KReplicatorSummary, PipelineFrom, Replication, SecretRef, TargetPartitioning, TargetTopic, Toggle,
    Tracing, TracingHeaders,
};
pub use pattern::{PatternError, TopicPatterns};
pub use policies::{
    ExistingTargetOffsets, GapPolicy, NativeRecords, Policies, RecordTimestamps, ReplicationProof,
    Reprocessing, UncommittedPartitions, UnreplicatedTopics, Verification,
};
pub use status::{AppMigrationStatus, HiddenTopics, PlanRef, Preview, Summary};

/// API group of both kinds.
pub const GROUP: &str = "k2k.dev";

/// Annotation: a new value makes the operator look at a stalled object again at once.
pub const RETRY_ANNOTATION: &str = "k2k.dev/retry";

/// Annotation of a plan's ConfigMap: the hash of the plan, once it was committed and read back.
pub const COMMITTED_ANNOTATION: &str = "k2k.dev/committed";

/// Annotation: holds the object's uid where moving a group on the target backwards is intended.
pub const ALLOW_REWIND_ANNOTATION: &str = "k2k.dev/allow-rewind";

/// The CRDs of both kinds, as they are written to `crds/`.
pub fn crds() -> [CustomResourceDefinition; 2] {
    [AppMigration::crd(), K2KReplicator::crd()].map(|crd| {
        let Ok(mut json) = serde_json::to_value(&crd) else {
            return crd;
        };
        walk(&mut json, known_formats);
        walk(&mut json, one_line_paragraphs);
        default_status(&mut json);
        serde_json::from_value(json).unwrap_or(crd)
    })
}

/// An object that the operator has not seen yet says so: to kstatus, and so to Flux and to `helm --wait`, one without
/// a status is finished.
fn default_status(crd: &mut Value) {
    if let Some(status) = crd.pointer_mut("/spec/versions/0/schema/openAPIV3Schema/properties/status") {
        status["default"] = serde_json::json!({ "observedGeneration": -1 });
    }
}

/// The API server knows signed formats only and warns about others; `minimum: 0` says the same.
fn known_formats(schema: &mut Value) {
    if let Some(format) = schema.get_mut("format") {
        match format.as_str() {
            Some("uint32") => *format = "int32".into(),
            Some("uint64") => *format = "int64".into(),
            _ => {}
        }
    }
}

/// A paragraph is one line, which `kubectl explain` folds as it likes.
fn one_line_paragraphs(schema: &mut Value) {
    if let Some(Value::String(text)) = schema.get_mut("description") {
        *text =
            text.split("\n\n").map(|paragraph| paragraph.replace('\n', " ")).collect::<Vec<_>>().join("\n\n");
    }
}

fn walk(value: &mut Value, change: fn(&mut Value)) {
    change(value);
    match value {
        Value::Object(map) => map.values_mut().for_each(|value| walk(value, change)),
        Value::Array(list) => list.iter_mut().for_each(|value| walk(value, change)),
        _ => {}
    }
}

/// The one list map that conditions are: merged by `type`, so that several writers can share it.
fn conditions_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
    let mut schema = generator.subschema_for::<Vec<Condition>>();
    schema.insert("x-kubernetes-list-type".into(), "map".into());
    schema.insert("x-kubernetes-list-map-keys".into(), serde_json::json!(["type"]));
    schema
}
