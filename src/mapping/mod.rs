//! Where a consumer group resumes on the target: pure, no I/O. The rules have the numbers of the mapping
//! rules in the documentation.

pub mod routes;

pub use routes::{Route, RouteError, Routes};
