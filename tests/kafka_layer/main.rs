//! The Kafka layer against real brokers (and the client's mock cluster where a fault cannot be made
//! otherwise). Run it inside the stack: `tests/stack/stack run cargo test --test kafka_layer`.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod connections;
mod faults;
mod groups;
mod logs;
mod pooling;
mod probes;
#[allow(dead_code)] // the other tests cut and delay
#[path = "../harness/proxy.rs"]
mod proxy;
mod raw;
mod scans;
mod support;
