//! One test a rule; the log is drawn as the list of origins on the target.

use super::world::{Record, Source, World};
use crate::{
    api::v1alpha1::{GapPolicy, NativeRecords, Reason, ReplicationProof, Reprocessing},
    mapping::{
        Assessment,
        plan::{Kind, ProvenBy, TargetPlan},
    },
};

fn one(world: &World) -> TargetPlan {
    let mut plans = world.mapped();
    assert_eq!(plans.len(), 1);
    plans.remove(0)
}

fn blocked(world: &World) -> Vec<Reason> {
    match world.assess() {
        Assessment::Blocked(findings) => findings.iter().map(|f| f.reason).collect(),
        other => panic!("not blocked: {other:?}"),
    }
}

#[test]
fn rule_01_plain_log() {
    let plan = one(&World::plain(10, 4));
    assert_eq!((plan.position.0, plan.kind), (4, Kind::Boundary));
    let row = &plan.sources[0];
    assert!(row.exact, "{:?}", row.why);
    assert_eq!((row.below.unwrap().offset.0, row.at.unwrap().offset.0), (3, 4));
}

#[test]
fn rule_02_hole_at_c_by_compaction_or_marker() {
    // The source holds no data at 4 and 5.
    let mut world = World::drawn(10, 4, &[0, 1, 2, 3, 6, 7, 8, 9]);
    world.sources[0].log[4] = false;
    world.sources[0].log[5] = false;
    let plan = one(&world);
    assert_eq!(plan.position.0, 4);
    assert!(plan.sources[0].exact);
}

#[test]
fn rule_03_hole_below_c() {
    let mut world = World::drawn(10, 5, &[0, 1, 2, 3, 5, 6, 7, 8, 9]);
    world.sources[0].log[4] = false;
    let plan = one(&world);
    assert_eq!(plan.position.0, 4);
    assert!(plan.sources[0].exact);
}

#[test]
fn rule_04_dropped_on_purpose() {
    let mut world = World::drawn(10, 4, &[0, 1, 2, 3, 6, 7, 8, 9]);
    assert_eq!(blocked(&world), [Reason::GapOnTarget]);
    world.filtering = true;
    let plan = one(&world);
    assert_eq!((plan.position.0, plan.sources[0].filtered, plan.sources[0].gap), (4, 2, 0));
    // A missing prefix is still a gap.
    let mut prefix = World::drawn(10, 2, &[6, 7, 8, 9]);
    prefix.filtering = true;
    assert_eq!(blocked(&prefix), [Reason::GapOnTarget]);
}

#[test]
fn rule_05_rewind() {
    let plan = one(&World::drawn(10, 5, &[0, 1, 2, 3, 4, 5, 6, 3, 4, 5, 6, 7, 8, 9]));
    assert_eq!(plan.position.0, 9);
    assert!(plan.sources[0].exact);
}

#[test]
fn rule_06_replay_running() {
    let origins: Vec<i64> = (0..10).chain([4, 5]).collect();
    assert_eq!(blocked(&World::drawn(10, 5, &origins)), [Reason::ReplayInProgress]);
    // Having passed max, it is over.
    let origins: Vec<i64> = (0..10).chain(4..10).collect();
    assert_eq!(one(&World::drawn(10, 5, &origins)).position.0, 11);
    // A reordered tail is no replay.
    let origins: Vec<i64> = (0..8).chain([9, 8]).collect();
    assert!(one(&World::drawn(10, 5, &origins)).sources[0].exact);
}

#[test]
fn rule_06_what_retention_took_while_we_looked_may_have_been_written_again() {
    let mut world = World::drawn(3, 3, &[0, 1, 2, 0]);
    world.sources[0].log_start = 3;
    assert_eq!(blocked(&world), [Reason::ReplayInProgress]);
    // Gone before: the run is over.
    world.sources[0].log_start_before = 3;
    assert!(one(&world).sources[0].exact);
}

#[test]
fn rule_06_a_replay_released_counts_what_is_to_come() {
    let mut world = World::drawn(10, 8, &(0..10).chain([4, 5]).collect::<Vec<_>>());
    world.policies.replication_proof = ReplicationProof::Waive;
    let plan = one(&world);
    // p = 8; 4 and 5 lie behind it, 6 and 7 are still to come.
    assert_eq!((plan.position.0, plan.sources[0].reread), (8, 4));
    assert!(!plan.sources[0].exact);
}

#[test]
fn rule_08_open_transaction() {
    let mut world = World::plain(10, 6);
    world.open_from = Some(4);
    assert_eq!(blocked(&world), [Reason::OpenTransaction]);
}

#[test]
fn rule_09_merged() {
    let merged = |committed: i64| World {
        sources: vec![
            Source { log: vec![true; 4], committed: 2, ..Source::default() },
            Source { log: vec![true; 4], committed, ..Source::default() },
        ],
        targets: vec![(0..4).flat_map(|s| [Record::Copy(0, s), Record::Copy(1, s)]).collect()],
        target_starts: vec![0],
        routes: vec![vec![0], vec![0]],
        ..World::default()
    };
    // 0:0 1:0 0:1 1:1 | 0:2 1:2 0:3 1:3
    let plan = one(&merged(2));
    assert_eq!(plan.position.0, 4);
    assert!(plan.sources.iter().all(|row| row.exact));
    // The second has read 3 already: 1:0, 1:1 and 1:2 ; p stays at 0:2, so 1:2 is read again.
    let plan = one(&merged(3));
    assert_eq!(plan.position.0, 4);
    assert_eq!(plan.sources.iter().map(|row| row.reread).collect::<Vec<_>>(), [0, 1]);
    let mut refused = merged(3);
    refused.policies.reprocessing = Reprocessing::Fail;
    assert_eq!(blocked(&refused), [Reason::ReprocessingRefused]);
}

#[test]
fn rule_10_spread() {
    let spread = |replicator| World {
        sources: vec![Source { log: vec![true; 6], committed: 3, replicator, ..Source::default() }],
        targets: vec![
            [0, 2, 4].map(|s| Record::Copy(0, s)).to_vec(),
            [1, 3, 5].map(|s| Record::Copy(0, s)).to_vec(),
            vec![],
        ],
        target_starts: vec![0, 0, 0],
        routes: vec![vec![0, 1, 2]],
        ..World::default()
    };
    for replicator in [None, Some(6)] {
        let plans = spread(replicator).mapped();
        assert_eq!(plans.iter().map(|p| p.position.0).collect::<Vec<_>>(), [2, 1, 0]);
        assert!(plans.iter().all(|p| p.sources[0].exact), "{plans:?}");
    }
    assert_eq!(blocked(&spread(Some(2))), [Reason::ReplicationBehind]);
}

#[test]
fn rule_10_a_replay_of_a_spread_partition_repeats_what_another_target_holds() {
    // The replicator went back to 4, which lands on the other target now; 5 to 9 are to come once more.
    let log = |origins: &[i64]| origins.iter().map(|s| Record::Copy(0, *s)).collect();
    let world = World {
        sources: vec![Source { log: vec![true; 10], committed: 8, ..Source::default() }],
        targets: vec![log(&[0, 2, 4, 6, 8]), log(&[1, 3, 5, 7, 9, 4])],
        target_starts: vec![0, 0],
        routes: vec![vec![0, 1]],
        ..World::default()
    };
    assert_eq!(blocked(&world), [Reason::ReplayInProgress]);
}

#[test]
fn rule_06_a_replay_of_what_lies_before_the_part_is_in_doubt() {
    // | is where the parts begin. Back at 1, which repeats what the first target holds before its part.
    // 0 1 | 2 3 4
    // 0 0 | 1
    let log = |origins: &[i64]| origins.iter().map(|s| Record::Copy(0, *s)).collect();
    let spread = World {
        sources: vec![Source { log: vec![true; 5], committed: 5, ..Source::default() }],
        targets: vec![log(&[0, 1, 2, 3, 4]), log(&[0, 0, 1])],
        target_starts: vec![0, 0],
        routes: vec![vec![0, 1]],
        read_from: 2,
        ..World::default()
    };
    // 0 1 2 | 1 3 4 5 2
    let single = World { read_from: 3, ..World::drawn(6, 6, &[0, 1, 2, 1, 3, 4, 5, 2]) };
    for world in [spread, single] {
        assert!(!world.assess_within(&world.ends()).1.none(), "{world:?}");
    }
}

#[test]
fn rule_10_a_replay_of_a_spread_partition_has_come_as_far_as_the_earliest_target_says() {
    // Back at 0 and then at 1: 2 to 6 are to come once more, though 3 on the first target repeats another one.
    let log = |origins: &[i64]| origins.iter().map(|s| Record::Copy(0, *s)).collect();
    let mut world = World {
        sources: vec![Source { log: vec![true; 10], committed: 7, ..Source::default() }],
        targets: vec![log(&[0, 1, 2, 4, 6, 3]), log(&[3, 5, 0, 1])],
        target_starts: vec![0, 0],
        routes: vec![vec![0, 1]],
        ..World::default()
    };
    world.policies.replication_proof = ReplicationProof::Waive;
    world.policies.gap = GapPolicy::Accept;
    let reread: u64 = world.mapped().iter().map(|plan| plan.sources[0].reread).sum();
    assert_eq!(reread, 5);
}

#[test]
fn rule_22_copies_of_a_spread_partition_whose_topic_cannot_be_told() {
    // The former topic had 9 records, the new one has 5. Target 0 proves it; 1 and 4 on target 1 may be of either.
    let log = |origins: &[i64]| origins.iter().map(|s| Record::Copy(0, *s)).collect();
    let world = |second: &[i64]| World {
        sources: vec![Source { log: vec![true; 5], committed: 3, ..Source::default() }],
        targets: vec![log(&[0, 2, 8, 0, 2, 3]), log(second)],
        target_starts: vec![0, 0],
        routes: vec![vec![0, 1]],
        ..World::default()
    };
    assert_eq!(blocked(&world(&[1, 4])), [Reason::SourceRecreated]);
    assert_eq!(world(&[1, 4, 7, 1, 4]).mapped()[1].position.0, 4);
}

#[test]
fn rule_11_what_retention_took_while_we_looked_may_have_been_copied_meanwhile() {
    // The target ended in 2. Then 3 and 4 were copied, and retention took them before the source was asked.
    let mut world = World::drawn(5, 5, &[0, 1, 2]);
    world.sources[0].log_start = 5;
    assert_eq!(blocked(&world), [Reason::ReplicationBehind]);
    world.policies.replication_proof = ReplicationProof::Waive;
    assert_eq!(one(&world).sources[0].reread, 2);
    world.sources[0].replicator = Some(2);
    assert_eq!(one(&world).sources[0].reread, 3);
    world.sources[0].replicator = None;
    // They were gone before: nobody can have copied them since.
    world.sources[0].log_start_before = 5;
    assert!(one(&world).sources[0].exact);
}

#[test]
fn rule_11_everything_read() {
    let plan = one(&World::plain(10, 10));
    assert_eq!((plan.position.0, plan.kind), (10, Kind::End));
    assert_eq!(plan.sources[0].proven_by, ProvenBy::SourceExhausted);
    assert!(plan.sources[0].exact);
    // The source ends in a marker.
    let mut marker = World::plain(10, 11);
    marker.sources[0].log.push(false);
    assert!(one(&marker).sources[0].exact);
}

#[test]
fn rule_12_gap() {
    let late: Vec<i64> = (6..10).collect();
    let mut world = World::drawn(10, 4, &late);
    let Assessment::Blocked(findings) = world.assess() else { panic!() };
    assert!(findings[0].message.starts_with("2 records of source offsets 4 to 5"), "{findings:?}");
    world.policies.gap = GapPolicy::Accept;
    let plan = one(&world);
    assert_eq!((plan.position.0, plan.sources[0].gap, plan.sources[0].exact), (0, 2, false));
}

#[test]
fn a_gap_up_to_the_replicators_position() {
    // The target lost everything; the replicator had come to 8.
    let mut world = World::drawn(10, 4, &[]);
    world.sources[0].replicator = Some(8);
    let Assessment::Blocked(findings) = world.assess() else { panic!() };
    assert!(findings[0].message.starts_with("4 records of source offsets 4 to 7"), "{findings:?}");
    // Without knowing how far it had come nothing is decided.
    world.sources[0].replicator = None;
    assert!(blocked(&world).iter().all(|r| *r == Reason::ReplicationBehind));
}

#[test]
fn rule_12_what_an_open_transaction_on_the_source_holds_may_be_missing() {
    // The replicator does not wait for its end, and 4 is missing: nobody knows yet whether 4 is a data record.
    let mut world = World::drawn(6, 1, &[0, 1, 2, 3, 5]);
    world.sources[0].open_from = Some(3);
    let plan = one(&world);
    assert_eq!((plan.position.0, plan.sources[0].gap, plan.sources[0].exact), (1, 0, false));
}

#[test]
fn rule_13_below_the_sources_log_start() {
    let mut world = World::plain(10, 4);
    world.sources[0].log_start = 7;
    assert!(one(&world).sources[0].exact);
    let mut holed = World::drawn(10, 4, &[0, 1, 2, 3, 4, 6, 7, 8, 9]);
    holed.sources[0].log_start = 7;
    assert_eq!(blocked(&holed), [Reason::GapOnTarget]);
}

#[test]
fn rule_14_out_of_range() {
    assert_eq!(blocked(&World::plain(10, 11)), [Reason::SourceOffsetOutOfRange]);
}

#[test]
fn rule_15_zero() {
    let plan = one(&World::plain(10, 0));
    assert_eq!((plan.position.0, plan.kind), (0, Kind::Start));
    assert!(plan.sources[0].exact);
}

#[test]
fn rule_17_idle_partition_completes() {
    let plan = one(&World::drawn(0, 0, &[]));
    assert_eq!((plan.position.0, plan.kind), (0, Kind::Empty));
    assert!(plan.sources[0].exact);
}

#[test]
fn rule_18_source_emptied_by_retention() {
    let mut world = World::plain(10, 10);
    world.sources[0].log_start = 10;
    world.sources[0].log_start_before = 10;
    let plan = one(&world);
    assert_eq!(plan.position.0, 10);
    assert!(plan.sources[0].exact);
}

#[test]
fn rule_22_former_incarnation() {
    // 0..7 of the former topic; the new one has 5 records.
    let former: Vec<i64> = (0..8).collect();
    assert_eq!(blocked(&World::drawn(5, 3, &former)), [Reason::SourceRecreated]);
    let both: Vec<i64> = (0..8).chain(0..5).collect();
    let plan = one(&World::drawn(5, 3, &both));
    assert_eq!(plan.position.0, 11);
    assert!(plan.sources[0].exact);
}

#[test]
fn rule_22_copies_of_a_former_topic_that_are_read_again_are_counted() {
    // native | 0 to 7 of the former topic | 0 to 4 of the new one
    let both: Vec<i64> = (0..8).chain(0..5).collect();
    let mut world = World::drawn(5, 3, &both);
    world.targets[0].insert(0, Record::Native);
    world.policies.native_records = NativeRecords::Include;
    let plan = one(&world);
    // 0, 1 and 2 once more, and 5, 6 and 7 of the former topic.
    assert_eq!((plan.position.0, plan.sources[0].reread, plan.sources[0].exact), (0, 6, false));
}

#[test]
fn rule_22_a_new_topic_that_gets_no_more_records_has_a_way_out() {
    // The former topic had 3 records, the new one has none, and the group has read all of them.
    let Assessment::Blocked(findings) = World::drawn(0, 0, &[0, 1, 2]).assess() else { panic!() };
    assert_eq!(findings[0].reason, Reason::SourceRecreated);
    assert!(findings[0].message.contains("new target topic"), "{findings:?}");
}

#[test]
fn rule_25_native_records() {
    let mut world = World::plain(6, 3);
    world.targets[0].insert(1, Record::Native);
    let plan = one(&world);
    assert_eq!((plan.position.0, plan.natives_skipped), (4, 1));
    world.policies.native_records = NativeRecords::Fail;
    assert_eq!(blocked(&world), [Reason::NativeRecordsRefused]);
    world.policies.native_records = NativeRecords::Include;
    let plan = one(&world);
    assert_eq!((plan.position.0, plan.sources[0].reread, plan.natives_skipped), (1, 2, 0));
}

#[test]
fn rule_30_undecodable() {
    // 0 1 2 ? 4 5: the question mark may be 3.
    let mut world = World::plain(6, 3);
    world.targets[0][3] = Record::Undecodable;
    let plan = one(&world);
    assert_eq!((plan.position.0, plan.sources[0].gap, plan.undecodable), (3, 0, 1));
    assert!(!plan.sources[0].exact);
    // Elsewhere it is counted.
    let mut elsewhere = World::plain(6, 3);
    elsewhere.targets[0].insert(1, Record::Undecodable);
    let plan = one(&elsewhere);
    assert_eq!((plan.position.0, plan.undecodable, plan.sources[0].exact), (4, 1, false));
}

#[test]
fn rule_30_no_origin_at_all() {
    let mut world = World::plain(3, 1);
    world.targets = vec![vec![Record::Native; 3]];
    assert!(blocked(&world).contains(&Reason::HeadersMissing));
}

#[test]
fn a_known_position_beats_a_witness() {
    let mut world = World::plain(10, 5);
    world.sources[0].replicator = Some(3);
    assert_eq!(blocked(&world), [Reason::ReplicationBehind]);
    // One beyond the source's end is void.
    world.sources[0].replicator = Some(99);
    assert_eq!(one(&world).sources[0].proven_by, ProvenBy::Witness);
}

#[test]
fn a_zombie_does_not_mislead() {
    // 0..199, 80..149, 200..399: the example of the rules.
    let origins: Vec<i64> = (0..200).chain(80..150).chain(200..400).collect();
    let plan = one(&World::drawn(400, 150, &origins));
    assert_eq!(plan.position.0, 150);
    assert_eq!(plan.sources[0].reread, 70);
}

#[test]
fn rule_08_with_a_known_position() {
    // 0..9 copied and passed by the replicator; what lies from 4 on is hidden: no gap, and nothing proven.
    let mut world = World::plain(10, 6);
    world.open_from = Some(4);
    world.sources[0].replicator = Some(10);
    assert!(blocked(&world).iter().all(|r| *r == Reason::OpenTransaction));
    world.sources[0].replicator = Some(6);
    assert!(blocked(&world).iter().all(|r| *r == Reason::OpenTransaction));
    // A record at c that can be seen proves enough.
    world.open_from = Some(8);
    assert!(one(&world).sources[0].exact);
}

#[test]
fn rule_17_a_reordered_tail_on_an_idle_partition_completes() {
    let plan = one(&World::drawn(11, 11, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 9]));
    assert_eq!(plan.position.0, 11);
    assert!(plan.sources[0].exact);
}
