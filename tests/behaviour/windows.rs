//! `policies.verification: Window`: what is read is bounded, whatever the lag, and the certificate says so.

use crate::harness::{Case, Reason, ReplicationProof, Verification};

#[test]
fn only_windows_of_a_large_backlog_are_read() {
    let case = Case::new("window");
    let orders = case.drawn(45_000, 0..45_000, 15_000);
    case.replicator(|_| {});
    let app = case.migrate(|spec| spec.policies.verification = Verification::Window);
    app.completes();
    let plan = app.plan();
    let target = plan.target(&orders.name, 0);
    assert_eq!(target["position"], 15_000, "{target:#}");
    // 10,000 on both sides of the position, 10,000 before the end, and what the last look brought.
    assert!((29_900..30_200).contains(&target["recordsRead"].as_u64().unwrap()), "{target:#}");
    let row = plan.row(&orders.name, 0);
    assert_eq!((&row["verified"], &row["exact"]), (&"Window".into(), &false.into()), "{row:#}");
    assert!(row["why"][0].as_str().unwrap().contains("policies.verification: Window"), "{row:#}");
    assert_eq!((row["gap"].as_u64(), row["reread"].as_u64()), (Some(0), Some(0)), "{row:#}");
}

#[test]
fn a_hole_in_a_window_leads_to_a_scan() {
    let case = Case::new("windowhole");
    let orders = case.drawn(45_000, (0..16_000).chain(16_010..45_000), 15_000);
    case.replicator(|_| {});
    let app = case.migrate(|spec| spec.policies.verification = Verification::Window);
    app.completes();
    let plan = app.plan();
    assert_eq!(plan.target(&orders.name, 0)["position"], 15_000, "{:#}", plan.json);
    assert_eq!(plan.target(&orders.name, 0)["recordsRead"], 44_990);
    let row = plan.row(&orders.name, 0);
    assert_eq!((&row["verified"], &row["exact"]), (&"Scan".into(), &false.into()), "{row:#}");
}

#[test]
fn what_fits_into_the_windows_is_not_called_exact_either() {
    let case = Case::new("windowall");
    let orders = case.drawn(100, 0..100, 40);
    case.replicator(|_| {});
    let app = case.migrate(|spec| spec.policies.verification = Verification::Window);
    app.completes();
    let plan = app.plan();
    let row = plan.row(&orders.name, 0);
    assert_eq!(plan.target(&orders.name, 0)["position"], 40, "{row:#}");
    assert_eq!((&row["verified"], &row["exact"]), (&"Window".into(), &false.into()), "{row:#}");
}

/// Retention took the first window while it was looked for, or a rewritten stretch lies over it: what lies between
/// the windows is read.
#[test]
fn a_position_behind_the_unread_stretch_leads_to_a_scan() {
    let case = Case::new("windowbehind");
    // 0 .. 34,999, then 5,000 .. 14,999 again: every copy of c = 5,000 and above that the first window shows has its
    // last copy in the second one. All of it shows that the replicator writes again what it wrote before.
    let orders = case.drawn(35_000, (0..35_000).chain(5_000..15_000), 5_000);
    case.replicator(|_| {});
    let app = case.migrate(|spec| spec.policies.verification = Verification::Window);
    app.waits(Reason::ReplayInProgress, &[&orders.at(0), "14999", "34999"]);
    app.edit(|spec| spec.policies.replication_proof = ReplicationProof::Waive);
    app.completes();
    let plan = app.plan();
    // L(15000), the first that was not written again.
    assert_eq!(plan.target(&orders.name, 0)["position"], 15_000, "{:#}", plan.json);
    assert_eq!(plan.row(&orders.name, 0)["verified"], "Scan");
}
