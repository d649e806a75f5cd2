//! Each policy against an offset that is equal, behind and ahead; the plan has `orders-0` at 4.

use serde_json::json;

use super::{Existing, begun};
use crate::{
    TopicPartition,
    api::v1alpha1::{ALLOW_REWIND_ANNOTATION, AppMigration},
    mapping::TargetOffset,
};

use super::super::fixtures::{UID, announced, committed, migration, plan, target};
use super::super::seen::Target;

fn with_policy(policy: &str) -> AppMigration {
    migration(&json!({ "policies": { "existingTargetOffsets": policy } }))
}

fn at_0() -> TopicPartition {
    TopicPartition::new("orders", 0)
}

fn judge(object: &AppMigration, offset: i64) -> Existing {
    Existing::judge(object, &plan(), &target(&[(0, offset)]))
}

#[test]
fn fail_protects_every_offset_but_an_equal_one() {
    let object = with_policy("Fail");
    assert!(judge(&object, 4).conflict().is_none());
    for offset in [3, 5] {
        let judged = judge(&object, offset);
        assert_eq!(judged.conflicts, [(at_0(), offset, TargetOffset(4))]);
        assert!(judged.kept.is_empty());
        let text = judged.conflict().unwrap();
        assert!(text.contains(&format!("orders-0 has {offset}, the plan 4")), "{text}");
        assert!(text.contains("policies.existingTargetOffsets"), "{text}");
    }
}

#[test]
fn forward_keeps_what_is_ahead_and_moves_what_is_behind() {
    let object = with_policy("Forward");
    for (offset, kept) in [(3, None), (4, None), (5, Some(TargetOffset(5)))] {
        let judged = judge(&object, offset);
        assert_eq!(judged.conflict(), None);
        assert_eq!(judged.kept.get(&at_0()).copied(), kept);
    }
}

#[test]
fn overwrite_moves_back_only_with_the_annotation_for_this_very_object() {
    let mut object = with_policy("Overwrite");
    for offset in [3, 4] {
        assert_eq!(judge(&object, offset).conflict(), None);
    }
    for value in [None, Some("true"), Some("another-uid"), Some("")] {
        object.metadata.annotations =
            value.map(|v| [(ALLOW_REWIND_ANNOTATION.to_owned(), v.to_owned())].into());
        let judged = judge(&object, 5);
        assert_eq!(judged.conflicts.len(), 1);
        let text = judged.conflict().unwrap();
        assert!(text.contains(&format!("{ALLOW_REWIND_ANNOTATION}={UID}")), "{text}");
    }
    object.metadata.annotations = Some([(ALLOW_REWIND_ANNOTATION.to_owned(), UID.to_owned())].into());
    let judged = judge(&object, 5);
    assert_eq!(judged.conflict(), None);
    assert!(judged.kept.is_empty());
}

#[test]
fn the_annotation_changes_no_other_policy() {
    for (policy, conflicts) in [("Fail", 1), ("Forward", 0)] {
        let mut object = with_policy(policy);
        object.metadata.annotations = Some([(ALLOW_REWIND_ANNOTATION.to_owned(), UID.to_owned())].into());
        assert_eq!(judge(&object, 5).conflicts.len(), conflicts);
    }
}

#[test]
fn offsets_of_partitions_that_the_plan_does_not_name_are_none_of_its_business() {
    let object = with_policy("Fail");
    for there in [committed("orders", &[(7, 1)]), committed("other", &[(0, 1)]), committed("orders", &[])] {
        let group = Target { committed: there, ..Target::default() };
        assert_eq!(Existing::judge(&object, &plan(), &group).conflict(), None);
    }
}

#[test]
fn forward_leaves_no_offset_beyond_the_end() {
    let mut group = target(&[(0, 9)]);
    let judged = |group: &Target| Existing::judge(&with_policy("Forward"), &plan(), group);
    group.ends = [(at_0(), 9)].into();
    assert_eq!(judged(&group).conflict(), None);
    group.ends = [(at_0(), 8)].into();
    assert!(judged(&group).kept.is_empty());
    let text = judged(&group).conflict().unwrap();
    assert!(text.contains("orders-0 has 9, the plan 4") && text.contains("beyond the end"), "{text}");
}

#[test]
fn what_stood_at_the_position_before_says_nothing_of_the_commit() {
    let mut plan = announced();
    let there = committed("orders", &[(0, plan.targets[0].position.0)]);
    assert!(begun(&plan, &there));
    plan.targets[0].there_before = true;
    assert!(!begun(&plan, &there));
}

#[test]
fn ten_conflicts_are_listed_and_the_rest_counted() {
    let mut plan = plan();
    let targets = (0..13).map(|n| super::super::fixtures::target_plan("orders", n, 4));
    plan.targets = targets.collect();
    let there: Vec<(i32, i64)> = (0..13).map(|n| (n, 9)).collect();
    let judged = Existing::judge(&with_policy("Fail"), &plan, &target(&there));
    let text = judged.conflict().unwrap();
    assert!(text.contains("orders-9 has 9, the plan 4 and 3 more"), "{text}");
    assert!(!text.contains("orders-10"), "{text}");
}

#[test]
fn only_the_planned_offset_itself_shows_that_an_announced_commit_has_begun() {
    let there = |offset| committed("orders", &[(0, offset)]);
    assert!(begun(&announced(), &there(4)));
    for offset in [3, 5] {
        assert!(!begun(&announced(), &there(offset)), "{offset}");
    }
    assert!(!begun(&announced(), &committed("orders", &[])));
    // Not announced: the offset was there before.
    assert!(!begun(&plan(), &there(4)));
}

#[test]
fn an_offset_that_was_kept_shows_nothing() {
    let mut plan = announced();
    plan.targets[0].kept = Some(TargetOffset(4));
    assert!(!begun(&plan, &committed("orders", &[(0, 4)])));
}
