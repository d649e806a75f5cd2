//! What a process needs to be run by somebody: health, probes, metrics. Knows nothing of migrations.
//!
//! - [`health`]: whether the process is alive, and whether it can do its work.
//! - [`http`]: `/livez`, `/readyz`, `/metrics`.
//! - [`kubernetes`]: the client of the API server.
//! - [`metrics`]: what is measured.

pub mod health;
pub mod http;
pub mod kubernetes;
pub mod metrics;

pub use health::{Health, Heartbeat, Readiness};
