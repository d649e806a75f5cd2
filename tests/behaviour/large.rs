//! A group of many partitions: the plan is compressed and split, and everything holds as for a small one.

use crate::harness::{Case, Side, migration::ready_reason, stack::DEADLINE, wire::Offset};

/// Of one topic. `LARGE` is the number of topics: 12, which are 10,800 partitions, in `make test-all`.
const PARTITIONS: i32 = 900;

#[test]
fn a_plan_of_many_partitions() {
    let topics: usize = std::env::var("LARGE").map_or(1, |number| number.parse().unwrap());
    let case = Case::new("large");
    let small = [("segment.index.bytes", "4096"), ("segment.bytes", "1048576")];
    let topics: Vec<_> =
        (0..topics).map(|n| case.topic_with(&format!("orders{n}"), PARTITIONS, &small, &small)).collect();
    for topic in &topics {
        for partition in 0..3 {
            topic.fill(partition, 6).copy(partition, 0..6);
        }
    }
    let committed = |partition| {
        if partition < 3 { i64::from(partition) + 2 } else { 0 }
    };
    let offset = |partition| Offset { offset: committed(partition), metadata: vec![b'm'; 200] };
    // A broker takes no request for more offsets than fit into one batch of its own.
    for topic in &topics {
        let at = |partition| ((topic.name.clone(), partition), offset(partition));
        case.commit(Side::Source, &case.group, (0..PARTITIONS).map(at).collect());
    }
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.wait("Completed", DEADLINE * u32::try_from(topics.len()).unwrap(), |o| {
        ready_reason(o) == Some("Completed")
    });
    app.completes_exactly();
    assert_eq!(app.target_offsets(), case.expected_offsets(Side::Source, &case.group));
    let first = app.plan().config_map;
    assert!(
        first.data.unwrap().contains_key("index.json"),
        "small enough for one ConfigMap: not what this is for"
    );
    let part = case.config_map("app-plan-1").unwrap();
    assert_eq!(part.metadata.owner_references.unwrap()[0].uid, app.uid);
    let lines = usize::try_from(PARTITIONS).unwrap() * topics.len();
    assert_eq!(app.plan().offsets.lines().count(), lines);
    let printed = std::process::Command::new(crate::harness::stack::binary())
        .args(["plan", "show", "app", "-o", "csv", "--namespace", &case.namespace])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(printed.stdout).unwrap().lines().count(), lines + 1);
}
