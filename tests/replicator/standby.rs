//! One instance works, another stands by as a member of the group and takes over.

use crate::support::{Replicator, assert_complete, brokers, manifest, source, target, unique, wait_for};

/// The one that works and the one that stands by.
fn sorted(mut a: Replicator, mut b: Replicator) -> (Replicator, Replicator) {
    wait_for("one stands by", || {
        (a.runs() && b.runs()).then_some(())?;
        let by = |replicator: &Replicator| {
            let log = replicator.log();
            log.rfind("standing by") > log.rfind("at work")
        };
        (by(&a) != by(&b)).then_some(())
    });
    if a.log().rfind("standing by") > a.log().rfind("at work") { (b, a) } else { (a, b) }
}

#[test]
fn a_second_instance_stands_by_and_takes_over_after_kill_9() {
    let _brokers = brokers();
    let topic = unique("two");
    source().create(&topic, 6, &[]);
    for partition in 0..6 {
        source().fill(&topic, partition, 0, 2_000);
    }
    let group = unique("g");
    let text = manifest(&group, &topic, "");
    let mut first = Replicator::start(&text);
    first.wait_log("at work");
    let mut second = Replicator::start(&text);
    second.wait_log("group=");
    source().wait_position_at_end(&group, &topic);
    let (works, mut waits) = sorted(first, second);
    // All partitions are copied by one, though the group's protocol gives each member some.
    let repeats = assert_complete(&source().read_all(&topic), &target().read_all(&topic));
    assert_eq!(repeats.records, 0, "the handover was settled");

    works.kill();
    for partition in 0..6 {
        source().fill(&topic, partition, 2_000, 500);
    }
    source().wait_position_at_end(&group, &topic);
    waits.wait_log("at work");
    let repeats = assert_complete(&source().read_all(&topic), &target().read_all(&topic));
    assert_eq!(repeats.records, 0, "the first was idle when it died");
}

#[test]
fn the_second_takes_over_at_once_after_sigterm() {
    let _brokers = brokers();
    let topic = unique("handover");
    source().create(&topic, 2, &[]);
    source().fill(&topic, 0, 0, 100);
    let group = unique("g");
    let text = manifest(&group, &topic, "");
    let (first, mut second) = (Replicator::start(&text), Replicator::start(&text));
    second.wait_log("group=");
    source().wait_position_at_end(&group, &topic);
    let (works, mut waits) = sorted(first, second);
    let (status, ..) = works.terminate();
    assert!(status.success());
    source().fill(&topic, 1, 100, 100);
    source().wait_position_at_end(&group, &topic);
    waits.wait_log("at work");
    let repeats = assert_complete(&source().read_all(&topic), &target().read_all(&topic));
    assert_eq!(repeats.records, 0);
}
