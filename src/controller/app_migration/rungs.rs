//! The six conditions of a migration and `Ready`, as one reconcile found them. Pure.

use std::collections::BTreeMap;

use crate::api::v1alpha1::{AppMigration, ConditionType, Reason};

use super::super::conditions::{Statement, Status};

/// What the conditions are to say. Those that were not judged are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rungs {
    statements: BTreeMap<ConditionType, Statement>,
    /// What `Ready` says, where it does not follow from the others.
    pub ready: Option<Statement>,
    /// The object is suspended: the others stay as they are.
    pub suspended: bool,
    /// Everything stays as it is, as with a finished object.
    pub as_told: bool,
    /// The target refuses the commit for good.
    pub refused_for_good: bool,
}

impl Rungs {
    /// What was told stands.
    pub fn as_told() -> Self {
        Self { as_told: true, ..Self::default() }
    }

    /// Sets one condition.
    pub fn set(&mut self, kind: ConditionType, statement: Statement) {
        self.statements.insert(kind, statement);
    }

    /// With one condition set.
    #[must_use]
    pub fn with(mut self, kind: ConditionType, statement: Statement) -> Self {
        self.set(kind, statement);
        self
    }

    /// With `Ready` False for a reason that belongs to no other condition.
    #[must_use]
    pub fn because(mut self, reason: Reason, message: impl Into<String>) -> Self {
        self.ready = Some(Statement::fails(reason, message));
        self
    }

    /// What one condition says.
    pub fn get(&self, kind: ConditionType) -> Option<&Statement> {
        self.statements.get(&kind)
    }

    /// What a condition that was not judged says.
    pub fn not_judged() -> Statement {
        Statement::unknown(Reason::NotJudged, "an earlier step has not been passed yet")
    }

    /// `Ready`: its own statement, else the first stalled one, else the first that is not True.
    pub fn ready(&self) -> Statement {
        if let Some(ready) = &self.ready {
            return ready.clone();
        }
        let open = || {
            ConditionType::LADDER
                .iter()
                .filter_map(|kind| self.get(*kind))
                .filter(|s| s.status != Status::True)
        };
        let first = open().find(|s| self.is_stalled(s)).or_else(|| open().next());
        let first = first.cloned().unwrap_or_else(Self::not_judged);
        Statement { status: Status::False, ..first }
    }

    /// Whether only the user can end it.
    pub fn is_stalled(&self, statement: &Statement) -> bool {
        statement.reason.is_stalled() || (statement.reason == Reason::CommitFailed && self.refused_for_good)
    }
}

/// What is said of a group that has stopped.
pub fn inactive(object: &AppMigration) -> String {
    format!("{} has no members and its offsets stand still", object.spec.consumer_group)
}

/// The condition that a finding of `reason` speaks for.
pub fn condition_of(reason: Reason) -> ConditionType {
    match reason {
        Reason::ReplicatorNotFound
        | Reason::ReplicatorNotReady
        | Reason::TracingHeadersDisabled
        | Reason::TimestampsNotKept => ConditionType::ReplicatorReady,
        Reason::GroupActive
        | Reason::QuietPeriodRunning
        | Reason::OffsetsMoving
        | Reason::SourceTransactionPending
        | Reason::GroupNotFound
        | Reason::UnsupportedGroupType
        | Reason::SourceOffsetsGone => ConditionType::SourceGroupInactive,
        Reason::ReplicationBehind | Reason::ReplayInProgress | Reason::OpenTransaction => {
            ConditionType::ReplicationCaughtUp
        }
        Reason::TargetGroupActive
        | Reason::TargetOffsetsExist
        | Reason::CommitFailed
        | Reason::PlanConflict
        | Reason::ClusterChanged => ConditionType::OffsetsCommitted,
        _ => ConditionType::OffsetsMapped,
    }
}

/// Whether completeness is not judged where a finding of `reason` was made.
pub fn comes_before_completeness(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::TopicNotReplicated
            | Reason::TargetPartitionMissing
            | Reason::UncommittedPartitions
            | Reason::TracingHeadersDisabled
            | Reason::SourceOffsetOutOfRange
            | Reason::SourceTransactionPending
            | Reason::SourceRecreated
            | Reason::DuplicatePipelines
            | Reason::HeadersMissing
            | Reason::AmbiguousEncoding
    )
}
