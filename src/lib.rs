//! `AppMigration` operator: moves a Kafka consumer group to another cluster, exactly and with a proof.
//!
//! Data flows one way: observe -> decide -> execute -> report. The map of the house:
//!
//! - [`kafka`]: the only place that calls rdkafka.

pub mod kafka;
