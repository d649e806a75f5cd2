//! The stored plan: what its files say, whom it belongs to, and what is carried over byte for byte.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};

use crate::harness::{
    Case, Copies, GapPolicy, Reason, Side,
    stack::{DEADLINE, binary, block_on},
    wire::Offset,
};

#[test]
fn a_certificate_says_everything() {
    let case = Case::new("certificate");
    // source 0: 0..10, c = 4; target: 2 natives, then 0..10
    let orders = case.topic("orders", 1);
    orders.fill(0, 10);
    Copies::default().native(2).of(&orders.name, 0, 0..10).write_to(&orders.name, 0);
    case.committed(&orders, &[(0, 4)]);
    let replicator = case.replicator(|_| {});
    let app = case.migrate(|spec| spec.target_consumer_group = Some(format!("{}-there", case.group)));
    app.completes_exactly();

    let plan = app.plan();
    assert_eq!(plan.offsets, format!("{},0,6\n", orders.name));
    assert_eq!(plan.json["version"], 1);
    assert_eq!(plan.json["migration"], "app");
    assert_eq!(plan.json["group"], case.group.as_str());
    assert_eq!(plan.json["targetGroup"], format!("{}-there", case.group));
    assert!(plan.json["computedAt"].as_str().unwrap().ends_with('Z'));
    let target = plan.target(&orders.name, 0);
    let expected = [
        ("position", json!(6)),
        ("kind", json!("Boundary")),
        ("logStart", json!(0)),
        ("lastStableOffset", json!(12)),
        ("metadata", json!("")),
        ("nativesSkipped", json!(2)),
        ("undecodable", json!(0)),
    ];
    for (field, value) in expected {
        assert_eq!(target[field], value, "{field} of {target:#}");
    }
    assert!(target["probes"].is_u64() && target["recordsRead"].as_u64() >= Some(6), "{target:#}");
    let row = plan.row(&orders.name, 0);
    let expected = [
        ("topic", json!(orders.name)),
        ("partition", json!(0)),
        ("committed", json!(4)),
        ("logStart", json!(0)),
        ("end", json!(10)),
        ("replicatorPosition", Value::Null),
        ("below", json!({ "offset": 5, "origin": 3 })),
        ("at", json!({ "offset": 6, "origin": 4 })),
        ("reread", json!(0)),
        ("gap", json!(0)),
        ("filtered", json!(0)),
        ("superseded", json!(0)),
        ("exact", json!(true)),
        ("why", json!([])),
        ("provenBy", json!("witness")),
    ];
    for (field, value) in expected {
        assert_eq!(row[field], value, "{field} of {row:#}");
    }
    assert!(row["verified"].is_string());
    let text = plan.json.to_string();
    for id in [Side::Source.cluster_id(), Side::Target.cluster_id(), replicator.metadata.uid.unwrap()] {
        assert!(text.contains(&id), "{id} is not in plan.json");
    }
    assert!(plan.snapshot.to_string().contains(&orders.name), "{:#}", plan.snapshot);
    // Nothing is committed for the group's own name.
    assert!(case.offsets(Side::Target, &case.group).is_empty());
}

#[test]
fn the_plan_belongs_to_its_migration_and_is_immutable() {
    let case = Case::new("owner");
    let orders = case.topic("orders", 1);
    orders.fill(0, 3).copy(0, 0..3);
    case.committed(&orders, &[(0, 1)]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.completes_exactly();

    let map = app.plan().config_map;
    let owners = map.metadata.owner_references.unwrap_or_default();
    assert_eq!(owners.len(), 1);
    assert_eq!((owners[0].kind.as_str(), owners[0].uid.as_str()), ("AppMigration", app.uid.as_str()));
    assert_eq!(map.immutable, Some(true));
}

#[test]
fn rule_20_metadata_is_copied_byte_for_byte() {
    let case = Case::new("metadata");
    let orders = case.topic("orders", 4);
    let odd: [&[u8]; 4] =
        [b"AAAB", b"ends in a NUL\0", b"no \xff\xfe UTF-8", "größer als ASCII ✓".as_bytes()];
    let mut offsets = BTreeMap::new();
    for (partition, metadata) in (0..).zip(odd) {
        orders.fill(partition, 3).copy(partition, 0..3);
        let metadata = metadata.to_vec();
        offsets.insert((orders.name.clone(), partition), Offset { offset: 2, metadata });
    }
    case.commit(Side::Source, &case.group, offsets);
    // The broker keeps what is no UTF-8 as replacement characters: what it gives out is what counts.
    let there = case.settled(Side::Source, &case.group);
    assert!(there[&(orders.name.clone(), 1)].metadata.ends_with(b"\0"));
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.completes_exactly();
    assert_eq!(app.target_offsets(), there);
}

#[test]
fn rule_03_holes_by_commit_and_abort_markers() {
    let case = Case::new("holes");
    // 0: source 0 1 2 3 M 5 6 7 M (two transactions, each ends in a marker), c = 4: the marker itself
    // 1: the same with the second one aborted, c = 5: inside the aborted one
    let orders = case.topic("orders", 2);
    for (partition, second_commits) in [(0, true), (1, false)] {
        orders.transaction(partition, 4, true).transaction(partition, 3, second_commits);
        orders.transaction(partition, 1, true);
    }
    orders.copy(0, [0, 1, 2, 3, 5, 6, 7, 9]).copy(1, [0, 1, 2, 3, 9]);
    case.committed(&orders, &[(0, 4), (1, 5)]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.completes_exactly();
    assert_eq!((app.target_offset(&orders.name, 0), app.target_offset(&orders.name, 1)), (Some(4), Some(4)));
    assert_eq!(app.plan().row(&orders.name, 1)["at"], json!({ "offset": 4, "origin": 9 }));
}

#[test]
fn rule_17_all_read_up_to_a_marker() {
    let case = Case::new("markerend");
    // source 0 1 2 M, c = 4: a transactional application stands behind the marker
    let orders = case.topic("orders", 1);
    orders.transaction(0, 3, true).copy(0, 0..3);
    case.committed(&orders, &[(0, 4)]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.completes_exactly();
    let row = json!({ "committed": 4, "at": null, "provenBy": "sourceExhausted" });
    app.plan().certifies(&orders.name, 0, &json!({ "position": 3, "kind": "End", "sources": [row] }));
}

#[test]
fn a_finished_object_is_never_worked_on_again() {
    let case = Case::new("finished");
    let orders = case.topic("orders", 1);
    orders.fill(0, 6).copy(0, 0..6);
    case.committed(&orders, &[(0, 3)]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.completes_exactly();
    let before = app.get().status.unwrap();
    // The application goes on there; a policy that would matter before changes.
    case.commit(Side::Target, &case.group, [((orders.name.clone(), 0), 5.into())].into());
    app.edit(|spec| spec.policies.gap = GapPolicy::Accept);
    let generation = app.get().metadata.generation;
    let object = app.wait("observedGeneration", DEADLINE, |o| {
        o.status.as_ref().unwrap().observed_generation == generation
    });
    app.retry("again");
    let after = object.status.unwrap();
    assert_eq!(app.target_offset(&orders.name, 0), Some(5));
    assert_eq!(
        (after.plan, after.completed_at, after.summary),
        (before.plan, before.completed_at, before.summary)
    );
}

#[test]
fn a_plan_of_a_former_object_is_replaced() {
    let case = Case::new("former");
    let orders = case.topic("orders", 1);
    orders.fill(0, 6).copy(0, 0..6);
    case.committed(&orders, &[(0, 3)]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.completes_exactly();
    // Re-created from Git after it had finished: harmless.
    app.delete();
    let again = app.create_again();
    again.completes_exactly();
    assert_eq!(again.target_offset(&orders.name, 0), Some(3));
    let owners = again.plan().config_map.metadata.owner_references.unwrap();
    assert_eq!(owners[0].uid, again.uid);
}

#[test]
fn a_config_map_of_somebody_else_is_left_alone() {
    let case = Case::new("planconflict");
    let orders = case.topic("orders", 1);
    orders.fill(0, 3).copy(0, 0..3);
    case.committed(&orders, &[(0, 1)]);
    let theirs: ConfigMap = serde_json::from_value(json!({
        "metadata": { "name": "app-plan" }, "data": { "mine": "yes" },
    }))
    .unwrap();
    block_on(case.api::<ConfigMap>().create(&PostParams::default(), &theirs)).unwrap();
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.stalls(Reason::PlanConflict, &["app-plan"]);
    assert_eq!(case.config_map("app-plan").unwrap().data, theirs.data);
    // The way out: it is removed, and the user says so.
    block_on(case.api::<ConfigMap>().delete("app-plan", &DeleteParams::default())).unwrap();
    app.retry("removed");
    app.completes_exactly();
    assert_eq!(app.get().status.unwrap().last_handled_retry.as_deref(), Some("removed"));
}

/// What `appmigration plan` prints, or its error.
fn plan_command(case: &Case, args: &[&str]) -> Result<String, String> {
    let mut command = std::process::Command::new(binary());
    command.arg("plan").args(args).args(["--namespace", &case.namespace]);
    let out = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if out.status.success() { Ok(text(&out.stdout)) } else { Err(text(&out.stderr)) }
}

#[test]
fn a_plan_is_shown_to_people_and_to_machines() {
    let case = Case::new("shown");
    let orders = case.topic("orders", 3);
    // 0: in the middle; 1: all read; 2: two records are missing.
    orders.fill(0, 10).copy(0, 0..10);
    orders.fill(1, 5).copy(1, 0..5);
    orders.fill(2, 10).copy(2, (0..4).chain(6..10));
    case.committed(&orders, &[(0, 3), (1, 5), (2, 4)]);
    case.replicator(|_| {});
    let error = plan_command(&case, &["show", "app"]).unwrap_err();
    assert!(error.contains("no AppMigration app") && error.contains(&case.namespace), "{error}");
    let app = case.migrate(|spec| spec.stop_confirmed = false);
    app.waits(Reason::AwaitingStopConfirmation, &[]);
    let error = plan_command(&case, &["show", "app"]).unwrap_err();
    assert!(error.contains("no plan yet") && error.contains("AwaitingStopConfirmation"), "{error}");
    app.edit(|spec| {
        spec.stop_confirmed = true;
        spec.policies.gap = GapPolicy::Accept;
    });
    app.completes();

    let table = plan_command(&case, &["show", "app"]).unwrap();
    println!("{table}");
    let computed = table.lines().find_map(|line| line.strip_prefix("  computed  ")).unwrap();
    assert_eq!(computed.len(), "2026-11-23T00:14:49Z".len(), "{computed}");
    let row = |partition| {
        let found = table.lines().find(|line| line.starts_with(&format!(" {}", orders.at(partition))));
        found.unwrap_or_else(|| panic!("{partition} in {table}")).split_whitespace().collect::<Vec<_>>()
    };
    let target = orders.at(1);
    let expected =
        [&target, "5", &target, "5", "End", "4", "(4)", "-", "0", "0", "yes", "sourceExhausted", "Scan"];
    assert_eq!(row(1)[..13], expected, "{table}");
    assert_eq!(row(2)[9..12], ["0", "2", "no"], "{table}");
    assert!(table.contains("2 records are missing on the target"), "{table}");
    assert!(table.contains("committed and read back"), "{table}");

    let json: Value =
        serde_json::from_str(&plan_command(&case, &["show", "app", "-o", "json"]).unwrap()).unwrap();
    assert_eq!(json["hash"], app.get().status.unwrap().plan.unwrap().hash);
    assert_eq!(json["targets"], app.plan().json["targets"]);
    let csv = plan_command(&case, &["show", "app", "-o", "csv"]).unwrap();
    assert_eq!(csv.lines().count(), 4, "{csv}");
    let line = format!("{0},1,5,{0},1,5,End,4,4,,,0,0,true,sourceExhausted,Scan,5,0", orders.name);
    assert!(csv.lines().any(|l| l == line), "{line} in {csv}");
}
