//! Where a consumer group resumes on the target: pure, no I/O. The rules have the numbers of the mapping
//! rules in the documentation.
//!
//! Read in this order: [`facts`] (what was observed), [`judge`] (one source partition: complete, gaps,
//! replays), [`gaps`] (what it misses), [`position`] (one target partition: p*), [`assess`](assess()) (all of it together),
//! [`doubts`](doubts()) (whether a part of the logs was enough), [`plan`].

mod assess;
mod completeness;
pub mod copies;
pub mod digest;
mod doubts;
pub mod facts;
mod finding;
mod gaps;
pub mod intervals;
mod judge;
mod offsets;
pub mod origin;
pub mod plan;
mod position;
pub mod routes;
pub mod source_log;

#[cfg(test)]
mod tests;

pub use assess::{Assessment, assess};
pub use doubts::{Bounds, Doubts, doubts};
pub use facts::{Compaction, Facts, MappingPolicies, SourceFacts, SourceLogs, TargetFacts, Verified};
pub use finding::Finding;
pub use offsets::{SourceOffset, TargetOffset};
pub use plan::Plan;
pub use routes::{Route, RouteError, Routes};
pub use source_log::{Question, SourceLog};
