//! SIGTERM: no new work, what is under way is finished or parked, the Lease is given back; in time.

use std::time::Duration;

use crate::harness::{
    Case, Operator, Reason, operator,
    process::Frozen,
    proxy::Proxy,
    stack::{DEADLINE, eventually, var},
};

/// Kubernetes kills after 30 s. One that is well ends much sooner.
const GRACE: Duration = Duration::from_secs(25);

fn ends(operator: &Operator) {
    operator.terminate();
    eventually(GRACE, "its end", || !operator.is_running());
    let log = operator.log();
    assert!(log.contains("stopping") && log.contains("the Lease is given back"), "{log}");
    assert!(!log.contains("not everything came to its end"), "{log}");
}

#[test]
fn it_ends_in_the_middle_of_everything_and_the_next_start_goes_on() {
    let case = Case::alone("sigterm");
    operator::stay_away();
    let orders = case.topic("orders", 1);
    orders.fill(0, 10).copy(0, 0..3);
    case.committed(&orders, &[(0, 7)]);
    let proxy = Proxy::new(&var("TARGET_PROXY"), &var("TARGET_PROXIED"));
    let first = Operator::start("term-a", &[]);
    case.replicator(|spec| spec.target.as_mut().unwrap().bootstrap_servers = var("TARGET_PROXY"));
    let app = case.migrate(|_| {});
    app.waits(Reason::ReplicationBehind, &[&orders.at(0)]);
    // One look after the other hangs now, and one migration has not begun.
    proxy.swallow(true);
    let second = case.migrate_as("second", |spec| spec.consumer_group.push_str("-2"));
    second.wait("a first look", DEADLINE, |o| o.status.is_some());
    ends(&first);
    proxy.swallow(false);
    orders.copy(0, 3..10);
    let _next = Operator::start("term-b", &[]);
    app.completes_exactly();
    assert_eq!(app.target_offset(&orders.name, 0), Some(7));
}

/// Without an API server the Lease cannot be given back; it ends all the same.
#[test]
fn it_ends_without_an_api_server() {
    let _case = Case::alone("sigterm-alone");
    operator::stay_away();
    let operator = Operator::start("term-c", &[("APPMIGRATION_LEASE_DURATION", "4s")]);
    operator.says("INFO leading lease=", 1, DEADLINE);
    let frozen = Frozen::new("kube-apiserver");
    operator.terminate();
    eventually(GRACE, "its end", || !operator.is_running());
    drop(frozen);
}
