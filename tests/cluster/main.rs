//! From nothing to `Completed`, in a cluster that has nothing of ours yet: the operator is installed and runs as its
//! Deployment says, by each way that the README names, and a group of a real application moves. The commands and the
//! manifests are those of the documents. Run as
//!
//! ```text
//! STACK_BARE=1 tests/stack/stack run cargo test --features crash-points --test cluster -- --test-threads 1
//! ```

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod documents;
#[path = "../harness/mod.rs"]
mod harness;
mod image;
mod node;
mod story;
mod ways;
