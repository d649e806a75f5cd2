//! What a process needs to be run by somebody, whatever it works on.
//!
//! - [`health`]: whether the process is alive, and whether it can do its work.
//! - [`http`]: `/livez`, `/readyz`, `/metrics`.
//! - [`leader`]: which of several processes works.
//! - [`pace`]: when something is tried again.

pub mod health;
pub mod http;
pub mod leader;
pub mod pace;

pub use health::{Health, Heartbeat, Readiness};
