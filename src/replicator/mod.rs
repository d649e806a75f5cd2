//! The data plane.
pub mod election;
pub mod headers;
pub mod position;
