//! An observation that failed, as a condition tells it: the reason, the text, and whether only the user can
//! mend it.

use crate::{api::v1alpha1::Reason, connections::ConnectionError, kafka::KafkaError, secrets::SecretError};

/// Which of the two clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The cluster that records are copied from.
    Source,
    /// The cluster that records are copied to.
    Target,
}

impl Side {
    fn unavailable(self) -> Reason {
        match self {
            Self::Source => Reason::SourceUnavailable,
            Self::Target => Reason::TargetUnavailable,
        }
    }
}

/// What kept an observation from being made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The reason, as it stands in a condition.
    pub reason: Reason,
    /// What happened, and where.
    pub message: String,
}

impl Fault {
    /// A fault of `reason`.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }

    /// A Kafka call on `side` failed.
    pub fn kafka(side: Side, error: &KafkaError) -> Self {
        let reason = match error {
            KafkaError::Authentication { .. } => Reason::AuthenticationFailed,
            KafkaError::Authorization { .. } => Reason::AuthorizationFailed,
            KafkaError::Config(_) => Reason::InvalidSpec,
            KafkaError::UnstableOffsets { .. } => Reason::SourceTransactionPending,
            _ => side.unavailable(),
        };
        // What differs from try to try would make a new status of the same trouble each time.
        let text = error.to_string();
        let steady = text.split(" (after ").next().unwrap_or(&text);
        // The other reasons name the side themselves.
        let side = match (reason, side) {
            (Reason::AuthenticationFailed | Reason::AuthorizationFailed, Side::Source) => "on the source: ",
            (Reason::AuthenticationFailed | Reason::AuthorizationFailed, Side::Target) => "on the target: ",
            _ => "",
        };
        Self::new(reason, format!("{side}{steady}"))
    }

    /// A connection cannot be opened as it is written.
    pub fn connection(error: &ConnectionError) -> Self {
        let reason = match error {
            ConnectionError::Value { .. }
            | ConnectionError::Contradiction { .. }
            | ConnectionError::Secret { source: SecretError::NoName { .. }, .. } => Reason::InvalidSpec,
            ConnectionError::Secret { .. } => Reason::SecretNotFound,
        };
        Self::new(reason, error.to_string())
    }
}
