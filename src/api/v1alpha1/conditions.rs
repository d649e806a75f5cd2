//! The closed vocabulary of conditions and reasons. Nothing else may appear in a status.

use std::fmt;

macro_rules! vocabulary {
    ($(#[$doc:meta])* $name:ident { $($(#[doc = $variant_doc:literal])+ $variant:ident,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[doc = $variant_doc])+ $variant,)* }

        impl $name {
            /// Every value, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name as it stands in a status.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant),)* }
            }

            /// What it means, in one sentence.
            pub fn describe(self) -> &'static str {
                match self { $(Self::$variant => concat!($($variant_doc),+).trim_start(),)* }
            }

            /// The value of that name.
            pub fn parse(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == name)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

vocabulary! {
    /// Condition types, in the order in which a status lists them.
    ConditionType {
        /// The replicator is there, usable, and marks its copies well enough.
        ReplicatorReady,
        /// The person's word that the application is stopped was given.
        StopConfirmed,
        /// The group has no members on the source and its offsets stand still.
        SourceGroupInactive,
        /// Replication has passed the committed offsets.
        ReplicationCaughtUp,
        /// Every partition's position on the target is known.
        OffsetsMapped,
        /// The offsets were committed on the target and read back.
        OffsetsCommitted,
        /// The outcome: the migration is complete, or the replicator is usable.
        Ready,
        /// The operator is at work or waits; only while True.
        Reconciling,
        /// Only a change by the user helps; only while True.
        Stalled,
        /// Somebody committed on the source after the migration; only while True.
        SourceMoved,
    }
}

vocabulary! {
    /// Reasons of all conditions.
    Reason {
        /// The replicator's spec is usable and both clusters answer.
        Ready,
        /// There is no `K2KReplicator` of that name.
        ReplicatorNotFound,
        /// The replicator is not `Ready`.
        ReplicatorNotReady,
        /// The replicator does not write the origin headers that are needed.
        TracingHeadersDisabled,
        /// The replicator does not keep record timestamps.
        TimestampsNotKept,

        /// `spec.stopConfirmed` was seen true.
        Confirmed,
        /// `spec.stopConfirmed` is awaited.
        AwaitingStopConfirmation,

        /// The group is stopped.
        Inactive,
        /// The group has members.
        GroupActive,
        /// The offsets must stand still a while longer.
        QuietPeriodRunning,
        /// The offsets changed during the quiet period.
        OffsetsMoving,
        /// A transaction with offsets of the group, or over what it read, is open on the source.
        SourceTransactionPending,
        /// The source does not know the group.
        GroupNotFound,
        /// The group is of a kind that has no committed offsets to move.
        UnsupportedGroupType,
        /// Offsets that were committed at the confirmation are gone.
        SourceOffsetsGone,

        /// Replication has passed the committed offsets.
        CaughtUp,
        /// Replication has not reached the committed offsets, as far as can be proven.
        ReplicationBehind,
        /// The replicator writes again what it wrote before.
        ReplayInProgress,
        /// An open transaction on the target hides what would prove completeness.
        OpenTransaction,

        /// All positions are known.
        Mapped,
        /// Positions are being computed.
        MappingOffsets,
        /// A committed offset lies beyond the source's end.
        SourceOffsetOutOfRange,
        /// The target misses records.
        GapOnTarget,
        /// Records would be read again and the policy forbids it.
        ReprocessingRefused,
        /// Native records would be skipped and the policy forbids it.
        NativeRecordsRefused,
        /// No route covers a topic of the group.
        TopicNotReplicated,
        /// Two pipelines write the same source partition into one target partition.
        DuplicatePipelines,
        /// A target partition holds records, but none with an origin.
        HeadersMissing,
        /// The encoding of the origin headers cannot be told.
        AmbiguousEncoding,
        /// A target partition is shared with a source partition that has no committed offset.
        UncommittedPartitions,
        /// The source topic was recreated and the target holds copies of the former one.
        SourceRecreated,
        /// A topic or partition is missing on the target.
        TargetPartitionMissing,

        /// The target's offsets were read back as planned.
        Committed,
        /// Offsets are being committed.
        CommittingOffsets,
        /// The target group has members.
        TargetGroupActive,
        /// The target group has offsets that the policy protects.
        TargetOffsetsExist,
        /// The target refused offsets.
        CommitFailed,
        /// The plan's ConfigMap belongs to somebody else, or was altered.
        PlanConflict,
        /// A cluster or topic is another one than the plan was made for.
        ClusterChanged,

        /// The migration is done.
        Completed,
        /// `spec.suspend` is true.
        Suspended,
        /// The source cluster does not answer.
        SourceUnavailable,
        /// The target cluster does not answer.
        TargetUnavailable,
        /// A cluster refuses the credentials.
        AuthenticationFailed,
        /// A cluster denies an operation.
        AuthorizationFailed,
        /// A Secret or its key is missing.
        SecretNotFound,
        /// The spec cannot be used.
        InvalidSpec,
        /// Fields that are fixed by the confirmation changed all the same.
        SpecChangedAfterConfirmation,
        /// Another confirmed migration moves the same target group.
        DuplicateMigration,

        /// All is well and on its way.
        Progressing,
        /// An error is retried.
        ProgressingWithRetry,

        /// Somebody committed on the source after the migration.
        SourceMovedAfterMigration,

        /// An earlier step has not been passed yet.
        NotJudged,
    }
}

impl ConditionType {
    /// The way of a migration: the conditions before `Ready`, in order.
    pub const LADDER: [Self; 6] = [
        Self::ReplicatorReady,
        Self::StopConfirmed,
        Self::SourceGroupInactive,
        Self::ReplicationCaughtUp,
        Self::OffsetsMapped,
        Self::OffsetsCommitted,
    ];

    /// The reasons that it can have, besides `NotJudged`: first that of a True one, then those of the others.
    /// `Ready` can also have the reason of each condition before it, and `Stalled` that of `Ready`.
    pub fn reasons(self) -> &'static [Reason] {
        use Reason as R;
        match self {
            Self::ReplicatorReady => &[
                R::Ready,
                R::ReplicatorNotFound,
                R::ReplicatorNotReady,
                R::TracingHeadersDisabled,
                R::TimestampsNotKept,
            ],
            Self::StopConfirmed => &[R::Confirmed, R::AwaitingStopConfirmation],
            Self::SourceGroupInactive => &[
                R::Inactive,
                R::GroupActive,
                R::QuietPeriodRunning,
                R::OffsetsMoving,
                R::SourceTransactionPending,
                R::GroupNotFound,
                R::UnsupportedGroupType,
                R::SourceOffsetsGone,
            ],
            Self::ReplicationCaughtUp => {
                &[R::CaughtUp, R::ReplicationBehind, R::ReplayInProgress, R::OpenTransaction]
            }
            Self::OffsetsMapped => &[
                R::Mapped,
                R::MappingOffsets,
                R::SourceOffsetOutOfRange,
                R::GapOnTarget,
                R::ReprocessingRefused,
                R::NativeRecordsRefused,
                R::TopicNotReplicated,
                R::DuplicatePipelines,
                R::HeadersMissing,
                R::AmbiguousEncoding,
                R::UncommittedPartitions,
                R::SourceRecreated,
                R::TargetPartitionMissing,
            ],
            Self::OffsetsCommitted => &[
                R::Committed,
                R::CommittingOffsets,
                R::TargetGroupActive,
                R::TargetOffsetsExist,
                R::CommitFailed,
                R::PlanConflict,
                R::ClusterChanged,
            ],
            Self::Ready => &[
                R::Completed,
                R::Suspended,
                R::SourceUnavailable,
                R::TargetUnavailable,
                R::AuthenticationFailed,
                R::AuthorizationFailed,
                R::SecretNotFound,
                R::InvalidSpec,
                R::SpecChangedAfterConfirmation,
                R::DuplicateMigration,
            ],
            Self::Reconciling => &[R::Progressing, R::ProgressingWithRetry],
            Self::Stalled => &[],
            Self::SourceMoved => &[R::SourceMovedAfterMigration],
        }
    }
}

impl Reason {
    /// Whether waiting does not end it: somebody has to change something, here or elsewhere.
    pub fn needs_somebody(self) -> bool {
        self.is_stalled() || self == Self::GroupNotFound
    }

    /// Whether only a change by the user can end it. `CommitFailed` is stalled only where the target
    /// refuses for good, which the one who reports it knows.
    pub fn is_stalled(self) -> bool {
        matches!(
            self,
            Self::UnsupportedGroupType
                | Self::TracingHeadersDisabled
                | Self::TimestampsNotKept
                | Self::SourceOffsetOutOfRange
                | Self::GapOnTarget
                | Self::ReprocessingRefused
                | Self::NativeRecordsRefused
                | Self::TopicNotReplicated
                | Self::DuplicatePipelines
                | Self::HeadersMissing
                | Self::AmbiguousEncoding
                | Self::UncommittedPartitions
                | Self::SourceRecreated
                | Self::TargetPartitionMissing
                | Self::SourceOffsetsGone
                | Self::TargetOffsetsExist
                | Self::PlanConflict
                | Self::ClusterChanged
                | Self::InvalidSpec
                | Self::SpecChangedAfterConfirmation
                | Self::DuplicateMigration
        )
    }

    /// Whether it tells of an error that is retried, rather than of a plain wait.
    pub fn is_error(self) -> bool {
        matches!(
            self,
            Self::SourceUnavailable
                | Self::TargetUnavailable
                | Self::AuthenticationFailed
                | Self::AuthorizationFailed
                | Self::SecretNotFound
                | Self::CommitFailed
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{ConditionType, Reason};

    #[test]
    fn every_reason_belongs_to_one_condition() {
        for reason in Reason::ALL.iter().filter(|reason| **reason != Reason::NotJudged) {
            let of: Vec<_> =
                ConditionType::ALL.iter().filter(|kind| kind.reasons().contains(reason)).collect();
            assert_eq!(of.len(), 1, "{reason}: {of:?}");
            assert!(reason.describe().ends_with('.'), "{reason}");
        }
    }

    #[test]
    fn names_parse_back() {
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(*reason));
        }
        for kind in ConditionType::ALL {
            assert_eq!(ConditionType::parse(kind.as_str()), Some(*kind));
        }
        assert_eq!(Reason::parse("Nonsense"), None);
    }

    #[test]
    fn no_reason_is_both_stalled_and_retried() {
        assert!(Reason::ALL.iter().all(|r| !(r.is_stalled() && r.is_error())));
    }
}
