//! The target group, and how the commit goes.

use serde_json::{Value, json};

use super::*;
use crate::{TopicPartition, api::v1alpha1::ALLOW_REWIND_ANNOTATION};

fn policy(value: &str) -> Value {
    json!({ "policies": { "existingTargetOffsets": value } })
}

fn at(partition: i32) -> TopicPartition {
    TopicPartition::new("orders", partition)
}

#[test]
fn the_target_group_is_looked_at_before_the_last_check_which_comes_before_the_commit() {
    let object = migration(&json!({}));
    let mut seen = up_to_stored(&object);
    assert_eq!(decide(&object, &seen), Step::Look(Look::Target));
    seen.target = Some(target(&[]));
    assert_eq!(decide(&object, &seen), Step::Look(Look::Unmoved));
    seen.unmoved = Some(Ok(()));
    let step = decide(&object, &seen);
    acts(&step, Act::Commit);
    let Step::Act(_, rungs) = step else { unreachable!() };
    assert_eq!(rungs.ready().reason, Reason::CommittingOffsets);
}

#[test]
fn a_target_group_with_members_is_never_committed_for() {
    let object = migration(&policy("Overwrite"));
    let active = || Some(Target { active: Some("c1 at /10.0.0.1".into()), ..target(&[(0, 4)]) });
    let fresh = Seen { target: active(), ..ready_to_commit(&object) };
    let begun = Seen { target: active(), topics: Some(Ok(())), ..up_to_rivals(&object, Some(announced())) };
    for seen in [fresh, begun] {
        let rest = rests(decide(&object, &seen), Reason::TargetGroupActive, Next::BackOff);
        stands_at(&rest, ConditionType::OffsetsCommitted);
        assert_eq!(rest.rungs.ready().message, "c1 at /10.0.0.1");
    }
}

/// Offsets that the group has on the target, by policy: none where the commit goes on.
#[test]
fn existing_offsets_stand_in_the_way_where_the_policy_says_so() {
    let exist = Some(Reason::TargetOffsetsExist);
    // The plan has orders-0 at 4.
    let cases = [
        ("Fail", 3, exist),
        ("Fail", 4, None),
        ("Fail", 5, exist),
        ("Forward", 3, None),
        ("Forward", 4, None),
        ("Forward", 5, None),
        ("Overwrite", 3, None),
        ("Overwrite", 4, None),
        ("Overwrite", 5, exist),
    ];
    for (name, offset, refused) in cases {
        let object = migration(&policy(name));
        let seen = Seen { target: Some(target(&[(0, offset)])), ..ready_to_commit(&object) };
        let step = decide(&object, &seen);
        match refused {
            None => acts(&step, Act::Commit),
            Some(reason) => {
                let rest = rests(step, reason, Next::Seldom);
                stands_at(&rest, ConditionType::OffsetsCommitted);
                assert!(rest.rungs.ready().message.contains("orders-0"));
            }
        }
    }
}

#[test]
fn going_back_takes_the_annotation_with_this_very_uid() {
    let mut object = migration(&policy("Overwrite"));
    let seen = Seen { target: Some(target(&[(0, 5)])), ..ready_to_commit(&object) };
    let mut annotate = |value: &str| {
        let annotation = (ALLOW_REWIND_ANNOTATION.to_owned(), value.to_owned());
        object.metadata.annotations = Some([annotation].into());
        object.clone()
    };
    rests(decide(&annotate("true"), &seen), Reason::TargetOffsetsExist, Next::Seldom);
    acts(&decide(&annotate(UID), &seen), Act::Commit);
}

/// A commit that has begun: announced in the journal, and the target shows some of it.
fn begun(object: &crate::api::v1alpha1::AppMigration) -> Seen {
    Seen { target: Some(target(&[(0, 4)])), ..up_to_rivals(object, Some(announced())) }
}

#[test]
fn a_commit_that_has_begun_is_finished_without_a_look_at_the_source_group() {
    let object = migration(&json!({}));
    let mut seen = begun(&object);
    assert_eq!(decide(&object, &seen), Step::Look(Look::Topics));
    seen.topics = Some(Ok(()));
    acts(&decide(&object, &seen), Act::Commit);
    // Neither a policy nor the replicator's routes change it any more.
    let mut changed = migration(&json!({}));
    changed.metadata.generation = Some(9);
    acts(&decide(&changed, &seen), Act::Commit);
}

#[test]
fn a_commit_that_has_begun_stops_where_a_topic_is_another_one() {
    let object = migration(&json!({}));
    let seen =
        Seen { topics: Some(Err("topic orders was recreated on the target".into())), ..begun(&object) };
    let rest = rests(decide(&object, &seen), Reason::ClusterChanged, Next::Seldom);
    stands_at(&rest, ConditionType::OffsetsCommitted);
}

#[test]
fn a_commit_that_was_only_announced_has_not_begun() {
    let object = migration(&json!({}));
    let seen = Seen { target: Some(target(&[])), ..up_to_rivals(&object, Some(announced())) };
    assert_eq!(decide(&object, &seen), Step::Look(Look::Group));
}

/// The target group's application was started too early: the announced commit was refused, and the
/// application, with `auto.offset.reset=latest`, committed ahead of every position before it was stopped. What
/// lies between was never read: that is no commit of ours.
#[test]
fn offsets_ahead_of_an_announced_plan_are_no_proof_of_its_commit() {
    let object = migration(&json!({}));
    let seen = Seen {
        target: Some(target(&[(0, 20), (1, 30)])),
        unmoved: Some(Ok(())),
        ..up_to_quiet(&object, Some(announced()))
    };
    let rest = rests(decide(&object, &seen), Reason::TargetOffsetsExist, Next::Seldom);
    let message = rest.rungs.ready().message;
    assert!(message.contains("orders-0 has 20, the plan 4"), "{message}");
    // Nor while it runs.
    let Seen { target, .. } = &seen;
    let committed = target.as_ref().unwrap().committed.clone();
    let seen =
        Seen { target: Some(Target { active: Some("c1".into()), committed, ..Target::default() }), ..seen };
    rests(decide(&object, &seen), Reason::TargetGroupActive, Next::BackOff);
}

/// Seen: everything, and this outcome.
fn after(outcome: Outcome) -> Seen {
    Seen { outcome: Some(outcome), ..ready_to_commit(&migration(&json!({}))) }
}

#[test]
fn it_is_completed_once_every_offset_was_read_back() {
    let seen = after(Outcome { committed: vec![at(0), at(1)], ..Outcome::default() });
    let rest = rest(decide(&migration(&json!({})), &seen));
    let ready = rest.rungs.ready();
    assert_eq!((ready.status, ready.reason), (Status::True, Reason::Completed));
    for kind in ConditionType::LADDER {
        assert_eq!(says(&rest, kind).map(|(status, _)| status), Some(Status::True));
    }
    assert_eq!(rest.next, Next::Never);
}

#[test]
fn it_is_not_completed_while_an_offset_was_not_read_back() {
    for committed in [vec![], vec![at(0)]] {
        let seen = after(Outcome { committed, ..Outcome::default() });
        let rest = rests(decide(&migration(&json!({})), &seen), Reason::CommitFailed, Next::BackOff);
        assert!(!rest.rungs.is_stalled(&rest.rungs.ready()));
    }
}

#[test]
fn a_commit_that_failed_in_part_names_what_failed_and_is_tried_again() {
    let seen = after(Outcome {
        committed: vec![at(0)],
        failed: vec![(at(1), "timed out".into())],
        ..Outcome::default()
    });
    let step = decide(&migration(&json!({})), &seen);
    let rest = rests(step, Reason::CommitFailed, Next::BackOff);
    stands_at(&rest, ConditionType::OffsetsCommitted);
    let ready = rest.rungs.ready();
    assert!(!rest.rungs.is_stalled(&ready));
    assert_eq!(ready.message, "orders-1: timed out; 1 partitions are committed, 1 are not");
}

#[test]
fn a_commit_that_is_refused_for_good_is_stalled() {
    let refused = || vec![(at(1), "metadata too large".to_owned())];
    let seen = after(Outcome { committed: vec![at(0)], refused: refused(), ..Outcome::default() });
    let object = migration(&json!({}));
    let rest = rests(decide(&object, &seen), Reason::CommitFailed, Next::Seldom);
    assert!(rest.rungs.is_stalled(&rest.rungs.ready()));
    // As long as another one may still succeed it is tried again.
    let seen = after(Outcome {
        refused: refused(),
        failed: vec![(at(0), "timed out".into())],
        ..Outcome::default()
    });
    let rest = rests(decide(&object, &seen), Reason::CommitFailed, Next::BackOff);
    assert!(!rest.rungs.is_stalled(&rest.rungs.ready()));
}

#[test]
fn a_group_that_came_alive_during_the_commit_is_waited_for() {
    let seen = after(Outcome {
        active: Some("the target group has members".into()),
        failed: vec![(at(0), "not read back".into())],
        ..Outcome::default()
    });
    let step = decide(&migration(&json!({})), &seen);
    let rest = rests(step, Reason::TargetGroupActive, Next::BackOff);
    stands_at(&rest, ConditionType::OffsetsCommitted);
}
