//! What moves while the operator looks: a replicator that writes on, a transaction of the source that stays open.
//! The order of the reads, and the end that a certificate names.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use rdkafka::producer::Producer;
use serde_json::json;

use crate::harness::{
    Case, Copies, Member, Side, Topic,
    copies::value,
    kafka::{Received, Record},
    stack::DEADLINE,
    wire::Offset,
};

/// Ends the writer also where the test fails.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Appends to both partitions of the source, and their copies to the target, until it is told to stop.
fn write_on(orders: &Topic<'_>, mut next: [i64; 2], stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        for (partition, next) in (0..).zip(&mut next) {
            let record = |offset| Record { value: value(partition, offset), ..Record::default() };
            let records: Vec<Record> = (*next..*next + 100).map(record).collect();
            Side::Source.produce(&orders.name, partition, &records);
            orders.copy(partition, *next..*next + 100);
            *next += 100;
        }
    }
    for partition in 0..2 {
        orders.case.source_settled(&orders.name, partition);
    }
}

#[test]
fn definition_the_order_of_reads_with_a_replicator_that_writes_on() {
    let case = Case::new("writeson");
    // 0: target 7 natives, then 0..4000 and on, c = 3000. 1: 0..2000 and on, c = 2000: all read, for a moment
    let orders = case.topic("orders", 2);
    orders.fill(0, 4_000).fill(1, 2_000);
    Copies::default().native(7).write_to(&orders.name, 0);
    orders.copy(0, 0..4_000).copy(1, 0..2_000);
    case.committed(&orders, &[(0, 3_000), (1, 2_000)]);
    case.replicator(|_| {});
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let running = StopOnDrop(&stop);
        scope.spawn(|| write_on(&orders, [4_000, 2_000], &stop));
        let app = case.migrate(|_| {});
        app.completes_exactly();
        drop(running);
        let plan = app.plan();
        plan.certifies(&orders.name, 0, &json!({ "position": 3007, "kind": "Boundary" }));
        plan.certifies(&orders.name, 1, &json!({ "position": 2000 }));
        for partition in 0..2 {
            let end = |certificate: &serde_json::Value| certificate["lastStableOffset"].as_i64().unwrap();
            let now = Side::Target.bounds(&orders.name, partition).1;
            assert!(end(plan.target(&orders.name, partition)) < now, "it stood still while it was mapped");
        }
    });
    let ends = [0, 1].map(|partition| Side::Source.bounds(&orders.name, partition).1);
    let unread = usize::try_from(ends[0] - 3_000 + ends[1] - 2_000).unwrap();
    let member = Member::classic(Side::Target, &case.group, &orders.name);
    assert_read(&member.wait_for(unread), [(3_000, ends[0]), (2_000, ends[1])]);
}

/// Each partition's records once, in order, from the committed offset to the end.
fn assert_read(read: &[Received], ranges: [(i64, i64); 2]) {
    for (partition, (from, to)) in (0..).zip(ranges) {
        let values: Vec<&str> =
            read.iter().filter(|r| r.partition == partition).map(|r| r.value.as_str()).collect();
        let expected: Vec<String> = (from..to).map(|offset| value(partition, offset)).collect();
        assert_eq!(values, expected);
    }
}

#[test]
fn definition_the_order_of_reads_with_a_position_that_is_committed_late() {
    let case = Case::new("writesposition");
    // As above, and the replicator's own position, which it commits after each round: never beyond what it wrote.
    let orders = case.topic("orders", 2);
    orders.fill(0, 1_500).fill(1, 1_500).copy(0, 0..1_500).copy(1, 0..1_500);
    case.committed(&orders, &[(0, 1_500), (1, 700)]);
    let own = case.replicated_to(&orders, &[(0, 1_500), (1, 1_500)]);
    case.replicator(|spec| spec.source.as_mut().unwrap().consumer_group = Some(own.clone()));
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let running = StopOnDrop(&stop);
        scope.spawn(|| write_on(&orders, [1_500, 1_500], &stop));
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let end = |partition| Side::Target.bounds(&orders.name, partition).1;
                case.replicated_to(&orders, &[(0, end(0)), (1, end(1))]);
            }
        });
        let app = case.migrate(|_| {});
        app.completes_exactly();
        drop(running);
        let row = json!([{ "provenBy": "replicatorPosition", "gap": 0 }]);
        app.plan().certifies(&orders.name, 0, &json!({ "position": 1500, "sources": row }));
        app.plan().certifies(&orders.name, 1, &json!({ "position": 700, "sources": row }));
    });
}

#[test]
fn rule_21_a_source_transaction_open_over_the_whole_mapping() {
    let case = Case::new("opensource");
    // source 0..6000 [6000..6005: open], c = 5500, too long to be read whole. 0: the replicator waits for the
    // transaction to end; 1: it does not, and has copied what is open
    let orders = case.topic("orders", 2);
    for partition in 0..2 {
        orders.fill(partition, 6_000).copy(partition, 0..6_000);
    }
    orders.copy(1, 6_000..6_005);
    let open = [0, 1].map(|partition| orders.open_transaction(partition, 5));
    for partition in 0..2 {
        case.source_settled(&orders.name, partition);
    }
    case.committed(&orders, &[(0, 5_500), (1, 5_500)]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.completes_exactly();
    let row = json!([{
        "end": 6005, "provenBy": "witness",
        "below": { "offset": 5499, "origin": 5499 }, "at": { "offset": 5500, "origin": 5500 },
    }]);
    for partition in 0..2 {
        assert_eq!(Side::Source.last_stable(&orders.name, partition), 6_000, "it is still open");
        app.plan().certifies(&orders.name, partition, &json!({ "position": 5500, "sources": row }));
    }
    assert_eq!(app.target_offsets()[&(orders.name.clone(), 0)], Offset::from(5_500));
    for producer in open {
        producer.abort_transaction(DEADLINE).unwrap();
    }
    for partition in 0..2 {
        Side::Source.wait_until_stable(&orders.name, partition);
        case.source_settled(&orders.name, partition);
    }
}
