//! `appmigration replicate` on two real clusters: `tests/stack/stack run cargo test --test replicator`.
//!
//! Each test has topics and a group of its own. Tests that stop a broker run alone (see `support::quiet`).

#![allow(clippy::unwrap_used, clippy::panic)]

mod copying;
mod crashes;
mod raw;
mod refusals;
mod standby;
mod support;
mod topics;
