//! What was observed, as the rules take it. The order of the reads is the reader's duty: committed offsets
//! first, then the replicator's position, then the source's log starts, the target's high watermarks and ends,
//! then the logs up to those ends, and the source's log starts and ends last.

use std::collections::{BTreeMap, HashMap};

use crate::{
    TopicPartition,
    api::v1alpha1::{GapPolicy, NativeRecords, Policies, ReplicationProof, Reprocessing, Verification},
};

use super::{SourceOffset, TargetOffset, digest::Found, source_log::SourceLog};

/// Everything that the positions follow from.
#[derive(Debug, Default)]
pub struct Facts {
    /// The group's source partitions.
    pub sources: BTreeMap<TopicPartition, SourceFacts>,
    /// The target partitions that they are copied to.
    pub targets: BTreeMap<TopicPartition, TargetFacts>,
    /// The replicator drops some records on purpose.
    pub filtering: bool,
    /// The policies that decide what is not clear-cut.
    pub policies: MappingPolicies,
}

impl Facts {
    /// The source partitions that each target partition can hold copies of, in order.
    pub fn by_target(&self) -> HashMap<&TopicPartition, Vec<&TopicPartition>> {
        let mut by_target: HashMap<_, Vec<_>> = HashMap::new();
        for (q, source) in &self.sources {
            for t in &source.targets {
                by_target.entry(t).or_default().push(q);
            }
        }
        by_target
    }
}

/// What is known of the source partitions' records, by partition.
pub type SourceLogs = BTreeMap<TopicPartition, SourceLog>;

/// One source partition, *q*.
#[derive(Clone, Debug, Default)]
pub struct SourceFacts {
    /// The next record that the group reads, *c*.
    pub committed: SourceOffset,
    /// The commit's metadata, byte for byte.
    pub metadata: Vec<u8>,
    /// The policy that stands in for a commit, where there is none.
    pub assumed: Option<&'static str>,
    /// The replicator's own position, *R*, where it is known.
    pub replicator_position: Option<SourceOffset>,
    /// The log start.
    pub log_start: SourceOffset,
    /// The log start, read *before* the targets' ends: what was taken since may have been copied since.
    pub log_start_before: SourceOffset,
    /// The last stable offset.
    pub last_stable: SourceOffset,
    /// The high watermark.
    pub high_watermark: SourceOffset,
    /// The target partitions that can hold copies of it.
    pub targets: Vec<TopicPartition>,
}

/// One target partition, *t*.
#[derive(Debug, Default)]
pub struct TargetFacts {
    /// The log start, *S*.
    pub log_start: TargetOffset,
    /// The last stable offset, *E*: nothing at or after it was looked at.
    pub end: TargetOffset,
    /// The high watermark, read *before* the end, so that one beyond it tells of an open transaction.
    pub high_watermark: TargetOffset,
    /// Whether the topic is compacted.
    pub compaction: Compaction,
    /// From where on it was read: the log start, or what a search found.
    pub read_from: TargetOffset,
    /// How far it was read.
    pub verified: Verified,
    /// Looks that the search took.
    pub probes: u32,
    /// What was read in `[read_from, E)`, or in windows of it.
    pub found: Found,
}

/// How far a target partition was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verified {
    /// All of it.
    #[default]
    Scan,
    /// From the position that a search found to the end.
    Backlog,
    /// Around that position and before the end.
    Window,
}

impl Verified {
    /// As certificates have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scan => "Scan",
            Self::Backlog => "Backlog",
            Self::Window => "Window",
        }
    }
}

/// Whether a topic is compacted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compaction {
    /// It is not.
    #[default]
    Off,
    /// It is.
    On,
    /// The credentials may not tell.
    Unknown,
}

impl TargetFacts {
    /// Whether the topic is known to be compacted.
    pub fn is_compacted(&self) -> bool {
        self.compaction == Compaction::On
    }

    /// Whether some of the log was not read.
    pub fn is_partial(&self) -> bool {
        self.read_from > self.log_start || self.found.leapt_at.is_some()
    }
}

/// The policies that bear on the mapping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MappingPolicies {
    /// Records that the target misses.
    pub gap: GapPolicy,
    /// Records that would be read again.
    pub reprocessing: Reprocessing,
    /// Records without an origin.
    pub native_records: NativeRecords,
    /// Whether completeness must be proven.
    pub replication_proof: ReplicationProof,
    /// How far a position is checked.
    pub verification: Verification,
}

impl From<&Policies> for MappingPolicies {
    fn from(policies: &Policies) -> Self {
        Self {
            gap: policies.gap,
            reprocessing: policies.reprocessing,
            native_records: policies.native_records,
            replication_proof: policies.replication_proof,
            verification: policies.verification,
        }
    }
}
