//! When nothing changes outside, nothing is written: neither a status nor an event, whatever the state.

use std::{
    fs,
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::harness::{
    Case, Member, Reason, Side,
    stack::{kubectl, var},
};

/// Longer than a stalled object (10 s here) and a replicator (5 s) are left alone.
const WATCHED: Duration = Duration::from_secs(24);

#[test]
fn at_rest_nothing_is_written() {
    let case = Case::new("rest");
    let orders = case.topic("orders", 1);
    let short = case.topic("short", 1);
    let holed = case.topic("holed", 1);
    orders.fill(0, 10).copy(0, 0..10);
    short.fill(0, 10).copy(0, 0..2);
    holed.fill(0, 10).copy(0, (0..4).chain(6..10));
    case.replicator(|_| {});
    let groups = ["done", "behind", "gap", "open", "held"].map(|name| format!("{}-{name}", case.group));
    for (group, topic) in groups.iter().zip([&orders, &short, &holed, &orders, &orders]) {
        case.commit(Side::Source, group, [((topic.name.clone(), 0), 4.into())].into());
    }
    let member = Member::classic(Side::Target, &groups[4], &orders.name);
    let [done, behind, gap, open, held] = [0, 1, 2, 3, 4].map(|n| {
        case.migrate_as(&format!("app-{n}"), |spec| {
            spec.consumer_group.clone_from(&groups[n]);
            spec.stop_confirmed = n != 3;
        })
    });
    done.completes_exactly();
    behind.waits(Reason::ReplicationBehind, &[&short.at(0)]);
    gap.stalls(Reason::GapOnTarget, &[&holed.at(0)]);
    open.waits(Reason::AwaitingStopConfirmation, &[]);
    held.waits(Reason::TargetGroupActive, &[&groups[4]]);

    // Settled since the last step; what follows must not be there.
    sleep(Duration::from_secs(2));
    let before = versions(&case);
    let start = Instant::now();
    while start.elapsed() < WATCHED {
        assert_eq!(versions(&case), before, "after {} s: {:#?}", start.elapsed().as_secs(), writes(&case));
        sleep(Duration::from_secs(1));
    }
    member.leave();
    held.completes_exactly();
}

/// Resource versions of everything in the namespace.
fn versions(case: &Case) -> Vec<String> {
    let path = "{range .items[*]}{.kind}/{.metadata.name} {.metadata.resourceVersion}{\"\\n\"}{end}";
    let kinds = "appmig,k2k,configmaps,events.events.k8s.io";
    let text = kubectl(&["-n", &case.namespace, "get", kinds, "-o", &format!("jsonpath={path}")]).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// The last writes to the namespace, from the API server's audit log.
fn writes(case: &Case) -> Vec<String> {
    let log = fs::read_to_string(var("AUDIT_LOG")).unwrap();
    let of_case = log.lines().rev().take(2_000).filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let writes = of_case.filter(|e| e["objectRef"]["namespace"] == case.namespace.as_str());
    let writes =
        writes.filter(|e| !["get", "list", "watch"].contains(&e["verb"].as_str().unwrap_or_default()));
    writes
        .map(|e| format!("{} {} {}", e["requestReceivedTimestamp"], e["verb"], e["requestURI"]))
        .take(10)
        .collect()
}
