//! From the top of the ladder to the rivals: nothing here looks at a group.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::controller::app_migration::report;
use crate::{
    api::v1alpha1::{AppMigration, Preview},
    controller::conditions::Statement,
};

fn nothing() -> Seen {
    Seen::default()
}

/// Seen: only the replicator, unusable for `reason`.
fn unusable(reason: Reason) -> Seen {
    Seen { replicator: Some(Err((reason, "why".into()))), ..Seen::default() }
}

/// Seen: that, and a journal with nothing in it.
fn with_journal(seen: Seen) -> Seen {
    Seen { journal: Some(JournalSeen::Ours(Box::default())), ..seen }
}

/// Seen: only the replicator, usable.
fn usable() -> Seen {
    Seen { replicator: Some(Ok(Box::new(usual_replicator()))), ..Seen::default() }
}

#[test]
fn a_finished_object_is_never_looked_at_again_whatever_it_says() {
    let mut object = migration(&json!({ "suspend": true, "topics": { "include": ["["] } }));
    let status = object.status.get_or_insert_default();
    status.completed_at = status.stop_confirmed_at.clone();
    let rest = rest(decide(&object, &nothing()));
    assert!(rest.rungs.as_told);
    assert_eq!(rest.next, Next::Never);
}

#[test]
fn a_suspended_object_keeps_its_conditions_and_waits_for_a_change() {
    let object = migration(&json!({ "suspend": true, "topics": { "include": ["["] } }));
    let rest = rests(decide(&object, &nothing()), Reason::Suspended, Next::Never);
    assert!(rest.rungs.suspended);
    assert!(ConditionType::LADDER.iter().all(|kind| rest.rungs.get(*kind).is_none()));
}

#[test]
fn an_invalid_spec_is_stalled_and_neither_latched_nor_looked_at() {
    type Change = fn(&mut AppMigration);
    let long: Change = |object| object.metadata.name = Some("n".repeat(241));
    let same: Change = |_| {};
    let cases: [(_, Change, &str); 4] = [
        (json!({}), long, "metadata.name"),
        (json!({ "quietPeriod": "-1s" }), same, "spec.quietPeriod"),
        (json!({ "topics": { "include": ["["] } }), same, "spec.topics.include"),
        (json!({ "topics": { "exclude": ["["] } }), same, "spec.topics.exclude"),
    ];
    for (mut spec, change, field) in cases {
        spec["stopConfirmed"] = json!(true);
        let mut object = unconfirmed(&spec);
        change(&mut object);
        let rest = rests(decide(&object, &nothing()), Reason::InvalidSpec, Next::Seldom);
        assert!(rest.rungs.ready().message.starts_with(field), "{}", rest.rungs.ready().message);
    }
}

#[test]
fn the_confirmation_is_latched_whatever_the_replicator() {
    let object = unconfirmed(&json!({ "stopConfirmed": true }));
    assert_eq!(decide(&object, &nothing()), Step::Look(Look::Replicator));
    for seen in [usable(), unusable(Reason::ReplicatorNotFound)] {
        acts(&decide(&object, &seen), Act::Latch);
    }
}

#[test]
fn a_latched_confirmation_outlives_the_field() {
    for stop_confirmed in [true, false] {
        let object = migration(&json!({ "stopConfirmed": stop_confirmed }));
        let seen = with_journal(unusable(Reason::ReplicatorNotFound));
        let rest = rests(decide(&object, &seen), Reason::ReplicatorNotFound, Next::BackOff);
        assert_eq!(says(&rest, ConditionType::StopConfirmed), Some((Status::True, Reason::Confirmed)));
        assert_eq!(decide(&object, &usable()), Step::Look(Look::Journal));
    }
}

#[test]
fn without_a_confirmation_only_the_replicator_and_the_preview_are_looked_at() {
    let object = unconfirmed(&json!({}));
    assert_eq!(decide(&object, &nothing()), Step::Look(Look::Replicator));
    // What it waits for is told before the preview, which may take its time.
    let first =
        rests(decide(&object, &usable()), Reason::AwaitingStopConfirmation, Next::After(Duration::ZERO));
    let mut object = object;
    let generation = object.metadata.generation;
    report::apply(object.status.get_or_insert_default(), &first.rungs, generation);
    assert_eq!(decide(&object, &usable()), Step::Look(Look::Preview));
    let seen = Seen { preview: Some(preview()), ..usable() };
    let rest = rests(decide(&object, &seen), Reason::AwaitingStopConfirmation, Next::Preview);
    assert_eq!(says(&rest, ConditionType::ReplicatorReady), Some((Status::True, Reason::Ready)));
    assert!(rest.rungs.ready().message.starts_with("stop the application"));
    // What would be in the way is said before anybody stops anything; not what passes by itself.
    let blocks =
        ["ReplicationBehind orders-0: it comes", "GapOnTarget orders-1: 2 are missing"].map(String::from);
    let blocked = |blocks: &[String]| {
        let mut preview = preview();
        preview.blocks = blocks.to_vec();
        let seen = Seen { preview: Some(preview), ..usable() };
        rests(decide(&object, &seen), Reason::AwaitingStopConfirmation, Next::Preview).rungs.ready().message
    };
    assert!(
        blocked(&blocks)
            .starts_with("not yet, as this would be in the way: GapOnTarget orders-1: 2 are missing;")
    );
    assert!(blocked(&blocks[..1]).starts_with("stop the application"));
}

#[test]
fn what_was_foreseen_for_a_former_spec_is_not_said_of_this_one() {
    let mut object = unconfirmed(&json!({}));
    object.metadata.generation = Some(2);
    let blocks = vec!["GapOnTarget orders-1: 2 are missing".to_owned()];
    let status = object.status.get_or_insert_default();
    status.preview = Some(Preview { blocks, ..preview() });
    for (seen, words) in [(2, "not yet"), (1, "stop the application")] {
        object.status.as_mut().unwrap().observed_generation = Some(seen);
        let rest =
            rests(decide(&object, &usable()), Reason::AwaitingStopConfirmation, Next::After(Duration::ZERO));
        assert!(rest.rungs.ready().message.starts_with(words), "{}", rest.rungs.ready().message);
    }
}

#[test]
fn an_unusable_replicator_ends_it_before_and_after_the_confirmation() {
    let cases = [
        (Reason::ReplicatorNotFound, Next::BackOff),
        (Reason::ReplicatorNotReady, Next::BackOff),
        (Reason::TracingHeadersDisabled, Next::Seldom),
        (Reason::TimestampsNotKept, Next::Seldom),
    ];
    for object in [unconfirmed(&json!({})), migration(&json!({}))] {
        for (reason, next) in cases {
            let rest = rests(decide(&object, &with_journal(unusable(reason))), reason, next);
            assert_eq!(says(&rest, ConditionType::ReplicatorReady), Some((Status::False, reason)));
        }
    }
}

#[test]
fn a_journal_that_is_not_ours_is_a_conflict_whatever_the_replicator() {
    let object = migration(&json!({}));
    for seen in [usable(), unusable(Reason::ReplicatorNotReady)] {
        let seen = Seen { journal: Some(JournalSeen::Conflict("altered".into())), ..seen };
        let rest = rests(decide(&object, &seen), Reason::PlanConflict, Next::Seldom);
        assert_eq!(says(&rest, ConditionType::OffsetsCommitted), Some((Status::False, Reason::PlanConflict)));
        assert_eq!(rest.rungs.ready().message, "altered");
    }
}

#[test]
fn each_field_that_the_confirmation_fixed_is_compared() {
    let then = migration(&json!({ "topics": { "include": ["orders"] } }));
    let cases = [
        (json!({ "replicatorRef": { "name": "other" } }), "spec.replicatorRef"),
        (json!({ "consumerGroup": "other" }), "spec.consumerGroup"),
        (json!({ "targetConsumerGroup": "other" }), "spec.targetConsumerGroup"),
        (json!({ "topics": { "include": ["orders"], "exclude": ["x"] } }), "spec.topics"),
        (json!({ "topics": null }), "spec.topics"),
    ];
    for (change, field) in cases {
        let mut spec = json!({ "topics": { "include": ["orders"] } });
        for (name, value) in change.as_object().unwrap() {
            spec[name] = value.clone();
        }
        let now = migration(&spec);
        let seen = up_to_rivals(&then, Some(announced()));
        let rest = rests(decide(&now, &seen), Reason::SpecChangedAfterConfirmation, Next::Seldom);
        assert!(rest.rungs.ready().message.contains(field), "{field}");
    }
}

#[test]
fn a_default_that_is_written_out_is_no_change_nor_is_a_policy() {
    let then = migration(&json!({}));
    let now = migration(&json!({ "targetConsumerGroup": "app", "policies": { "gap": "Accept" } }));
    let seen = up_to_rivals(&then, None);
    assert_eq!(decide(&now, &seen), Step::Look(Look::Group));
}

#[test]
fn the_journal_the_clusters_and_the_rivals_are_looked_at_in_this_order() {
    let object = migration(&json!({}));
    let mut seen =
        Seen { replicator: None, journal: None, clusters: None, rival: None, ..up_to_rivals(&object, None) };
    let whole = up_to_rivals(&object, None);
    assert_eq!(decide(&object, &seen), Step::Look(Look::Replicator));
    seen.replicator = whole.replicator;
    assert_eq!(decide(&object, &seen), Step::Look(Look::Journal));
    seen.journal = whole.journal;
    assert_eq!(decide(&object, &seen), Step::Look(Look::Clusters));
    seen.clusters = whole.clusters;
    assert_eq!(decide(&object, &seen), Step::Look(Look::Rivals));
    seen.rival = whole.rival;
    assert_eq!(decide(&object, &seen), Step::Look(Look::Group));
}

#[test]
fn another_migration_that_was_confirmed_first_goes_on_alone() {
    let object = migration(&json!({}));
    let seen = Seen { rival: Some(Err("payments/first".into())), ..up_to_rivals(&object, Some(announced())) };
    let rest = rests(decide(&object, &seen), Reason::DuplicateMigration, Next::BackOff);
    assert!(rest.rungs.ready().message.contains("payments/first"));
    assert!(rest.rungs.is_stalled(&rest.rungs.ready()));
}

#[test]
fn a_sealed_journal_is_the_end_whatever_the_clusters_and_offsets_say() {
    let object = migration(&json!({}));
    let mut seen = Seen { clusters: None, rival: None, ..up_to_rivals(&object, Some(announced())) };
    let Some(JournalSeen::Ours(journal)) = &mut seen.journal else { unreachable!() };
    journal.sealed = true;
    let gone = unusable(Reason::ReplicatorNotFound).replicator;
    for replicator in [seen.replicator.take(), gone] {
        seen.replicator = replicator;
        let rest = rest(decide(&object, &seen));
        let ready = rest.rungs.ready();
        assert_eq!((ready.status, ready.reason), (Status::True, Reason::Completed));
        assert!(
            ConditionType::LADDER
                .iter()
                .all(|kind| rest.rungs.get(*kind).map(|s| s.status) == Some(Status::True))
        );
        assert_eq!(rest.next, Next::Never);
    }
}

#[test]
fn ready_is_the_first_stalled_reason_else_the_first_that_is_not_true() {
    let mut rungs = super::super::Rungs::default();
    let fails = |reason| Statement::fails(reason, "");
    rungs.set(ConditionType::StopConfirmed, fails(Reason::AwaitingStopConfirmation));
    rungs.set(ConditionType::OffsetsCommitted, fails(Reason::TargetGroupActive));
    assert_eq!(rungs.ready().reason, Reason::AwaitingStopConfirmation);
    rungs.set(ConditionType::OffsetsMapped, fails(Reason::GapOnTarget));
    assert_eq!(rungs.ready().reason, Reason::GapOnTarget);
}
