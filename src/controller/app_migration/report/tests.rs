//! What a reconcile's end makes of the status.

use serde_json::json;

use super::{apply, count};
use crate::{
    api::v1alpha1::{AppMigrationStatus, ConditionType, Reason, Summary},
    controller::{
        conditions::{Statement, find},
        conformance,
    },
};

use super::super::{
    fixtures::{migration, plan},
    rungs::Rungs,
};

/// The status after these ends of reconciles, one after the other; each conforms.
fn after(ends: &[Rungs]) -> AppMigrationStatus {
    let mut status = migration(&json!({})).status.unwrap();
    for rungs in ends {
        apply(&mut status, rungs, Some(1));
        assert_eq!(conformance::check(&status.conditions), Ok(()));
    }
    status
}

fn waiting() -> Rungs {
    Rungs::default()
        .with(ConditionType::ReplicatorReady, Statement::fails(Reason::ReplicatorNotFound, "create it"))
}

fn suspended() -> Rungs {
    let mut rungs = Rungs::default().because(Reason::Suspended, "spec.suspend is true");
    rungs.suspended = true;
    rungs
}

fn blocked() -> Rungs {
    Rungs::default().because(Reason::InvalidSpec, "spec.topics")
}

fn completed() -> Rungs {
    let holds = [
        Reason::Ready,
        Reason::Confirmed,
        Reason::Inactive,
        Reason::CaughtUp,
        Reason::Mapped,
        Reason::Committed,
    ];
    let mut rungs = Rungs::default();
    for (kind, reason) in ConditionType::LADDER.into_iter().zip(holds) {
        rungs.set(kind, Statement::holds(reason, "it holds"));
    }
    rungs.ready = Some(Statement::holds(Reason::Completed, "done"));
    rungs
}

/// Status and reason of one condition.
fn says(status: &AppMigrationStatus, kind: ConditionType) -> Option<(&str, &str)> {
    let found = find(&status.conditions, kind)?;
    Some((&found.status, &found.reason))
}

#[test]
fn a_wait_is_reconciling_a_block_stalled_an_end_neither() {
    let status = after(&[waiting()]);
    assert_eq!(says(&status, ConditionType::Reconciling), Some(("True", "Progressing")));
    let status = after(&[waiting(), blocked()]);
    assert_eq!(says(&status, ConditionType::Stalled), Some(("True", "InvalidSpec")));
    assert_eq!(says(&status, ConditionType::Reconciling), None);
    for end in [suspended(), completed()] {
        let status = after(&[waiting(), blocked(), end]);
        assert_eq!(says(&status, ConditionType::Stalled), None);
        assert_eq!(says(&status, ConditionType::Reconciling), None);
    }
}

#[test]
fn an_error_is_reconciling_with_retry() {
    let rungs = Rungs::default().because(Reason::TargetUnavailable, "timed out");
    let status = after(&[rungs]);
    let found = says(&status, ConditionType::Reconciling);
    assert_eq!(found, Some(("True", "ProgressingWithRetry")));
}

#[test]
fn what_was_not_judged_is_unknown() {
    let status = after(&[waiting()]);
    for kind in &ConditionType::LADDER[1..] {
        assert_eq!(says(&status, *kind), Some(("Unknown", "NotJudged")));
    }
}

#[test]
fn under_suspend_the_others_stay_as_they_are() {
    let before = after(&[waiting()]);
    let status = after(&[waiting(), suspended()]);
    for kind in ConditionType::LADDER {
        assert_eq!(says(&status, kind), says(&before, kind));
    }
    assert_eq!(says(&status, ConditionType::Ready), Some(("False", "Suspended")));
}

#[test]
fn the_same_end_again_changes_nothing() {
    for rungs in [waiting(), suspended(), blocked(), completed()] {
        let mut status = after(std::slice::from_ref(&rungs));
        let before = status.clone();
        apply(&mut status, &rungs, Some(1));
        assert_eq!(status, before);
    }
}

#[test]
fn counts_are_by_source_partition() {
    let mut plan = plan();
    // orders-0 is spread over both target partitions; two records are read again on each.
    let mut spread = plan.targets[0].sources[0].clone();
    (spread.reread, spread.gap, spread.exact) = (2, 5, false);
    plan.targets[0].sources[0] = spread.clone();
    plan.targets[1].sources.push(spread);
    plan.targets[1].natives_skipped = 3;
    let first_only = |t: &crate::mapping::plan::TargetPlan| t.partition == 0;
    let counted = count(&plan, first_only, None);
    let expected = Summary {
        topics: 1,
        partitions: 2,
        // orders-0 needs both.
        committed: 0,
        progress: "0/2".into(),
        exact: 1,
        reread: 4,
        gaps: 5,
        natives_skipped: 3,
    };
    assert_eq!(counted, expected);
    assert_eq!(count(&plan, |_| true, None).progress, "2/2");
    assert_eq!(count(&plan, |_| true, Some(1)).progress, "1/2");
}
