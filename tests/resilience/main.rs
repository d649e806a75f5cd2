//! What the operator survives: deaths and freezes of it and of every server, many objects, bad connections, other
//! operators. Each test has the operator and the servers to itself. Run as
//!
//! ```text
//! tests/stack/stack run cargo test --features crash-points --test resilience
//! ```

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

#[path = "../harness/mod.rs"]
mod harness;

mod canary;
mod coordinators;
mod crash;
mod crash_matrix;
mod disturbances;
mod isolation;
mod leadership;
mod load;
mod outages;
mod partial_commits;
mod rest;
mod seen;
mod shutdown;
