//! How the operator behaves, on the real servers and through the contract alone (the API, Kafka, the command
//! line). Run as
//!
//! ```text
//! tests/stack/stack run cargo test --features crash-points --test behaviour -- --test-threads 8
//! ```
//!
//! The tests wait more than they work: more threads than cores are fine.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod harness;
mod happy_path;
