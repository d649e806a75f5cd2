//! What a process needs to be run by somebody, whatever it works on.
//!
//! - [`health`]: whether the process is alive, and whether it can do its work.
//! - [`http`]: `/livez`, `/readyz`, `/metrics`.
//! - [`identity`]: who a process is among others.
//! - [`kubernetes`]: the client of the API server.
//! - [`leader`]: which of several processes works.
//! - [`metrics`]: what is measured.
//! - [`pace`]: when something is tried again.

pub mod health;
pub mod http;
pub mod identity;
pub mod kubernetes;
pub mod leader;
pub mod metrics;
pub mod pace;

pub use health::{Health, Heartbeat, Readiness};
