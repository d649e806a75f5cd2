//! The coordinator of the target group moves right before the commit, or before it is read back. A target of three
//! brokers, which is started for this.

use std::collections::BTreeMap;

use crate::harness::{
    Case, Copies, Reason, Side,
    commits::{Told, commits},
    migration::ready_reason,
    points::{Point, Points},
    random::{say, whole},
    scene::{COMMITTED, Scene},
    specs,
    stack::{DEADLINE, eventually, stack},
    wire,
};

/// Of four coordinators on three brokers, each moves some.
const GROUPS: usize = 6;

/// The third cluster; dropped, it is gone.
struct Trio;

impl Trio {
    fn up() -> Self {
        Side::trio_is_at(stack(&["trio", "up"]).unwrap().trim());
        Self
    }
}

impl Drop for Trio {
    fn drop(&mut self) {
        stack(&["trio", "down"]).unwrap();
    }
}

#[test]
fn the_coordinator_moves_before_the_commit_and_after_it() {
    let _trio = Trio::up();
    let all = [["kill", "start"], ["stop", "start"], ["pause", "resume"]];
    for how in if whole() { &all[..] } else { &all[..1] } {
        moves(*how);
    }
}

fn moves([down, up]: [&str; 2]) {
    let case = Case::alone("coordinator");
    let points: Vec<Point> = (0..GROUPS).map(|n| Scene::point(&case, n, "commit offsets", n % 2)).collect();
    let held = Points::hold(&points);
    let orders = case.source_topic("orders", 3, &[]);
    Side::Trio.create_topic(&orders.name, 3, &[]);
    for partition in 0..3 {
        orders.fill(partition, 10);
        let copies = Copies::default().of(&orders.name, partition, 0..10).records();
        Side::Trio.produce(&orders.name, partition, &copies);
    }
    case.replicator(|spec| spec.target = Some(specs::plaintext(Side::Trio)));
    case.replicator_says(Reason::Ready);
    let apps: Vec<_> = (0..GROUPS)
        .map(|n| {
            let group = format!("{}-{n}", case.group);
            let offsets = (0..).zip(COMMITTED).map(|(p, o)| ((orders.name.clone(), p), o.into()));
            case.commit(Side::Source, &group, offsets.collect());
            case.migrate_as(&format!("app-{n}"), |spec| spec.consumer_group = group)
        })
        .collect();
    held.wait_for_arrival(&points);
    let node = wire::coordinator(&Side::Trio.bootstrap(), &apps[0].target_group()).0;
    let broker = format!("trio-{node}");
    stack(&["broker", down, &broker]).unwrap();
    held.release();
    for app in &apps {
        app.wait("Completed", DEADLINE, |o| ready_reason(o) == Some("Completed"));
        app.has_named_one_plan();
        let group = app.target_group();
        assert_eq!(case.offsets(Side::Trio, &group), case.expected_offsets(Side::Source, &group), "{group}");
    }
    stack(&["broker", up, &broker]).unwrap();
    let (mut all, mut told) = (BTreeMap::new(), Told::default());
    // One that was frozen believes for a moment that it still leads, and shows its log as it was.
    eventually(DEADLINE, "every commit to be seen", || {
        all = commits(Side::Trio);
        apps.iter().all(|app| {
            let group = app.target_group();
            let seen = |partition| all.get(&group).is_some_and(|of_group| of_group.contains_key(partition));
            case.expected_offsets(Side::Source, &group).keys().all(seen)
        })
    });
    for app in &apps {
        let group = app.target_group();
        told.add(&all, &group, &case.expected_offsets(Side::Source, &group));
    }
    say(&format!(
        "{down} {broker}, which coordinates: {} wrong commits, {} repeated",
        told.wrong, told.repeated
    ));
    assert_eq!(told.wrong, 0);
}
