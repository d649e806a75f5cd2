//! `appmigration plan --file`: what would happen, from manifests, without the operator.

use std::{io::Write, process::Stdio};

use serde_json::Value;

use crate::harness::{
    AppMigration, Case, Copies, GapPolicy, ReplicationProof, Side, specs, stack::binary,
    v1alpha1::TargetTopic, wire,
};

/// What it prints, and its errors; none where all is well.
fn plan(manifests: &[String], args: &[&str]) -> (String, Option<String>) {
    let mut command = std::process::Command::new(binary());
    command.args(["plan", "--file", "-"]).args(args).env_remove("KUBECONFIG");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(manifests.join("\n---\n").as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(out.stdout), (!out.status.success()).then(|| text(out.stderr)))
}

#[test]
fn it_tells_what_would_happen_and_writes_nothing() {
    let case = Case::new("planfile");
    let orders = case.topic("orders", 2);
    // 0 is ready; on 1 the replicator is 3 records behind the committed offset.
    orders.fill(0, 10).copy(0, 0..10);
    orders.fill(1, 10).copy(1, 0..4);
    case.committed(&orders, &[(0, 6), (1, 7)]);
    let replicator = serde_json::to_string(&case.replicator(|_| {})).unwrap();
    let migration = |edit: fn(&mut AppMigration)| {
        let mut object = AppMigration::new("app", specs::migration(&case.group));
        edit(&mut object);
        serde_json::to_string(&object).unwrap()
    };

    let (table, error) = plan(&[migration(|_| {}), replicator.clone()], &[]);
    let error = error.unwrap();
    assert!(error.contains(&format!("ReplicationBehind {}: committed 7", orders.at(1))), "{error}");
    assert!(
        table.contains("with 3 records still to be replicated") && table.contains("not stored"),
        "{table}"
    );
    assert!(table.contains(&format!("group {} has no members", case.group)), "{table}");
    let waive: fn(&mut AppMigration) = |m| {
        m.spec.policies.replication_proof = ReplicationProof::Waive;
        m.spec.policies.gap = GapPolicy::Accept;
    };
    let (json, error) = plan(&[replicator.clone(), migration(waive)], &["-o", "json"]);
    assert_eq!(error, None);
    let json: Value = serde_json::from_str(&json).unwrap();
    let places: Vec<_> = [0, 1].iter().map(|n| &json["targets"][n]["position"]).collect();
    assert_eq!(places, [6, 4], "{json:#}");
    assert_eq!(json["targets"][1]["sources"][0]["reread"], 3, "{json:#}");

    assert!(wire::committed(&Side::Target.bootstrap(), &case.group).is_empty());
    assert!(case.config_map("app-plan").is_none());
}

#[test]
fn it_says_what_a_manifest_lacks() {
    let migration = serde_json::to_string(&AppMigration::new("app", specs::migration("orders-app"))).unwrap();
    let (_, error) = plan(&[migration], &[]);
    let error = error.unwrap();
    assert!(error.contains("there is no K2KReplicator `k2k`"), "{error}");
    assert!(error.contains("AppMigration `app`"), "{error}");
}

/// The README's example: `orders-0` has read everything, `orders-1` stands in a hole, `orders-2` misses records on
/// the target, `a` and `b` are merged.
#[test]
fn a_certificate_of_every_kind() {
    let case = Case::new("kinds");
    let orders = case.topic("orders", 3);
    orders.fill(0, 5).copy(0, 0..5);
    // 0 1 2 3 M 5 6 M: the marker at 4 is not copied.
    orders.transaction(1, 4, true).transaction(1, 2, true).copy(1, [0, 1, 2, 3, 5, 6]);
    orders.fill(2, 10).copy(2, (0..4).chain(6..10));
    case.committed(&orders, &[(0, 5), (1, 4), (2, 4)]);
    let (a, b) = (case.source_topic("a", 1, &[]), case.source_topic("b", 1, &[]));
    let all = format!("{}-all", case.namespace);
    Side::Target.create_topic(&all, 1, &[]);
    a.fill(0, 4);
    b.fill(0, 4);
    let log = (0..4).fold(Copies::default(), |log, n| log.of(&a.name, 0, [n]).of(&b.name, 0, [n]));
    log.write_to(&all, 0);
    case.committed(&a, &[(0, 1)]);
    case.committed(&b, &[(0, 3)]);
    case.replicator(|spec| {
        let target = TargetTopic { topic_name: all.clone(), ..TargetTopic::default() };
        let merged = specs::route(&format!("{0}-(a|b)", case.namespace), target);
        let plain = specs::route(&format!("{}-orders", case.namespace), TargetTopic::default());
        spec.replication = Some(vec![merged, plain]);
    });
    let app = case.migrate(|spec| spec.policies.gap = GapPolicy::Accept);
    app.completes();
    let out = std::process::Command::new(binary())
        .args(["plan", "show", "app", "--namespace", &case.namespace])
        .output()
        .unwrap();
    let table = String::from_utf8(out.stdout).unwrap().replace(&format!("{}-", case.namespace), "");
    println!("{table}");
    let rows = [
        // source, committed, target, position, kind, below, at, reread, gap, exact, complete by
        "orders-0 5 orders-0 5 End 4 (4) - 0 0 yes sourceExhausted",
        "orders-1 4 orders-1 4 Boundary 3 (3) 4 (5) 0 0 yes witness",
        "orders-2 4 orders-2 4 Boundary 3 (3) 4 (6) 0 2 no witness",
        "a-0 1 all-0 2 Boundary 0 (0) 2 (1) 0 0 yes witness",
        "b-0 3 all-0 2 Boundary 1 (0) 7 (3) 2 0 no witness",
    ];
    let printed: Vec<String> =
        table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for row in rows {
        assert!(printed.iter().any(|line| line.starts_with(row)), "{row}\n{table}");
    }
    assert!(table.contains("orders-2 on orders-2: 2 records are missing on the target"), "{table}");
    assert!(table.contains("b-0 on all-0: 2 records are read again"), "{table}");
    assert!(table.contains("committed and read back; at 3 of 3 positions the first record too"), "{table}");
}
