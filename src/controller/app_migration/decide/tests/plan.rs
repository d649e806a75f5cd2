//! The mapping, the stored plan, and the last check.

use serde_json::json;

use super::*;
use crate::{
    TopicPartition,
    mapping::{Finding, Plan},
};

fn finding(reason: Reason, partition: i32) -> Finding {
    Finding::new(reason, &TopicPartition::new("orders", partition), reason.as_str())
}

fn blocked(findings: &[(Reason, i32)]) -> Seen {
    let findings = findings.iter().map(|(reason, n)| finding(*reason, *n));
    Seen { mapping: Some(Mapping::Blocked(findings.collect())), ..up_to_quiet(&migration(&json!({})), None) }
}

#[test]
fn each_reason_that_stands_in_the_way_speaks_for_its_condition() {
    use ConditionType::{OffsetsMapped, ReplicationCaughtUp, ReplicatorReady, SourceGroupInactive};
    let cases = [
        (Reason::SourceTransactionPending, SourceGroupInactive, Next::BackOff),
        (Reason::ReplicationBehind, ReplicationCaughtUp, Next::BackOff),
        (Reason::ReplayInProgress, ReplicationCaughtUp, Next::BackOff),
        (Reason::OpenTransaction, ReplicationCaughtUp, Next::BackOff),
        (Reason::TracingHeadersDisabled, ReplicatorReady, Next::Seldom),
        (Reason::SourceOffsetOutOfRange, OffsetsMapped, Next::Seldom),
        (Reason::GapOnTarget, OffsetsMapped, Next::Seldom),
        (Reason::ReprocessingRefused, OffsetsMapped, Next::Seldom),
        (Reason::NativeRecordsRefused, OffsetsMapped, Next::Seldom),
        (Reason::TopicNotReplicated, OffsetsMapped, Next::Seldom),
        (Reason::DuplicatePipelines, OffsetsMapped, Next::Seldom),
        (Reason::HeadersMissing, OffsetsMapped, Next::Seldom),
        (Reason::AmbiguousEncoding, OffsetsMapped, Next::Seldom),
        (Reason::UncommittedPartitions, OffsetsMapped, Next::Seldom),
        (Reason::SourceRecreated, OffsetsMapped, Next::Seldom),
        (Reason::TargetPartitionMissing, OffsetsMapped, Next::Seldom),
    ];
    for (reason, kind, next) in cases {
        let step = decide(&migration(&json!({})), &blocked(&[(reason, 0)]));
        let rest = rests(step, reason, next);
        assert_eq!(says(&rest, kind), Some((Status::False, reason)), "{reason}");
        assert_eq!(says(&rest, ConditionType::OffsetsCommitted), None);
    }
}

#[test]
fn replication_has_caught_up_where_the_logs_were_read_and_nothing_says_otherwise() {
    let caught_up = |reason| {
        let step = decide(&migration(&json!({})), &blocked(&[(reason, 0)]));
        says(&rest(step), ConditionType::ReplicationCaughtUp)
    };
    let held = Some((Status::True, Reason::CaughtUp));
    assert_eq!(caught_up(Reason::GapOnTarget), held);
    assert_eq!(caught_up(Reason::NativeRecordsRefused), held);
    // Found before anything was read on the target.
    assert_eq!(caught_up(Reason::TopicNotReplicated), None);
    assert_eq!(caught_up(Reason::TargetPartitionMissing), None);
}

#[test]
fn what_the_user_must_mend_speaks_before_what_is_waited_for() {
    let seen = blocked(&[
        (Reason::ReplicationBehind, 0),
        (Reason::GapOnTarget, 1),
        (Reason::GapOnTarget, 2),
        (Reason::GapOnTarget, 3),
    ]);
    let rest = rests(decide(&migration(&json!({})), &seen), Reason::GapOnTarget, Next::Seldom);
    assert_eq!(
        says(&rest, ConditionType::ReplicationCaughtUp),
        Some((Status::False, Reason::ReplicationBehind))
    );
    let message = rest.rungs.ready().message;
    assert_eq!(message, "orders-1: GapOnTarget (and 2 more partitions, next orders-2)");
}

#[test]
fn a_computed_plan_is_stored_before_the_target_group_is_looked_at() {
    let object = migration(&json!({}));
    let mut seen = up_to_stored(&object);
    seen.journal = up_to_rivals(&object, None).journal;
    let step = decide(&object, &seen);
    acts(&step, Act::StorePlan);
    let Step::Act(_, rungs) = step else { unreachable!() };
    assert_eq!(rungs.ready().reason, Reason::CommittingOffsets);
    assert_eq!(decide(&object, &up_to_stored(&object)), Step::Look(Look::Target));
}

#[test]
fn a_plan_that_was_computed_anew_replaces_the_stored_one() {
    let object = migration(&json!({}));
    let newer = Plan { computed_at: "2026-11-22T11:00:00Z".into(), ..plan() };
    let seen = Seen { mapping: Some(Mapping::Mapped(Box::new(newer))), ..ready_to_commit(&object) };
    acts(&decide(&object, &seen), Act::StorePlan);
}

/// Seen: a plan that a former reconcile stored, its commit not begun, and all that comes before it.
fn stored(object: &crate::api::v1alpha1::AppMigration, plan: Plan) -> Seen {
    Seen { target: Some(target(&[])), ..up_to_quiet(object, Some(plan)) }
}

#[test]
fn a_stored_plan_is_checked_again_rather_than_computed_again() {
    let object = migration(&json!({}));
    let mut seen = stored(&object, plan());
    assert_eq!(decide(&object, &seen), Step::Look(Look::Unmoved));
    seen.unmoved = Some(Ok(()));
    acts(&decide(&object, &seen), Act::Commit);
}

#[test]
fn a_stored_plan_is_computed_again_where_something_moved() {
    let object = migration(&json!({}));
    let seen = Seen { unmoved: Some(Err("orders-0 moved".into())), ..stored(&object, plan()) };
    assert_eq!(decide(&object, &seen), Step::Look(Look::Mapping));
}

#[test]
fn a_stored_plan_is_computed_again_where_a_spec_has_changed() {
    let object = migration(&json!({}));
    let mut policy = plan();
    policy.generation = 7;
    let mut another = plan();
    another.made_for.replicator_uid = "former".into();
    let mut routes = plan();
    routes.made_for.replicator_generation = 7;
    for plan in [policy, another, routes] {
        assert_eq!(decide(&object, &stored(&object, plan)), Step::Look(Look::Mapping));
    }
}

#[test]
fn a_group_that_came_back_after_the_plan_was_stored_is_waited_for() {
    let object = migration(&json!({}));
    let seen =
        Seen { group: Some(Group::Unfit(Reason::GroupActive, "why".into())), ..stored(&object, plan()) };
    rests(decide(&object, &seen), Reason::GroupActive, Next::BackOff);
}

#[test]
fn a_plan_for_another_cluster_is_never_committed_begun_or_not() {
    let object = migration(&json!({}));
    for (source, target) in [("other", "T"), ("S", "other")] {
        for plan in [plan(), announced()] {
            let seen = Seen {
                clusters: Some(ClusterIds { source: source.into(), target: target.into() }),
                ..up_to_rivals(&object, Some(plan))
            };
            let rest = rests(decide(&object, &seen), Reason::ClusterChanged, Next::Seldom);
            stands_at(&rest, ConditionType::OffsetsCommitted);
            assert!(rest.rungs.ready().message.contains("other"));
        }
    }
}

#[test]
fn what_moved_while_the_plan_was_stored_is_told_and_looked_at_again() {
    let object = migration(&json!({}));
    let seen = Seen { unmoved: Some(Err("orders-0 moved".into())), ..ready_to_commit(&object) };
    let rest = rests(decide(&object, &seen), Reason::MappingOffsets, Next::BackOff);
    stands_at(&rest, ConditionType::OffsetsMapped);
    assert!(rest.rungs.ready().message.contains("orders-0 moved"));
}
