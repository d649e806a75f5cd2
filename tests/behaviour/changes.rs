//! The world changes between the plan and the commit.

use crate::harness::{Case, Member, Migration, Reason, Side, Topic};

/// 0: 0..10 on both sides, c = 4; a member on the target holds the commit back while the plan is stored.
fn held_back(case: &Case) -> (Topic<'_>, Member, Migration<'_>) {
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
