//! Why the replicator stopped, in the words of the person who has to do something about it.

use crate::{
    TopicPartition,
    connections::ConnectionError,
    kafka::{
        KafkaError,
        replication::{Failed, Trouble, describe},
    },
    manifest::ManifestError,
    mapping::RouteError,
};

/// What ends the replicator. An outage of either cluster does not: it is waited out.
#[derive(Debug, thiserror::Error)]
pub enum ReplicateError {
    /// The manifest cannot be used.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A field of the spec cannot be used.
    #[error("{field} {problem}")]
    Spec {
        /// The field.
        field: &'static str,
        /// What is wrong and what would help.
        problem: &'static str,
    },
    /// A route cannot be used.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// A connection cannot be used as it is written.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// A cluster cannot be used.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// Copies would be copied again, without end.
    #[error(
        "source and target are the same cluster ({cluster}): the copies of {topic} go to {target}, which spec.replication matches too"
    )]
    Loop {
        /// The cluster's id.
        cluster: String,
        /// A source topic.
        topic: String,
        /// Where it goes.
        target: String,
    },
    /// The source refuses something for good.
    #[error("the source does not allow it to group {group}: {}{reason}", place.as_ref().map(|at| format!("{at}: ")).unwrap_or_default())]
    NotAllowed {
        /// The group under which the position is committed.
        group: String,
        /// Which partition, where it is one.
        place: Option<TopicPartition>,
        /// The broker's word.
        reason: String,
    },
    /// A batch of the source cannot be read: its checksum is wrong, or it cannot be unpacked.
    #[error(
        "{partition} cannot be read at offset {offset}: {reason}; nothing was passed over, a restart tries again from there"
    )]
    Unreadable {
        /// Where the batch stands.
        partition: TopicPartition,
        /// Its first offset.
        offset: i64,
        /// Why.
        reason: String,
    },
    /// The target refuses a record for good. It is not skipped: that would lose it.
    #[error("{partition} offset {offset} cannot be copied to {target}: {reason}; {hint}")]
    Record {
        /// Where the record stands.
        partition: TopicPartition,
        /// Its offset.
        offset: i64,
        /// The target topic.
        target: String,
        /// Why.
        reason: String,
        /// The way out.
        hint: &'static str,
    },
    /// The process lacks something (threads).
    #[error("cannot start: {0}")]
    Start(#[from] std::io::Error),
}

impl ReplicateError {
    /// The target has refused the record with this code.
    pub fn record(partition: TopicPartition, offset: i64, target: &str, code: i32, reason: &str) -> Self {
        let reason = if reason.is_empty() { describe(code) } else { reason.to_owned() };
        let hint = match Failed::new(code) {
            Failed::TooLarge => {
                "raise max.message.bytes of the target topic (and message.max.bytes, where spec.target.properties sets it)"
            }
            Failed::NotAllowed => "allow the principal Write and Describe on the target topic",
            Failed::NoSuchPlace => {
                "the target topic or partition is gone; it is created anew, or waited for, at the next start"
            }
            Failed::Timestamp => {
                "raise message.timestamp.before.max.ms or message.timestamp.after.max.ms of the target topic"
            }
            Failed::Dropped | Failed::Session | Failed::Other => {
                "nothing was skipped; a restart goes on from this record"
            }
        };
        Self::Record { partition, offset, target: target.to_owned(), reason, hint }
    }

    /// The source reports this trouble for good.
    pub fn by_source(trouble: Trouble, group: &str) -> Self {
        if trouble.is_unreadable()
            && let Some(partition) = trouble.place
        {
            return Self::Unreadable { partition, offset: trouble.offset, reason: trouble.reason };
        }
        Self::NotAllowed { group: group.to_owned(), place: trouble.place, reason: trouble.reason }
    }
}
