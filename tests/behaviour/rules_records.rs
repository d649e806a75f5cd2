//! Records that are no plain copies: natives and undecodable ones (rules 25 and 30), and what goes with a commit
//! (rule 19).

use serde_json::json;

use crate::harness::{
    Case, Copies, GapPolicy, NativeRecords, Reason, Side,
    wire::{self, Offset},
};

#[test]
fn rule_19_the_source_s_leader_epoch_is_not_carried_over() {
    let case = Case::new("epoch");
    let orders = case.drawn(6, 0..6, 3);
    // The source's leader has changed often, the target's never.
    let partition = (orders.name.clone(), 0);
    wire::commit_with_epoch(&Side::Source.bootstrap(), &case.group, &partition, 3, 7);
    assert_eq!(wire::leader_epoch(&Side::Source.bootstrap(), &case.group, &partition), (3, 7));
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.completes_exactly();
    assert_eq!(wire::leader_epoch(&Side::Target.bootstrap(), &case.group, &partition), (3, -1));
    assert_eq!(app.target_offsets(), [(partition, Offset::from(3))].into());
}

#[test]
fn rule_25_report_skips_and_counts_those_below_the_position() {
    let case = Case::new("nativesreport");
    // target N 0 1 N 2 | 3 N 4 5, c = 3: p = 5, two natives below it, one behind
    let orders = case.topic("orders", 1);
    orders.fill(0, 6);
    let log = Copies::default().native(1).of(&orders.name, 0, 0..2).native(1).of(&orders.name, 0, 2..4);
    log.native(1).of(&orders.name, 0, 4..6).write_to(&orders.name, 0);
    case.committed(&orders, &[(0, 3)]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.completes_exactly();
    let expected = json!({ "position": 5, "nativesSkipped": 2, "sources": [{ "verified": "Scan" }] });
    app.plan().certifies(&orders.name, 0, &expected);
    assert!(app.plan().target(&orders.name, 0)["countedFrom"].is_null(), "all of it was read");
    assert_eq!(app.get().status.unwrap().summary.unwrap().natives_skipped, 2);
}

#[test]
fn rule_25_fail_and_include_look_at_a_long_log_from_its_start() {
    let case = Case::new("nativeslong");
    // target 0..5 N 5..3000, c = 2900: a search would never come by the native at 5
    let orders = case.topic("orders", 1);
    orders.fill(0, 3_000);
    let log = Copies::default().of(&orders.name, 0, 0..5).native(1).of(&orders.name, 0, 5..3_000);
    log.write_to(&orders.name, 0);
    case.committed(&orders, &[(0, 2_900)]);
    case.replicator(|_| {});
    // What `Report` counts is what it came by: a lower bound.
    let report = case.migrate_as("report", |spec| {
        spec.target_consumer_group = Some(format!("{}-report", case.group));
    });
    report.completes_exactly();
    let expected = json!({ "position": 2901, "nativesSkipped": 0, "sources": [{ "verified": "Backlog" }] });
    let certificate = report.plan();
    certificate.certifies(&orders.name, 0, &expected);
    let from = certificate.target(&orders.name, 0)["countedFrom"].as_i64();
    assert!(from.is_some_and(|from| from > 5 && from <= 2_900), "{from:?}");

    let app = case.migrate(|spec| spec.policies.native_records = NativeRecords::Fail);
    app.stalls(Reason::NativeRecordsRefused, &[&orders.at(0), "1 records", "position 2901"]);
    app.edit(|spec| spec.policies.native_records = NativeRecords::Include);
    let summary = app.completes();
    assert_eq!((summary.reread, summary.natives_skipped), (2_895, 0));
    app.plan().certifies(&orders.name, 0, &json!({ "position": 5, "sources": [{ "verified": "Scan" }] }));
}

#[test]
fn rule_30_elsewhere_undecodable_records_are_counted() {
    let case = Case::new("undecodablefar");
    // target 0 ? 1 2 | 3 ? 4 5, c = 3: between no record and p: p stays; the first one is shown
    let orders = case.topic("orders", 1);
    orders.fill(0, 6);
    let log = Copies::default().of(&orders.name, 0, [0]).with_offset_header(&orders.name, 0, b"junk!");
    let log = log.of(&orders.name, 0, 1..4).with_offset_header(&orders.name, 0, b"-1");
    log.of(&orders.name, 0, 4..6).write_to(&orders.name, 0);
    case.committed(&orders, &[(0, 3)]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    let summary = app.completes();
    assert_eq!((summary.exact, summary.gaps, summary.reread), (0, 0, 0));
    let plan = app.plan();
    plan.certifies(&orders.name, 0, &json!({ "position": 4, "undecodable": 2 }));
    let first = plan.target(&orders.name, 0)["firstUndecodable"].as_str().unwrap();
    assert!(first.starts_with("1: ") && first.contains("k2k_offset"), "{first}");
    assert_eq!(plan.why(&orders.name, 0), ["2 records carry an origin that cannot be decoded"]);
}

#[test]
fn rule_30_as_many_missing_records_as_undecodable_ones_are_no_gap() {
    let case = Case::new("undecodablegap");
    // source 0..7, c = 3. 0: target 0 1 2 ? ? 5 6: 3 and 4 may be those. 1: target 0 1 2 ? 5 6: one is missing
    let orders = case.topic("orders", 2);
    for partition in 0..2 {
        orders.fill(partition, 7).copy(partition, 0..3);
        let unreadable = |log: Copies, _| log.without_offset_header(&orders.name, partition);
        (0..2 - partition).fold(Copies::default(), unreadable).write_to(&orders.name, partition);
        orders.copy(partition, 5..7);
    }
    case.committed(&orders, &[(0, 3), (1, 3)]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    let message = app.stalls(Reason::GapOnTarget, &[&orders.at(1), "1 records", "3 to 4"]);
    assert!(!message.contains(&orders.at(0)), "{message}");
    app.edit(|spec| spec.policies.gap = GapPolicy::Accept);
    let summary = app.completes();
    assert_eq!((summary.gaps, summary.exact), (1, 0));
    let plan = app.plan();
    let row = |gap: u64| json!([{ "gap": gap, "exact": false, "at": { "origin": 5 } }]);
    plan.certifies(&orders.name, 0, &json!({ "position": 3, "undecodable": 2, "sources": row(0) }));
    plan.certifies(&orders.name, 1, &json!({ "position": 3, "undecodable": 1, "sources": row(1) }));
}

#[test]
fn rule_30_the_position_moves_down_before_natives_are_included() {
    let case = Case::new("undecodablenative");
    // target 0 1 2 ? N 4 5, c = 3: p* = 5, for the ? it is 3, and no native lies below that
    let orders = case.topic("orders", 1);
    orders.fill(0, 6);
    let log = Copies::default().of(&orders.name, 0, 0..3).with_offset_header(&orders.name, 0, b"");
    log.native(1).of(&orders.name, 0, 4..6).write_to(&orders.name, 0);
    case.committed(&orders, &[(0, 3)]);
    case.replicator(|_| {});
    let app = case.migrate(|spec| spec.policies.native_records = NativeRecords::Include);
    let summary = app.completes();
    assert_eq!((summary.natives_skipped, summary.reread, summary.gaps), (0, 0, 0));
    app.plan().certifies(&orders.name, 0, &json!({ "position": 3, "undecodable": 1 }));
}
