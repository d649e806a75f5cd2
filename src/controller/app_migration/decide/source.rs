//! The source group and the mapping: from the group's stop to a plan.

use std::time::Duration;

use crate::{
    api::v1alpha1::{AppMigration, ConditionType, RETRY_ANNOTATION, Reason},
    mapping::{Finding, Plan},
};

use super::{
    super::{
        super::conditions::{self, Statement},
        rungs::{self, Rungs},
        seen::{Group, Mapping, Quiet, Seen},
        step::{Act, Look, Next, Step},
    },
    faulted, rest,
    target::target,
};

/// The group on the source must have stopped, and stand still.
pub fn group(object: &AppMigration, seen: &Seen, rungs: Rungs) -> Step {
    let rung = ConditionType::SourceGroupInactive;
    if let Some(step) = faulted(seen, &rungs, rung, &[Look::Group, Look::Quiet]) {
        return step;
    }
    let Some(group) = &seen.group else {
        return Step::Look(Look::Group);
    };
    // What stood there at the confirmation, as near to it as it can be had: members or not.
    let readable = matches!(group, Group::Stopped { .. }) || !seen.committed.is_empty();
    if seen.journal_snapshot().is_none() && readable {
        return Step::Act(Act::StoreSnapshot, rungs);
    }
    match group {
        Group::Unfit(reason, why) => {
            let next = Next::after(*reason);
            return rest(rungs.with(rung, Statement::fails(*reason, why.clone())), next);
        }
        Group::Stopped { gone: Some(gone) } => {
            return rest(
                rungs.with(rung, Statement::fails(Reason::SourceOffsetsGone, gone.clone())),
                Next::Seldom,
            );
        }
        Group::Stopped { gone: None } => {}
    }
    match &seen.quiet {
        None => Step::Look(Look::Quiet),
        Some(Quiet::Moving(why, wait)) => {
            rest(rungs.with(rung, Statement::fails(Reason::OffsetsMoving, why.clone())), Next::After(*wait))
        }
        // Seen to stand still before, by an operator that has been started anew since or by another one: it is
        // seen again before anything is done, and nothing else is said of it meanwhile.
        Some(Quiet::Running(wait)) if told_inactive(object) => rest(Rungs::as_told(), Next::After(*wait)),
        Some(Quiet::Running(wait)) => {
            let text = format!(
                "no members; its offsets must stand still for {} s (spec.quietPeriod)",
                Duration::from(object.spec.quiet_period).as_secs_f64()
            );
            rest(rungs.with(rung, Statement::fails(Reason::QuietPeriodRunning, text)), Next::After(*wait))
        }
        Some(Quiet::Still) => {
            let text = rungs::inactive(object);
            mapping(object, seen, rungs.with(rung, Statement::holds(Reason::Inactive, text)))
        }
    }
}

/// A status that is older than this is no longer left as it is.
const SILENCE: Duration = Duration::from_mins(1);

/// Whether the group was found to be inactive under this very spec, what stands in the status is no error of the
/// moment, and nobody asks for a new look.
fn told_inactive(object: &AppMigration) -> bool {
    let asked = object.metadata.annotations.as_ref().and_then(|a| a.get(RETRY_ANNOTATION));
    let handled = object.status.as_ref().and_then(|s| s.last_handled_retry.as_ref());
    if Duration::from(object.spec.quiet_period) > SILENCE || asked.is_some_and(|asked| Some(asked) != handled)
    {
        return false;
    }
    let find = |kind| conditions::find(&object.status.as_ref()?.conditions, kind);
    let (inactive, ready) = (find(ConditionType::SourceGroupInactive), find(ConditionType::Ready));
    inactive.is_some_and(|c| c.status == "True" && c.observed_generation == object.metadata.generation)
        && ready.and_then(|c| Reason::parse(&c.reason)).is_some_and(|reason| !reason.is_error())
}

fn mapping(object: &AppMigration, seen: &Seen, rungs: Rungs) -> Step {
    if let Some(step) = faulted(seen, &rungs, ConditionType::ReplicationCaughtUp, &[Look::Mapping]) {
        return step;
    }
    let stored = seen.stored_plan();
    match &seen.mapping {
        Some(Mapping::Blocked(findings)) => return blocked(findings, rungs),
        Some(Mapping::Mapped(plan)) => {
            let rungs = mapped(plan, rungs);
            if let Some(stored) = stored.filter(|stored| stored.computed_at == plan.computed_at) {
                return target(object, seen, stored, rungs);
            }
            let text = "the plan is stored; the target group is looked at next";
            let next = Statement::fails(Reason::CommittingOffsets, text);
            return Step::Act(Act::StorePlan, rungs.with(ConditionType::OffsetsCommitted, next));
        }
        None => {}
    }
    // A stored plan holds as long as nothing moved and both specs stay: looked at again rather than computed
    // again.
    let Some(plan) = stored.filter(|plan| is_for(plan, object, seen)) else {
        return Step::Look(Look::Mapping);
    };
    if let Some(step) = faulted(seen, &rungs, ConditionType::ReplicationCaughtUp, &[Look::Unmoved]) {
        return step;
    }
    match &seen.unmoved {
        None => Step::Look(Look::Unmoved),
        // The same words as when it was computed: nothing is written while it waits.
        Some(Ok(())) => target(object, seen, plan, mapped(plan, rungs)),
        Some(Err(_)) => Step::Look(Look::Mapping),
    }
}

/// Whether a plan was computed for the specs of the migration and of its replicator as they are now.
fn is_for(plan: &Plan, object: &AppMigration, seen: &Seen) -> bool {
    let Some(Ok(replicator)) = &seen.replicator else {
        return false;
    };
    let made_for = &plan.made_for;
    Some(plan.generation) == object.metadata.generation
        && made_for.replicator_uid == replicator.uid
        && made_for.replicator_generation == replicator.generation
        && made_for.pipeline == replicator.pipeline
}

fn mapped(plan: &Plan, rungs: Rungs) -> Rungs {
    let text = format!("{} target partitions have their position", plan.targets.len());
    let caught_up = "replication has passed every committed offset";
    rungs
        .with(ConditionType::ReplicationCaughtUp, Statement::holds(Reason::CaughtUp, caught_up))
        .with(ConditionType::OffsetsMapped, Statement::holds(Reason::Mapped, text))
}

/// Each finding speaks for the condition that its reason belongs to.
fn blocked(findings: &[Finding], mut rungs: Rungs) -> Step {
    let stalled = findings.iter().any(|f| f.reason.is_stalled());
    for kind in ConditionType::ALL {
        let mut of_kind: Vec<&Finding> =
            findings.iter().filter(|f| rungs::condition_of(f.reason) == *kind).collect();
        // A stalled one is what the user must mend: it speaks first.
        of_kind.sort_by_key(|f| !f.reason.is_stalled());
        if let Some(first) = of_kind.first() {
            let same: Vec<&Finding> = of_kind.iter().filter(|f| f.reason == first.reason).copied().collect();
            rungs.set(*kind, Statement::fails(first.reason, Finding::summarize(&same)));
        }
    }
    let judged = !findings.iter().any(|f| rungs::comes_before_completeness(f.reason));
    if judged && rungs.get(ConditionType::ReplicationCaughtUp).is_none() {
        let text = "replication has passed every committed offset";
        rungs.set(ConditionType::ReplicationCaughtUp, Statement::holds(Reason::CaughtUp, text));
    }
    rest(rungs, if stalled { Next::Seldom } else { Next::BackOff })
}
