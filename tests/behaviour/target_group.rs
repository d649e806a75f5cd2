//! The group on the target: it has members, or offsets already.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::harness::{
    Case, ExistingTargetOffsets, Member, Migration, Reason, Side, Topic,
    assertions::message,
    migration::ready_reason,
    stack::{DEADLINE, block_on, lacks_kip848},
    v1alpha1::{ALLOW_REWIND_ANNOTATION, ConditionType},
};

/// source and target 0: 0..10, c = 4, and 1: 0..10, c = 6; the target group stands at `existing`.
fn with_existing<'c>(
    case: &'c Case,
    existing: &[(i32, i64)],
    policy: ExistingTargetOffsets,
) -> (Topic<'c>, Migration<'c>) {
    let orders = case.topic("orders", 2);
    orders.fill(0, 10).fill(1, 10).copy(0, 0..10).copy(1, 0..10);
    case.committed(&orders, &[(0, 4), (1, 6)]);
    let existing = existing.iter().map(|(p, o)| ((orders.name.clone(), *p), (*o).into()));
    case.commit(Side::Target, &case.group, existing.collect());
    case.replicator(|_| {});
    let app = case.migrate(|spec| spec.policies.existing_target_offsets = policy);
    (orders, app)
}

#[test]
fn an_active_target_group_is_waited_for() {
    let case = Case::new("targetactive");
    let orders = case.topic("orders", 1);
    orders.fill(0, 10).copy(0, 0..10);
    case.committed(&orders, &[(0, 4)]);
    let early = Member::classic(Side::Target, &case.group, &orders.name);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.waits(Reason::TargetGroupActive, &[&case.group]);
    early.leave();
    app.completes_exactly();
}

#[test]
fn an_active_target_group_of_the_new_protocol_too() {
    if lacks_kip848() {
        return;
    }
    let case = Case::new("target848");
    let orders = case.topic("orders", 1);
    orders.fill(0, 10).copy(0, 0..10);
    case.committed(&orders, &[(0, 4)]);
    let early = Member::kip848(Side::Target, &case.group, &orders.name);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.waits(Reason::TargetGroupActive, &[&case.group]);
    early.leave();
    app.completes_exactly();
}

#[test]
fn offsets_of_somebody_else_block() {
    let case = Case::new("exist");
    let (orders, app) = with_existing(&case, &[(0, 7)], ExistingTargetOffsets::Fail);
    app.stalls(Reason::TargetOffsetsExist, &[&orders.at(0), "7", "4"]);
    // The way out: the policy.
    app.edit(|spec| spec.policies.existing_target_offsets = ExistingTargetOffsets::Forward);
    app.completes();
    assert_eq!(app.target_offset(&orders.name, 0), Some(7));
    assert_eq!(app.target_offset(&orders.name, 1), Some(6));
}

#[test]
fn forward_leaves_no_offset_beyond_the_end() {
    let case = Case::new("beyond");
    // The source's offsets copied verbatim, say: the target ends at 10.
    let (orders, app) = with_existing(&case, &[(0, 7), (1, 132)], ExistingTargetOffsets::Forward);
    app.stalls(Reason::TargetOffsetsExist, &[&orders.at(1), "132", "6", "beyond"]);
    case.forget_offset(Side::Target, &case.group, &orders, 1);
    app.retry("deleted");
    app.completes();
    assert_eq!(app.target_offset(&orders.name, 0), Some(7));
    assert_eq!(app.target_offset(&orders.name, 1), Some(6));
    let told = message(&app.get(), ConditionType::Ready);
    assert!(told.contains("left ahead") && told.contains(&orders.at(0)), "{told}");
}

#[test]
fn a_plan_that_somebody_makes_immutable_is_not_committed_by_that() {
    let case = Case::new("frozen");
    let orders = case.topic("orders", 1);
    orders.fill(0, 10).copy(0, 0..10);
    case.committed(&orders, &[(0, 4)]);
    let early = Member::classic(Side::Target, &case.group, &orders.name);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.waits(Reason::TargetGroupActive, &[&case.group]);
    let frozen = Patch::Merge(json!({ "immutable": true }));
    block_on(case.api::<ConfigMap>().patch(&app.plan_name(), &PatchParams::default(), &frozen)).unwrap();
    early.leave();
    app.stalls(Reason::PlanConflict, &[&app.plan_name(), "immutable"]);
}

#[test]
fn equal_offsets_are_no_conflict() {
    let case = Case::new("equal");
    let (_, app) = with_existing(&case, &[(0, 4), (1, 6)], ExistingTargetOffsets::Fail);
    app.completes_exactly();
}

#[test]
fn forward_keeps_what_is_ahead() {
    let case = Case::new("forward");
    let (orders, app) = with_existing(&case, &[(0, 7), (1, 2)], ExistingTargetOffsets::Forward);
    let summary = app.completes();
    assert_eq!(summary.progress, "2/2");
    let plan = app.plan();
    assert_eq!(plan.offsets, format!("{0},0,7\n{0},1,6\n", orders.name));
    assert_eq!(plan.target(&orders.name, 0)["kept"], 7);
    assert_eq!(plan.target(&orders.name, 0)["position"], 4);
    assert!(plan.target(&orders.name, 1)["kept"].is_null());
}

#[test]
fn overwrite_moves_ahead_at_once() {
    let case = Case::new("overwrite");
    let (orders, app) = with_existing(&case, &[(0, 1), (1, 2)], ExistingTargetOffsets::Overwrite);
    app.completes_exactly();
    assert_eq!((app.target_offset(&orders.name, 0), app.target_offset(&orders.name, 1)), (Some(4), Some(6)));
}

#[test]
fn overwrite_moves_back_only_with_the_uid() {
    let case = Case::new("rewind");
    let (orders, app) = with_existing(&case, &[(0, 7), (1, 2)], ExistingTargetOffsets::Overwrite);
    app.stalls(Reason::TargetOffsetsExist, &[&orders.at(0), "7", "4", ALLOW_REWIND_ANNOTATION]);
    app.annotate(ALLOW_REWIND_ANNOTATION, "some-other-uid");
    app.retry("1");
    app.wait("the retry to be handled", DEADLINE, |o| {
        o.status.as_ref().unwrap().last_handled_retry.as_deref() == Some("1")
    });
    app.stalls(Reason::TargetOffsetsExist, &[&orders.at(0)]);
    app.patch(
        &json!({ "metadata": { "annotations": { ALLOW_REWIND_ANNOTATION: app.uid, "k2k.dev/retry": "2" } } }),
    );
    app.completes_exactly();
    assert_eq!((app.target_offset(&orders.name, 0), app.target_offset(&orders.name, 1)), (Some(4), Some(6)));
}

#[test]
fn offsets_of_other_topics_are_not_touched() {
    let case = Case::new("other");
    let other = case.topic("other", 1);
    let orders = case.topic("orders", 1);
    orders.fill(0, 10).copy(0, 0..10);
    other.fill(0, 3).copy(0, 0..3);
    case.committed(&orders, &[(0, 4)]);
    case.commit(Side::Target, &case.group, [((other.name.clone(), 0), 2.into())].into());
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.comes_to_completed();
    let offsets: Vec<i64> = app.target_offsets().values().map(|o| o.offset).collect();
    assert_eq!(offsets, [4, 2]);
    assert_eq!(app.plan().offsets, format!("{},0,4\n", orders.name));
}

#[test]
fn two_migrations_of_one_target_group() {
    let case = Case::new("duplicate");
    let orders = case.topic("orders", 1);
    orders.fill(0, 10).copy(0, 0..3);
    case.committed(&orders, &[(0, 4)]);
    case.replicator(|_| {});
    let first = case.migrate_as("first", |_| {});
    first.waits(Reason::ReplicationBehind, &[]);
    let second = case.migrate_as("second", |_| {});
    second.stalls(Reason::DuplicateMigration, &["first"]);
    // Suspended as it may be, the first one has the group.
    first.edit(|spec| spec.suspend = true);
    first.wait("Suspended", DEADLINE, |o| ready_reason(o) == Some("Suspended"));
    second.retry("1");
    second.stalls(Reason::DuplicateMigration, &["first"]);
    orders.copy(0, 3..10);
    first.delete();
    second.completes_exactly();
}
