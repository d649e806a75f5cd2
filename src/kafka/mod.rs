//! Kafka: the only place that calls rdkafka. Decides nothing about a migration, knows no Kubernetes type.
//!
//! - `config`, `properties`: a connection, and what a custom resource may set on it.
//! - `error`: what went wrong, in the words of a person.
//! - `handle`, `signals`: one polled client, and what its error events say about the brokers.
//! - `connection`, `call`: the handle of the moment; a blocking call on its own thread, with a deadline, raced against those events.
//! - `meter`: what every call costs.
//! - `cluster`, `group`: what can be asked of a cluster.
//! - `scan`, `reader`: reading ranges of a log.
//! - `prober`: looking into many logs at once.
//! - `pool`: one [`Cluster`] per connection, shared.
//! - `replication`: the replicator's own consumer and producer.
//! - `ffi`: the only `unsafe` code of the crate.

mod call;
mod cluster;
mod commit;
mod compaction;
mod config;
mod config_checks;
mod connection;
mod error;
mod ffi;
mod group;
mod handle;
mod meter;
mod patience;
mod pool;
mod prober;
mod properties;
mod reader;
pub mod replication;
mod scan;
mod scan_consumer;
mod scan_motion;
mod scan_progress;
mod scan_worker;
mod signals;

pub use call::DEFAULT_DEADLINE;
pub use cluster::{Cluster, TopicDescription};
pub use config::{ClientIdentity, ConnectionConfig, Purpose, Sasl, SaslMechanism, Tls};
pub use error::{ConfigError, KafkaError};
pub use group::{CommitOffset, Committed, GroupDescription, GroupKind, GroupMember, GroupState};
pub use meter::Call;
pub use pool::ClusterPool;
pub use prober::{LookFailed, Prober};
pub use reader::{HeaderNames, LogRecord, OriginHeaders, ScanRange, ScanStats};

pub use crate::topic_partition::TopicPartition;
