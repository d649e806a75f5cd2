//! A cluster that is slow or dead holds up nobody else's migrations; a connection that is lost holds up nothing.

use std::time::Duration;

use appmigration::api::v1alpha1::{AppMigration, K2KReplicator};
use kube::api::PostParams;

use crate::harness::{
    Case, Reason, Side,
    migration::ready_reason,
    operator,
    proxy::Proxy,
    specs,
    stack::{DEADLINE, block_on, eventually, var},
};

/// More than are worked on at once, each of which waits 10 s for an answer.
const STUCK: usize = 120;

#[test]
fn dead_clusters_hold_up_nobody_else() {
    // Until the case has come to rest.
    let holes: Vec<Proxy> = (0..3).map(|_| Proxy::black_hole()).collect();
    let case = Case::alone("isolation");
    operator::restart();
    let create = |name: String, spec| {
        block_on(case.api::<AppMigration>().create(&PostParams::default(), &AppMigration::new(&name, spec)))
            .unwrap();
    };
    for (n, hole) in holes.iter().enumerate() {
        let mut spec = specs::replicator("orders");
        spec.source.as_mut().unwrap().cluster.bootstrap_servers = hole.address.to_string();
        let object = K2KReplicator::new(&format!("dead-{n}"), spec);
        block_on(case.api().create(&PostParams::default(), &object)).unwrap();
    }
    for n in 0..STUCK {
        let mut spec = specs::migration(&format!("{}-{n}", case.group));
        spec.replicator_ref.name = format!("dead-{}", n % holes.len());
        spec.stop_confirmed = n % 4 != 0;
        create(format!("stuck-{n}"), spec);
    }
    // Everybody has knocked on the dead ones by now.
    eventually(DEADLINE, "connections to the dead clusters", || holes.iter().all(|hole| hole.accepted() > 0));
    let orders = case.topic("orders", 2);
    orders.fill(0, 10).copy(0, 0..10);
    case.committed(&orders, &[(0, 4)]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    // One after the other the stuck ones would take 20 minutes, 16 at once 75 seconds.
    let done = |o: &AppMigration| ready_reason(o) == Some(Reason::Completed.as_str());
    app.wait("Completed beside dead clusters", Duration::from_secs(45), done);
    assert_eq!(app.target_offset(&orders.name, 0), Some(4));
}

/// The target answers, but every piece of data takes its time: others go on meanwhile.
#[test]
fn a_slow_cluster_holds_up_nobody_else() {
    let case = Case::alone("slow");
    operator::restart();
    let proxy = Proxy::new(&var("TARGET_PROXY"), &var("TARGET_PROXIED"));
    proxy.delay(Duration::from_millis(700));
    let orders = case.topic("orders", 2);
    orders.fill(0, 10).copy(0, 0..10);
    let mut spec = specs::replicator(&format!("{}-.*", case.namespace));
    spec.target.as_mut().unwrap().bootstrap_servers = var("TARGET_PROXY");
    block_on(case.api().create(&PostParams::default(), &K2KReplicator::new("slow", spec))).unwrap();
    let slow: Vec<_> = (0..40)
        .map(|n| {
            let group = format!("{}-{n}", case.group);
            case.commit(Side::Source, &group, [((orders.name.clone(), 0), 3.into())].into());
            case.migrate_as(&format!("slow-{n}"), |spec| {
                spec.consumer_group = group;
                spec.replicator_ref.name = "slow".into();
            })
        })
        .collect();
    eventually(DEADLINE, "connections to the slow cluster", || proxy.accepted() > 0);
    case.committed(&orders, &[(0, 4)]);
    case.replicator(|_| {});
    case.migrate(|_| {}).completes_exactly();
    assert!(slow.iter().any(|m| ready_reason(&m.get()) != Some("Completed")), "they were not slow");
    proxy.delay(Duration::ZERO);
    for migration in &slow {
        migration.completes_exactly();
    }
}

/// Every connection to the target is cut again and again.
#[test]
fn connections_that_are_cut_again_and_again() {
    let case = Case::alone("cut");
    operator::restart();
    let proxy = Proxy::new(&var("TARGET_PROXY"), &var("TARGET_PROXIED"));
    let orders = case.topic("orders", 4);
    for partition in 0..4 {
        orders.fill(partition, 200).copy(partition, 0..200);
    }
    case.committed(&orders, &[(0, 4), (1, 100), (2, 199), (3, 0)]);
    case.replicator(|spec| spec.target.as_mut().unwrap().bootstrap_servers = var("TARGET_PROXY"));
    let app = case.migrate(|_| {});
    for _ in 0..20 {
        proxy.cut();
        std::thread::sleep(Duration::from_millis(150));
    }
    app.completes_exactly();
    // Nobody closes these, and nothing arrives on them any more.
    let group = format!("{}-2", case.group);
    case.commit(Side::Source, &group, [((orders.name.clone(), 0), 7.into())].into());
    proxy.swallow(true);
    let second = case.migrate_as("second", |spec| spec.consumer_group = group);
    let waits = |o: &AppMigration| {
        ready_reason(o).is_some_and(|r| ["TargetUnavailable", "ReplicatorNotReady"].contains(&r))
    };
    second.wait("TargetUnavailable", DEADLINE, waits);
    proxy.swallow(false);
    second.completes_exactly();
}
