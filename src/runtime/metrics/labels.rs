//! The label sets. Each value comes from a closed set: an enumeration, or a list of names in the source.

use prometheus_client::encoding::EncodeLabelSet;

use crate::api::v1alpha1::Reason;

/// The names of a label set, for the table of README.md.
pub trait Names {
    /// In the order in which they are written.
    const NAMES: &'static [&'static str];
}

macro_rules! labels {
    ($($(#[doc = $doc:literal])+ $set:ident { $($(#[doc = $what:literal])+ $label:ident,)+ })+) => {$(
        $(#[doc = $doc])+
        #[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
        pub struct $set { $($(#[doc = $what])+ pub $label: &'static str,)+ }

        impl Names for $set {
            const NAMES: &'static [&'static str] = &[$(stringify!($label)),+];
        }
    )+};
}

labels! {
    /// A controller.
    ControllerLabel {
        /// The kind: `AppMigration` or `K2KReplicator`.
        controller,
    }
    /// The end of a reconcile.
    ReconcileLabels {
        /// The kind.
        controller,
        /// `success`, `conflict` or `error`.
        outcome,
    }
    /// What a reconcile has met with.
    ErrorLabels {
        /// The kind.
        controller,
        /// A [`Reason`].
        reason,
    }
    /// What `Ready` says.
    ReasonLabel {
        /// A [`Reason`].
        reason,
    }
    /// What reads a log.
    Reading {
        /// `search` or `scan`.
        by,
    }
    /// A call to Kafka.
    CallLabel {
        /// A [`crate::kafka::Call`].
        call,
    }
    /// A call to Kafka and its end.
    KafkaLabels {
        /// A [`crate::kafka::Call`].
        call,
        /// `ok`, `cancelled`, or [`crate::kafka::KafkaError::kind`].
        outcome,
    }
    /// A request to the API server.
    RequestLabels {
        /// As RBAC names it.
        verb,
        /// The kind's plural name.
        resource,
    }
    /// A request to the API server and its end.
    KubernetesLabels {
        /// As RBAC names it.
        verb,
        /// The kind's plural name.
        resource,
        /// `ok`, `cancelled`, or what went wrong.
        outcome,
    }
}

impl From<Reason> for ReasonLabel {
    fn from(reason: Reason) -> Self {
        Self { reason: reason.as_str() }
    }
}
