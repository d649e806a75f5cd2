//! From a stored plan on: the target group, the last check, the commit.

use crate::{
    api::v1alpha1::{AppMigration, ConditionType, Reason},
    mapping::Plan,
    printable::counted,
};

use super::{
    super::{
        super::conditions::{Statement, Status},
        existing::{self, Existing},
        report,
        rungs::Rungs,
        seen::{ClusterIds, Seen},
        step::{Act, Look, Next, Step},
    },
    faulted, rest, source,
};

/// Topics that a message names.
const LISTED: usize = 5;

/// A plan is stored: it holds for the clusters that it was made for, and is finished once its commit began.
pub fn stored(object: &AppMigration, seen: &Seen, plan: &Plan, clusters: &ClusterIds, rungs: Rungs) -> Step {
    if let Some(changed) = clusters.differs_from(&plan.made_for) {
        return another(rungs, &changed);
    }
    let at_target = passed(rungs.clone());
    let rung = ConditionType::OffsetsCommitted;
    if let Some(step) = faulted(seen, &at_target, rung, &[Look::Target, Look::Topics]) {
        return step;
    }
    let Some(target) = &seen.target else {
        return Step::Look(Look::Target);
    };
    if !existing::begun(plan, &target.committed) {
        return source::group(object, seen, rungs);
    }
    match &seen.topics {
        None => Step::Look(Look::Topics),
        Some(Err(changed)) => another(rungs, changed),
        Some(Ok(())) => commit(object, seen, plan, at_target),
    }
}

fn another(rungs: Rungs, changed: &str) -> Step {
    let text = format!(
        "{changed}: the stored plan was made for another one; point the K2KReplicator back, or delete this object \
         and create a new one"
    );
    let statement = Statement::fails(Reason::ClusterChanged, text);
    rest(passed(rungs).with(ConditionType::OffsetsCommitted, statement), Next::Seldom)
}

/// The conditions that a stored plan stands for.
pub fn passed(rungs: Rungs) -> Rungs {
    rungs
        .with(
            ConditionType::SourceGroupInactive,
            Statement::holds(Reason::Inactive, "the group was stopped when the plan was made"),
        )
        .with(
            ConditionType::ReplicationCaughtUp,
            Statement::holds(Reason::CaughtUp, "replication had passed every committed offset"),
        )
        .with(ConditionType::OffsetsMapped, Statement::holds(Reason::Mapped, "the plan is stored"))
}

/// A plan is in hand: computed for the object as it is.
pub fn target(object: &AppMigration, seen: &Seen, plan: &Plan, rungs: Rungs) -> Step {
    let looks = [Look::Target, Look::Unmoved];
    if let Some(step) = faulted(seen, &rungs, ConditionType::OffsetsCommitted, &looks) {
        return step;
    }
    if seen.target.is_none() {
        return Step::Look(Look::Target);
    }
    if let Some(refused) = refused(object, seen, plan, &rungs) {
        return refused;
    }
    match &seen.unmoved {
        None => Step::Look(Look::Unmoved),
        // The plan in hand was computed in this very reconcile and has been checked against a world that
        // moved on: the next reconcile computes it again.
        Some(Err(why)) => {
            let text = format!("something moved since the plan was computed, it is computed again: {why}");
            rest(
                rungs.with(ConditionType::OffsetsMapped, Statement::fails(Reason::MappingOffsets, text)),
                Next::BackOff,
            )
        }
        Some(Ok(())) => commit(object, seen, plan, rungs),
    }
}

/// What on the target stands in the way of the commit.
fn refused(object: &AppMigration, seen: &Seen, plan: &Plan, rungs: &Rungs) -> Option<Step> {
    let target = seen.target.as_ref()?;
    let rung = ConditionType::OffsetsCommitted;
    if let Some(active) = &target.active {
        let statement = Statement::fails(Reason::TargetGroupActive, active.clone());
        return Some(rest(rungs.clone().with(rung, statement), Next::BackOff));
    }
    let existing = Existing::judge(object, plan, target);
    let conflict = existing.conflict()?;
    let statement = Statement::fails(Reason::TargetOffsetsExist, conflict);
    Some(rest(rungs.clone().with(rung, statement), Next::Seldom))
}

fn commit(object: &AppMigration, seen: &Seen, plan: &Plan, rungs: Rungs) -> Step {
    if let Some(step) = faulted(seen, &rungs, ConditionType::OffsetsCommitted, &[Look::Target]) {
        return step;
    }
    if let Some(refused) = refused(object, seen, plan, &rungs) {
        return refused;
    }
    let rung = ConditionType::OffsetsCommitted;
    match &seen.outcome {
        None => {
            let text = format!("offsets of {} target partitions are being committed", plan.targets.len());
            Step::Act(Act::Commit, rungs.with(rung, Statement::fails(Reason::CommittingOffsets, text)))
        }
        Some(outcome) if outcome.done(plan) => completed(plan, rungs),
        Some(outcome) => {
            let statement =
                Statement { status: Status::False, reason: outcome.reason(), message: outcome.message() };
            let mut rungs = rungs.with(rung, statement);
            rungs.refused_for_good = outcome.for_good();
            let next = if outcome.for_good() { Next::Seldom } else { Next::BackOff };
            rest(rungs, next)
        }
    }
}

/// Every offset was committed and read back.
pub fn completed(plan: &Plan, rungs: Rungs) -> Step {
    let text = format!("offsets of {} target partitions were committed and read back", plan.targets.len());
    let mut rungs = rungs.with(ConditionType::OffsetsCommitted, Statement::holds(Reason::Committed, text));
    let ahead: Vec<String> = plan
        .targets
        .iter()
        .filter_map(|t| Some(format!("{} stays at {}, its position is {}", t.target(), t.kept?, t.position)))
        .collect();
    let mut ready = format!("group {} can be started on the target cluster", plan.target_group);
    if let Some(first) = ahead.first() {
        let between: i64 = plan.targets.iter().filter_map(|t| Some(t.kept?.0 - t.position.0)).sum();
        let text = format!(
            "; left ahead by policies.existingTargetOffsets: Forward: {} partitions ({first}); the {between} target \
             offsets in between are not read by it any more",
            ahead.len()
        );
        ready.push_str(&text);
    }
    let gaps = report::foreseen(plan).gaps;
    if gaps > 0 {
        let text = format!(
            "; {} that the target misses left out by policies.gap: Accept, it never reads them",
            counted(gaps, "record")
        );
        ready.push_str(&text);
    }
    let left_out: Vec<&str> = plan
        .left_out
        .iter()
        .filter(|left| left.partition.is_none())
        .map(|left| left.topic.as_str())
        .collect();
    if !left_out.is_empty() {
        let listed = left_out.iter().take(LISTED).copied().collect::<Vec<_>>().join(", ");
        let more = if left_out.len() > LISTED { ", …" } else { "" };
        let text = format!(
            "; without {} that it reads too: {listed}{more}",
            counted(left_out.len() as u64, "topic")
        );
        ready.push_str(&text);
    }
    rungs.ready = Some(Statement::holds(Reason::Completed, ready));
    rest(rungs, Next::Never)
}
