//! The world changes between the plan and the commit.

use serde_json::json;

use crate::harness::{
    Case, Copies, Member, Migration, Reason, Side, Topic, UncommittedPartitions, kafka::COMPACTED,
};

/// 0: 0..10 on both sides, c = 4; a member on the target holds the commit back while the plan is stored.
pub fn held_back(case: &Case) -> (Topic<'_>, Member, Migration<'_>) {
    let orders = case.topic("orders", 1);
    orders.fill(0, 10).copy(0, 0..10);
    case.committed(&orders, &[(0, 4)]);
    case.replicator(|_| {});
    let early = Member::classic(Side::Target, &case.group, &orders.name);
    let app = case.migrate(|_| {});
    app.waits(Reason::TargetGroupActive, &[&case.group]);
    (orders, early, app)
}

#[test]
fn the_replicator_writes_to_another_cluster_now() {
    let case = Case::new("clusterchanged");
    let (_, early, app) = held_back(&case);
    assert!(case.config_map("app-plan").is_some(), "the plan is stored");
    case.edit_replicator(|spec| {
        spec.target.as_mut().unwrap().bootstrap_servers = Side::Source.bootstrap();
        spec.source.as_mut().unwrap().cluster.bootstrap_servers = Side::Target.bootstrap();
    });
    app.stalls(Reason::ClusterChanged, &[&Side::Source.cluster_id(), &Side::Target.cluster_id()]);
    case.edit_replicator(|spec| {
        spec.target.as_mut().unwrap().bootstrap_servers = Side::Target.bootstrap();
        spec.source.as_mut().unwrap().cluster.bootstrap_servers = Side::Source.bootstrap();
    });
    early.leave();
    app.completes_exactly();
}

#[test]
fn rule_29_retention_passes_the_position() {
    let case = Case::new("retention");
    let (orders, early, app) = held_back(&case);
    // target 0..10 becomes 7..10: position 4 is gone.
    Side::Target.delete_records(&orders.name, 0, 7);
    early.leave();
    app.stalls(Reason::GapOnTarget, &[&orders.at(0), "3 records", "4 to 6"]);
}

#[test]
fn rule_29_the_replicator_writes_on() {
    let case = Case::new("writeson");
    let (orders, early, app) = held_back(&case);
    orders.fill(0, 5).copy(0, 10..15);
    early.leave();
    app.completes_exactly();
    assert_eq!(app.target_offset(&orders.name, 0), Some(4));
}

#[test]
fn rule_29_the_replicator_goes_back_and_writes_again() {
    let case = Case::new("goesback");
    let (orders, early, app) = held_back(&case);
    // 0..10, then 2..10 again: the last copy of 4 is at 12.
    orders.copy(0, 2..10);
    early.leave();
    app.completes();
    // Both are safe. The certificate speaks as of the end that it names: at 4 that is 10, at 12 it is 18.
    let (position, plan) = (app.target_offset(&orders.name, 0).unwrap(), app.plan());
    let end = plan.target(&orders.name, 0)["lastStableOffset"].as_i64().unwrap();
    assert!([(4, 10), (12, 18)].contains(&(position, end)), "{position} as of {end}");
}

#[test]
fn the_group_comes_back_to_life_on_the_source() {
    let case = Case::new("revived");
    let (orders, early, app) = held_back(&case);
    // Somebody starts the application there once more, and it commits.
    case.committed(&orders, &[(0, 6)]);
    let revived = Member::classic(Side::Source, &case.group, &orders.name);
    app.waits(Reason::GroupActive, &[&case.group]);
    revived.leave();
    early.leave();
    app.completes_exactly();
    assert_eq!(app.target_offset(&orders.name, 0), Some(6));
}

#[test]
fn rule_28_partitions_are_added_on_both_sides() {
    let case = Case::new("grown");
    let (orders, early, app) = held_back(&case);
    for side in [Side::Source, Side::Target] {
        side.grow(&orders.name, 2);
    }
    orders.fill(1, 3).copy(1, 0..3);
    case.committed(&orders, &[(1, 1)]);
    early.leave();
    app.completes_exactly();
    assert_eq!((app.target_offset(&orders.name, 0), app.target_offset(&orders.name, 1)), (Some(4), Some(1)));
}

#[test]
fn rule_28_a_new_partition_without_a_commit_makes_the_plan_stale_too() {
    let case = Case::new("grownempty");
    let (orders, early, app) = held_back(&case);
    app.edit(|spec| spec.policies.uncommitted_partitions = UncommittedPartitions::Earliest);
    app.waits(Reason::TargetGroupActive, &[&case.group]);
    // Nothing of the group says that there is a new partition. Suspended, lest it be looked at before it is filled.
    app.edit(|spec| spec.suspend = true);
    app.comes_to_say(Reason::Suspended, &[]);
    for side in [Side::Source, Side::Target] {
        side.grow(&orders.name, 2);
    }
    orders.fill(1, 3).copy(1, 0..3);
    app.edit(|spec| spec.suspend = false);
    early.leave();
    app.completes_exactly();
    let row = json!([{ "committed": 0, "assumed": "Earliest" }]);
    app.plan().certifies(&orders.name, 1, &json!({ "position": 0, "kind": "Start", "sources": row }));
    assert_eq!((app.target_offset(&orders.name, 0), app.target_offset(&orders.name, 1)), (Some(4), Some(0)));
}

#[test]
fn rule_29_the_target_topic_is_recreated() {
    let case = Case::new("retarget");
    let (orders, early, app) = held_back(&case);
    // Position 4 of the former topic lies within the new one too: target N N 0..10.
    Side::Target.recreate_topic(&orders.name, 1);
    Copies::default().native(2).of(&orders.name, 0, 0..10).write_to(&orders.name, 0);
    early.leave();
    app.completes_exactly();
    let row = json!([{ "at": { "offset": 6, "origin": 4 } }]);
    app.plan().certifies(&orders.name, 0, &json!({ "position": 6, "sources": row }));
}

#[test]
fn rule_29_the_records_on_both_sides_are_read_once_more() {
    let case = Case::new("readagain");
    // target, compacted: 0..10, each under its own key, c = 4
    let orders = case.topic_with("orders", 1, &[], &COMPACTED);
    orders.fill(0, 10);
    let copies = || Copies::default().of(&orders.name, 0, 0..10).with_keys(|n| n.to_string()).records();
    Side::Target.produce(&orders.name, 0, &copies());
    case.committed(&orders, &[(0, 4)]);
    case.replicator(|_| {});
    let early = Member::classic(Side::Target, &case.group, &orders.name);
    let app = case.migrate(|_| {});
    app.waits(Reason::TargetGroupActive, &[&case.group]);
    app.plan().certifies(&orders.name, 0, &json!({ "position": 4 }));
    // The replicator writes all of it again, and the cleaner takes the former copies: 4 is still in the log.
    Side::Target.compact(&orders.name, 0, &copies());
    assert_eq!(Side::Target.bounds(&orders.name, 0).0, 0);
    early.leave();
    app.completes_exactly();
    let row = json!([{ "below": { "offset": 13, "origin": 3 }, "at": { "offset": 14, "origin": 4 } }]);
    app.plan().certifies(&orders.name, 0, &json!({ "position": 14, "sources": row }));
}
