//! Target partitions and source partitions that are not one to one: rules 9, 10, 16 and 20.

use serde_json::json;

use crate::harness::{
    Case, Copies, K2KReplicatorSpec, Reason, Reprocessing, Side, Toggle, Topic, UncommittedPartitions,
    specs::route,
    v1alpha1::{TargetPartitioning, TargetTopic},
    wire::Offset,
};

/// Both topics go into `all`.
fn merging(case: &Case, spec: &mut K2KReplicatorSpec) {
    let target = TargetTopic { topic_name: format!("{}-all", case.namespace), ..TargetTopic::default() };
    spec.replication = Some(vec![route(&format!("{}-[ab]", case.namespace), target)]);
}

/// The producer's partitioner chooses the target partition.
fn spreading(case: &Case, spec: &mut K2KReplicatorSpec) {
    let target = TargetTopic { partition: TargetPartitioning::Producer, ..TargetTopic::default() };
    spec.replication = Some(vec![route(&format!("{}-.*", case.namespace), target)]);
}

/// The source topics `a` and `b`, one partition of `count` records each, and the target topic `all`.
fn two(case: &Case, count: i64) -> (Topic<'_>, Topic<'_>, String) {
    let (a, b) = (case.source_topic("a", 1, &[]), case.source_topic("b", 1, &[]));
    a.fill(0, count);
    b.fill(0, count);
    let all = format!("{}-all", case.namespace);
    Side::Target.create_topic(&all, 1, &[]);
    (a, b, all)
}

#[test]
fn rule_09_merged_and_still_exact() {
    let case = Case::new("mergedexact");
    // all: a0 b0 b1 a1 | b2 a2 b3 a3; a: c = 2, b: c = 2: everything read lies below the first unread
    let (a, b, all) = two(&case, 4);
    let (a0, b0) = (a.name.as_str(), b.name.as_str());
    let log = Copies::default().of(a0, 0, [0]).of(b0, 0, [0, 1]).of(a0, 0, [1]);
    log.of(b0, 0, [2]).of(a0, 0, [2]).of(b0, 0, [3]).of(a0, 0, [3]).write_to(&all, 0);
    case.committed(&a, &[(0, 2)]);
    case.committed(&b, &[(0, 2)]);
    case.replicator(|spec| merging(&case, spec));
    let app = case.migrate(|_| {});
    app.completes_exactly();
    let rows = json!([
        { "topic": a.name, "below": { "offset": 3, "origin": 1 }, "at": { "offset": 5, "origin": 2 } },
        { "topic": b.name, "below": { "offset": 2, "origin": 1 }, "at": { "offset": 4, "origin": 2 } },
    ]);
    app.plan().certifies(&all, 0, &json!({ "position": 4, "sources": rows }));
}

#[test]
fn rule_09_merged_reads_again_what_the_slower_one_needs() {
    let case = Case::new("mergedslow");
    // all: a0 b0 a1 b1 a2 b2 a3 b3 a4 b4; a: c = 1, b: c = 4: p = 2, and b1 b2 b3 are read again
    let (a, b, all) = two(&case, 5);
    let log = (0..5).fold(Copies::default(), |log, n| log.of(&a.name, 0, [n]).of(&b.name, 0, [n]));
    log.write_to(&all, 0);
    case.committed(&a, &[(0, 1)]);
    case.committed(&b, &[(0, 4)]);
    case.replicator(|spec| merging(&case, spec));
    let app = case.migrate(|spec| spec.policies.reprocessing = Reprocessing::Fail);
    app.stalls(Reason::ReprocessingRefused, &[&b.at(0), "3 records", "committed 4", "position 2"]);
    app.edit(|spec| spec.policies.reprocessing = Reprocessing::Accept);
    let summary = app.completes();
    assert_eq!((summary.reread, summary.exact), (3, 1));
    let rows = json!([{ "reread": 0, "exact": true }, { "reread": 3, "exact": false }]);
    app.plan().certifies(&all, 0, &json!({ "position": 2, "sources": rows }));
}

#[test]
fn rule_09_one_that_has_read_everything_does_not_pull_the_position_down() {
    let case = Case::new("mergedidle");
    // all: b0 a0 b1 b2 b3 a1 a2 a3; a: c = 3, b: c = 4, all read and gone from the source: p is a's
    let (a, b, all) = two(&case, 4);
    Side::Source.delete_records(&b.name, 0, 4);
    let log = Copies::default().of(&b.name, 0, [0]).of(&a.name, 0, [0]).of(&b.name, 0, [1, 2, 3]);
    log.of(&a.name, 0, 1..4).write_to(&all, 0);
    case.committed(&a, &[(0, 3)]);
    case.committed(&b, &[(0, 4)]);
    case.replicator(|spec| merging(&case, spec));
    let app = case.migrate(|_| {});
    app.completes_exactly();
    let rows = json!([{ "at": { "offset": 7, "origin": 3 } }, { "at": null, "provenBy": "sourceExhausted" }]);
    app.plan().certifies(&all, 0, &json!({ "position": 7, "kind": "Boundary", "sources": rows }));
}

#[test]
fn rule_20_merged_the_metadata_is_that_of_the_one_that_set_the_position() {
    let case = Case::new("mergedmetadata");
    // all: a0 a1 b0 b1, a: c = 2 of 2, b: c = 1: b sets the position 3
    let (a, b, all) = two(&case, 2);
    Copies::default().of(&a.name, 0, 0..2).of(&b.name, 0, 0..2).write_to(&all, 0);
    let offset = |offset, metadata: &str| Offset { offset, metadata: metadata.into() };
    let offsets = [((a.name.clone(), 0), offset(2, "of a")), ((b.name.clone(), 0), offset(1, "of b"))];
    case.commit(Side::Source, &case.group, offsets.into());
    case.replicator(|spec| merging(&case, spec));
    let app = case.migrate(|_| {});
    app.completes_exactly();
    assert_eq!(app.target_offsets(), [((all, 0), offset(3, "of b"))].into());
}

#[test]
fn rule_10_a_witness_on_each_target_partition() {
    let case = Case::new("spread");
    // source 0..10, c = 5. target 0: 0 2 4 6 8; target 1: 1 3, then 5 7 9
    let orders = case.topic("orders", 1);
    Side::Target.grow(&orders.name, 2);
    orders.fill(0, 10).copy(0, [0, 2, 4, 6, 8]);
    let write = |origins: &[i64]| {
        Copies::default().of(&orders.name, 0, origins.iter().copied()).write_to(&orders.name, 1);
    };
    write(&[1]);
    case.committed(&orders, &[(0, 5)]);
    case.replicator(|spec| spreading(&case, spec));
    let app = case.migrate(|_| {});
    // The witnesses 6 and 8 on target 0 prove nothing of what is still to come to target 1.
    app.waits(Reason::ReplicationBehind, &[&orders.at(0), "committed 5, replicated to 2"]);
    write(&[3, 5, 7, 9]);
    app.completes_exactly();
    let row = |below: [i64; 2], at: [i64; 2]| {
        json!([{ "below": { "offset": below[0], "origin": below[1] }, "at": { "offset": at[0], "origin": at[1] },
                 "gap": 0, "exact": true, "provenBy": "witness" }])
    };
    let plan = app.plan();
    plan.certifies(&orders.name, 0, &json!({ "position": 3, "sources": row([2, 4], [3, 6]) }));
    plan.certifies(&orders.name, 1, &json!({ "position": 2, "sources": row([1, 3], [2, 5]) }));
    // One source partition, whatever it is spread over.
    assert_eq!(app.get().status.unwrap().summary.unwrap().partitions, 1);
}

#[test]
fn rule_10_everything_found_on_one_of_them() {
    let case = Case::new("spreadidle");
    // source 0..6, c = 6. target 0: 0 1 2 5; 1: 3, later 4; 2: a native and a copy of another topic
    let orders = case.topic("orders", 1);
    Side::Target.grow(&orders.name, 3);
    orders.fill(0, 6).copy(0, [0, 1, 2, 5]);
    Copies::default().of(&orders.name, 0, [3]).write_to(&orders.name, 1);
    // A record of another source partition: its headers are on.
    Copies::default().native(1).of("elsewhere", 0, [0]).write_to(&orders.name, 2);
    case.committed(&orders, &[(0, 6)]);
    case.replicator(|spec| spreading(&case, spec));
    let app = case.migrate(|_| {});
    // 4 is missing; on target 2 nothing tells that it is not to come there.
    app.waits(Reason::ReplicationBehind, &[&orders.at(0), "committed 6, replicated to 0"]);
    Copies::default().of(&orders.name, 0, [4]).write_to(&orders.name, 1);
    app.completes_exactly();
    let plan = app.plan();
    let row = json!([{ "provenBy": "sourceExhausted" }]);
    plan.certifies(&orders.name, 0, &json!({ "position": 4, "kind": "End", "sources": row }));
    plan.certifies(&orders.name, 1, &json!({ "position": 2, "kind": "End", "sources": row }));
    // E, where there is none of it.
    plan.certifies(&orders.name, 2, &json!({ "position": 2, "kind": "Empty", "sources": row }));
}

#[test]
fn rule_10_gaps_are_judged_on_the_union() {
    let case = Case::new("spreadgap");
    // source 0..10, c = 4. target 0: 0 1 6 7; 1: 2 3 8 9: 4 and 5 are on neither
    let orders = case.topic("orders", 1);
    Side::Target.grow(&orders.name, 2);
    orders.fill(0, 10).copy(0, [0, 1, 6, 7]);
    let second = |origins: [i64; 4]| Copies::default().of(&orders.name, 0, origins);
    second([2, 3, 8, 9]).write_to(&orders.name, 1);
    case.committed(&orders, &[(0, 4)]);
    let own = case.replicated_to(&orders, &[(0, 10)]);
    case.replicator(|spec| {
        spreading(&case, spec);
        spec.source.as_mut().unwrap().consumer_group = Some(own);
    });
    let app = case.migrate(|_| {});
    app.stalls(Reason::GapOnTarget, &[&orders.at(0), "2 records", "4 to 5"]);
    // They come, late and on the other side of later ones.
    orders.copy(0, [4, 5]);
    app.retry("arrived");
    app.completes_exactly();
    let plan = app.plan();
    let row = json!([{ "provenBy": "replicatorPosition", "gap": 0 }]);
    plan.certifies(&orders.name, 0, &json!({ "position": 2, "sources": row }));
    plan.certifies(&orders.name, 1, &json!({ "position": 2, "sources": row }));
}

#[test]
fn rule_10_a_replay_repeats_what_another_target_partition_holds() {
    let case = Case::new("spreadreplay");
    // target 0: 0..10; target 1, chosen by the producer for the second time: 3 4, at work up to 9; c = 5
    let orders = case.topic("orders", 1);
    Side::Target.grow(&orders.name, 2);
    orders.fill(0, 10).copy(0, 0..10);
    let again = |origins| Copies::default().of(&orders.name, 0, origins).write_to(&orders.name, 1);
    again(3..5);
    case.committed(&orders, &[(0, 5)]);
    case.replicator(|spec| spreading(&case, spec));
    let app = case.migrate(|_| {});
    app.waits(Reason::ReplayInProgress, &[&orders.at(0), "it is at 4", &orders.at(1), "was at 9"]);
    again(5..10);
    app.completes_exactly();
    let plan = app.plan();
    plan.certifies(&orders.name, 0, &json!({ "position": 5, "sources": [{ "provenBy": "witness" }] }));
    plan.certifies(&orders.name, 1, &json!({ "position": 2, "sources": [{ "provenBy": "witness" }] }));
}

#[test]
fn rule_24_two_pipelines_of_different_partitions_do_not_clash() {
    let case = Case::new("twopipelines");
    // all: a0 a1 b0 b1 a2 b2, a by blue and b by green; c = 2 and 2
    let (a, b, all) = two(&case, 3);
    let by = |topic: &Topic<'_>, offsets, pipeline| {
        Copies::default().of(&topic.name, 0, offsets).by_pipeline(pipeline).write_to(&all, 0);
    };
    by(&a, 0..2, "blue");
    by(&b, 0..2, "green");
    by(&a, 2..3, "blue");
    by(&b, 2..3, "green");
    case.committed(&a, &[(0, 2)]);
    case.committed(&b, &[(0, 2)]);
    case.replicator(|spec| {
        merging(&case, spec);
        spec.features.tracing_headers.pipeline = Toggle::Enabled;
    });
    let app = case.migrate(|_| {});
    app.completes_exactly();
    assert_eq!(app.target_offset(&all, 0), Some(4));
}

#[test]
fn rule_16_a_commit_of_minus_one_is_none() {
    let case = Case::new("minusone");
    let orders = case.topic("orders", 2);
    orders.fill(0, 6).fill(1, 4).copy(0, 0..6).copy(1, 0..4);
    case.committed(&orders, &[(0, 2), (1, -1)]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.completes_exactly();
    assert_eq!(app.target_offsets(), [((orders.name.clone(), 0), 2.into())].into());
    // Never silent.
    let left_out = json!({
        "topic": orders.name, "partition": 1,
        "why": "no committed offset (policies.uncommittedPartitions: Skip)",
    });
    assert_eq!(app.plan().json["leftOut"], json!([left_out]));
}

#[test]
fn rule_16_latest_is_the_end_at_the_confirmation() {
    let case = Case::new("latest");
    // 1 has no commit, and 4 records when the stop is confirmed; 3 more come while 0 is waited for
    let orders = case.topic("orders", 2);
    orders.fill(0, 6).fill(1, 4).copy(0, 0..1).copy(1, 0..4);
    case.committed(&orders, &[(0, 2)]);
    case.replicator(|_| {});
    let app = case.migrate(|spec| spec.policies.uncommitted_partitions = UncommittedPartitions::Latest);
    app.waits(Reason::ReplicationBehind, &[&orders.at(0), "committed 2, replicated to 1"]);
    orders.fill(1, 3).copy(1, 4..7).copy(0, 1..6);
    app.completes_exactly();
    let row = json!({ "committed": 4, "assumed": "Latest", "end": 7 });
    app.plan().certifies(&orders.name, 1, &json!({ "position": 4, "sources": [row] }));
}

#[test]
fn rule_16_earliest_is_the_log_start_of_the_source() {
    let case = Case::new("earliest");
    // 1 has no commit; the source holds 2 3 4, the target 0..5
    let orders = case.topic("orders", 2);
    orders.fill(0, 3).fill(1, 5).copy(0, 0..3).copy(1, 0..5);
    Side::Source.delete_records(&orders.name, 1, 2);
    case.committed(&orders, &[(0, 2)]);
    case.replicator(|_| {});
    let app = case.migrate(|spec| spec.policies.uncommitted_partitions = UncommittedPartitions::Earliest);
    app.completes_exactly();
    let row = json!({ "committed": 2, "assumed": "Earliest", "logStart": 2 });
    app.plan().certifies(&orders.name, 1, &json!({ "position": 2, "sources": [row] }));
}
