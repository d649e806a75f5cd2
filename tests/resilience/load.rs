//! Many objects, many edits, a bad connection to the API server, a long time. In `make test` a sample, whole in
//! `make soak`, where the figures are printed.

use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, Instant},
};

use appmigration::api::v1alpha1::{AppMigration, K2KReplicator};
use futures::{StreamExt, stream};
use kube::{
    Api,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::harness::{
    AppMigrationSpec, Case, Operator, Reason, Side, Topic,
    migration::ready_reason,
    operator,
    proxy::Proxy,
    sockets, specs,
    stack::{block_on, eventually, var},
    wire::Offset,
};

/// Whole only where it is asked for.
fn whole() -> bool {
    std::env::var("SOAK").is_ok()
}

/// For many objects on a small machine.
const LONG: Duration = Duration::from_mins(3);

/// Defaults, as they are shipped; the tests' own are short.
const SHIPPED: [(&str, &str); 5] = [
    ("APPMIGRATION_BACKOFF_MAX", "30s"),
    ("APPMIGRATION_STALLED_RECHECK", "10m"),
    ("APPMIGRATION_REPLICATOR_RECHECK", "1m"),
    ("APPMIGRATION_SOURCE_WATCH", "30s"),
    ("APPMIGRATION_PREVIEW_RECHECK", "1m"),
];

fn create_all<K>(case: &Case, objects: Vec<K>)
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope> + Clone + std::fmt::Debug,
    K: serde::Serialize + serde::de::DeserializeOwned,
    K::DynamicType: Default,
{
    let api: Api<K> = case.api();
    let create = |object: K| {
        let api = api.clone();
        async move { api.create(&PostParams::default(), &object).await.map(drop) }
    };
    let made = stream::iter(objects).map(create).buffer_unordered(16).collect::<Vec<_>>();
    for made in block_on(made) {
        made.unwrap();
    }
}

fn all(case: &Case) -> Vec<AppMigration> {
    block_on(case.api::<AppMigration>().list(&ListParams::default())).unwrap().items
}

fn reasons(case: &Case) -> BTreeMap<String, usize> {
    let mut reasons = BTreeMap::new();
    for object in all(case) {
        *reasons.entry(ready_reason(&object).unwrap_or("none").to_owned()).or_default() += 1;
    }
    reasons
}

/// Waits until so many say this reason.
fn come_to(case: &Case, reason: Reason, number: usize) {
    let start = Instant::now();
    while reasons(case).get(reason.as_str()).copied().unwrap_or_default() < number {
        assert!(start.elapsed() < LONG, "{number} of {}: {:?}", reason.as_str(), reasons(case));
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Replicators `k2k-0`, `k2k-1`, … that differ in nothing but their names.
fn replicators(case: &Case, number: usize) {
    let spec = specs::replicator(&format!("{}-.*", case.namespace));
    create_all(case, (0..number).map(|n| K2KReplicator::new(&format!("k2k-{n}"), spec.clone())).collect());
}

fn migration(case: &Case, n: usize, replicators: usize, confirmed: bool) -> AppMigration {
    let spec = AppMigrationSpec {
        stop_confirmed: confirmed,
        replicator_ref: serde_json::from_value(json!({ "name": format!("k2k-{}", n % replicators) }))
            .unwrap(),
        ..specs::migration(&format!("{}-{n}", case.group))
    };
    AppMigration::new(&format!("app-{n}"), spec)
}

/// Requests of the operator by verb and resource, leases aside, since that line of the audit log.
fn requests(since: usize) -> BTreeMap<String, usize> {
    let log = fs::read_to_string(var("AUDIT_LOG")).unwrap();
    let mut counts = BTreeMap::new();
    for event in log.lines().skip(since).filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let user = event["user"]["username"].as_str().unwrap_or_default();
        let resource = event["objectRef"]["resource"].as_str().unwrap_or_default();
        if user.ends_with(":appmigration-operator")
            && event["stage"] == "ResponseComplete"
            && resource != "leases"
        {
            *counts.entry(format!("{} {resource}", event["verb"].as_str().unwrap())).or_default() += 1;
        }
    }
    counts
}

fn audit_lines() -> usize {
    fs::read_to_string(var("AUDIT_LOG")).unwrap().lines().count()
}

#[test]
fn many_that_wait_cost_little() {
    let (many, running, number) = if whole() { (1_000, 10, 20) } else { (60, 4, 4) };
    let case = Case::alone("many");
    operator::stay_away();
    let short = case.topic("short", 1);
    short.fill(0, 10).copy(0, 0..3);
    for n in 0..many {
        case.commit(
            Side::Source,
            &format!("{}-{n}", case.group),
            [((short.name.clone(), 0), 7.into())].into(),
        );
    }
    let operator = Operator::start("many", &SHIPPED);
    replicators(&case, number);
    create_all(&case, (0..many).map(|n| migration(&case, n, number, n < running)).collect());
    come_to(&case, Reason::AwaitingStopConfirmation, many - running);
    come_to(&case, Reason::ReplicationBehind, running);
    let previewed =
        || all(&case).iter().filter(|o| o.status.as_ref().is_some_and(|s| s.preview.is_some())).count();
    eventually(LONG, "all previews", || previewed() == many - running);
    // Started anew: everything has been said, and is seen again.
    operator.stop();
    operator.launch(&SHIPPED);
    let since = audit_lines();
    let minutes = if whole() { std::env::var("MINUTES").map_or(5, |m| m.parse().unwrap()) } else { 1 };
    let mut sizes = Vec::new();
    for _ in 0..minutes * 6 {
        std::thread::sleep(Duration::from_secs(if whole() { 10 } else { 2 }));
        sizes.push(sockets::size(sockets::pid("many")));
    }
    let asked = requests(since);
    let total: usize = asked.values().sum();
    let (threads, resident) = *sizes.last().unwrap();
    let most = sizes.iter().map(|(_, resident)| *resident).max().unwrap();
    println!(
        "{many} migrations over {number} replicators, {running} running: {resident} kB resident at the end, {most} kB at most, {threads} threads"
    );
    println!("requests to the API server in {minutes} min beside the Lease: {total}: {asked:?}");
    let writes =
        asked.iter().filter(|(what, _)| !["get", "list", "watch"].iter().any(|verb| what.starts_with(verb)));
    let writes: usize = writes.map(|(_, n)| *n).sum();
    assert_eq!(writes, 0, "writes at rest: {asked:?}");
    // What the first looks need: each confirmed one reads its journal at each look.
    assert!(total < 40 * minutes + 40 * running * minutes, "{asked:?}");
    // The sample runs with a debug build, whose code alone takes more.
    let limit = if whole() { 64 } else { 160 };
    assert!(resident < limit * 1024, "{resident} kB resident, {limit} MiB are enough");
    short.copy(0, 3..10);
    come_to(&case, Reason::Completed, running);
}

/// 0..10 on each partition, c = 4 on each, for every one of the groups.
fn committed_by_all(case: &Case, groups: usize, partitions: i32) -> Topic<'_> {
    let orders = case.topic("orders", partitions);
    for partition in 0..partitions {
        orders.fill(partition, 10).copy(partition, 0..10);
    }
    for n in 0..groups {
        let offsets = (0..partitions).map(|p| ((orders.name.clone(), p), Offset::from(4)));
        case.commit(Side::Source, &format!("{}-{n}", case.group), offsets.collect());
    }
    orders
}

#[test]
fn many_confirmed_at_once_all_complete() {
    let (groups, partitions) = if whole() { (100, 50) } else { (20, 10) };
    let case = Case::alone("at-once");
    operator::restart();
    let orders = committed_by_all(&case, groups, partitions);
    replicators(&case, 4);
    create_all(&case, (0..groups).map(|n| migration(&case, n, 4, false)).collect());
    come_to(&case, Reason::AwaitingStopConfirmation, groups);
    let start = Instant::now();
    let api = case.api::<AppMigration>();
    let confirm = |n: usize| {
        let (api, patch) = (api.clone(), json!({ "spec": { "stopConfirmed": true } }));
        async move {
            api.patch(&format!("app-{n}"), &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
        }
    };
    let confirmed = stream::iter(0..groups).map(confirm).buffer_unordered(32).collect::<Vec<_>>();
    for done in block_on(confirmed) {
        done.unwrap();
    }
    come_to(&case, Reason::Completed, groups);
    println!(
        "{groups} migrations of {partitions} partitions confirmed at once: {:.1} s",
        start.elapsed().as_secs_f64()
    );
    for n in 0..groups {
        let offsets = case.offsets(Side::Target, &format!("{}-{n}", case.group));
        assert_eq!(offsets.len(), usize::try_from(partitions).unwrap());
        assert!(
            offsets.iter().all(|((topic, _), o)| *topic == orders.name && o.offset == 4),
            "{n}: {offsets:?}"
        );
    }
}

/// Everybody changes everything all the time: labels, annotations, policies. What comes of it is what was asked
/// for last, and the operator does not write more than is asked of it.
#[test]
fn a_storm_of_edits() {
    let (groups, edits) = if whole() { (50, 100) } else { (10, 30) };
    let case = Case::alone("storm");
    operator::restart();
    committed_by_all(&case, groups, 2);
    replicators(&case, 2);
    create_all(&case, (0..groups).map(|n| migration(&case, n, 2, false)).collect());
    come_to(&case, Reason::AwaitingStopConfirmation, groups);
    let api = case.api::<AppMigration>();
    let since = audit_lines();
    let edit = |i: usize| {
        let api = api.clone();
        let policy = ["Accept", "Fail"][i / groups % 2];
        let patch = json!({
            "metadata": { "labels": { "round": i.to_string() }, "annotations": { "k2k.dev/retry": i.to_string() } },
            "spec": { "policies": { "gap": policy }, "stopConfirmed": i / groups + 1 == edits },
        });
        async move {
            api.patch(&format!("app-{}", i % groups), &PatchParams::default(), &Patch::Merge(patch))
                .await
                .map(drop)
        }
    };
    let edited = stream::iter(0..groups * edits).map(edit).buffered(8).collect::<Vec<_>>();
    for done in block_on(edited) {
        done.unwrap();
    }
    come_to(&case, Reason::Completed, groups);
    let writes = requests(since).get("update appmigrations").copied().unwrap_or_default();
    println!("{} edits of {groups} migrations: {writes} status updates", groups * edits);
    assert!(writes <= groups * edits * 2 + groups * 12, "{writes}");
}

/// A kubeconfig of the operator by way of `proxy`.
fn through(proxy: &Proxy) -> String {
    let text = fs::read_to_string(var("OPERATOR_KUBECONFIG")).unwrap();
    let path = format!("{}/through-{}.kubeconfig", var("STACK_DIR"), proxy.address.port());
    fs::write(&path, text.replace(&format!("127.0.0.1:{}", var("KUBE_PORT")), &proxy.address.to_string()))
        .unwrap();
    path
}

/// Connections to the API server are cut again and again, then all that are open are silent for ever.
#[test]
fn a_watch_that_is_dropped_again_and_again() {
    let case = Case::alone("dropped");
    operator::stay_away();
    let proxy = Proxy::new("127.0.0.1:0", &format!("127.0.0.1:{}", var("KUBE_PORT")));
    let kubeconfig = through(&proxy);
    let lease = [("APPMIGRATION_LEASE_DURATION", "8s"), ("THROUGH_KUBECONFIG", kubeconfig.as_str())];
    let _operator = Operator::start("dropped", &lease);
    let groups = 10;
    let orders = committed_by_all(&case, groups + 1, 2);
    replicators(&case, 2);
    create_all(&case, (0..groups).map(|n| migration(&case, n, 2, true)).collect());
    for _ in 0..40 {
        proxy.cut();
        std::thread::sleep(Duration::from_millis(100));
    }
    come_to(&case, Reason::Completed, groups);
    if whole() {
        // No end of a connection is ever seen; what is new is seen all the same, after a minute at most.
        proxy.abandon();
        create_all(&case, vec![migration(&case, groups, 2, true)]);
        come_to(&case, Reason::Completed, groups + 1);
    }
    for n in 0..groups {
        let offsets = case.offsets(Side::Target, &format!("{}-{n}", case.group));
        assert!(offsets.len() == 2 && offsets.iter().all(|(t, o)| t.0 == orders.name && o.offset == 4));
    }
}

/// Time from the confirmation to the end, by the status' own times and by this test's clock.
#[test]
fn from_the_confirmation_to_the_end() {
    let (sizes, rounds): (&[i32], usize) = if whole() { (&[1, 50, 500], 20) } else { (&[1, 50], 2) };
    for partitions in sizes {
        let case = Case::alone("figures");
        operator::restart();
        committed_by_all(&case, rounds, *partitions);
        replicators(&case, 1);
        let mut took = Vec::new();
        for n in 0..rounds {
            create_all(&case, vec![migration(&case, n, 1, false)]);
            come_to(&case, Reason::AwaitingStopConfirmation, 1);
            let name = format!("app-{n}");
            let patch = Patch::Merge(json!({ "spec": { "stopConfirmed": true } }));
            let start = Instant::now();
            block_on(case.api::<AppMigration>().patch(&name, &PatchParams::default(), &patch)).unwrap();
            let done = |o: &Value| o["status"]["completedAt"].is_string();
            case.wait_for("AppMigration", &name, "its end", LONG, done);
            took.push(start.elapsed());
        }
        took.sort();
        println!(
            "{partitions} partitions, confirmed to completed, quiet period 1 s: median {:.2} s, worst of {rounds} {:.2} s",
            took[rounds / 2].as_secs_f64(),
            took[rounds - 1].as_secs_f64()
        );
    }
}

/// Migrations come and go for a long time, the API server and the brokers are cut off now and then: memory and
/// threads stay what they are.
#[test]
fn a_long_time() {
    let seconds: u64 = std::env::var("SOAK").map_or(20, |text| text.parse().unwrap());
    let case = Case::alone("soak");
    operator::stay_away();
    let proxy = Proxy::new(&var("TARGET_PROXY"), &var("TARGET_PROXIED"));
    let api_server = Proxy::new("127.0.0.1:0", &format!("127.0.0.1:{}", var("KUBE_PORT")));
    let kubeconfig = through(&api_server);
    let operator =
        Operator::start("soak", &[("THROUGH_KUBECONFIG", &kubeconfig), ("APPMIGRATION_KAFKA_IDLE", "5s")]);
    let orders = committed_by_all(&case, 0, 10);
    case.replicator(|spec| spec.target.as_mut().unwrap().bootstrap_servers = var("TARGET_PROXY"));
    let (start, mut sizes, mut done) = (Instant::now(), Vec::new(), 0);
    while start.elapsed() < Duration::from_secs(seconds) {
        let names: Vec<usize> = (done..done + 5).collect();
        for n in &names {
            let offsets = (0..10).map(|p| ((orders.name.clone(), p), Offset::from(4)));
            case.commit(Side::Source, &format!("{}-{n}", case.group), offsets.collect());
        }
        let migrations = names.iter().map(|n| {
            let mut spec = specs::migration(&format!("{}-{n}", case.group));
            spec.stop_confirmed = n % 5 != 0;
            AppMigration::new(&format!("app-{n}"), spec)
        });
        create_all(&case, migrations.collect());
        if done % 20 == 0 {
            proxy.cut();
            api_server.cut();
        }
        come_to(&case, Reason::Completed, 4);
        come_to(&case, Reason::AwaitingStopConfirmation, 1);
        for n in &names {
            let api = case.api::<AppMigration>();
            block_on(api.delete(&format!("app-{n}"), &DeleteParams::default())).unwrap();
        }
        eventually(LONG, "them to be gone", || all(&case).is_empty());
        done += 5;
        sizes.push(sockets::size(sockets::pid("soak")));
    }
    let third = sizes.len() / 3;
    let most = |part: &[(usize, u64)]| {
        (
            part.iter().map(|s| s.0).max().unwrap_or_default(),
            part.iter().map(|s| s.1).max().unwrap_or_default(),
        )
    };
    let (middle, last) = (most(&sizes[third..2 * third]), most(&sizes[2 * third..]));
    println!(
        "{done} migrations in {seconds} s: (threads, kB resident) {:?} in the first third, {middle:?} in the second, {last:?} in the last",
        most(&sizes[..third])
    );
    assert!(!operator.log().contains("panicked"), "{}", operator.log());
    if whole() {
        assert!(
            last.1 < middle.1 + middle.1 / 10 && last.0 <= middle.0 + 8,
            "it grows: {middle:?} then {last:?}"
        );
    }
}
