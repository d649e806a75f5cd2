//! Where a group resumes on a log of one source partition: the position of rules 1 to 3, 5, 7, 11, 15, 17, 18, 23
//! and 27. Each log is such that a simpler rule (the first copy of c, one after that of c - 1, the source's
//! distances, the high watermark) gives another answer.

use serde_json::json;

use crate::harness::{Case, Copies, Reason, Side, kafka::COMPACTED};

/// What a `read_committed` consumer is given from the group's offset on.
fn resumed(case: &Case, topic: &str) -> Vec<String> {
    let offset = case.offsets(Side::Target, &case.group)[&(topic.to_owned(), 0)].offset;
    Side::Target.read_from(topic, 0, offset).into_iter().map(|r| r.value).collect()
}

#[test]
fn rule_01_a_plain_log_resumes_at_the_first_unread_record() {
    let case = Case::new("plain");
    // target 0 1 2 N F 3 4 5 (N native, F a copy of another topic); c = 3
    let orders = case.topic("orders", 1);
    orders.fill(0, 6).copy(0, 0..3);
    Copies::default().native(1).of("elsewhere", 0, [3]).of(&orders.name, 0, 3..6).write_to(&orders.name, 0);
    case.committed(&orders, &[(0, 3)]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.completes_exactly();
    let row = json!({
        "below": { "offset": 2, "origin": 2 }, "at": { "offset": 5, "origin": 3 }, "exact": true, "why": [],
        "provenBy": "witness", "verified": "Scan",
    });
    let expected = json!({ "position": 5, "kind": "Boundary", "nativesSkipped": 1, "sources": [row] });
    app.plan().certifies(&orders.name, 0, &expected);
    assert_eq!(resumed(&case, &orders.name), ["0:3", "0:4", "0:5"]);
}

#[test]
fn rule_02_a_hole_at_c_by_compaction() {
    let case = Case::new("compactedsource");
    // source keys a b a b a c: compaction leaves 3 (b) 4 (a) 5 (c) 6 (last); c = 2
    let orders = case.topic_with("orders", 1, &COMPACTED, &[]);
    orders.compacted(0, &["a", "b", "a", "b", "a", "c"]);
    // The target got 0 before it was compacted away.
    orders.copy(0, [0, 3, 4, 5, 6]);
    case.committed(&orders, &[(0, 2)]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.completes_exactly();
    // Neither c nor c - 1 is on the target.
    let row = json!({
        "below": { "offset": 0, "origin": 0 }, "at": { "offset": 1, "origin": 3 }, "gap": 0, "superseded": 0,
    });
    app.plan().certifies(&orders.name, 0, &json!({ "position": 1, "kind": "Boundary", "sources": [row] }));
}

#[test]
fn rule_02_a_hole_that_the_source_does_not_have_is_a_gap() {
    let case = Case::new("nohole");
    // As above, but the source still holds 3, which the target lacks.
    let orders = case.topic_with("orders", 1, &COMPACTED, &[]);
    orders.compacted(0, &["a", "b", "a", "b", "a", "c"]).copy(0, [0, 4, 5, 6]);
    case.committed(&orders, &[(0, 2)]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.stalls(Reason::GapOnTarget, &[&orders.at(0), "1 records", " 3 to 3 "]);
}

#[test]
fn rule_05_after_a_rewind_the_last_copies_count() {
    let case = Case::new("rewound");
    // target 0 1 2 3 4 5 6 | 3 4 5 6 7 8 9: L(5) is 9, F(5) 5; nothing below 5 lies at or after 9
    let orders = case.drawn(10, (0..7).chain(3..10), 5);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.completes_exactly();
    let row =
        json!({ "below": { "offset": 8, "origin": 4 }, "at": { "offset": 9, "origin": 5 }, "exact": true });
    app.plan().certifies(&orders.name, 0, &json!({ "position": 9, "sources": [row] }));
    assert_eq!(resumed(&case, &orders.name), ["0:5", "0:6", "0:7", "0:8", "0:9"]);
}

#[test]
fn rule_05_after_two_rewinds_what_is_read_again_is_counted() {
    let case = Case::new("rewoundtwice");
    // target 0..8 | 2 3 4 | 1 2 3 4 5 6 7 8 9, c = 5: p = L(5) = 15; 0..8 | 6 7 | 2 3 4: 5 is at 5 alone
    let orders = case.topic("orders", 2);
    orders.fill(0, 10).copy(0, (0..8).chain(2..5).chain(1..10));
    orders.fill(1, 9).copy(1, (0..8).chain(6..8).chain(2..5).chain(8..9));
    case.committed(&orders, &[(0, 5), (1, 5)]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    let summary = app.completes();
    assert_eq!((summary.exact, summary.reread), (1, 3));
    let plan = app.plan();
    plan.certifies(&orders.name, 0, &json!({ "position": 15, "sources": [{ "exact": true, "reread": 0 }] }));
    // 2, 3 and 4 have copies behind 5; each counts once.
    plan.certifies(&orders.name, 1, &json!({ "position": 5, "sources": [{ "exact": false, "reread": 3 }] }));
    assert_eq!(plan.why(&orders.name, 1), ["3 records are read again"]);
}

#[test]
fn rule_07_an_aborted_copy_is_no_evidence() {
    let case = Case::new("aborted");
    // target 0 1 2 [3 4 5 aborted] A 3 4 5 C 6; c = 4: the first copy of 4, at 4, is of nobody's
    let orders = case.topic("orders", 2);
    orders.fill(0, 7).fill(1, 7);
    orders.copy(0, 0..3);
    Copies::default().of(&orders.name, 0, 3..6).transaction(&orders.name, 0, false);
    Copies::default().of(&orders.name, 0, 3..6).transaction(&orders.name, 0, true);
    orders.copy(0, [6]);
    // 1: 0..6 C [2 3 4 aborted] A 6: what was aborted repeats nothing, and is not read again
    Copies::default().of(&orders.name, 1, 0..6).transaction(&orders.name, 1, true);
    Copies::default().of(&orders.name, 1, 2..5).transaction(&orders.name, 1, false);
    orders.copy(1, [6]);
    case.committed(&orders, &[(0, 4), (1, 3)]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.completes_exactly();
    let row = json!({ "below": { "offset": 7, "origin": 3 }, "at": { "offset": 8, "origin": 4 } });
    app.plan().certifies(&orders.name, 0, &json!({ "position": 8, "sources": [row] }));
    app.plan().certifies(&orders.name, 1, &json!({ "position": 3, "sources": [{ "reread": 0 }] }));
}

#[test]
fn rule_07_an_aborted_copy_proves_no_completeness() {
    let case = Case::new("abortedwitness");
    // target 0 1 2 [3 4 5 6 aborted] A; c = 5: the aborted 5 and 6 are no witness
    let orders = case.drawn(7, 0..3, 5);
    Copies::default().of(&orders.name, 0, 3..7).transaction(&orders.name, 0, false);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.waits(Reason::ReplicationBehind, &[&orders.at(0), "committed 5, replicated to 3", "2 records"]);
    Copies::default().of(&orders.name, 0, 3..7).transaction(&orders.name, 0, true);
    app.completes_exactly();
    // 0 1 2, four aborted, a marker, 3 4 5: 10.
    assert_eq!(app.target_offset(&orders.name, 0), Some(10));
}

#[test]
fn rule_11_everything_read_is_one_after_the_last_read() {
    let case = Case::new("allread");
    // 0: target 0 1 2 3 4 N N, c = 5: the natives behind it are still to be read
    // 1: target 0 1 2 3 4 2 3 4 C, written in a transaction: not one after the first copy of 4, not the end
    let orders = case.topic("orders", 2);
    orders.fill(0, 5).fill(1, 5).copy(0, 0..5);
    Copies::default().native(2).write_to(&orders.name, 0);
    Copies::default().of(&orders.name, 1, (0..5).chain(2..5)).transaction(&orders.name, 1, true);
    case.committed(&orders, &[(0, 5), (1, 5)]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.completes_exactly();
    let row = json!({ "below": { "offset": 4, "origin": 4 }, "at": null, "provenBy": "sourceExhausted" });
    let expected = json!({ "position": 5, "kind": "End", "nativesSkipped": 0, "sources": [row] });
    app.plan().certifies(&orders.name, 0, &expected);
    let row = json!({ "below": { "offset": 7, "origin": 4 }, "at": null });
    app.plan().certifies(&orders.name, 1, &json!({ "position": 8, "kind": "End", "sources": [row] }));
    assert_eq!(resumed(&case, &orders.name), ["native 0", "native 1"]);
}

#[test]
fn rule_11_the_last_record_below_c_must_have_arrived() {
    let case = Case::new("allreadbutone");
    // target 0 1 2 3 of 0..5, c = 5
    let orders = case.drawn(5, 0..4, 5);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.waits(Reason::ReplicationBehind, &[&orders.at(0), "committed 5, replicated to 4", "1 records"]);
    orders.copy(0, [4]);
    app.completes_exactly();
    assert_eq!(app.target_offset(&orders.name, 0), Some(5));
}

#[test]
fn rule_15_offset_zero_is_committed() {
    let case = Case::new("zero");
    // target N N N 0 1 2 3, the natives deleted by retention: the log starts at 3; c = 0
    let orders = case.topic("orders", 1);
    orders.fill(0, 4);
    Copies::default().native(3).of(&orders.name, 0, 0..4).write_to(&orders.name, 0);
    Side::Target.delete_records(&orders.name, 0, 3);
    case.committed(&orders, &[(0, 0)]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.completes_exactly();
    let row = json!({ "committed": 0, "below": null, "at": { "offset": 3, "origin": 0 } });
    let expected = json!({ "position": 3, "kind": "Start", "logStart": 3, "sources": [row] });
    app.plan().certifies(&orders.name, 0, &expected);
    // Under auto.offset.reset=latest a missing commit would lose all four.
    let mut config = Side::Target.config();
    config.set("group.id", &case.group).set("auto.offset.reset", "latest");
    config.set("enable.auto.commit", "false");
    let read = crate::harness::Member::start(config, &orders.name).wait_for(4);
    assert_eq!(read[0].value, "0:0");
}

#[test]
fn rule_17_an_idle_partition_waits_for_nothing() {
    let case = Case::new("idle");
    // source 0 1 2 C [4 5 aborted] A, c = 4: nothing at or above c will ever come; target 0 1 2
    let orders = case.topic("orders", 1);
    orders.transaction(0, 3, true).transaction(0, 2, false).copy(0, 0..3);
    case.committed(&orders, &[(0, 4)]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.completes_exactly();
    let row = json!({ "committed": 4, "end": 7, "at": null, "provenBy": "sourceExhausted" });
    app.plan().certifies(&orders.name, 0, &json!({ "position": 3, "kind": "End", "sources": [row] }));
}

#[test]
fn rule_18_a_source_emptied_by_retention() {
    let case = Case::new("emptysource");
    // source: 0..10 deleted, start = end = c = 10. Targets: 0: 0..10 and a native; 1: empty
    let orders = case.topic("orders", 2);
    orders.fill(0, 10).fill(1, 10).copy(0, 0..10);
    Copies::default().native(1).write_to(&orders.name, 0);
    for partition in 0..2 {
        Side::Source.delete_records(&orders.name, partition, 10);
    }
    case.committed(&orders, &[(0, 10), (1, 10)]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.completes_exactly();
    let row = json!({ "logStart": 10, "end": 10, "exact": true, "provenBy": "sourceExhausted" });
    app.plan().certifies(&orders.name, 0, &json!({ "position": 10, "kind": "End", "sources": [row] }));
    app.plan().certifies(&orders.name, 1, &json!({ "position": 0, "kind": "Empty", "sources": [row] }));
}

#[test]
fn rule_23_timestamps_of_a_long_log_decide_nothing() {
    // Too long to be read whole: later records have earlier timestamps, two of a kind; or the broker's own.
    for kind in ["CreateTime", "LogAppendTime"] {
        let case = Case::new("longtimestamps");
        let orders = case.topic_with("orders", 1, &[], &[("message.timestamp.type", kind)]);
        orders.fill(0, 3_000);
        Copies::default().of(&orders.name, 0, 0..3_000).backwards_in_time().write_to(&orders.name, 0);
        case.committed(&orders, &[(0, 2_000)]);
        case.replicator(|_| {});
        let app = case.migrate(|_| {});
        app.completes_exactly();
        let expected = json!({ "position": 2000, "sources": [{ "verified": "Backlog" }] });
        app.plan().certifies(&orders.name, 0, &expected);
    }
}

#[test]
fn rule_27_a_replicator_that_reorders() {
    let case = Case::new("reordered");
    // target 1 0 3 2 5 4: 0: c = 3, 3 lies before 2; 1: c = 5, 5 before 4; 2: c = 4, in order around it
    let orders = case.topic("orders", 3);
    for partition in 0..3 {
        orders.fill(partition, 6).copy(partition, [1, 0, 3, 2, 5, 4]);
    }
    case.committed(&orders, &[(0, 3), (1, 5), (2, 4)]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    let summary = app.completes();
    assert_eq!((summary.exact, summary.reread, summary.gaps), (1, 2, 0));
    let plan = app.plan();
    let row = |reread: u64, exact: bool| json!({ "reread": reread, "exact": exact });
    plan.certifies(&orders.name, 0, &json!({ "position": 2, "sources": [row(1, false)] }));
    plan.certifies(&orders.name, 1, &json!({ "position": 4, "sources": [row(1, false)] }));
    // The first copy of 4 is at 5: to resume there loses 5.
    plan.certifies(&orders.name, 2, &json!({ "position": 4, "sources": [row(0, true)] }));
}

#[test]
fn definition_the_position_adds_no_source_distance() {
    let case = Case::new("distance");
    // The source's distances are not the target's: source keys compacted to 5 6 7 8 9, target 0 1 | 5 6 7 8 9
    let orders = case.topic_with("orders", 1, &COMPACTED, &[]);
    let keys = ["a", "b", "a", "b", "a", "b", "c", "d", "a"];
    orders.compacted(0, &keys).copy(0, [0, 1, 5, 6, 7, 8, 9]);
    case.committed(&orders, &[(0, 8)]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.completes_exactly();
    assert_eq!(app.target_offset(&orders.name, 0), Some(5));
}
