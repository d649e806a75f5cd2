//! A world that answers each look and each act as its choices say: well, badly, or not at all.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    TopicPartition,
    api::v1alpha1::{ALLOW_REWIND_ANNOTATION, AppMigration},
    controller::fault::Fault,
    mapping::{Finding, Plan},
};

/// Numbers that choose among answers: 0 is the one of a world in which all is well.
#[derive(Debug)]
pub struct Choices(std::vec::IntoIter<usize>);

impl Choices {
    /// All is well.
    pub fn good() -> Self {
        Self(vec![].into_iter())
    }

    /// One of `n` ways.
    pub fn among(&mut self, n: usize) -> usize {
        self.0.next().unwrap_or_default() % n
    }
}

/// Mostly that all is well, so that the lower rungs are reached.
pub fn choices() -> impl Strategy<Value = Choices> {
    let choice = prop_oneof![4 => Just(0_usize), 1 => 0_usize..840];
    prop::collection::vec(choice, 0..60).prop_map(|all| Choices(all.into_iter()))
}

pub fn object(c: &mut Choices) -> AppMigration {
    let policy = ["Fail", "Forward", "Overwrite"][c.among(3)];
    let spec = json!({
        "stopConfirmed": c.among(2) == 0,
        "suspend": c.among(20) == 1,
        "quietPeriod": if c.among(20) == 1 { "-1s" } else { "10s" },
        "policies": { "existingTargetOffsets": policy },
    });
    let mut object = match c.among(2) {
        0 => migration(&spec),
        _ => unconfirmed(&spec),
    };
    if c.among(20) == 1 {
        let status = object.status.get_or_insert_default();
        status.completed_at = status.stop_confirmed_at.clone();
    }
    if c.among(3) == 1 {
        object.metadata.annotations = Some([(ALLOW_REWIND_ANNOTATION.to_owned(), UID.to_owned())].into());
    }
    object
}

pub fn fault(c: &mut Choices) -> Fault {
    let reasons = [
        Reason::SourceUnavailable,
        Reason::TargetUnavailable,
        Reason::AuthenticationFailed,
        Reason::AuthorizationFailed,
        Reason::SecretNotFound,
        Reason::InvalidSpec,
    ];
    Fault::new(reasons[c.among(reasons.len())], "it failed")
}

fn why() -> String {
    "why".to_owned()
}

fn some_plan(c: &mut Choices) -> Plan {
    let mut plan = [plan(), announced()][c.among(2)].clone();
    match c.among(8) {
        1 => plan.generation = 7,
        2 => plan.made_for.replicator_uid = "former".into(),
        3 => plan.targets[0].kept = Some(crate::mapping::TargetOffset(9)),
        4 => plan.computed_at = "2026-11-22T11:00:00Z".into(),
        _ => {}
    }
    plan
}

fn findings(c: &mut Choices) -> Vec<Finding> {
    let reasons = [
        Reason::GapOnTarget,
        Reason::ReplicationBehind,
        Reason::TopicNotReplicated,
        Reason::SourceTransactionPending,
        Reason::TracingHeadersDisabled,
        Reason::OpenTransaction,
        Reason::UncommittedPartitions,
    ];
    let finding = |n| {
        let q = TopicPartition::new("orders", n);
        Finding::new(reasons[c.among(reasons.len())], &q, "why")
    };
    (0..=2).map(finding).collect()
}

/// What one look finds, or the fault that keeps it from being made.
pub fn answer(look: Look, object: &AppMigration, c: &mut Choices, seen: &mut Seen) {
    seen.fault = None;
    let can_fail =
        !matches!(look, Look::Replicator | Look::Preview | Look::Journal | Look::Rivals | Look::Quiet);
    if can_fail && c.among(12) == 1 {
        seen.fault = Some((look, fault(c)));
        return;
    }
    match look {
        Look::Replicator => {
            let unusable = [Reason::ReplicatorNotFound, Reason::TimestampsNotKept];
            seen.replicator = Some(match c.among(6) {
                n @ 1..=2 => Err((unusable[n - 1], why())),
                _ => Ok(Box::new(usual_replicator())),
            });
        }
        Look::Preview => seen.preview = Some(preview()),
        Look::Journal => {
            seen.journal = Some(match c.among(8) {
                1 => JournalSeen::Conflict(why()),
                2 => JournalSeen::Ours(Box::default()),
                n => {
                    let stored = (n >= 4).then(|| some_plan(c));
                    let mut ours = up_to_rivals(object, stored).journal.unwrap();
                    if let (7, JournalSeen::Ours(journal)) = (n, &mut ours) {
                        journal.sealed = true;
                    }
                    ours
                }
            });
        }
        Look::Clusters => {
            let source = ["S", "other"][c.among(8) / 7];
            seen.clusters = Some(ClusterIds { source: source.into(), target: "T".into() });
        }
        Look::Rivals => seen.rival = Some(if c.among(8) == 1 { Err(why()) } else { Ok(()) }),
        Look::Group => {
            seen.group = Some(match c.among(8) {
                1 => Group::Unfit(Reason::GroupActive, why()),
                2 => Group::Unfit(Reason::UnsupportedGroupType, why()),
                3 => Group::Stopped { gone: Some(why()) },
                _ => Group::Stopped { gone: None },
            });
        }
        Look::Quiet => {
            let left = Duration::from_secs(3);
            seen.quiet = Some(match c.among(6) {
                1 => Quiet::Running(left),
                2 => Quiet::Moving(why(), left),
                _ => Quiet::Still,
            });
        }
        Look::Mapping => {
            seen.mapping = Some(if c.among(6) == 1 {
                Mapping::Blocked(findings(c))
            } else {
                Mapping::Mapped(Box::new(plan()))
            });
        }
        Look::Target => {
            let offsets = [&[][..], &[(0, 4)], &[(0, 4), (1, 10)], &[(0, 5)], &[(0, 3)], &[(0, 9), (1, 12)]];
            let mut target = target(offsets[c.among(offsets.len())]);
            target.active = (c.among(8) == 1).then(why);
            seen.target = Some(target);
        }
        Look::Topics => seen.topics = Some(if c.among(6) == 1 { Err(why()) } else { Ok(()) }),
        Look::Unmoved => seen.unmoved = Some(if c.among(6) == 1 { Err(why()) } else { Ok(()) }),
    }
}

pub fn outcome(c: &mut Choices) -> Outcome {
    let at = |n| TopicPartition::new("orders", n);
    let mut outcome = Outcome::default();
    match c.among(6) {
        1 => outcome.failed.push((at(1), why())),
        2 => outcome.refused.push((at(1), why())),
        3 => outcome.active = Some(why()),
        4 => {}
        _ => outcome.committed = vec![at(0), at(1)],
    }
    outcome
}

/// What becomes of an act, as `execute` does it.
pub fn perform(act: Act, object: &mut AppMigration, c: &mut Choices, seen: &mut Seen) {
    let conflict = act != Act::Latch && c.among(12) == 1;
    if conflict {
        seen.journal = Some(JournalSeen::Conflict(why()));
        return;
    }
    let now = object.status.get_or_insert_default();
    match (act, &mut seen.journal) {
        (Act::Latch, _) => now.stop_confirmed_at = migration(&json!({})).status.unwrap().stop_confirmed_at,
        (Act::StoreSnapshot, _) if c.among(12) == 1 => {
            seen.fault = Some((Look::Group, fault(c)));
            seen.group = None;
        }
        (Act::StoreSnapshot, Some(JournalSeen::Ours(journal))) => journal.snapshot = Some(snapshot(object)),
        (Act::StorePlan, Some(JournalSeen::Ours(journal))) => {
            let Some(Mapping::Mapped(plan)) = &seen.mapping else { panic!("nothing to store") };
            journal.plan = Some(Plan::clone(plan));
            seen.unmoved = None;
        }
        (Act::Commit, Some(JournalSeen::Ours(journal))) => {
            let plan = journal.plan.as_mut().unwrap();
            plan.commit_begun_at = Some("2026-11-22T10:00:01Z".into());
            if c.among(8) == 1 {
                seen.fault = Some((Look::Target, fault(c)));
            } else {
                seen.outcome = Some(outcome(c));
            }
        }
        (act, journal) => panic!("{act:?} with {journal:?}"),
    }
}
