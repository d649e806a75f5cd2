//! `AppMigration` operator: moves a Kafka consumer group to another cluster, exactly and with a proof.
//!
//! Data flows one way: observe -> decide -> execute -> report. The map of the house:
//!
//! - [`api`]: the custom resources; types and vocabulary, no I/O.
//! - [`mapping`]: pure; routes, origins, the position of a group on the target and its certificate.
//! - [`search`]: pure; where committed offsets lie on logs that are behind a small trait.
//! - [`kafka`]: the only place that calls rdkafka.
//! - [`controller`]: the two controllers: observe, decide (pure), execute (the only irreversible code), report.
//! - [`replicator`]: the data plane of `appmigration replicate`: consume, add headers, produce.
//! - [`pipeline`]: pure; what stands in a K2K pipeline file, as a replicator's spec.
//! - [`plan`], [`import`], [`plugin`]: plans for people, pipeline files as manifests, `kubectl appmig`.
//! - [`operator`], [`cli`], [`telemetry`]: the process around them.
//! - [`runtime`]: what lets it be run: leader election, health, probes, metrics, back-off.
//! - [`connections`], [`manifest`], [`mod@printable`], [`secrets`], [`secrets_files`], [`topic_partition`]: what they share.
//! - [`crash`]: where a test has the operator die; empty in what is shipped.

pub mod api;
pub mod cli;
pub mod connections;
pub mod controller;
pub mod crash;
pub mod import;
pub mod kafka;
pub mod manifest;
pub mod mapping;
pub mod operator;
pub mod pipeline;
pub mod plan;
pub mod plugin;
pub mod printable;
pub mod replicator;
pub mod runtime;
pub mod search;
pub mod secrets;
pub mod secrets_files;
pub mod telemetry;
pub mod topic_partition;

pub use topic_partition::TopicPartition;
