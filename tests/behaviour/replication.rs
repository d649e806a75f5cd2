//! Has everything arrived, and is anything missing? Logs on the target as a replicator may leave them.

use rdkafka::producer::Producer;
use serde_json::json;

use crate::harness::{
    Case, Copies, GapPolicy, K2KReplicatorSpec, Reason, ReplicationProof, Side, Toggle, stack::DEADLINE,
    wire::Offset,
};

#[test]
fn definition_complete_by_a_witness() {
    let case = Case::new("behind");
    // source 0..10, c = 7; target 0..3: 0 1 2
    let orders = case.topic("orders", 1);
    orders.fill(0, 10).copy(0, 0..3);
    case.committed(&orders, &[(0, 7)]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.waits(Reason::ReplicationBehind, &[&orders.at(0), "committed 7, replicated to 3", "4 records"]);
    orders.copy(0, 3..6);
    app.waits(Reason::ReplicationBehind, &[&orders.at(0)]);
    orders.copy(0, 6..10);
    app.completes_exactly();
    app.plan().certifies(&orders.name, 0, &json!({ "position": 7, "sources": [{ "provenBy": "witness" }] }));
}

#[test]
fn definition_complete_by_the_replicators_position() {
    let case = Case::new("behindposition");
    // target 0..10 complete, but the replicator's position is 5: it will write again from there
    let orders = case.topic("orders", 1);
    orders.fill(0, 10).copy(0, 0..10);
    case.committed(&orders, &[(0, 7)]);
    let position = format!("{}-k2k", case.namespace);
    case.commit(Side::Source, &position, [((orders.name.clone(), 0), 5.into())].into());
    case.replicator(|spec| with_position(spec, &position));
    let app = case.migrate(|_| {});
    let idle = format!("the replicator's group {position} has no members now");
    app.waits(Reason::ReplicationBehind, &[&orders.at(0), "committed 7, replicated to 5", &idle]);
    case.commit(Side::Source, &position, [((orders.name.clone(), 0), 10.into())].into());
    app.completes_exactly();
    let row = json!({ "provenBy": "replicatorPosition", "replicatorPosition": 10 });
    app.plan().certifies(&orders.name, 0, &json!({ "position": 7, "sources": [row] }));
}

fn with_position(spec: &mut K2KReplicatorSpec, group: &str) {
    spec.source.as_mut().unwrap().consumer_group = Some(group.to_owned());
}

#[test]
fn definition_complete_waived() {
    let case = Case::new("waived");
    let orders = case.topic("orders", 1);
    orders.fill(0, 10).copy(0, 0..3);
    case.committed(&orders, &[(0, 7)]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.waits(Reason::ReplicationBehind, &[&orders.at(0), "replicationProof"]);
    app.edit(|spec| {
        spec.policies.replication_proof = ReplicationProof::Waive;
        spec.policies.gap = GapPolicy::Accept;
    });
    let summary = app.completes();
    assert_eq!((summary.exact, summary.reread), (0, 4));
    let row = json!({ "provenBy": "waived", "reread": 4, "exact": false });
    app.plan().certifies(&orders.name, 0, &json!({ "position": 3, "kind": "End", "sources": [row] }));
    let why = app.plan().why(&orders.name, 0).join("; ");
    assert!(why.contains("4 records are read again") && why.contains("completeness was waived"), "{why}");
}

#[test]
fn rule_06_a_replay_is_waited_for() {
    let case = Case::new("replay");
    // c = 5; target 0..10 and then again 4 5: the replicator went back and is at work
    let orders = case.topic("orders", 1);
    orders.fill(0, 10).copy(0, (0..10).chain([4, 5]));
    case.committed(&orders, &[(0, 5)]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.waits(Reason::ReplayInProgress, &[&orders.at(0)]);
    orders.copy(0, 6..10);
    app.completes_exactly();
    // 0..10, 4..10: the last copy of 5 is the second of the run.
    assert_eq!(app.target_offset(&orders.name, 0), Some(11));
}

#[test]
fn rule_12_records_missing_on_the_target() {
    let case = Case::new("gap");
    // source 0..10, c = 4; target 0 1 2 3 _ _ 6 7 8 9
    let orders = case.topic("orders", 1);
    orders.fill(0, 10).copy(0, (0..4).chain(6..10));
    case.committed(&orders, &[(0, 4)]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.stalls(Reason::GapOnTarget, &[&orders.at(0), "2 records", "4 to 5", "policies.gap"]);
    app.edit(|spec| spec.policies.gap = GapPolicy::Accept);
    let summary = app.completes();
    assert_eq!((summary.gaps, summary.exact), (2, 0));
    assert_eq!(app.target_offset(&orders.name, 0), Some(4));
}

#[test]
fn rule_04_records_dropped_on_purpose_are_no_gap() {
    let case = Case::new("filtered");
    let orders = case.topic("orders", 1);
    orders.fill(0, 10).copy(0, (0..4).chain(6..10));
    case.committed(&orders, &[(0, 4)]);
    case.replicator(|spec| spec.features.record_filtering = Toggle::Enabled);
    let app = case.migrate(|_| {});
    app.completes_exactly();
    let row = json!({ "filtered": 2, "gap": 0, "at": { "offset": 4, "origin": 6 } });
    app.plan().certifies(&orders.name, 0, &json!({ "position": 4, "sources": [row] }));
}

#[test]
fn rule_12_a_target_emptied_by_retention_looks_like_one_that_is_behind() {
    let case = Case::new("emptied");
    let orders = case.topic("orders", 1);
    orders.fill(0, 10).copy(0, 0..8);
    case.committed(&orders, &[(0, 4)]);
    Side::Target.delete_records(&orders.name, 0, 8);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.waits(Reason::ReplicationBehind, &[&orders.at(0), "committed 4"]);
    // The next record arrives, and shows what is missing.
    orders.copy(0, 8..10);
    app.stalls(Reason::GapOnTarget, &[&orders.at(0), "4 records", "4 to 7"]);
}

#[test]
fn rule_12_a_target_emptied_by_retention_is_a_gap_where_the_position_is_known() {
    let case = Case::new("emptiedgap");
    let orders = case.topic("orders", 1);
    orders.fill(0, 10).copy(0, 0..8);
    case.committed(&orders, &[(0, 4)]);
    Side::Target.delete_records(&orders.name, 0, 8);
    let position = format!("{}-k2k", case.namespace);
    case.commit(Side::Source, &position, [((orders.name.clone(), 0), 8.into())].into());
    case.replicator(|spec| with_position(spec, &position));
    let app = case.migrate(|_| {});
    app.stalls(Reason::GapOnTarget, &[&orders.at(0), "4 records", "4 to 7"]);
}

#[test]
fn rule_12_a_target_recreated_empty() {
    let case = Case::new("recreated");
    let orders = case.topic("orders", 1);
    orders.fill(0, 10).copy(0, 0..8);
    case.committed(&orders, &[(0, 4)]);
    Side::Target.recreate_topic(&orders.name, 1);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.waits(Reason::ReplicationBehind, &[&orders.at(0), "committed 4"]);
    let position = format!("{}-k2k", case.namespace);
    case.commit(Side::Source, &position, [((orders.name.clone(), 0), 8.into())].into());
    case.edit_replicator(|spec| with_position(spec, &position));
    app.stalls(Reason::GapOnTarget, &[&orders.at(0), "4 records"]);
    // Replicated anew from the beginning.
    orders.copy(0, 0..10);
    app.retry("replicated");
    app.completes_exactly();
    assert_eq!(app.target_offset(&orders.name, 0), Some(4));
}

#[test]
fn rule_22_copies_of_a_former_source_topic() {
    let case = Case::new("sourcerecreated");
    // source 0..5, c = 3; target still holds 0..8 of the former topic
    let orders = case.topic("orders", 1);
    orders.fill(0, 5).copy(0, 0..8);
    case.committed(&orders, &[(0, 3)]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.stalls(Reason::SourceRecreated, &[&orders.at(0), "5"]);
    // The new records come, behind the old ones.
    orders.copy(0, 0..5);
    app.retry("replicated");
    app.completes_exactly();
    assert_eq!(app.target_offset(&orders.name, 0), Some(11));
}

#[test]
fn rule_14_committed_beyond_the_end_of_the_source() {
    let case = Case::new("outofrange");
    let orders = case.topic("orders", 1);
    orders.fill(0, 10).copy(0, 0..10);
    case.committed(&orders, &[(0, 15)]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.stalls(Reason::SourceOffsetOutOfRange, &[&orders.at(0), "15", "10"]);
    case.committed(&orders, &[(0, 9)]);
    app.retry("reset");
    app.completes_exactly();
}

#[test]
fn rule_08_an_open_transaction_on_the_target_hides_what_proves_it() {
    let case = Case::new("opentarget");
    // target 0 1 2 [3 4 5 6: open], c = 5
    let orders = case.topic("orders", 1);
    orders.fill(0, 7).copy(0, 0..3);
    case.committed(&orders, &[(0, 5)]);
    let open = Copies::default().of(&orders.name, 0, 3..7).open_transaction(&orders.name, 0);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.waits(Reason::OpenTransaction, &[&orders.at(0), "3"]);
    open.commit_transaction(DEADLINE).unwrap();
    app.completes_exactly();
    assert_eq!(app.target_offset(&orders.name, 0), Some(5));
}

#[test]
fn rule_14_a_group_inside_an_open_transaction_of_the_source() {
    let case = Case::new("opensource");
    // source 0 1 2 [3 4: open]; a read_uncommitted application stands at 4
    let orders = case.topic("orders", 1);
    orders.fill(0, 3).copy(0, 0..3);
    let open = orders.open_transaction(0, 2);
    case.committed(&orders, &[(0, 4)]);
    case.source_settled(&orders.name, 0);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.waits(Reason::SourceTransactionPending, &[&orders.at(0), "4"]);
    open.commit_transaction(DEADLINE).unwrap();
    Side::Source.wait_until_stable(&orders.name, 0);
    case.source_settled(&orders.name, 0);
    orders.copy(0, 3..5);
    app.completes_exactly();
    assert_eq!(app.target_offset(&orders.name, 0), Some(4));
    assert_eq!(app.plan().row(&orders.name, 0)["at"], json!({ "offset": 4, "origin": 4 }));
    assert_eq!(app.target_offsets()[&(orders.name.clone(), 0)], Offset::from(4));
}
