//! Logs that are searched rather than read whole: the answer is the same, and says how it was come by.

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::Value;

use crate::harness::{Case, Copies, GapPolicy, ReplicationProof, Side};

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
    assert_eq!(plan.target(&orders.name, 0)["position"], 1_501, "{:#}", plan.json);
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

/// A log on the target as a replicator may write it that restarts, loses sight of records, or has a zombie.
fn random_log(random: &mut StdRng, end: i64) -> Vec<i64> {
    let mut log = Vec::new();
    let mut next = if random.random_bool(0.2) { random.random_range(0..end) } else { 0 };
    while next < end {
        let to = (next + random.random_range(1..end.max(2))).min(end);
        let step = if random.random_bool(0.15) { 3 } else { 1 };
        log.extend((next..to).step_by(step));
        if random.random_bool(0.3) {
            let from = random.random_range(0..to);
            log.extend(from..(from + random.random_range(1..400)).min(to));
        }
        next = if random.random_bool(0.3) { random.random_range(0..=to) } else { to };
        if log.len() > 12_000 || random.random_bool(0.05) {
            break;
        }
    }
    log
}

/// Whatever is answered: an application that resumes there reads every record that it has not read and that the
/// target holds; none again but what was counted; exact only where it is.
#[test]
fn thirty_two_random_logs() {
    let seed = std::env::var("SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    for round in 0..4 {
        let case = Case::new(&format!("random{round}"));
        let orders = case.topic("orders", 8);
        let mut logs = Vec::new();
        let mut committed = Vec::new();
        for partition in 0..8 {
            let end = random.random_range(1..4_000);
            orders.fill(partition, end);
            let log = random_log(&mut random, end);
            let mut copies = Copies::default();
            for origin in &log {
                if random.random_bool(0.01) {
                    copies = copies.native(1);
                }
                copies = copies.of(&orders.name, partition, [*origin]);
            }
            copies.write_to(&orders.name, partition);
            committed.push((partition, random.random_range(0..=end)));
            logs.push(log);
        }
        case.committed(&orders, &committed);
        case.replicator(|_| {});
        let app = case.migrate(|spec| {
            spec.policies.gap = GapPolicy::Accept;
            spec.policies.replication_proof = ReplicationProof::Waive;
        });
        app.completes();
        let plan = app.plan();
        for ((partition, c), log) in committed.iter().zip(&logs) {
            let position = app.target_offset(&orders.name, *partition).unwrap();
            let read: Vec<i64> = Side::Target
                .read_from(&orders.name, *partition, position)
                .into_iter()
                .filter_map(|r| r.value.split_once(':')?.1.parse().ok())
                .collect();
            let what = format!("seed {seed}, {}: c {c}, position {position}", orders.at(*partition));
            let lost: Vec<&i64> = log.iter().filter(|s| *s >= c && !read.contains(s)).collect();
            assert!(lost.is_empty(), "{what}: {lost:?} are lost");
            let mut again: Vec<i64> = read.into_iter().filter(|s| s < c).collect();
            again.sort_unstable();
            again.dedup();
            let row = plan.row(&orders.name, *partition);
            let counted = usize::try_from(row["reread"].as_u64().unwrap()).unwrap();
            assert!(again.len() <= counted, "{what}: {} read again, {row:#}", again.len());
            assert!(row["exact"] == false || again.is_empty(), "{what}: exact, but {again:?} are read again");
        }
    }
}
