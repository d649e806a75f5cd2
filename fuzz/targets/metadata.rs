//! Commit metadata, which is any bytes: it goes through snapshot, plan, files and hash as it is.

#![no_main]

use std::collections::BTreeMap;

use appmigration::{
    TopicPartition,
    api::v1alpha1::AppMigration,
    controller::journal::{Journal, Snapshot, decode, encode},
    kafka::Committed,
    mapping::Plan,
};
use libfuzzer_sys::fuzz_target;

fn migration(group: &str) -> AppMigration {
    let json = serde_json::json!({
        "metadata": { "name": "app", "namespace": "a", "uid": "u" },
        "spec": { "replicatorRef": { "name": "k2k" }, "consumerGroup": group },
    });
    serde_json::from_value(json).expect("a migration")
}

/// A plan for one partition with that metadata.
fn plan(group: &str, metadata: &[u8]) -> Plan {
    let json = include_str!("plan.json");
    let mut plan: Plan = serde_json::from_str(json).expect("a plan");
    plan.group = group.to_owned();
    plan.targets[0].metadata = metadata.to_vec();
    plan
}

// A group, a NUL, the metadata.
fuzz_target!(|bytes: &[u8]| {
    let split = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let Ok(group) = str::from_utf8(&bytes[..split]) else { return };
    let metadata = bytes[split..].to_vec();
    let object = migration(group);
    let q = TopicPartition::new("orders", 0);
    let committed = Committed { offset: 7, metadata: metadata.clone() };
    let (committed, stable) = (BTreeMap::from([(q.clone(), committed)]), BTreeMap::from([(q, 9)]));
    let snapshot = Snapshot::new(&object.spec, &committed, &stable, "2026-11-22T10:00:00Z".into());
    let journal =
        Journal { snapshot: Some(snapshot), plan: Some(plan(group, &metadata)), ..Journal::default() };
    let maps = encode(&object, &journal).expect("it can be written");
    let (first, parts) = maps.split_last().expect("one at least");
    let again = decode(first, parts).expect("what was written");
    let plan = again.plan.expect("the plan");
    assert_eq!(plan.targets[0].metadata, metadata);
    assert_eq!(plan.hash(), journal.plan.expect("a plan").hash());
    assert_eq!(again.snapshot, journal.snapshot);
});
