//! What can go wrong with Kafka, named after what it means to the user. Never holds a credential.

use std::time::Duration;

use super::{ConnectionConfig, TopicPartition};

/// A connection that cannot be used as it is written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{property}: {problem}")]
pub struct ConfigError {
    /// Which property or field.
    pub property: String,
    /// What is wrong and what is allowed. Never the value of a secret.
    pub problem: String,
}

impl ConfigError {
    pub(super) fn new(property: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { property: property.into(), problem: problem.into() }
    }
}

/// How the client says that a broker did not go on with a connection.
const CLOSED: &str = "connection closed by peer";

/// A Kafka call that failed. `servers` are the bootstrap servers, `what` is what was asked ("read the
/// offsets of group a"), `reason` is the client's or broker's own precise word.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KafkaError {
    /// No broker could be reached: refused, DNS, no answer, connection lost.
    #[error("cannot {what}: Kafka at {servers} is unreachable: {reason}")]
    #[allow(missing_docs)]
    Unreachable { servers: String, what: String, reason: String },
    /// The TLS handshake failed: unknown CA, wrong name, client certificate refused.
    #[error("cannot {what}: TLS with Kafka at {servers} failed: {reason}")]
    #[allow(missing_docs)]
    Tls { servers: String, what: String, reason: String },
    /// The broker refused the credentials or the mechanism.
    #[error(
        "cannot {what}: Kafka at {servers} refused the credentials{}: {reason}",
        user.as_ref().map(|user| format!(" of user {user}")).unwrap_or_default()
    )]
    #[allow(missing_docs)]
    Authentication { servers: String, what: String, user: Option<String>, reason: String },
    /// The principal may not do this; `reason` names the resource.
    #[error("cannot {what}: not authorised on Kafka at {servers}: {reason}")]
    #[allow(missing_docs)]
    Authorization { servers: String, what: String, reason: String },
    /// The cluster has no such group.
    #[error("cannot {what}: Kafka at {servers} knows no such group: {reason}")]
    #[allow(missing_docs)]
    UnknownGroup { servers: String, what: String, reason: String },
    /// The cluster has no such topic or partition.
    #[error("cannot {what}: Kafka at {servers} has no {name}")]
    #[allow(missing_docs)]
    UnknownTopicOrPartition { servers: String, what: String, name: String },
    /// The group's coordinator moved or is loading, and did not settle within the deadline.
    #[error("cannot {what}: the group's coordinator on Kafka at {servers} is moving: {reason}")]
    #[allow(missing_docs)]
    CoordinatorMoved { servers: String, what: String, reason: String },
    /// The group has members: the broker accepts offsets from them only.
    #[error("cannot {what}: the group has members on Kafka at {servers}: {reason}")]
    #[allow(missing_docs)]
    GroupActive { servers: String, what: String, reason: String },
    /// A transaction that commits offsets of the group is still open.
    #[error(
        "cannot {what}: a transaction holds offsets that are not decided yet: {}; waiting until its \
         producer commits or aborts it, or its timeout ends it",
        list(partitions)
    )]
    #[allow(missing_docs)]
    UnstableOffsets { servers: String, what: String, partitions: Vec<TopicPartition> },
    /// A partition's log does not hold the offset that was asked for.
    #[error("cannot {what}: offset {offset} of {partition} is out of range on Kafka at {servers}: {reason}")]
    #[allow(missing_docs)]
    OffsetOutOfRange { servers: String, what: String, partition: TopicPartition, offset: i64, reason: String },
    /// The target's broker takes no commit metadata of this size (`offset.metadata.max.bytes`).
    #[error(
        "cannot {what}: the commit metadata of {partition} has {bytes} bytes, more than the broker's \
         offset.metadata.max.bytes allows; raise it there"
    )]
    #[allow(missing_docs)]
    MetadataTooLarge { servers: String, what: String, partition: TopicPartition, bytes: usize },
    /// The connection's configuration is not usable.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No answer within the deadline, and no error event that would say why.
    #[error("cannot {what}: no answer from Kafka at {servers} within {} s", after.as_secs())]
    #[allow(missing_docs)]
    Timeout { servers: String, what: String, after: Duration },
    /// The call was given up by its caller.
    #[error("given up: {what}")]
    #[allow(missing_docs)]
    Cancelled { what: String },
    /// Anything else; `code` is the Kafka error code (negative: the client's own).
    #[error("cannot {what}: Kafka at {servers}: {reason} (error {code})")]
    #[allow(missing_docs)]
    Other { servers: String, what: String, reason: String, code: i32 },
}

impl KafkaError {
    /// Which variant it is, as a metric's label.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::Tls { .. } => "tls",
            Self::Authentication { .. } => "authentication",
            Self::Authorization { .. } => "authorization",
            Self::UnknownGroup { .. } => "unknown_group",
            Self::UnknownTopicOrPartition { .. } => "unknown_topic_or_partition",
            Self::CoordinatorMoved { .. } => "coordinator_moved",
            Self::GroupActive { .. } => "group_active",
            Self::UnstableOffsets { .. } => "unstable_offsets",
            Self::OffsetOutOfRange { .. } => "offset_out_of_range",
            Self::MetadataTooLarge { .. } => "metadata_too_large",
            Self::Config(_) => "config",
            Self::Timeout { .. } => "timeout",
            Self::Cancelled { .. } => "cancelled",
            Self::Other { .. } => "other",
        }
    }

    /// Adds what the configuration tells: the user whose credentials were refused, and that a port which closes plain
    /// connections may speak TLS.
    pub(super) fn in_view_of(mut self, config: &ConnectionConfig) -> Self {
        match &mut self {
            Self::Authentication { user, .. } => {
                *user = config.sasl.as_ref().map(|sasl| sasl.username.clone());
            }
            Self::Unreachable { reason, .. } if config.tls.is_none() && reason.contains(CLOSED) => {
                *reason = reason.replacen(
                    CLOSED,
                    &format!("{CLOSED} (if the port speaks TLS, set tls.enabled)"),
                    1,
                );
            }
            _ => {}
        }
        self
    }

    /// True where the same call may succeed later though nobody changed the configuration, the
    /// credentials or the rights.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::CoordinatorMoved { .. }
            | Self::GroupActive { .. }
            | Self::UnstableOffsets { .. }
            | Self::Timeout { .. }
            | Self::Cancelled { .. }
            | Self::Other { .. } => true,
            Self::Tls { .. }
            | Self::Authentication { .. }
            | Self::Authorization { .. }
            | Self::UnknownGroup { .. }
            | Self::UnknownTopicOrPartition { .. }
            | Self::OffsetOutOfRange { .. }
            | Self::MetadataTooLarge { .. }
            | Self::Config(_) => false,
        }
    }
}

/// The first few partitions by name and how many more: 10,000 names help nobody.
fn list(partitions: &[TopicPartition]) -> String {
    const SHOWN: usize = 5;
    let names: Vec<String> = partitions.iter().take(SHOWN).map(ToString::to_string).collect();
    match partitions.len().saturating_sub(SHOWN) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_cut() {
        let partitions: Vec<_> = (0..7).map(|p| TopicPartition::new("t", p)).collect();
        assert_eq!(list(&partitions), "t-0, t-1, t-2, t-3, t-4 and 2 more");
        assert_eq!(list(&partitions[..2]), "t-0, t-1");
    }
}
