//! Has everything below the committed offset arrived? Rules 4, 6, 8 and 22, and what "complete" is defined as.

use rdkafka::producer::Producer;
use serde_json::json;

use crate::harness::{
    Case, Copies, GapPolicy, K2KReplicatorSpec, Reason, ReplicationProof, Side, Toggle, stack::DEADLINE,
};

/// The replicator commits its position under this group.
fn positioned(spec: &mut K2KReplicatorSpec, group: String) {
    spec.source.as_mut().unwrap().consumer_group = Some(group);
}

#[test]
fn rule_04_c_itself_may_never_come() {
    let case = Case::new("filteredc");
    // The replicator drops odd offsets. target 0 2 4 6 8, c = 5
    let orders = case.drawn(10, (0..10).step_by(2), 5);
    case.replicator(|spec| spec.features.record_filtering = Toggle::Enabled);
    let app = case.migrate(|_| {});
    app.completes_exactly();
    let row = json!({
        "below": { "offset": 2, "origin": 4 }, "at": { "offset": 3, "origin": 6 }, "gap": 0, "exact": true,
    });
    app.plan().certifies(&orders.name, 0, &json!({ "position": 3, "sources": [row] }));
}

#[test]
fn rule_04_undeclared_filtering_is_a_gap() {
    let case = Case::new("undeclared");
    let orders = case.drawn(10, (0..10).step_by(2), 5);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.stalls(Reason::GapOnTarget, &[&orders.at(0), "1 records", "5 to 5"]);
    // Declared, it is none: the block ends without a change of the migration.
    case.edit_replicator(|spec| spec.features.record_filtering = Toggle::Enabled);
    app.completes_exactly();
    assert_eq!(app.target_offset(&orders.name, 0), Some(3));
}

#[test]
fn rule_04_a_missing_prefix_is_a_gap_all_the_same() {
    let case = Case::new("prefix");
    // target 6 7 8 9, c = 2: no origin below the hole tells that records were dropped on purpose
    let orders = case.drawn(10, 6..10, 2);
    case.replicator(|spec| spec.features.record_filtering = Toggle::Enabled);
    let app = case.migrate(|_| {});
    app.stalls(Reason::GapOnTarget, &[&orders.at(0), "4 records", "2 to 5"]);
}

#[test]
fn rule_06_the_message_says_where_the_replay_is_and_was() {
    let case = Case::new("replaynumbers");
    // target 0..9 | 4 5, c = 5: that 5 was passed is not enough, the run ends at 9
    let orders = case.drawn(10, (0..10).chain([4, 5]), 5);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.waits(Reason::ReplayInProgress, &[&orders.at(0), "it is at 5", "was at 9", "replicationProof"]);
    orders.copy(0, 6..9);
    app.comes_to_say(Reason::ReplayInProgress, &[&orders.at(0), "it is at 8", "was at 9"]);
    orders.copy(0, [9]);
    app.completes_exactly();
    let row = json!({ "below": { "offset": 10, "origin": 4 }, "at": { "offset": 11, "origin": 5 } });
    app.plan().certifies(&orders.name, 0, &json!({ "position": 11, "sources": [row] }));
}

#[test]
fn rule_06_a_replicator_beyond_its_last_record_replays_nothing() {
    let case = Case::new("replayposition");
    // target 0..9 | 4 5 (a zombie, gone), c = 5. R = 9 = max: it may still be the run; R = 10: it is none
    let orders = case.drawn(10, (0..10).chain([4, 5]), 5);
    let own = case.replicated_to(&orders, &[(0, 9)]);
    case.replicator(|spec| positioned(spec, own));
    let app = case.migrate(|_| {});
    app.waits(Reason::ReplayInProgress, &[&orders.at(0)]);
    case.replicated_to(&orders, &[(0, 10)]);
    let summary = app.completes();
    // 5 lies at 11, 6 to 9 only at 6 to 9; 4, at 10, is read again.
    assert_eq!((summary.exact, summary.reread), (0, 1));
    let row = json!({ "replicatorPosition": 10, "provenBy": "replicatorPosition", "reread": 1 });
    app.plan().certifies(&orders.name, 0, &json!({ "position": 6, "sources": [row] }));
}

#[test]
fn rule_06_a_replay_of_what_the_source_no_longer_holds_is_over() {
    let case = Case::new("replayexhausted");
    // target 0..9 | 4 5, c = 5, and the source holds nothing behind 5 any more
    let orders = case.drawn(10, (0..10).chain([4, 5]), 5);
    Side::Source.delete_records(&orders.name, 0, 10);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    let summary = app.completes();
    assert_eq!((summary.exact, summary.reread, summary.gaps), (0, 1, 0));
    let row = json!({ "provenBy": "witness", "logStart": 10, "reread": 1 });
    app.plan().certifies(&orders.name, 0, &json!({ "position": 6, "sources": [row] }));
}

#[test]
fn rule_06_a_reordered_tail_is_no_replay() {
    let case = Case::new("reorderedtail");
    // target 0..7 9 8, c = 5: 8 is behind 9 and repeats nothing
    let orders = case.drawn(10, (0..8).chain([9, 8]), 5);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.completes_exactly();
    assert_eq!(app.target_offset(&orders.name, 0), Some(5));
}

#[test]
fn rule_06_a_replay_that_is_waived_counts_what_is_to_come() {
    let case = Case::new("replaywaived");
    // target 0..9 | 4, c = 7: 4 lies behind p = 7, and 5 and 6 are still to come, though the target holds them
    let orders = case.drawn(10, (0..10).chain([4]), 7);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.waits(Reason::ReplayInProgress, &["it is at 4", "was at 9"]);
    app.edit(|spec| spec.policies.replication_proof = ReplicationProof::Waive);
    let summary = app.completes();
    assert_eq!((summary.reread, summary.exact, summary.gaps), (3, 0, 0));
    let row = json!({ "provenBy": "waived", "reread": 3, "exact": false });
    app.plan().certifies(&orders.name, 0, &json!({ "position": 7, "sources": [row] }));
    let why = ["3 records are read again", "completeness was waived"];
    assert_eq!(app.plan().why(&orders.name, 0), why);
}

#[test]
fn rule_08_what_lies_below_the_last_stable_offset_proves() {
    let case = Case::new("openbeyond");
    // target 0..7 [7 8 9: open], c = 4: the witnesses 4 to 6 lie below E
    let orders = case.drawn(10, 0..7, 4);
    let open = Copies::default().of(&orders.name, 0, 7..10).open_transaction(&orders.name, 0);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.completes_exactly();
    let expected = json!({ "position": 4, "lastStableOffset": 7, "sources": [{ "provenBy": "witness" }] });
    app.plan().certifies(&orders.name, 0, &expected);
    open.abort_transaction(DEADLINE).unwrap();
}

#[test]
fn rule_08_a_known_position_proves_nothing_behind_an_open_transaction() {
    let case = Case::new("openposition");
    // target 0 1 2 [3 4 5 6: open], c = 5, R = 7: 3 and 4 are hidden, and become read again if p were E = 3
    let orders = case.drawn(7, 0..3, 5);
    let open = Copies::default().of(&orders.name, 0, 3..7).open_transaction(&orders.name, 0);
    let own = case.replicated_to(&orders, &[(0, 7)]);
    case.replicator(|spec| positioned(spec, own));
    let app = case.migrate(|_| {});
    let words = [orders.at(0), "last stable offset 3".into(), "end 7".into(), "replicationProof".into()];
    app.waits(Reason::OpenTransaction, &words.each_ref().map(String::as_str));
    open.commit_transaction(DEADLINE).unwrap();
    app.completes_exactly();
    let row = json!({ "provenBy": "replicatorPosition", "at": { "offset": 5, "origin": 5 } });
    app.plan().certifies(&orders.name, 0, &json!({ "position": 5, "sources": [row] }));
}

#[test]
fn rule_08_an_open_transaction_that_is_waived_keeps_the_position_at_the_end() {
    let case = Case::new("openwaived");
    // target 0 1 2 [3 4 5 6: open], c = 5; p <= E = 3, never the high watermark 7
    let orders = case.drawn(7, 0..3, 5);
    let open = Copies::default().of(&orders.name, 0, 3..7).open_transaction(&orders.name, 0);
    case.replicator(|_| {});
    let app = case.migrate(|spec| {
        spec.policies.replication_proof = ReplicationProof::Waive;
        spec.policies.gap = GapPolicy::Accept;
    });
    let summary = app.completes();
    // 3 and 4 are still to come.
    assert_eq!((summary.reread, summary.exact), (2, 0));
    let expected = json!({ "position": 3, "lastStableOffset": 3, "sources": [{ "provenBy": "waived" }] });
    app.plan().certifies(&orders.name, 0, &expected);
    open.commit_transaction(DEADLINE).unwrap();
    let read = Side::Target.read_from(&orders.name, 0, 3);
    assert_eq!(read.iter().map(|r| r.value.as_str()).collect::<Vec<_>>(), ["0:3", "0:4", "0:5", "0:6"]);
}

#[test]
fn rule_22_an_older_incarnation_of_the_source_topic() {
    let case = Case::new("reincarnated");
    // The source topic had 8 records, was deleted and made anew with 5. c = 3; target 0..8 of the former
    let orders = case.topic("orders", 1);
    orders.fill(0, 8).copy(0, 0..8);
    Side::Source.recreate_topic(&orders.name, 1);
    orders.fill(0, 5);
    case.committed(&orders, &[(0, 3)]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    // The first copy of 3 is at 3, of a record that the group has never seen the like of.
    app.stalls(Reason::SourceRecreated, &[&orders.at(0), "source offset 7 at offset 7", "end 5"]);
    // The newer run has not passed c yet.
    orders.copy(0, 0..3);
    app.retry("begun");
    app.comes_to_say(
        Reason::SourceRecreated,
        &["source offset 7 at offset 7", "have not passed committed 3"],
    );
    orders.copy(0, 3..5);
    app.retry("passed");
    app.completes_exactly();
    let row =
        json!({ "end": 5, "below": { "offset": 10, "origin": 2 }, "at": { "offset": 11, "origin": 3 } });
    app.plan().certifies(&orders.name, 0, &json!({ "position": 11, "sources": [row] }));
}

#[test]
fn definition_complete_by_an_exhausted_source() {
    let case = Case::new("exhausted");
    // source 0 1 2 [3 4 5 aborted] A 7, c = 7: data below 7 ends at 2, which is on the target
    let orders = case.topic("orders", 1);
    orders.fill(0, 3).transaction(0, 3, false).fill(0, 1).copy(0, 0..3);
    case.committed(&orders, &[(0, 7)]);
    case.replicator(|_| {});
    // Complete; but whether 7 is missing or yet to come nobody knows, until it comes.
    let app = case.migrate(|_| {});
    app.waits(Reason::ReplicationBehind, &[&orders.at(0), "committed 7", "none of them yet", "policies.gap"]);
    app.edit(|spec| spec.policies.gap = GapPolicy::Accept);
    let summary = app.completes();
    assert_eq!((summary.exact, summary.gaps, summary.reread), (0, 0, 0));
    let row = json!({ "provenBy": "sourceExhausted", "exact": false, "gap": 0 });
    app.plan().certifies(&orders.name, 0, &json!({ "position": 3, "kind": "End", "sources": [row] }));
    assert_eq!(app.plan().why(&orders.name, 0), ["whether records are missing on the target is not known"]);
}

#[test]
fn definition_complete_a_void_position_decides_nothing() {
    let case = Case::new("voidposition");
    // R = 12 lies beyond the source's end 10: it is of a former topic. target 0 1 2, c = 5
    let orders = case.drawn(10, 0..3, 5);
    let own = case.replicated_to(&orders, &[(0, 12)]);
    case.replicator(|spec| positioned(spec, own));
    let app = case.migrate(|_| {});
    app.waits(Reason::ReplicationBehind, &[&orders.at(0), "committed 5, replicated to 3"]);
    orders.copy(0, 3..6);
    app.completes_exactly();
    app.plan().certifies(&orders.name, 0, &json!({ "position": 5, "sources": [{ "provenBy": "witness" }] }));
}
