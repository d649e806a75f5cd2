//! What a process needs to be run by somebody: health, probes, metrics. Knows nothing of migrations.
//!
//! - [`health`]: whether the process is alive, and whether it can do its work.
//! - [`http`]: `/livez`, `/readyz`, `/metrics`.

pub mod health;
pub mod http;

pub use health::{Health, Heartbeat, Readiness};
