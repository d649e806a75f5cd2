//! How the operator behaves, on the real servers and through the contract alone (the API, Kafka, the command
//! line). Run as
//!
//! ```text
//! tests/stack/stack run cargo test --features crash-points --test behaviour -- --test-threads 8
//! ```
//!
//! The tests wait more than they work: more threads than cores are fine.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod audit;
mod changes;
mod clients;
mod confirming;
mod connections;
mod crds;
mod dialects;
mod documents;
mod full_path;
mod happy_path;
#[path = "../harness/mod.rs"]
mod harness;
mod immutability;
mod large;
mod lifecycle;
mod malformed;
mod managers;
mod metadata_limit;
mod origins;
mod permissions;
mod pipeline_files;
mod plan_command;
mod plan_conflicts;
mod plan_files;
mod plugin;
mod random_logs;
#[path = "../replicator/raw.rs"]
#[allow(dead_code)]
mod raw;
mod replication;
mod replicator_faults;
mod rules_boundaries;
mod rules_completeness;
mod rules_gaps;
mod rules_live;
mod rules_records;
mod rules_shared;
mod searches;
mod source_group;
mod story;
mod target_group;
mod tenant_names;
mod tenant_properties;
mod tenant_records;
mod windows;
