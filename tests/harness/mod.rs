//! What the behaviour tests stand on: a case with a namespace and topics of its own, the real clusters,
//! the operator as a process. Knows the contract of the API and nothing of the operator's inside.

// Each of the two has no use for some of it.
#![allow(dead_code, unused_imports)]

pub mod assertions;
pub mod case;
pub mod collector;
pub mod commits;
pub mod conformance;
pub mod copies;
pub mod documents;
pub mod history;
pub mod http;
pub mod java;
pub mod json;
pub mod judges;
pub mod kafka;
pub mod member;
pub mod migration;
pub mod openmetrics;
pub mod operator;
pub mod operators;
pub mod plan;
pub mod points;
pub mod process;
pub mod proxy;
pub mod random;
pub mod rbac;
pub mod replicate;
pub mod scene;
pub mod sockets;
pub mod specs;
pub mod stack;
pub mod streams;
pub mod table;
pub mod topic;
pub mod wire;

pub use appmigration::api::v1alpha1::{
    self, AppMigration, AppMigrationSpec, ExistingTargetOffsets, GapPolicy, K2KReplicator, K2KReplicatorSpec,
    NativeRecords, Reason, RecordTimestamps, ReplicationProof, Reprocessing, Toggle, UncommittedPartitions,
    UnreplicatedTopics, Verification,
};
pub use case::Case;
pub use copies::Copies;
pub use kafka::Side;
pub use member::Member;
pub use migration::Migration;
pub use operators::Operator;
pub use replicate::Replicate;
pub use topic::Topic;
