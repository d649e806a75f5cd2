//! `AppMigration` operator: moves a Kafka consumer group to another cluster, exactly and with a proof.
//!
//! Data flows one way: observe -> decide -> execute -> report. The map of the house:
//!
//! - [`api`]: the custom resources; types and vocabulary, no I/O.
//! - [`cli`]: the command line.
//! - [`kafka`]: the only place that calls rdkafka.
//! - [`mapping`]: pure; routes, origins, the position of a group on the target and its certificate.
//! - [`secrets`], [`topic_partition`]: small things that several of them share.

pub mod api;
pub mod cli;
pub mod connections;
pub mod kafka;
pub mod manifest;
pub mod mapping;
pub mod replicator;
pub mod secrets;
pub mod secrets_files;
pub mod topic_partition;

pub use topic_partition::TopicPartition;
