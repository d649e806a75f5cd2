//! `appmigration plan --file`: what would happen, from manifests, without the operator.

use std::{io::Write, process::Stdio};

use serde_json::Value;

use crate::harness::{AppMigration, Case, GapPolicy, ReplicationProof, Side, specs, stack::binary, wire};

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
    assert!(table.contains("not stored; computed now, with 3 records still to be replicated"), "{table}");
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
