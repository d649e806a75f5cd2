//! The source group, its quiet period, and looks that fail.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::controller::fault::Fault;

#[test]
fn a_group_that_is_not_stopped_ends_it() {
    let cases = [
        (Reason::GroupActive, Next::BackOff),
        (Reason::GroupNotFound, Next::BackOff),
        (Reason::UnsupportedGroupType, Next::Seldom),
    ];
    let object = migration(&json!({}));
    for (reason, next) in cases {
        let seen = Seen { group: Some(Group::Unfit(reason, "why".into())), ..up_to_rivals(&object, None) };
        let rest = rests(decide(&object, &seen), reason, next);
        stands_at(&rest, ConditionType::SourceGroupInactive);
    }
}

#[test]
fn offsets_that_are_gone_are_blocked() {
    let object = migration(&json!({}));
    let gone = Some("orders-0 was at 4".into());
    let seen = Seen { group: Some(Group::Stopped { gone }), ..up_to_quiet(&object, None) };
    let rest = rests(decide(&object, &seen), Reason::SourceOffsetsGone, Next::Seldom);
    stands_at(&rest, ConditionType::SourceGroupInactive);
    assert_eq!(rest.rungs.ready().message, "orders-0 was at 4");
}

#[test]
fn what_stands_on_the_source_is_kept_before_the_quiet_period_begins() {
    let object = migration(&json!({}));
    let mut seen = Seen { journal: Some(JournalSeen::Ours(Box::default())), ..up_to_rivals(&object, None) };
    assert_eq!(decide(&object, &seen), Step::Look(Look::Group));
    seen.group = Some(Group::Stopped { gone: None });
    acts(&decide(&object, &seen), Act::StoreSnapshot);
    // The confirmation's moment counts, not that of the stop; but what cannot be read cannot be kept.
    seen.group = Some(Group::Unfit(Reason::GroupActive, "why".into()));
    rests(decide(&object, &seen), Reason::GroupActive, Next::BackOff);
    seen.committed = committed("orders", &[(0, 4)]);
    acts(&decide(&object, &seen), Act::StoreSnapshot);
    seen.group = Some(Group::Stopped { gone: None });
    seen.journal = up_to_rivals(&object, None).journal;
    assert_eq!(decide(&object, &seen), Step::Look(Look::Quiet));
}

#[test]
fn the_quiet_period_is_waited_for_just_as_long_as_it_lasts() {
    let object = migration(&json!({}));
    let left = Duration::from_secs(3);
    let seen = Seen { quiet: Some(Quiet::Running(left)), ..up_to_quiet(&object, None) };
    let rest = rests(decide(&object, &seen), Reason::QuietPeriodRunning, Next::After(left));
    stands_at(&rest, ConditionType::SourceGroupInactive);
    assert!(rest.rungs.ready().message.contains("10 s"));
    let seen = Seen { quiet: Some(Quiet::Moving("orders-0 moved".into(), left)), ..seen };
    let rest = rests(decide(&object, &seen), Reason::OffsetsMoving, Next::After(left));
    stands_at(&rest, ConditionType::SourceGroupInactive);
}

/// An operator that is started anew has not seen the group stand still; what was said of it stands meanwhile.
#[test]
fn a_quiet_period_that_was_over_runs_again_in_silence() {
    let left = Duration::from_secs(3);
    let told = |inactive: &str, ready: &str, generation: i64| {
        let mut object = migration(&json!({}));
        let condition = |kind: &str, status: &str, reason: &str| {
            json!({ "type": kind, "status": status, "reason": reason, "message": "m",
                    "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": generation })
        };
        let conditions = json!([
            condition("SourceGroupInactive", inactive, "Inactive"),
            condition("Ready", "False", ready)
        ]);
        let status = object.status.get_or_insert_default();
        status.conditions = serde_json::from_value(conditions).unwrap();
        let seen = Seen { quiet: Some(Quiet::Running(left)), ..up_to_quiet(&object, None) };
        let Step::Rest(rest) = decide(&object, &seen) else { panic!("no rest") };
        assert_eq!(rest.next, Next::After(left));
        rest.rungs.as_told
    };
    let now = migration(&json!({})).metadata.generation.unwrap();
    assert!(told("True", "GapOnTarget", now));
    assert!(!told("True", "GapOnTarget", now - 1));
    assert!(!told("True", "TargetUnavailable", now));
    assert!(!told("Unknown", "NotJudged", now));
}

#[test]
fn a_group_that_stands_still_is_mapped() {
    let object = migration(&json!({}));
    assert_eq!(decide(&object, &up_to_quiet(&object, None)), Step::Look(Look::Mapping));
}

/// Each look that can fail, on the way where it is made, and the condition that it kept from being judged.
fn failing(look: Look, fault: Fault) -> (Seen, ConditionType) {
    let object = migration(&json!({}));
    let (seen, kind) = match look {
        Look::Clusters => (
            Seen { clusters: None, rival: None, ..up_to_rivals(&object, None) },
            ConditionType::SourceGroupInactive,
        ),
        Look::Group => (up_to_rivals(&object, None), ConditionType::SourceGroupInactive),
        Look::Mapping => (up_to_quiet(&object, None), ConditionType::ReplicationCaughtUp),
        Look::Unmoved => (
            Seen { target: Some(target(&[])), ..up_to_quiet(&object, Some(plan())) },
            ConditionType::ReplicationCaughtUp,
        ),
        Look::Target => (up_to_stored(&object), ConditionType::OffsetsCommitted),
        Look::Topics => (
            Seen { target: Some(target(&[(0, 4)])), ..up_to_rivals(&object, Some(announced())) },
            ConditionType::OffsetsCommitted,
        ),
        Look::Replicator | Look::Preview | Look::Journal | Look::Rivals | Look::Quiet => {
            unreachable!("they do not fail")
        }
    };
    (Seen { fault: Some((look, fault)), ..seen }, kind)
}

const FAILING: [Look; 6] =
    [Look::Clusters, Look::Group, Look::Mapping, Look::Unmoved, Look::Target, Look::Topics];

#[test]
fn a_look_that_failed_would_otherwise_have_been_made() {
    let object = migration(&json!({}));
    for look in FAILING {
        let (mut seen, _) = failing(look, Fault::new(Reason::SourceUnavailable, "why"));
        seen.fault = None;
        assert_eq!(decide(&object, &seen), Step::Look(look));
    }
}

#[test]
fn a_look_that_failed_ends_it_where_it_was_made() {
    let object = migration(&json!({}));
    for look in FAILING {
        for (reason, judged) in [
            (Reason::SourceUnavailable, Reason::SourceUnavailable),
            (Reason::TargetUnavailable, Reason::TargetUnavailable),
            (Reason::AuthenticationFailed, Reason::NotJudged),
            (Reason::AuthorizationFailed, Reason::NotJudged),
            (Reason::SecretNotFound, Reason::NotJudged),
        ] {
            let (seen, kind) = failing(look, Fault::new(reason, "why"));
            let rest = rests(decide(&object, &seen), reason, Next::BackOff);
            stands_at(&rest, kind);
            assert_eq!(says(&rest, kind), Some((Status::Unknown, judged)), "{look:?} {reason}");
            assert_eq!(rest.rungs.ready().message, "why");
        }
        let (seen, kind) = failing(look, Fault::new(Reason::InvalidSpec, "why"));
        let rest = rests(decide(&object, &seen), Reason::InvalidSpec, Next::Seldom);
        stands_at(&rest, kind);
    }
}

#[test]
fn a_pending_transaction_of_the_group_is_a_state_of_it_and_no_fault() {
    let object = migration(&json!({}));
    for look in [Look::Group, Look::Mapping] {
        let (seen, _) = failing(look, Fault::new(Reason::SourceTransactionPending, "why"));
        let rest = rests(decide(&object, &seen), Reason::SourceTransactionPending, Next::BackOff);
        let found = says(&rest, ConditionType::SourceGroupInactive);
        assert_eq!(found, Some((Status::False, Reason::SourceTransactionPending)));
    }
}

#[test]
fn a_partition_of_which_nothing_was_kept_at_the_confirmation_is_blocked() {
    let object = migration(&json!({}));
    let fault = Fault::new(Reason::UncommittedPartitions, "orders-2: added since");
    let (seen, _) = failing(Look::Mapping, fault);
    let rest = rests(decide(&object, &seen), Reason::UncommittedPartitions, Next::Seldom);
    let found = says(&rest, ConditionType::OffsetsMapped);
    assert_eq!(found, Some((Status::False, Reason::UncommittedPartitions)));
}

#[test]
fn a_fault_of_a_look_that_nothing_hangs_on_now_is_not_heard() {
    let object = migration(&json!({}));
    let seen = Seen {
        fault: Some((Look::Mapping, Fault::new(Reason::SourceUnavailable, "why"))),
        ..up_to_rivals(&object, None)
    };
    assert_eq!(decide(&object, &seen), Step::Look(Look::Group));
}
