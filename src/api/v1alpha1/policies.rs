//! Policies of an `AppMigration`: what to do where the case is not clear-cut.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What to do where the case is not clear-cut. Each default is the careful choice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Policies {
    /// The target group has committed offsets already. `Fail` (default) blocks and lists them; `Forward` only
    /// moves ahead: a partition whose offset lies beyond the position keeps it (right only where the group
    /// has read what lies between); `Overwrite` replaces them, and moving back also needs the annotation
    /// `k2k.dev/allow-rewind` with the object's uid.
    #[serde(default)]
    pub existing_target_offsets: ExistingTargetOffsets,
    /// The target misses records that the source holds and that the group has not read. `Fail` (default)
    /// blocks with the count; `Accept` goes on without them.
    #[serde(default)]
    pub gap: GapPolicy,
    /// Records would be read again. `Accept` (default) goes on and reports the count; `Fail` blocks.
    #[serde(default)]
    pub reprocessing: Reprocessing,
    /// The group reads a topic that no route covers. `Fail` (default) blocks and names it; `Ignore` leaves
    /// the topic out.
    #[serde(default)]
    pub unreplicated_topics: UnreplicatedTopics,
    /// A partition of a topic that the group reads has no committed offset. `Skip` (default) leaves it
    /// without one on the target too; `Earliest` acts as if the source's log start had been committed,
    /// `Latest` as if its last stable offset at the confirmation had been.
    #[serde(default)]
    pub uncommitted_partitions: UncommittedPartitions,
    /// The target holds records that the replicator did not write, below the position. `Report` (default)
    /// counts those that the group skips; `Fail` blocks where there are some; `Include` moves the position
    /// down to the first.
    #[serde(default)]
    pub native_records: NativeRecords,
    /// Whether the replicator must keep record timestamps. `Require` (default) blocks where it does not;
    /// `Ignore` goes on.
    #[serde(default)]
    pub record_timestamps: RecordTimestamps,
    /// Whether it must be proven that everything below the committed offsets has arrived. `Require` (default)
    /// waits for the proof; `Waive` goes on, and what is still to come is read again.
    #[serde(default)]
    pub replication_proof: ReplicationProof,
    /// How far a position is checked. `Backlog` (default) reads all that lies after it once; `Window` only
    /// 10,000 offsets on both sides of it and the last 10,000, whatever the lag. The position is then never
    /// called exact: where a second instance of the replicator wrote old records between the windows it may
    /// be wrong, and records may be skipped.
    #[serde(default)]
    pub verification: Verification,
}

macro_rules! policy {
    ($(#[$doc:meta])* $name:ident { $(#[$first_doc:meta])* $first:ident, $($(#[$variant_doc:meta])* $variant:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        pub enum $name {
            $(#[$first_doc])* #[default] $first,
            $($(#[$variant_doc])* $variant,)*
        }
    };
}

policy! {
    /// What to do where the target group has committed offsets that are not this migration's own.
    ExistingTargetOffsets {
        /// Block, and list them.
        Fail,
        /// Only move ahead: a partition whose offset lies beyond the position keeps it.
        Forward,
        /// Replace them. Moving back also needs the annotation `k2k.dev/allow-rewind` with the object's uid.
        Overwrite,
    }
}
policy! {
    /// What to do with a gap.
    GapPolicy {
        /// Block, with the count.
        Fail,
        /// Go on without those records.
        Accept,
    }
}
policy! {
    /// What to do where records would be read again.
    Reprocessing {
        /// Go on; the count is reported.
        Accept,
        /// Block, with the count.
        Fail,
    }
}
policy! {
    /// What to do with a topic that no route covers.
    UnreplicatedTopics {
        /// Block, and name it.
        Fail,
        /// Leave the topic out.
        Ignore,
    }
}
policy! {
    /// What to do with a partition without a committed offset.
    UncommittedPartitions {
        /// Leave it without one on the target too.
        Skip,
        /// As if the log start had been committed.
        Earliest,
        /// As if the last stable offset at the confirmation had been committed.
        Latest,
    }
}
policy! {
    /// What to do with records on the target that carry no origin.
    NativeRecords {
        /// Count those that the group would skip.
        Report,
        /// Block where the group would skip some.
        Fail,
        /// Move the position down to the first of them.
        Include,
    }
}
policy! {
    /// Whether the replicator must keep record timestamps.
    RecordTimestamps {
        /// Block where it does not.
        Require,
        /// Go on.
        Ignore,
    }
}
policy! {
    /// Whether completeness must be proven.
    ReplicationProof {
        /// Wait until everything below the committed offsets is proven to have arrived.
        Require,
        /// Go on: what is still to come is read again.
        Waive,
    }
}
policy! {
    /// How far a position is checked.
    Verification {
        /// The whole backlog behind it is read once.
        Backlog,
        /// Only windows around it and at the end are read; the position is then not called exact.
        Window,
    }
}
