//! How the operator behaves, on the real servers and through the contract alone (the API, Kafka, the command
//! line). Run as
//!
//! ```text
//! tests/stack/stack run cargo test --features crash-points --test behaviour -- --test-threads 8
//! ```
//!
//! The tests wait more than they work: more threads than cores are fine.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod changes;
mod connections;
mod harness;
mod happy_path;
mod lifecycle;
mod origins;
mod plan_files;
mod replication;
mod replicator_faults;
mod source_group;
mod target_group;
