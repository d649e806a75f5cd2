//! What the target misses at and above the committed offset: rules 12 and 13, and what a gap is defined as.

use std::time::Duration;

use appmigration::printable::counted;
use serde_json::json;

use crate::harness::{
    Case, Copies, GapPolicy, Migration, Reason, ReplicationProof, Side,
    assertions::message,
    kafka::{COMPACTED, Record},
    v1alpha1::ConditionType,
};

/// The policy says to go on without what is missing.
fn accepted(app: &Migration<'_>) -> u64 {
    app.edit(|spec| spec.policies.gap = GapPolicy::Accept);
    let summary = app.completes();
    assert_eq!((summary.exact, summary.reread), (0, 0));
    if summary.gaps > 0 {
        let told = message(&app.get(), ConditionType::Ready);
        let missing = counted(summary.gaps, "record");
        let words = format!("{missing} that the target misses left out by policies.gap: Accept");
        assert!(told.contains(&words), "{told}");
    }
    summary.gaps
}

#[test]
fn rule_12_a_target_that_started_late() {
    let case = Case::new("late");
    // target 6 7 8 9, c = 4: replicated from a moment on when 4 and 5 were there already
    let orders = case.drawn(10, 6..10, 4);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.stalls(Reason::GapOnTarget, &[&orders.at(0), "2 records", "4 to 5", "policies.gap"]);
    assert_eq!(accepted(&app), 2);
    let row = json!({ "below": null, "at": { "offset": 0, "origin": 6 }, "gap": 2, "exact": false });
    app.plan().certifies(&orders.name, 0, &json!({ "position": 0, "kind": "Start", "sources": [row] }));
    assert_eq!(app.plan().why(&orders.name, 0), ["2 records are missing on the target"]);
}

#[test]
fn rule_12_records_that_the_target_lost_to_retention() {
    let case = Case::new("lost");
    // target 0..6, kept for a minute and an hour old, | 6 7 8 9; c = 4
    let hour = [("retention.ms", "60000"), ("segment.ms", "100")];
    let orders = case.topic_with("orders", 1, &[], &hour);
    orders.fill(0, 10);
    let mut old = Copies::default().of(&orders.name, 0, 0..6).records();
    let then = jiff::Timestamp::now().as_millisecond() - 3_600_000;
    for record in &mut old {
        record.timestamp = Some(then);
    }
    Side::Target.produce(&orders.name, 0, &old);
    std::thread::sleep(Duration::from_millis(300));
    orders.copy(0, 6..10);
    Side::Target.wait_for_start(&orders.name, 0, 6);
    case.committed(&orders, &[(0, 4)]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.stalls(Reason::GapOnTarget, &[&orders.at(0), "2 records", "4 to 5"]);
    assert_eq!(accepted(&app), 2);
    let expected = json!({ "position": 6, "logStart": 6, "kind": "Start" });
    app.plan().certifies(&orders.name, 0, &expected);
}

#[test]
fn rule_12_markers_and_aborted_records_are_not_missing() {
    let case = Case::new("gapdata");
    // source 0 1 2 3 [4 5 aborted] A 7 8 9, c = 4; target 0 1 2 3 8 9: of 4 to 7 the 7 alone is data
    let orders = case.topic("orders", 1);
    orders.fill(0, 4).transaction(0, 2, false).fill(0, 3).copy(0, (0..4).chain(8..10));
    case.committed(&orders, &[(0, 4)]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.stalls(Reason::GapOnTarget, &[&orders.at(0), "1 records", " 7 to 7 "]);
    assert_eq!(accepted(&app), 1);
    assert_eq!(app.target_offset(&orders.name, 0), Some(4));
}

#[test]
fn rule_12_what_a_later_record_superseded_on_a_compacted_target_is_no_gap() {
    let case = Case::new("superseded");
    // source keys a b c a b d. target, compacted: 2 (c) 3 (a) 4 (b) 5 (d); c = 1, whose key has 4
    let orders = case.topic_with("orders", 1, &[], &COMPACTED);
    let keys = ["a", "b", "c", "a", "b", "d"];
    let value = |n: usize| format!("0:{n}");
    let keyed = |n: usize| Record { key: Some(keys[n].into()), value: value(n), ..Record::default() };
    let records: Vec<Record> = (0..keys.len()).map(keyed).collect();
    Side::Source.produce(&orders.name, 0, &records);
    let copies = Copies::default().of(&orders.name, 0, 0..6).with_keys(|n| keys[n].into()).records();
    Side::Target.compact(&orders.name, 0, &copies);
    case.committed(&orders, &[(0, 1)]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    let summary = app.completes();
    assert_eq!((summary.gaps, summary.exact), (0, 0));
    let row = json!({
        "at": { "offset": 2, "origin": 2 }, "gap": 0, "superseded": 1, "exact": false,
        "why": ["1 missing records were superseded"],
    });
    app.plan().certifies(&orders.name, 0, &json!({ "position": 2, "sources": [row] }));
}

#[test]
fn rule_12_a_record_missing_on_a_compacted_target_without_a_later_one_is_a_gap() {
    let case = Case::new("unsuperseded");
    // source keys a b c d. target, compacted, never got 1 (b); c = 1
    let orders = case.topic_with("orders", 1, &[], &COMPACTED);
    let keys = ["a", "b", "c", "d"];
    let keyed = |key: &&str| Record { key: Some((*key).into()), ..Record::default() };
    Side::Source.produce(&orders.name, 0, &keys.iter().map(keyed).collect::<Vec<_>>());
    let copies = Copies::default().of(&orders.name, 0, [0, 2, 3]).with_keys(|n| ["a", "c", "d"][n].into());
    Side::Target.compact(&orders.name, 0, &copies.records());
    case.committed(&orders, &[(0, 1)]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.stalls(Reason::GapOnTarget, &[&orders.at(0), "1 records", "1 to 1"]);
}

#[test]
fn rule_13_below_the_source_s_log_start_the_target_still_has_it() {
    let case = Case::new("oldsource");
    // source 6..10, the rest deleted; target 0..10; c = 3
    let orders = case.drawn(10, 0..10, 3);
    Side::Source.delete_records(&orders.name, 0, 6);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.completes_exactly();
    let row = json!({ "logStart": 6, "committed": 3, "at": { "offset": 3, "origin": 3 }, "gap": 0 });
    app.plan().certifies(&orders.name, 0, &json!({ "position": 3, "kind": "Boundary", "sources": [row] }));
}

#[test]
fn rule_13_a_hole_that_the_source_can_no_longer_explain_is_a_possible_gap() {
    let case = Case::new("possible");
    // source 6..10. 0: target 0 1 2 5 6..9, c = 3: 3 and 4 may have been markers. 1: 0 1 2 8 9: so may 3 4 5,
    // and 6 and 7 are missing for certain
    let orders = case.topic("orders", 2);
    orders.fill(0, 10).copy(0, (0..3).chain(5..10)).fill(1, 10).copy(1, (0..3).chain(8..10));
    Side::Source.delete_records(&orders.name, 0, 6);
    Side::Source.delete_records(&orders.name, 1, 6);
    case.committed(&orders, &[(0, 3), (1, 3)]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    let words = ["2 records", " 3 to 4 ", "an upper bound as the source no longer holds that range"];
    app.stalls(Reason::GapOnTarget, &[&words[..], &[&orders.at(0), &orders.at(1)]].concat());
    assert_eq!(accepted(&app), 7);
    app.plan().certifies(&orders.name, 0, &json!({ "position": 3, "sources": [{ "gap": 2 }] }));
    app.plan().certifies(&orders.name, 1, &json!({ "position": 3, "sources": [{ "gap": 5 }] }));
}

#[test]
fn rule_13_headers_that_were_switched_on_late() {
    let case = Case::new("lateheaders");
    // target: 0..5 copied without headers, then 5..10 with; source 5..10; c = 3
    let orders = case.topic("orders", 1);
    orders.fill(0, 10);
    Copies::default().native(5).of(&orders.name, 0, 5..10).write_to(&orders.name, 0);
    Side::Source.delete_records(&orders.name, 0, 5);
    case.committed(&orders, &[(0, 3)]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.stalls(Reason::GapOnTarget, &[&orders.at(0), "2 records", "3 to 4", "upper bound"]);
    assert_eq!(accepted(&app), 2);
    let expected = json!({ "position": 5, "nativesSkipped": 5, "kind": "Start" });
    app.plan().certifies(&orders.name, 0, &expected);
}

#[test]
fn rule_13_a_target_without_anything_unread_may_have_lost_what_the_source_lost_too() {
    let case = Case::new("bothlost");
    // source 8 9, target 0 1 2 and nothing since; c = 3
    let orders = case.drawn(10, 0..3, 3);
    Side::Source.delete_records(&orders.name, 0, 10);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.stalls(Reason::GapOnTarget, &[&orders.at(0), "7 records", "3 to 9", "upper bound"]);
    assert_eq!(accepted(&app), 7);
    app.plan().certifies(&orders.name, 0, &json!({ "position": 3, "kind": "End" }));
}

#[test]
fn definition_gap_is_not_released_by_a_waived_proof() {
    let case = Case::new("gapwaived");
    // target 0 1 6 7 8 9, c = 4: 2 and 3 are still to come or lost, 4 and 5 are a gap whatever they are
    let orders = case.drawn(10, [0, 1].into_iter().chain(6..10), 4);
    case.replicator(|_| {});
    let app = case.migrate(|spec| spec.policies.replication_proof = ReplicationProof::Waive);
    app.stalls(Reason::GapOnTarget, &[&orders.at(0), "2 records", "4 to 5"]);
}

#[test]
fn definition_gap_up_to_the_replicator_s_position() {
    let case = Case::new("gapposition");
    // target 0 1 2 3, c = 4, R = 7 of 10: 4 5 6 are missing, 7 8 9 are yet to come
    let orders = case.drawn(10, 0..4, 4);
    let own = case.replicated_to(&orders, &[(0, 7)]);
    case.replicator(|spec| spec.source.as_mut().unwrap().consumer_group = Some(own));
    let app = case.migrate(|_| {});
    app.stalls(Reason::GapOnTarget, &[&orders.at(0), "3 records", "4 to 6"]);
    assert_eq!(accepted(&app), 3);
}

#[test]
fn definition_exact_records_missing_behind_the_first_unread_one_are_told() {
    let case = Case::new("unexplained");
    // target 0..6 8 9, c = 4: 7 is missing behind the first unread record: no gap below U, and not exact
    let orders = case.drawn(10, (0..7).chain(8..10), 4);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    let summary = app.completes();
    assert_eq!((summary.exact, summary.gaps, summary.reread), (0, 0, 0));
    app.plan().certifies(&orders.name, 0, &json!({ "position": 4, "sources": [{ "exact": false }] }));
    let why = ["1 records behind the first unread one are missing on the target"];
    assert_eq!(app.plan().why(&orders.name, 0), why);
}
