//! What is to be done next, from the object and what was seen. Pure and total; this is the state machine.
//!
//! A migration goes down a ladder. Each rung is looked at once in a reconcile; the first that does not hold
//! ends it, and what it says becomes the object's conditions:
//!
//! | rung | left when |
//! |---|---|
//! | finished, suspended, invalid | never; `suspend` is false; the spec is valid |
//! | the confirmation | latched in status, whatever becomes of the field |
//! | the replicator | there, `Ready`, writes what is needed |
//! | the journal | our own ConfigMap, unaltered, for these very fields; sealed, it is the end |
//! | rivals | no other confirmed migration of the same target group goes first |
//! | the stored plan's clusters | the ones that the plan was made for; a commit that has begun goes on below |
//! | the source group | known, stable offsets, no members, still through the quiet period |
//! | the mapping | every position known: stored as the plan |
//! | the target group | no members, no offsets that the policy protects |
//! | the last check | nothing has moved since: else the plan is computed again |
//! | the commit | every offset committed and read back |

use std::time::Duration;

use crate::{
    api::v1alpha1::{AppMigration, ConditionType, MAX_NAME_LENGTH, Reason},
    mapping::{Finding, Plan},
};

use super::{
    super::conditions::{Statement, Status},
    existing::Existing,
    rungs::Rungs,
    scope::Selection,
    seen::{ClusterIds, Group, JournalSeen, Mapping, Quiet, Seen},
};

/// Something to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// The replicator's object.
    Replicator,
    /// The journal's ConfigMaps.
    Journal,
    /// Both clusters: connect, and ask who they are.
    Clusters,
    /// Other migrations of the same target group.
    Rivals,
    /// The group on the source.
    Group,
    /// Whether its offsets stand still.
    Quiet,
    /// Everything that the positions follow from.
    Mapping,
    /// The group on the target.
    Target,
    /// Whether anything has moved since the plan was computed.
    Unmoved,
    /// Whether a topic is another one than the plan was made for.
    Topics,
}

/// Something to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Latch the confirmation in status.
    Latch,
    /// Store what stands on the source now.
    StoreSnapshot,
    /// Store the plan that was computed.
    StorePlan,
    /// Commit the plan's offsets, and read them back.
    Commit,
}

/// When the object is looked at again, if nothing changes in Kubernetes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Never.
    Never,
    /// After this time.
    After(Duration),
    /// With the object's back-off.
    BackOff,
    /// At the pace of stalled objects, and of those that wait for a person.
    Seldom,
}

/// The end of a reconcile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rest {
    /// What the conditions say.
    pub rungs: Rungs,
    /// When to look again.
    pub next: Next,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// See more.
    Look(Look),
    /// Do something; the conditions are what they are so far.
    Act(Act, Rungs),
    /// Nothing more now.
    Rest(Rest),
}

/// Decides the next step.
pub fn decide(object: &AppMigration, seen: &Seen) -> Step {
    let status = object.status.clone().unwrap_or_default();
    if status.completed_at.is_some() {
        return Step::Rest(Rest { rungs: Rungs::finished(), next: Next::Never });
    }
    let mut rungs = Rungs::default();
    if object.spec.suspend {
        let text = "spec.suspend is true; set it to false to go on";
        rungs.ready = Some(Statement::fails(Reason::Suspended, text));
        rungs.suspended = true;
        return rest(rungs, Next::Never);
    }
    if let Some(problem) = invalid(object) {
        return rest(rungs.because(Reason::InvalidSpec, problem), Next::Seldom);
    }
    if status.stop_confirmed_at.is_none() && object.spec.stop_confirmed {
        return Step::Act(Act::Latch, rungs.with(ConditionType::StopConfirmed, confirmation(object, true)));
    }
    let confirmed = status.stop_confirmed_at.is_some();
    rungs.set(ConditionType::StopConfirmed, confirmation(object, confirmed));
    match &seen.replicator {
        None => return Step::Look(Look::Replicator),
        Some(Err((reason, why))) => {
            rungs.set(ConditionType::ReplicatorReady, Statement::fails(*reason, why.clone()));
            let next = if reason.is_stalled() { Next::Seldom } else { Next::BackOff };
            return rest(rungs, next);
        }
        Some(Ok(replicator)) => {
            let text = format!("K2KReplicator {} is ready", replicator.name);
            rungs.set(ConditionType::ReplicatorReady, Statement::holds(Reason::Ready, text));
        }
    }
    if !confirmed {
        return rest(rungs, Next::Seldom);
    }
    journal(object, seen, rungs)
}

fn rest(rungs: Rungs, next: Next) -> Step {
    Step::Rest(Rest { rungs, next })
}

/// What the API server's own checks cannot see.
fn invalid(object: &AppMigration) -> Option<String> {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    if name.len() > MAX_NAME_LENGTH {
        return Some(format!(
            "metadata.name has {} characters, at most {MAX_NAME_LENGTH} are possible",
            name.len()
        ));
    }
    if object.spec.quiet_period.is_negative() {
        return Some("spec.quietPeriod is negative".to_owned());
    }
    Selection::new(&object.spec).err()
}

fn confirmation(object: &AppMigration, confirmed: bool) -> Statement {
    if confirmed {
        let text = "the application was confirmed to be stopped; until the commit begins, spec.suspend or deleting \
                    this object takes it back";
        return Statement::holds(Reason::Confirmed, text);
    }
    let text = format!(
        "stop the application that consumes as {}, then set spec.stopConfirmed to true",
        object.spec.consumer_group
    );
    Statement::fails(Reason::AwaitingStopConfirmation, text)
}

/// A cluster could not be asked: what hangs on it cannot be judged now.
fn faulted(seen: &Seen, rungs: &Rungs, rung: ConditionType, looks: &[Look]) -> Option<Step> {
    let (_, fault) = seen.fault.as_ref().filter(|(look, _)| looks.contains(look))?;
    let mut rungs = rungs.clone();
    if matches!(fault.reason, Reason::SourceTransactionPending | Reason::UncommittedPartitions) {
        // Not a fault of the cluster but a state of it.
        rungs.set(
            super::rungs::condition_of(fault.reason),
            Statement::fails(fault.reason, fault.message.clone()),
        );
    } else {
        let unavailable = matches!(fault.reason, Reason::SourceUnavailable | Reason::TargetUnavailable);
        let reason = if unavailable { fault.reason } else { Reason::NotJudged };
        rungs.set(rung, Statement::unknown(reason, fault.message.clone()));
        rungs.ready = Some(Statement::fails(fault.reason, fault.message.clone()));
    }
    let next = if fault.reason.is_stalled() { Next::Seldom } else { Next::BackOff };
    Some(rest(rungs, next))
}

fn journal(object: &AppMigration, seen: &Seen, rungs: Rungs) -> Step {
    let journal = match &seen.journal {
        None => return Step::Look(Look::Journal),
        Some(JournalSeen::Conflict(why)) => {
            let conflict = Statement::fails(Reason::PlanConflict, why.clone());
            return rest(rungs.with(ConditionType::OffsetsCommitted, conflict), Next::Seldom);
        }
        Some(JournalSeen::Ours(journal)) => journal,
    };
    let changed = journal.snapshot.as_ref().map(|s| s.changed_fields(&object.spec)).unwrap_or_default();
    if !changed.is_empty() {
        let text = format!(
            "{} changed after the confirmation: change it back, or delete this object and create a new one",
            changed.join(", ")
        );
        return rest(rungs.because(Reason::SpecChangedAfterConfirmation, text), Next::Seldom);
    }
    if let Some(plan) = journal.committed_plan() {
        return completed(plan, passed(rungs));
    }
    if let Some(step) = faulted(seen, &rungs, ConditionType::SourceGroupInactive, &[Look::Clusters]) {
        return step;
    }
    let Some(clusters) = &seen.clusters else {
        return Step::Look(Look::Clusters);
    };
    match &seen.rival {
        None => return Step::Look(Look::Rivals),
        Some(Err(rival)) => {
            let text = format!(
                "AppMigration {rival} moves group {} on the same target cluster and was confirmed first; waiting \
                 until it is finished or deleted",
                object.spec.target_group()
            );
            return rest(rungs.because(Reason::DuplicateMigration, text), Next::BackOff);
        }
        Some(Ok(())) => {}
    }
    match &journal.plan {
        None => group(object, seen, rungs),
        Some(plan) => stored(object, seen, plan, clusters, rungs),
    }
}

/// A plan is stored: it holds for the clusters that it was made for, and is finished once its commit began.
fn stored(object: &AppMigration, seen: &Seen, plan: &Plan, clusters: &ClusterIds, rungs: Rungs) -> Step {
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
    if !super::existing::begun(plan, &target.committed) {
        return group(object, seen, rungs);
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
fn passed(rungs: Rungs) -> Rungs {
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

fn group(object: &AppMigration, seen: &Seen, rungs: Rungs) -> Step {
    let rung = ConditionType::SourceGroupInactive;
    if let Some(step) = faulted(seen, &rungs, rung, &[Look::Group, Look::Quiet]) {
        return step;
    }
    let Some(group) = &seen.group else {
        return Step::Look(Look::Group);
    };
    match group {
        Group::Unfit(reason, why) => {
            let next = if reason.is_stalled() { Next::Seldom } else { Next::BackOff };
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
    if seen.journal_snapshot().is_none() {
        return Step::Act(Act::StoreSnapshot, rungs);
    }
    match &seen.quiet {
        None => Step::Look(Look::Quiet),
        Some(Quiet::Moving(why, wait)) => {
            rest(rungs.with(rung, Statement::fails(Reason::OffsetsMoving, why.clone())), Next::After(*wait))
        }
        Some(Quiet::Running(wait)) => {
            let text = format!(
                "no members; its offsets must stand still for {} s (spec.quietPeriod)",
                std::time::Duration::from(object.spec.quiet_period).as_secs_f64()
            );
            rest(rungs.with(rung, Statement::fails(Reason::QuietPeriodRunning, text)), Next::After(*wait))
        }
        Some(Quiet::Still) => {
            let text = format!("{} has no members and its offsets stand still", object.spec.consumer_group);
            mapping(object, seen, rungs.with(rung, Statement::holds(Reason::Inactive, text)))
        }
    }
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
            findings.iter().filter(|f| super::rungs::condition_of(f.reason) == *kind).collect();
        // A stalled one is what the user must mend: it speaks first.
        of_kind.sort_by_key(|f| !f.reason.is_stalled());
        if let Some(first) = of_kind.first() {
            let same: Vec<&Finding> = of_kind.iter().filter(|f| f.reason == first.reason).copied().collect();
            rungs.set(*kind, Statement::fails(first.reason, Finding::summarize(&same)));
        }
    }
    let read = !findings.iter().any(|f| super::rungs::is_about_routes(f.reason));
    if read && rungs.get(ConditionType::ReplicationCaughtUp).is_none() {
        let text = "replication has passed every committed offset";
        rungs.set(ConditionType::ReplicationCaughtUp, Statement::holds(Reason::CaughtUp, text));
    }
    rest(rungs, if stalled { Next::Seldom } else { Next::BackOff })
}

fn target(object: &AppMigration, seen: &Seen, plan: &Plan, rungs: Rungs) -> Step {
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
    let existing = Existing::judge(object, plan, &target.committed);
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
fn completed(plan: &Plan, rungs: Rungs) -> Step {
    let text = format!("offsets of {} target partitions were committed and read back", plan.targets.len());
    let mut rungs = rungs.with(ConditionType::OffsetsCommitted, Statement::holds(Reason::Committed, text));
    let ready = format!("group {} can be started on the target cluster", plan.target_group);
    rungs.ready = Some(Statement::holds(Reason::Completed, ready));
    rest(rungs, Next::Never)
}

#[cfg(test)]
mod tests;
