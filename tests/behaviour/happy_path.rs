//! A migration that completes: what is on the target, and what the status says.

use crate::harness::{Case, Copies, v1alpha1::ConditionType};

#[test]
fn every_kind_of_position_in_one_group() {
    let case = Case::new("happy");
    // source, 6 partitions          target, the same origins
    // 0: 0 1 2 3 4 5 6 7 8 9  c=4   0..10        in the middle
    // 1: 0 1 2 3 4            c=5   0..5         all read
    // 2: 0 1 2                c=0   0..3         nothing read
    // 3: 0 1                  no c  0..2         left without one
    // 4:                      c=0                empty on both sides
    // 5: 0 1 2 3 4 5          c=2   0..6 behind 3 records of an earlier life
    let orders = case.topic("orders", 6);
    for (partition, count) in [(0, 10), (1, 5), (2, 3), (3, 2), (5, 6)] {
        orders.fill(partition, count);
        if partition == 5 {
            Copies::default().native(3).write_to(&orders.name, 5);
        }
        orders.copy(partition, 0..count);
    }
    case.committed(&orders, &[(0, 4), (1, 5), (2, 0), (4, 0), (5, 2)]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    let summary = app.completes();

    let at = |partition| app.target_offset(&orders.name, partition);
    assert_eq!(
        [at(0), at(1), at(2), at(3), at(4), at(5)],
        [Some(4), Some(5), Some(0), None, Some(0), Some(5)]
    );
    assert_eq!(
        (summary.topics, summary.partitions, summary.committed, summary.progress.as_str()),
        (1, 5, 5, "5/5")
    );
    assert_eq!((summary.exact, summary.reread, summary.gaps, summary.natives_skipped), (5, 0, 0, 3));
    let kinds = [0, 1, 2, 4, 5].map(|p| app.plan().target(&orders.name, p)["kind"].clone());
    assert_eq!(kinds, ["Boundary", "End", "Start", "Empty", "Boundary"]);
    assert_eq!(app.shows(ConditionType::Ready), "True Completed");
}
