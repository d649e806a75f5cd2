//! When nothing changes outside, nothing is written: neither a status nor an event, whatever the state.

use std::{
    fs,
    thread::sleep,
    time::{Duration, Instant},
};

use appmigration::api::v1alpha1::{AppMigration, ConditionType, K2KReplicator};
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::harness::{
    Case, Member, Operator, Reason, Side, http,
    migration::{condition, ready_reason},
    operator,
    points::{Point, Points},
    sockets, specs,
    stack::{DEADLINE, block_on, eventually, kubectl, var},
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
    // Servers that nobody listens on, several of them: whichever was tried last, the words stay.
    let mut dead = specs::replicator(&orders.name);
    dead.target.as_mut().unwrap().bootstrap_servers = "127.0.0.1:1,127.0.0.1:2,127.0.0.1:3".into();
    block_on(case.api().create(&PostParams::default(), &K2KReplicator::new("dead", dead))).unwrap();
    let unreachable = case.migrate_as("app-5", |spec| {
        spec.replicator_ref = serde_json::from_value(json!({ "name": "dead" })).unwrap();
    });
    unreachable.wait("the word of its replicator", DEADLINE, |o| {
        let ready = condition(o, ConditionType::Ready);
        ready.is_some_and(|ready| ready.message.contains("TargetUnavailable"))
    });

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

/// Everything has been said: an operator that is started anew writes nothing but its Lease, asks little, and
/// closes every connection to Kafka.
#[test]
fn a_new_operator_finds_nothing_to_write_and_closes_its_connections() {
    let case = Case::alone("quiet");
    let orders = case.topic("orders", 1);
    let holed = case.topic("holed", 1);
    orders.fill(0, 10).copy(0, 0..10);
    holed.fill(0, 10).copy(0, (0..4).chain(6..10));
    case.replicator(|_| {});
    operator::restart();
    let groups = ["done", "gap", "open"].map(|name| format!("{}-{name}", case.group));
    for (group, topic) in groups.iter().zip([&orders, &holed, &orders]) {
        case.commit(Side::Source, group, [((topic.name.clone(), 0), 4.into())].into());
    }
    let migrate = |name: &str, group: &String, confirmed| {
        case.migrate_as(name, |spec| {
            spec.consumer_group.clone_from(group);
            spec.stop_confirmed = confirmed;
        })
    };
    let done = migrate("done", &groups[0], true);
    let gap = migrate("gap", &groups[1], true);
    let open = migrate("open", &groups[2], false);
    let held = case.migrate_as("held", |spec| spec.suspend = true);
    done.completes_exactly();
    gap.stalls(Reason::GapOnTarget, &[&holed.at(0)]);
    open.wait("its preview", DEADLINE, |o| o.status.as_ref().is_some_and(|s| s.preview.is_some()));
    held.wait("Suspended", DEADLINE, |o| ready_reason(o) == Some("Suspended"));

    operator::stay_away();
    let before = versions(&case);
    let slow = ["STALLED_RECHECK", "REPLICATOR_RECHECK", "PREVIEW_RECHECK", "SOURCE_WATCH"];
    let slow = slow.map(|name| (format!("APPMIGRATION_{name}"), "1h"));
    let mut extra: Vec<(&str, &str)> = slow.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    extra.push(("APPMIGRATION_KAFKA_IDLE", "2s"));
    let since = lines_of_audit();
    let operator = Operator::start("quiet", &extra);
    operator.says("ready", 1, DEADLINE);
    let brokers = sockets::of_brokers();
    let connected = || -> Vec<u16> {
        sockets::connected_to(sockets::pid("quiet")).intersection(&brokers).copied().collect()
    };
    eventually(DEADLINE, "a connection to Kafka", || !connected().is_empty());
    eventually(DEADLINE, "no connection to Kafka", || connected().is_empty());
    // So long nothing at all happens: no write, no connection.
    let (start, asked) = (Instant::now(), requests(since));
    while start.elapsed() < Duration::from_secs(12) {
        assert_eq!(connected(), Vec::<u16>::new(), "after {:?}", start.elapsed());
        assert_eq!(versions(&case), before, "{:#?}", writes(&case));
        sleep(Duration::from_millis(500));
    }
    let all = requests(since);
    let written: Vec<&String> =
        all.iter().filter(|r| !["get", "list", "watch"].iter().any(|verb| r.starts_with(verb))).collect();
    assert!(written.iter().all(|r| r.contains("/leases")), "{written:#?}");
    let later: Vec<&String> = all[asked.len()..].iter().filter(|r| !r.contains("/leases")).collect();
    assert!(later.len() <= 1, "asked at rest: {later:#?}");
}

/// While nothing moves that could end it a wait reads no logs, but every tenth time; that the source goes on is
/// nothing of the kind.
#[test]
fn a_wait_reads_no_logs_while_nothing_moves() {
    let case = Case::alone("standstill");
    operator::restart();
    let orders = case.topic("orders", 1);
    orders.fill(0, 10).copy(0, 0..2);
    case.committed(&orders, &[(0, 4)]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.waits(Reason::ReplicationBehind, &[&orders.at(0)]);
    let count =
        |series: &str| http::metrics().get(&format!("appmigration_{series}")).copied().unwrap_or_default();
    let looks = || count("mapping_duration_seconds_count");
    let reads = || count("kafka_calls_total{call=\"scan\",outcome=\"ok\"}");
    let start = looks();
    eventually(DEADLINE, "two looks", || looks() >= start + 2.0);
    let (start, before) = (looks(), reads());
    let mut produced = 0;
    eventually(2 * DEADLINE, "eleven looks", || {
        orders.fill(0, 1);
        produced += 1;
        looks() >= start + 11.0
    });
    let read = reads() - before;
    assert!((1.0..=4.0).contains(&read), "{read} reads in eleven looks, beside {produced} new records");
    // Whatever moves on the target is seen at the next look.
    orders.copy(0, 2..10);
    app.completes_exactly();
}

/// How long the mapping took says nothing of the next look, which checks the stored plan: who has stopped the member
/// that held the commit back waits for seconds, not for ten times as long as the mapping took.
#[test]
fn a_plan_that_took_long_is_committed_once_it_can_be() {
    let case = Case::alone("tooklong");
    let orders = case.topic("orders", 1);
    orders.fill(0, 10).copy(0, 0..10);
    case.committed(&orders, &[(0, 4)]);
    let points = [Point { name: "read 1 partitions", behind: 0, object: format!("{}/app", case.namespace) }];
    let mapping = Points::hold(&points);
    case.replicator(|_| {});
    let early = Member::classic(Side::Target, &case.group, &orders.name);
    let app = case.migrate(|_| {});
    mapping.wait_for_arrival(&points);
    // Ten times that is more than any test waits.
    sleep(DEADLINE / 8);
    mapping.release();
    app.waits(Reason::TargetGroupActive, &[&case.group]);
    early.leave();
    app.completes_exactly();
}

/// As a tool does that replaces whole objects: what was said is said again at once, though nothing else has changed
/// and no look is due for an hour.
#[test]
fn a_status_that_is_wiped_comes_back_at_once() {
    let case = Case::alone("wiped");
    operator::stay_away();
    let slow = ["STALLED_RECHECK", "REPLICATOR_RECHECK", "PREVIEW_RECHECK", "SOURCE_WATCH"];
    let slow = slow.map(|name| (format!("APPMIGRATION_{name}"), "1h"));
    let slow: Vec<(&str, &str)> = slow.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let _operator = Operator::start("wiped", &slow);
    let orders = case.topic("orders", 1);
    let holed = case.topic("holed", 1);
    orders.fill(0, 10).copy(0, 0..10);
    holed.fill(0, 10).copy(0, (0..4).chain(6..10));
    case.replicator(|_| {});
    let groups = ["done", "gap", "open"].map(|name| format!("{}-{name}", case.group));
    for (group, topic) in groups.iter().zip([&orders, &holed, &orders]) {
        case.commit(Side::Source, group, [((topic.name.clone(), 0), 4.into())].into());
    }
    let [done, gap, open] = [0, 1, 2].map(|n| {
        case.migrate_as(&format!("app-{n}"), |spec| {
            spec.consumer_group.clone_from(&groups[n]);
            spec.stop_confirmed = n != 2;
        })
    });
    let all_say = || {
        done.completes_exactly();
        gap.stalls(Reason::GapOnTarget, &[&holed.at(0)]);
        open.waits(Reason::AwaitingStopConfirmation, &[]);
        case.replicator_says(Reason::Ready);
    };
    all_say();
    let plan = done.get().status.unwrap().plan;
    let nothing = Patch::Merge(json!({ "status": null }));
    for app in [&done, &gap, &open] {
        block_on(case.api::<AppMigration>().patch_status(&app.name, &PatchParams::default(), &nothing))
            .unwrap();
    }
    block_on(case.api::<K2KReplicator>().patch_status("k2k", &PatchParams::default(), &nothing)).unwrap();
    all_say();
    assert_eq!(done.get().status.unwrap().plan, plan);
}

fn lines_of_audit() -> usize {
    fs::read_to_string(var("AUDIT_LOG")).unwrap().lines().count()
}

/// What operators asked of the API server since that line of its audit log, as `verb path`.
fn requests(since: usize) -> Vec<String> {
    let log = fs::read_to_string(var("AUDIT_LOG")).unwrap();
    let events = log.lines().skip(since).filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events
        .filter(|e| {
            e["user"]["username"].as_str().is_some_and(|user| user.ends_with(":appmigration-operator"))
        })
        .filter(|e| e["stage"] == "ResponseComplete")
        .map(|e| format!("{} {}", e["verb"].as_str().unwrap(), e["requestURI"].as_str().unwrap()))
        .collect()
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
