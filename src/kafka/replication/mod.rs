//! The replicator's clients: what the copy loop needs of Kafka. Moves records, holds no policy about them.
//!
//! - `source`: a group member with its own settings, records and group events apart.
//! - `sink`: an idempotent producer that takes records as they were read.
//! - `topics`: topic configurations, and new topics.

mod sink;
mod source;
mod topics;

pub use sink::{Delivery, Failed, Parcel, Rejected, Sink, SinkSettings, TargetTopic, describe, lost};
pub use source::{Arrival, GroupChange, POSITION, Source, SourceRecord};
pub use topics::{ConfigValue, NewTopicSpec, TopicAdmin, is_invalid_config};

use rdkafka::{ClientConfig, error::KafkaError as ClientError};

use super::{ConfigError, KafkaError, ffi::Polled};

/// Trouble that a client reports by itself. It goes on trying; what to make of it is the caller's affair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The Kafka error code (negative: the client's own).
    pub code: i32,
    /// What it speaks of: a topic-partition, or nothing.
    pub place: Option<super::TopicPartition>,
    /// At which offset there, where it is known; else negative.
    pub offset: i64,
    /// The client's or broker's word.
    pub reason: String,
}

impl Trouble {
    /// Whether the principal lacks a right, so that waiting helps nobody.
    pub fn is_authorization(&self) -> bool {
        use super::ffi::code::{CLUSTER_AUTHORIZATION, GROUP_AUTHORIZATION, TOPIC_AUTHORIZATION};
        matches!(self.code, TOPIC_AUTHORIZATION | GROUP_AUTHORIZATION | CLUSTER_AUTHORIZATION)
    }

    /// Whether it says that a subscribed topic does not exist (any more).
    pub fn is_unknown_topic(&self) -> bool {
        use super::ffi::code::{TOPIC_EXCEPTION, UNKNOWN_PARTITION, UNKNOWN_TOPIC, UNKNOWN_TOPIC_OR_PART};
        matches!(self.code, TOPIC_EXCEPTION | UNKNOWN_PARTITION | UNKNOWN_TOPIC | UNKNOWN_TOPIC_OR_PART)
    }

    /// Whether a batch could not be read: the client goes on **behind** it, so the caller must not.
    pub fn is_unreadable(&self) -> bool {
        use super::ffi::code::{
            BAD_COMPRESSION, BAD_MSG, CRITICAL_RESOURCE, MSG_SIZE_TOO_LARGE, NOT_IMPLEMENTED,
        };
        let unreadable = [BAD_MSG, BAD_COMPRESSION, NOT_IMPLEMENTED, CRITICAL_RESOURCE, MSG_SIZE_TOO_LARGE];
        self.place.is_some() && unreadable.contains(&self.code)
    }

    /// Whether it only sums up what other trouble says precisely.
    pub fn is_summary(&self) -> bool {
        self.code == super::ffi::code::ALL_BROKERS_DOWN
    }

    /// Whether the client can do nothing any more, so that a new one is needed.
    pub fn is_fatal(&self) -> bool {
        self.code == super::ffi::code::FATAL
    }
}

/// Takes what is trouble out of an event and logs what is a log line.
fn trouble(polled: Polled) -> Option<Trouble> {
    match polled {
        Polled::Partition { partition, offset, code, reason } => {
            Some(Trouble { code, place: Some(partition), offset, reason })
        }
        Polled::Client { code, reason } => Some(Trouble { code, place: None, offset: -1, reason }),
        // At debug: what matters of it comes as trouble.
        Polled::Log { level, facility, line } => {
            tracing::debug!(target: "librdkafka", level, "{facility}: {line}");
            None
        }
        _ => None,
    }
}

/// Sets what the user has not set.
fn default(config: &mut ClientConfig, name: &str, value: &str) {
    if config.get(name).is_none() {
        config.set(name, value);
    }
}

/// rdkafka's own message prints the property's value, which may be a key or a password.
#[allow(clippy::needless_pass_by_value)]
fn refused(error: ClientError) -> KafkaError {
    KafkaError::Config(match error {
        ClientError::ClientConfig(_, _, property, _) => {
            ConfigError::new(property, "the Kafka client refuses this value")
        }
        ClientError::ClientCreation(reason) => ConfigError::new("connection", reason),
        _ => ConfigError::new("connection", "the Kafka client refuses this configuration"),
    })
}
