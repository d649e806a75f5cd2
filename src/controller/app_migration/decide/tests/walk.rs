//! Whatever is seen: `decide` never panics, commits only where everything speaks for it, comes to an end, and
//! what its ends make of a status conforms to the conventions.

use proptest::prelude::*;
use serde_json::json;

use super::{
    world::{Choices, answer, choices, fault, object, outcome, perform},
    *,
};
use crate::{
    api::v1alpha1::{ALLOW_REWIND_ANNOTATION, AppMigration, ExistingTargetOffsets},
    controller::{app_migration::report, conformance},
    mapping::plan::TargetPlan,
};

/// As in the reconciler.
const MAX_STEPS: usize = 64;

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
    let rewinds = object.metadata.annotations.as_ref().and_then(|a| a.get(ALLOW_REWIND_ANNOTATION))
        == object.metadata.uid.as_ref();
    let protected = plan.targets.iter().any(|t| {
        use ExistingTargetOffsets::{Fail, Forward, Overwrite};
        let existing = target.committed.get(&t.target()).map(|c| c.offset);
        match object.spec.policies.existing_target_offsets {
            Fail => existing.is_some_and(|offset| offset != t.position.0),
            Forward => false,
            Overwrite => existing.is_some_and(|offset| offset > t.position.0 && !rewinds),
        }
    });
    needs(!protected, "no offset that the policy protects")?;
    let shown = |t: &TargetPlan| {
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
    let read_back = |t: &TargetPlan| seen.outcome.as_ref().is_some_and(|o| o.committed.contains(&t.target()));
    if sealed || plan.targets.iter().all(read_back) { Ok(()) } else { Err("completed though not read back") }
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
    if rungs.as_told {
        return Ok(());
    }
    report::apply(&mut status, rungs, object.metadata.generation);
    conformance::check(&status.conditions)?;
    let ready = rungs.ready();
    let said = ready.reason != Reason::NotJudged && !ready.message.is_empty();
    if said { Ok(()) } else { Err("Ready says nothing".to_owned()) }
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
    let rest = walk(&mut object, &mut Choices::good()).unwrap();
    assert_eq!(rest.rungs.ready().reason, Reason::Completed);
    assert!(object.status.unwrap().stop_confirmed_at.is_some());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4 * ProptestConfig::default().cases))]

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
            if rungs.as_told {
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
