//! A group of many partitions: the plan is compressed and split, and everything holds as for a small one.

use crate::harness::{Case, Side, wire::Offset};

#[test]
fn a_plan_of_nine_hundred_partitions() {
    const PARTITIONS: i32 = 900;
    let case = Case::new("large");
    let small = [("segment.index.bytes", "4096"), ("segment.bytes", "1048576")];
    let orders = case.topic_with("orders", PARTITIONS, &small, &small);
    for partition in 0..3 {
        orders.fill(partition, 6).copy(partition, 0..6);
    }
    let committed = |partition| {
        if partition < 3 { i64::from(partition) + 2 } else { 0 }
    };
    let metadata = vec![b'm'; 200];
    let offsets = (0..PARTITIONS).map(|partition| {
        let offset = Offset { offset: committed(partition), metadata: metadata.clone() };
        ((orders.name.clone(), partition), offset)
    });
    case.commit(Side::Source, &case.group, offsets.collect());
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.completes_exactly();
    assert_eq!(app.target_offsets(), case.expected_offsets(Side::Source, &case.group));
    let first = app.plan().config_map;
    assert!(
        first.data.unwrap().contains_key("index.json"),
        "small enough for one ConfigMap: not what this is for"
    );
    let part = case.config_map("app-plan-1").unwrap();
    assert_eq!(part.metadata.owner_references.unwrap()[0].uid, app.uid);
    assert_eq!(app.plan().offsets.lines().count(), usize::try_from(PARTITIONS).unwrap());
}
