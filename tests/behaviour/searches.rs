//! Logs that are searched rather than read whole: the answer is the same, and says how it was come by.

use serde_json::{Value, json};

use crate::harness::{Case, Side, wire::Offset};

fn verified(row: &Value) -> &str {
    row["verified"].as_str().unwrap()
}

#[test]
fn a_long_log_is_read_from_the_position_on() {
    let case = Case::new("long");
    let orders = case.drawn(6_000, 0..6_000, 5_500);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.completes_exactly();
    let plan = app.plan();
    let target = plan.target(&orders.name, 0);
    assert_eq!(target["position"], 5_500, "{target:#}");
    assert_eq!(verified(plan.row(&orders.name, 0)), "Backlog");
    assert!((1..10).contains(&target["probes"].as_u64().unwrap()), "{target:#}");
    assert!((500..520).contains(&target["recordsRead"].as_u64().unwrap()), "{target:#}");
    assert_eq!(plan.row(&orders.name, 0)["below"]["origin"], 5_499);
    let first = json!({ "offset": 5_500, "origin": 5_500 });
    assert_eq!(target["readBack"], json!({ "offset": 5_500, "first": first }));
}

#[test]
fn rule_11_everything_read_of_a_long_log() {
    let case = Case::new("caughtup");
    let orders = case.drawn(4_000, 0..4_000, 4_000);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.completes_exactly();
    let plan = app.plan();
    assert_eq!(plan.target(&orders.name, 0)["kind"], "End");
    assert_eq!(plan.target(&orders.name, 0)["position"], 4_000);
    assert_eq!(verified(plan.row(&orders.name, 0)), "Backlog");
}

#[test]
fn definition_verified_a_zombie_s_second_crossing_leads_to_a_scan() {
    let case = Case::new("zombies");
    // The search may land on the second 1500, at 2700; the records 1501 to 1999 lie before it.
    let orders = case.drawn(4_000, (0..2_000).chain(800..1_501).chain(2_000..4_000), 1_500);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.completes();
    let plan = app.plan();
    // 800 to 1499 lie behind it once more.
    let row = json!([{ "verified": "Scan", "reread": 700, "exact": false, "gap": 0 }]);
    plan.certifies(&orders.name, 0, &json!({ "position": 1501, "sources": row }));
}

#[test]
fn definition_verified_a_zombie_s_tail_on_an_idle_partition_is_no_end() {
    let case = Case::new("tail");
    // All of it is there; the zombie's 100 to 1200 at the end cross c = 1000 again.
    let orders = case.drawn(3_000, (0..3_000).chain(100..1_200).chain(2_999..3_000), 1_000);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.completes();
    let plan = app.plan();
    let position = plan.target(&orders.name, 0)["position"].as_i64().unwrap();
    // L(1200), the first that the zombie did not write again.
    assert_eq!(position, 1_200, "{:#}", plan.json);
    assert_eq!(verified(plan.row(&orders.name, 0)), "Scan");
}

#[test]
fn another_group_on_the_same_partition_takes_one_look() {
    let case = Case::new("shared");
    let orders = case.drawn(20_000, 0..15_000, 15_000);
    // Where the second group stands in batches of which several come with one look; how the producer's would fall
    // is left to chance.
    for start in (15_000..16_000).step_by(50) {
        orders.copy(0, start..start + 50);
    }
    orders.copy(0, 16_000..20_000);
    case.replicator(|_| {});
    let first = case.migrate(|_| {});
    first.completes_exactly();
    assert!(first.plan().target(&orders.name, 0)["probes"].as_u64() > Some(1), "nothing to be shared");
    let group = format!("{}-second", case.namespace);
    let offsets = [((orders.name.clone(), 0), Offset::from(15_500))];
    case.commit(Side::Source, &group, offsets.into());
    let second = case.migrate_as("second", |spec| spec.consumer_group.clone_from(&group));
    second.completes_exactly();
    let plan = second.plan();
    assert_eq!(plan.target(&orders.name, 0)["position"], 15_500, "{:#}", plan.json);
    assert_eq!(plan.target(&orders.name, 0)["probes"], 1, "{:#}", plan.json);
}
