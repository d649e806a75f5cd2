//! One test per edge of the state machine, in the ladder's order; then properties of all ways down.

mod commit;
mod ladder;
mod plan;
mod source;
mod walk;
mod world;

use super::decide;
use crate::api::v1alpha1::{ConditionType, Reason};

use super::super::{
    super::conditions::Status,
    fixtures::*,
    seen::{ClusterIds, Group, JournalSeen, Mapping, Outcome, Quiet, Seen, Target},
    step::{Act, Look, Next, Rest, Step},
};

/// The end of a reconcile, or a failed test.
#[track_caller]
fn rest(step: Step) -> Rest {
    match step {
        Step::Rest(rest) => rest,
        other => panic!("no rest: {other:?}"),
    }
}

/// `Ready` is False for `reason`, and the object is looked at again at `next`.
#[track_caller]
fn rests(step: Step, reason: Reason, next: Next) -> Rest {
    let rest = rest(step);
    let ready = rest.rungs.ready();
    assert_eq!((ready.status, ready.reason, rest.next), (Status::False, reason, next), "{}", ready.message);
    rest
}

/// Something is done.
#[track_caller]
fn acts(step: &Step, act: Act) {
    assert!(matches!(step, Step::Act(found, _) if *found == act), "{act:?}: {step:?}");
}

/// What one condition says; none where it was not judged.
fn says(rest: &Rest, kind: ConditionType) -> Option<(Status, Reason)> {
    rest.rungs.get(kind).map(|s| (s.status, s.reason))
}

/// The conditions up to and without `kind` are True, those behind it were not judged.
#[track_caller]
fn stands_at(rest: &Rest, kind: ConditionType) {
    for rung in ConditionType::LADDER {
        let found = says(rest, rung).map(|(status, _)| status);
        match rung.cmp(&kind) {
            std::cmp::Ordering::Less => assert_eq!(found, Some(Status::True), "{rung}"),
            std::cmp::Ordering::Equal => assert_ne!(found, Some(Status::True), "{rung}"),
            std::cmp::Ordering::Greater => assert_eq!(found, None, "{rung}"),
        }
    }
}
