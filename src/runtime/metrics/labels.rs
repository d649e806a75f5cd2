//! The label sets. Each value comes from a closed set: an enumeration, or a list of names in the source.

use prometheus_client::encoding::EncodeLabelSet;

use crate::api::v1alpha1::Reason;

/// Which controller: by its kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ControllerLabel {
    /// `AppMigration` or `K2KReplicator`.
    pub controller: &'static str,
}

/// How a reconcile ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReconcileLabels {
    /// `AppMigration` or `K2KReplicator`.
    pub controller: &'static str,
    /// `success`, `conflict` or `error`.
    pub outcome: &'static str,
}

/// What a reconcile has met with.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ErrorLabels {
    controller: &'static str,
    reason: &'static str,
}

impl ErrorLabels {
    /// `reason`, met by the controller of `kind`.
    pub fn new(kind: &'static str, reason: Reason) -> Self {
        Self { controller: kind, reason: reason.as_str() }
    }
}

/// The reason of a condition.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabel {
    reason: &'static str,
}

impl From<Reason> for ReasonLabel {
    fn from(reason: Reason) -> Self {
        Self { reason: reason.as_str() }
    }
}

/// What reads a log.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Reading {
    /// `search` or `scan`.
    pub by: &'static str,
}

/// A call to Kafka.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CallLabel {
    /// What was asked.
    pub call: &'static str,
}

/// A call to Kafka and its end.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KafkaLabels {
    /// What was asked.
    pub call: &'static str,
    /// `ok`, or the kind of the error.
    pub outcome: &'static str,
}

/// A request to the API server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct VerbLabel {
    /// As RBAC names it.
    pub verb: &'static str,
    /// The kind's plural name.
    pub resource: &'static str,
}

/// A request to the API server and its end.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KubernetesLabels {
    /// As RBAC names it.
    pub verb: &'static str,
    /// The kind's plural name.
    pub resource: &'static str,
    /// `ok`, or what went wrong.
    pub outcome: &'static str,
}
