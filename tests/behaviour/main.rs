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
mod connections;
mod coordinators;
mod crash;
mod crash_matrix;
mod crds;
mod dialects;
mod disturbances;
mod full_path;
mod happy_path;
mod harness;
mod immutability;
mod large;
mod lifecycle;
mod metadata_limit;
mod origins;
mod outages;
mod partial_commits;
mod plan_command;
mod plan_conflicts;
mod plan_files;
mod random_logs;
mod replication;
mod replicator_faults;
mod rest;
mod rules_boundaries;
mod rules_completeness;
mod rules_gaps;
mod rules_live;
mod rules_records;
mod rules_shared;
mod searches;
mod source_group;
mod target_group;
mod windows;
