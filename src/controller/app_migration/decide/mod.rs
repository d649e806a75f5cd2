//! What is to be done next, from the object and what was seen. Pure and total; this is the state machine.
//!
//! A migration goes down a ladder. Each rung is looked at once in a reconcile; the first that does not hold
//! ends it, and what it says becomes the object's conditions:
//!
//! | rung | left when |
//! |---|---|
//! | finished, suspended, invalid | never; `suspend` is false; the spec is valid |
//! | the confirmation | latched in status, whatever becomes of the field; until then there is the preview |
//! | the journal | our own ConfigMap, unaltered, for these very fields; sealed, it is the end |
//! | the replicator | there, `Ready`, writes what is needed |
//! | rivals | no other confirmed migration of the same target group goes first |
//! | the stored plan's clusters | the ones that the plan was made for; a commit that has begun goes on below |
//! | the source group | known, stable offsets, no members, still through the quiet period |
//! | the mapping | every position known: stored as the plan |
//! | the target group | no members, no offsets that the policy protects |
//! | the last check | nothing has moved since: else the plan is computed again |
//! | the commit | every offset committed and read back |

mod source;
mod target;

use std::{ops::RangeInclusive, time::Duration};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::api::v1alpha1::{AppMigration, ConditionType, MAX_NAME_LENGTH, Preview, Reason};

use super::{
    super::conditions::{self, Statement},
    rungs::{self, Rungs},
    scope::Selection,
    seen::{JournalSeen, Seen},
    step::{Act, Look, Next, Rest, Step},
};

/// What `spec.quietPeriod` may be, as the CRD says.
const QUIET_PERIODS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(1);

/// Decides the next step.
pub fn decide(object: &AppMigration, seen: &Seen) -> Step {
    let status = object.status.clone().unwrap_or_default();
    if status.completed_at.is_some() {
        return Step::Rest(Rest { rungs: Rungs::as_told(), next: Next::Never });
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
    let Some(replicator) = &seen.replicator else {
        return Step::Look(Look::Replicator);
    };
    let statement = match replicator {
        Ok(replicator) => {
            Statement::holds(Reason::Ready, format!("K2KReplicator {} is ready", replicator.name))
        }
        Err((reason, why)) => Statement::fails(*reason, why.clone()),
    };
    rungs.set(ConditionType::ReplicatorReady, statement);
    if status.stop_confirmed_at.is_none() && object.spec.stop_confirmed {
        return Step::Act(
            Act::Latch,
            rungs.with(ConditionType::StopConfirmed, confirmation(object, true, None)),
        );
    }
    let confirmed = status.stop_confirmed_at.is_some();
    // What was foreseen for a former spec says nothing of this one.
    let known = status.preview.as_ref().filter(|_| status.observed_generation == object.metadata.generation);
    let in_the_way = match replicator {
        Err((_, why)) => Some(why.as_str()),
        Ok(_) => seen.preview.as_ref().or(known).and_then(obstacle),
    };
    rungs.set(ConditionType::StopConfirmed, confirmation(object, confirmed, in_the_way));
    if !confirmed {
        if let Some(step) = unready(seen, &rungs) {
            return step;
        }
        // What it waits for is told at once, what is foreseen when it is known.
        let told = conditions::find(&status.conditions, ConditionType::ReplicatorReady);
        let current =
            |c: &Condition| c.status == "True" && c.observed_generation == object.metadata.generation;
        if !told.is_some_and(current) {
            return rest(rungs, Next::After(Duration::ZERO));
        }
        return match seen.preview {
            None => Step::Look(Look::Preview),
            Some(_) => rest(rungs, Next::Preview),
        };
    }
    journal(object, seen, rungs)
}

/// The replicator cannot be used now.
fn unready(seen: &Seen, rungs: &Rungs) -> Option<Step> {
    let Some(Err((reason, _))) = &seen.replicator else { return None };
    Some(rest(rungs.clone(), Next::after(*reason)))
}

fn rest(rungs: Rungs, next: Next) -> Step {
    Step::Rest(Rest { rungs, next })
}

/// What makes the spec unusable. The API server refuses most of it; a former version of the CRD may not have.
pub fn invalid(object: &AppMigration) -> Option<String> {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    if name.len() > MAX_NAME_LENGTH {
        return Some(format!(
            "metadata.name has {} characters, at most {MAX_NAME_LENGTH} are possible",
            name.len()
        ));
    }
    let period = object.spec.quiet_period;
    if period.is_negative() || !QUIET_PERIODS.contains(&Duration::from(period)) {
        return Some("spec.quietPeriod must be between 1s and 1h".to_owned());
    }
    let spec = &object.spec;
    for (field, group) in [
        ("consumerGroup", Some(&spec.consumer_group)),
        ("targetConsumerGroup", spec.target_consumer_group.as_ref()),
    ] {
        // The client takes C strings.
        if group.is_some_and(|group| group.contains('\0')) {
            return Some(format!("spec.{field} must not hold a NUL character"));
        }
    }
    Selection::new(spec).err()
}

/// The first thing that would block, and would not pass by itself once the application stands still.
fn obstacle(preview: &Preview) -> Option<&str> {
    let passes = |block: &str| {
        matches!(
            Preview::reason(block),
            Some(Reason::ReplicationBehind | Reason::SourceTransactionPending | Reason::OpenTransaction)
        )
    };
    preview.blocks.iter().map(String::as_str).find(|block| !passes(block))
}

/// Whoever is asked to stop an application is told first what would keep it from going on.
fn confirmation(object: &AppMigration, confirmed: bool, in_the_way: Option<&str>) -> Statement {
    if confirmed {
        let text = "the application was confirmed to be stopped; until the commit begins, spec.suspend or deleting \
                    this object takes it back";
        return Statement::holds(Reason::Confirmed, text);
    }
    let ask = format!(
        "stop the application that consumes as {}, then set spec.stopConfirmed to true",
        object.spec.consumer_group
    );
    let text = match in_the_way {
        Some(block) => {
            format!(
                "not yet, as this would be in the way: {block}; when that is settled (status.preview), {ask}"
            )
        }
        None => ask,
    };
    Statement::fails(Reason::AwaitingStopConfirmation, text)
}

/// A cluster could not be asked: what hangs on it cannot be judged now.
fn faulted(seen: &Seen, rungs: &Rungs, rung: ConditionType, looks: &[Look]) -> Option<Step> {
    let (_, fault) = seen.fault.as_ref().filter(|(look, _)| looks.contains(look))?;
    let mut rungs = rungs.clone();
    if matches!(fault.reason, Reason::SourceTransactionPending | Reason::UncommittedPartitions) {
        // Not a fault of the cluster but a state of it.
        rungs.set(rungs::condition_of(fault.reason), Statement::fails(fault.reason, fault.message.clone()));
    } else {
        let unavailable = matches!(fault.reason, Reason::SourceUnavailable | Reason::TargetUnavailable);
        let reason = if unavailable { fault.reason } else { Reason::NotJudged };
        rungs.set(rung, Statement::unknown(reason, fault.message.clone()));
        rungs.ready = Some(Statement::fails(fault.reason, fault.message.clone()));
    }
    let next = Next::after(fault.reason);
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
        let ready =
            Statement::holds(Reason::Ready, "the K2KReplicator was ready when the plan was committed");
        return target::completed(plan, target::passed(rungs).with(ConditionType::ReplicatorReady, ready));
    }
    if let Some(step) = unready(seen, &rungs) {
        return step;
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
        None => source::group(object, seen, rungs),
        Some(plan) => target::stored(object, seen, plan, clusters, rungs),
    }
}

#[cfg(test)]
mod tests;
