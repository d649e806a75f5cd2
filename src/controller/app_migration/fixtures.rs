//! What the tests of the pure parts share: a migration of `orders` (two partitions, committed at 4 and 10) from
//! cluster `S` to cluster `T`, and everything that can be seen of it when all is well.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use crate::{
    TopicPartition,
    api::v1alpha1::{AppMigration, K2KReplicator, Preview},
    kafka::Committed,
    mapping::{
        Plan, SourceOffset, TargetOffset,
        plan::{Kind, MadeFor, PLAN_VERSION, ProvenBy, RecordRef, SourceCertificate, TargetPlan},
    },
};

use super::{
    super::replicator::Replicator,
    journal::{Journal, Snapshot},
    seen::{ClusterIds, Group, JournalSeen, Mapping, Quiet, Seen, Target},
};

/// The object's uid.
pub const UID: &str = "11111111-2222-3333-4444-555555555555";

/// A migration whose confirmation is latched; `spec` is merged into the usual one.
pub fn migration(spec: &Value) -> AppMigration {
    let mut object = unconfirmed(spec);
    object.status.get_or_insert_default().stop_confirmed_at = Some(Time(Timestamp::UNIX_EPOCH));
    object
}

/// A migration as the user applies it first; `spec` is merged into the usual one.
pub fn unconfirmed(spec: &Value) -> AppMigration {
    let mut whole = json!({ "replicatorRef": { "name": "eu-to-us" }, "consumerGroup": "app" });
    for (field, value) in spec.as_object().unwrap() {
        whole[field] = value.clone();
    }
    let mut object = AppMigration::new("app", serde_json::from_value(whole).unwrap());
    object.metadata.namespace = Some("payments".into());
    object.metadata.uid = Some(UID.into());
    object.metadata.generation = Some(1);
    object
}

/// A replicator with these routes (`spec.replication`) and features.
pub fn replicator(replication: &Value, features: &Value) -> Replicator {
    let spec = json!({
        "source": { "bootstrapServers": "eu:9092" },
        "target": { "bootstrapServers": "us:9092" },
        "replication": replication,
        "features": features,
    });
    let mut object = K2KReplicator::new("eu-to-us", serde_json::from_value(spec).unwrap());
    object.metadata.uid = Some("replicator".into());
    object.metadata.generation = Some(1);
    Replicator::new(&object).unwrap()
}

/// All three headers on, every topic to its own name.
pub fn usual_replicator() -> Replicator {
    replicator(&json!([{ "topics": [".*"] }]), &headers(true, true))
}

/// `features` with the offset header, and these others.
pub fn headers(topic: bool, partition: bool) -> Value {
    let toggle = |on| if on { "Enabled" } else { "Disabled" };
    json!({ "tracingHeaders": { "topic": toggle(topic), "partition": toggle(partition), "offset": "Enabled" } })
}

/// Committed offsets of a topic.
pub fn committed(topic: &str, offsets: &[(i32, i64)]) -> BTreeMap<TopicPartition, Committed> {
    let commit = |(partition, offset): &(i32, i64)| {
        let offset = *offset;
        let metadata = vec![];
        (TopicPartition::new(topic, *partition), Committed { offset, metadata })
    };
    offsets.iter().map(commit).collect()
}

/// The position of one target partition, with a certificate.
pub fn target_plan(topic: &str, partition: i32, position: i64) -> TargetPlan {
    let record = |offset: i64| Some(RecordRef { offset: TargetOffset(offset), origin: SourceOffset(offset) });
    TargetPlan {
        topic: topic.to_owned(),
        partition,
        position: TargetOffset(position),
        kind: Kind::Boundary,
        log_start: TargetOffset(0),
        last_stable_offset: TargetOffset(position + 10),
        metadata: vec![],
        counted_from: None,
        natives_skipped: 0,
        undecodable: 0,
        first_undecodable: None,
        probes: 0,
        records_read: 20,
        sources: vec![SourceCertificate {
            topic: topic.to_owned(),
            partition,
            committed: SourceOffset(position),
            assumed: None,
            log_start: SourceOffset(0),
            end: SourceOffset(position + 10),
            replicator_position: None,
            below: record(position - 1),
            at: record(position),
            reread: 0,
            gap: 0,
            filtered: 0,
            superseded: 0,
            exact: true,
            why: vec![],
            proven_by: ProvenBy::Witness,
            verified: "Scan".to_owned(),
        }],
        there_before: false,
        read_back: None,
        kept: None,
    }
}

/// The plan of the migration: `orders-0` at 4, `orders-1` at 10.
pub fn plan() -> Plan {
    Plan {
        version: PLAN_VERSION,
        migration: "app".into(),
        group: "app".into(),
        target_group: "app".into(),
        generation: 1,
        computed_at: "2026-11-22T10:00:00Z".into(),
        commit_begun_at: None,
        made_for: MadeFor {
            source_cluster_id: "S".into(),
            target_cluster_id: "T".into(),
            replicator_uid: "replicator".into(),
            replicator_generation: 1,
            ..MadeFor::default()
        },
        targets: vec![target_plan("orders", 0, 4), target_plan("orders", 1, 10)],
        left_out: vec![],
    }
}

/// The plan, its commit announced.
pub fn announced() -> Plan {
    Plan { commit_begun_at: Some("2026-11-22T10:00:01Z".into()), ..plan() }
}

/// What stood on the source at the confirmation.
pub fn snapshot(object: &AppMigration) -> Snapshot {
    let offsets = committed("orders", &[(0, 4), (1, 10)]);
    let stable = offsets.keys().map(|q| (q.clone(), 20)).collect();
    Snapshot::new(&object.spec, &offsets, &stable, "2026-11-22T09:59:00Z".into())
}

/// The group on the target, without members, with these offsets of `orders`.
pub fn target(offsets: &[(i32, i64)]) -> Target {
    Target { committed: committed("orders", offsets), ..Target::default() }
}

/// Seen so far: the replicator, a journal with the snapshot and `stored`, both clusters, and no rival.
pub fn up_to_rivals(object: &AppMigration, stored: Option<Plan>) -> Seen {
    let journal = Journal { snapshot: Some(snapshot(object)), plan: stored, ..Journal::default() };
    Seen {
        replicator: Some(Ok(Box::new(usual_replicator()))),
        journal: Some(JournalSeen::Ours(Box::new(journal))),
        clusters: Some(ClusterIds { source: "S".into(), target: "T".into() }),
        rival: Some(Ok(())),
        ..Seen::default()
    }
}

/// Seen so far: all of that, and a source group that has stopped and stands still.
pub fn up_to_quiet(object: &AppMigration, stored: Option<Plan>) -> Seen {
    Seen {
        group: Some(Group::Stopped { gone: None }),
        quiet: Some(Quiet::Still),
        ..up_to_rivals(object, stored)
    }
}

/// Seen so far: all of that, and the plan, computed just now and stored.
pub fn up_to_stored(object: &AppMigration) -> Seen {
    Seen { mapping: Some(Mapping::Mapped(Box::new(plan()))), ..up_to_quiet(object, Some(plan())) }
}

/// Seen: everything, all well, but for the commit's outcome.
pub fn ready_to_commit(object: &AppMigration) -> Seen {
    Seen { target: Some(target(&[])), unmoved: Some(Ok(())), ..up_to_stored(object) }
}

/// A preview of one partition.
pub fn preview() -> Preview {
    serde_json::from_value(json!({
        "observedAt": "2026-11-22T10:00:00Z", "partitions": 1, "exact": 1, "reread": 0, "lag": 0,
    }))
    .unwrap()
}
