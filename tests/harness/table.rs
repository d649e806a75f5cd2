//! The tables of api.md, written down a second time: what a status may say.

/// The way of a migration, with the reasons that each step may have: the table of api.md.
pub const STEPS: [(&str, &str, &[&str]); 6] = [
    (
        "ReplicatorReady",
        "Ready",
        &["ReplicatorNotFound", "ReplicatorNotReady", "TracingHeadersDisabled", "TimestampsNotKept"],
    ),
    ("StopConfirmed", "Confirmed", &["AwaitingStopConfirmation"]),
    (
        "SourceGroupInactive",
        "Inactive",
        &[
            "GroupActive",
            "QuietPeriodRunning",
            "OffsetsMoving",
            "SourceTransactionPending",
            "GroupNotFound",
            "UnsupportedGroupType",
            "SourceOffsetsGone",
        ],
    ),
    ("ReplicationCaughtUp", "CaughtUp", &["ReplicationBehind", "ReplayInProgress", "OpenTransaction"]),
    (
        "OffsetsMapped",
        "Mapped",
        &[
            "MappingOffsets",
            "SourceOffsetOutOfRange",
            "GapOnTarget",
            "ReprocessingRefused",
            "NativeRecordsRefused",
            "TopicNotReplicated",
            "DuplicatePipelines",
            "HeadersMissing",
            "AmbiguousEncoding",
            "UncommittedPartitions",
            "SourceRecreated",
            "TargetPartitionMissing",
        ],
    ),
    (
        "OffsetsCommitted",
        "Committed",
        &[
            "CommittingOffsets",
            "TargetGroupActive",
            "TargetOffsetsExist",
            "CommitFailed",
            "PlanConflict",
            "ClusterChanged",
        ],
    ),
];

/// Reasons that `Ready` has of its own.
pub const OF_READY: [&str; 9] = [
    "Suspended",
    "SourceUnavailable",
    "TargetUnavailable",
    "AuthenticationFailed",
    "AuthorizationFailed",
    "SecretNotFound",
    "InvalidSpec",
    "SpecChangedAfterConfirmation",
    "DuplicateMigration",
];

/// What only a change by the user can end. `CommitFailed` may be either.
pub const STALLED: [&str; 21] = [
    "UnsupportedGroupType",
    "TracingHeadersDisabled",
    "TimestampsNotKept",
    "SourceOffsetOutOfRange",
    "GapOnTarget",
    "ReprocessingRefused",
    "NativeRecordsRefused",
    "TopicNotReplicated",
    "DuplicatePipelines",
    "HeadersMissing",
    "AmbiguousEncoding",
    "UncommittedPartitions",
    "SourceRecreated",
    "TargetPartitionMissing",
    "SourceOffsetsGone",
    "TargetOffsetsExist",
    "PlanConflict",
    "ClusterChanged",
    "InvalidSpec",
    "SpecChangedAfterConfirmation",
    "DuplicateMigration",
];

pub const ERRORS: [&str; 6] = [
    "SourceUnavailable",
    "TargetUnavailable",
    "AuthenticationFailed",
    "AuthorizationFailed",
    "SecretNotFound",
    "CommitFailed",
];

pub const OF_REPLICATOR: [&str; 7] = [
    "Ready",
    "InvalidSpec",
    "SecretNotFound",
    "SourceUnavailable",
    "TargetUnavailable",
    "AuthenticationFailed",
    "AuthorizationFailed",
];
