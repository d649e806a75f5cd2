//! Whatever is seen: `decide` never panics, commits only where everything speaks for it, comes to an end, and
//! what its ends make of a status conforms to the conventions.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    TopicPartition,
    api::v1alpha1::{ALLOW_REWIND_ANNOTATION, AppMigration},
    controller::{app_migration::report, conformance, fault::Fault},
    mapping::{Finding, Plan},
};

/// As in the reconciler.
const MAX_STEPS: usize = 64;

/// Numbers that choose among answers: 0 is the one of a world in which all is well.
#[derive(Debug)]
struct Choices(std::vec::IntoIter<usize>);

impl Choices {
    /// One of `n` ways.
    fn among(&mut self, n: usize) -> usize {
        self.0.next().unwrap_or_default() % n
    }
}

/// Mostly that all is well, so that the lower rungs are reached.
fn choices() -> impl Strategy<Value = Choices> {
    let choice = prop_oneof![4 => Just(0_usize), 1 => 0_usize..840];
    prop::collection::vec(choice, 0..60).prop_map(|all| Choices(all.into_iter()))
}

fn object(c: &mut Choices) -> AppMigration {
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

fn fault(c: &mut Choices) -> Fault {
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
fn answer(look: Look, object: &AppMigration, c: &mut Choices, seen: &mut Seen) {
    seen.fault = None;
    let can_fail = !matches!(
        look,
        Look::Replicator | Look::Journal | Look::Rivals | Look::Quiet
    );
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
            seen.clusters = Some(ClusterIds {
                source: source.into(),
                target: "T".into(),
            });
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
            let offsets = [
                &[][..],
                &[(0, 4)],
                &[(0, 4), (1, 10)],
                &[(0, 5)],
                &[(0, 3)],
                &[(0, 9), (1, 12)],
            ];
            let mut target = target(offsets[c.among(offsets.len())]);
            target.active = (c.among(8) == 1).then(why);
            seen.target = Some(target);
        }
        Look::Topics => seen.topics = Some(if c.among(6) == 1 { Err(why()) } else { Ok(()) }),
        Look::Unmoved => seen.unmoved = Some(if c.among(6) == 1 { Err(why()) } else { Ok(()) }),
    }
}

fn outcome(c: &mut Choices) -> Outcome {
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
fn perform(act: Act, object: &mut AppMigration, c: &mut Choices, seen: &mut Seen) {
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
            let Some(Mapping::Mapped(plan)) = &seen.mapping else {
                panic!("nothing to store")
            };
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

/// Everything that must hold where a commit is decided, written down once more.
fn may_commit(object: &AppMigration, seen: &Seen) -> Result<(), &'static str> {
    let needs = |holds: bool, what: &'static str| if holds { Ok(()) } else { Err(what) };
    let status = object.status.clone().unwrap_or_default();
    needs(!object.spec.suspend && status.completed_at.is_none(), "at work")?;
    needs(status.stop_confirmed_at.is_some(), "confirmed")?;
    needs(matches!(seen.replicator, Some(Ok(_))), "the replicator is usable")?;
    let plan = seen.stored_plan().ok_or("a plan is stored in our journal")?;
    let clusters = seen.clusters.as_ref().ok_or("the clusters are known")?;
    let same = clusters.source == plan.made_for.source_cluster_id
        && clusters.target == plan.made_for.target_cluster_id;
    needs(same, "the clusters are the plan's")?;
    needs(seen.rival == Some(Ok(())), "no rival")?;
    let target = seen.target.as_ref().ok_or("the target group was looked at")?;
    needs(target.active.is_none(), "the target group has no members")?;
    let rewinds = object
        .metadata
        .annotations
        .as_ref()
        .and_then(|a| a.get(ALLOW_REWIND_ANNOTATION))
        == object.metadata.uid.as_ref();
    let protected = plan.targets.iter().any(|t| {
        use crate::api::v1alpha1::ExistingTargetOffsets::{Fail, Forward, Overwrite};
        let existing = target.committed.get(&t.target()).map(|c| c.offset);
        match object.spec.policies.existing_target_offsets {
            Fail => existing.is_some_and(|offset| offset != t.position.0),
            Forward => false,
            Overwrite => existing.is_some_and(|offset| offset > t.position.0 && !rewinds),
        }
    });
    needs(!protected, "no offset that the policy protects")?;
    let shown = |t: &crate::mapping::plan::TargetPlan| {
        t.kept.is_none() && target.committed.get(&t.target()).map(|c| c.offset) == Some(t.position.0)
    };
    let begun = plan.commit_begun_at.is_some() && plan.targets.iter().any(shown);
    if begun && seen.topics == Some(Ok(())) {
        return Ok(());
    }
    needs(seen.unmoved == Some(Ok(())), "nothing has moved")?;
    let stopped = matches!(seen.group, Some(Group::Stopped { gone: None }));
    needs(stopped, "the group has stopped")?;
    needs(matches!(seen.quiet, Some(Quiet::Still)), "and stands still")
}

/// Law 5: every offset of the plan was read back, now or before the journal was sealed.
fn is_committed(seen: &Seen) -> Result<(), &'static str> {
    let plan = seen.stored_plan().ok_or("completed without a plan")?;
    let sealed = seen.own_journal().is_some_and(|j| j.sealed) && plan.commit_begun_at.is_some();
    let read_back = |t: &crate::mapping::plan::TargetPlan| {
        seen.outcome
            .as_ref()
            .is_some_and(|o| o.committed.contains(&t.target()))
    };
    if sealed || plan.targets.iter().all(read_back) {
        Ok(())
    } else {
        Err("completed though not read back")
    }
}

/// Holds what a step says against the rules.
fn hold(step: &Step, object: &AppMigration, seen: &Seen) -> Result<(), String> {
    if let Step::Act(Act::Commit, _) = step {
        may_commit(object, seen)?;
    }
    if let Step::Rest(rest) = step
        && rest.rungs.ready().reason == Reason::Completed
    {
        is_committed(seen)?;
    }
    let mut status = object.status.clone().unwrap_or_default();
    let rungs = match step {
        Step::Rest(rest) => &rest.rungs,
        // The acts that say where the object stands.
        Step::Act(Act::StorePlan | Act::Commit, rungs) => rungs,
        _ => return Ok(()),
    };
    if rungs.finished {
        return Ok(());
    }
    report::apply(&mut status, rungs, object.metadata.generation);
    conformance::check(&status.conditions)?;
    let ready = rungs.ready();
    let said = ready.reason != Reason::NotJudged && !ready.message.is_empty();
    if said {
        Ok(())
    } else {
        Err("Ready says nothing".to_owned())
    }
}

/// Walks down the ladder as the reconciler does; the end, and how many steps it took.
fn walk(object: &mut AppMigration, c: &mut Choices) -> Result<Rest, String> {
    let mut seen = Seen::default();
    let mut looked = Vec::new();
    for _ in 0..MAX_STEPS {
        let step = decide(object, &seen);
        hold(&step, object, &seen)?;
        match step {
            Step::Look(look) => {
                if looked.contains(&look) {
                    return Err(format!("{look:?} twice"));
                }
                looked.push(look);
                answer(look, object, c, &mut seen);
            }
            Step::Act(act, _) => {
                looked.clear();
                perform(act, object, c, &mut seen);
            }
            Step::Rest(rest) => return Ok(rest),
        }
    }
    Err("no end of steps".to_owned())
}

/// Anything at all, whether or not it can be seen together.
fn anything(object: &AppMigration, c: &mut Choices) -> Seen {
    let mut seen = Seen::default();
    let looks = [
        Look::Replicator,
        Look::Journal,
        Look::Clusters,
        Look::Rivals,
        Look::Group,
        Look::Quiet,
        Look::Mapping,
        Look::Target,
        Look::Topics,
        Look::Unmoved,
    ];
    for look in looks {
        if c.among(8) != 1 {
            answer(look, object, c, &mut seen);
        }
    }
    if c.among(4) == 1 {
        seen.outcome = Some(outcome(c));
    }
    if c.among(4) == 1 {
        seen.fault = Some((looks[c.among(looks.len())], fault(c)));
    }
    seen
}

#[test]
fn where_all_is_well_it_is_completed() {
    let mut object = unconfirmed(&json!({ "stopConfirmed": true }));
    let rest = walk(&mut object, &mut Choices(vec![].into_iter())).unwrap();
    assert_eq!(rest.rungs.ready().reason, Reason::Completed);
    assert!(object.status.unwrap().stop_confirmed_at.is_some());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn whatever_is_seen_it_commits_only_where_everything_speaks_for_it(mut c in choices()) {
        let object = object(&mut c);
        let seen = anything(&object, &mut c);
        let step = decide(&object, &seen);
        prop_assert_eq!(hold(&step, &object, &seen), Ok(()), "{:?} {:?}", seen, step);
    }

    #[test]
    fn every_way_down_ends_and_looks_at_nothing_twice_without_an_act_between(mut c in choices()) {
        let mut object = object(&mut c);
        let rest = walk(&mut object, &mut c);
        prop_assert!(rest.is_ok(), "{rest:?}");
    }

    /// Several reconciles, the object suspended and resumed between them: each status follows from the last.
    #[test]
    fn every_status_of_a_history_conforms(mut c in choices()) {
        let mut object = object(&mut c);
        for _ in 0..6 {
            object.spec.suspend = c.among(5) == 1;
            let rest = walk(&mut object, &mut c);
            prop_assert!(rest.is_ok(), "{rest:?}");
            let rungs = rest.unwrap().rungs;
            if rungs.finished {
                break;
            }
            let status = object.status.get_or_insert_default();
            report::apply(status, &rungs, Some(1));
            prop_assert_eq!(conformance::check(&status.conditions), Ok(()));
            // The same once more changes nothing.
            let before = status.clone();
            report::apply(status, &rungs, Some(1));
            prop_assert_eq!(&before, status);
        }
    }
}
