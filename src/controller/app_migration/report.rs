//! The only writer of an `AppMigration`'s status and events. Nothing is written when nothing changed; every
//! write carries the resource version that was read, so that it fails where somebody else was faster.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Api, ResourceExt, api::PostParams};

use crate::{
    api::v1alpha1::{
        AppMigration, AppMigrationStatus, ConditionType, PlanRef, Preview, RETRY_ANNOTATION, Reason, Summary,
    },
    mapping::{
        Plan,
        plan::{SourceCertificate, TargetPlan},
    },
    runtime::pace::Pace,
};

use super::{
    super::{
        Context, KubeError,
        conditions::{self, Statement, Status},
        measure, within_deadline,
    },
    journal,
    live::Live,
    rungs::{self, Rungs},
    seen::Mapping,
};

/// As the CRD bounds them.
const MOST_HIDDEN: usize = 100;

/// Writes the end of a reconcile.
pub async fn rest(live: &mut Live, context: &Context, rungs: &Rungs) -> Result<(), KubeError> {
    let completed = rungs.ready.as_ref().is_some_and(|r| r.reason == Reason::Completed);
    let summary = summary(live);
    // Where status was lost the plan in the journal is named again.
    let plan = live.seen.stored_plan().map(|plan| plan_ref(&live.object, plan));
    let told = ready_reason(&live.object);
    let preview = live.seen.preview.clone().filter(|seen| {
        let told = live.object.status.as_ref().and_then(|s| s.preview.as_ref());
        // Seen again at another time it is the same.
        told.is_none_or(|told| *seen != Preview { observed_at: seen.observed_at.clone(), ..told.clone() })
    });
    if preview.is_some() {
        context.pace(&live.object.uid().unwrap_or_default(), Pace::changed);
    }
    let told_of = live.object.status.as_ref().and_then(|status| status.observed_generation);
    let is_new_spec = told_of != live.object.metadata.generation && live.seen.preview.is_none();
    let was_foreseen = !is_new_spec && live.object.status.as_ref().is_some_and(|s| s.preview.is_some());
    let is_foreseen = was_foreseen || preview.is_some();
    let is_first_preview = preview.is_some() && !was_foreseen;
    let hidden = live.seen.hidden.take();
    write_with(live, context, rungs, |status| {
        if let Some(mut hidden) = hidden {
            hidden.topics.truncate(MOST_HIDDEN);
            status.hidden_topics = Some(hidden).filter(|hidden| !hidden.topics.is_empty());
        }
        if let Some(summary) = summary {
            status.summary = Some(summary);
        }
        // What was foreseen for a former spec says nothing of this one.
        if preview.is_some() || is_new_spec {
            status.preview = preview;
        }
        if let Some(plan) = plan {
            status.plan.get_or_insert(plan);
        }
        if completed {
            status.completed_at.get_or_insert(Time(Timestamp::now()));
        }
    })
    .await?;
    let ready = rungs.ready();
    if !rungs.as_told {
        let lag = match &live.seen.mapping {
            Some(Mapping::Blocked(findings)) => findings.iter().map(|finding| finding.lag).sum(),
            _ => 0,
        };
        context.waits_for(&live.object.uid().unwrap_or_default(), lag);
        measure::came_to(measure::MIGRATION, ready.reason, rungs.is_stalled(&ready));
    }
    let is_new = told.as_deref() != Some(ready.reason.as_str());
    // Nobody is asked to stop an application before it is known what would be in the way.
    let asks = ready.reason == Reason::AwaitingStopConfirmation;
    let is_news = if asks { is_first_preview || is_new && is_foreseen } else { is_new };
    if rungs.as_told || !is_news {
        return Ok(());
    }
    let object = &live.object;
    let warning = rungs.is_stalled(&ready) || ready.reason.is_error();
    if let Some(status) = object.status.as_ref().filter(|_| completed) {
        measure::completed(status);
    }
    tracing::info!(reason = %ready.reason, "{}", ready.message);
    context.tell(object, warning, ready.reason, "Migrate", &ready.message).await;
    Ok(())
}

/// Writes that the commit begins, or is tried again. Always a write: its lock is the last check of the object.
pub async fn announce(live: &mut Live, context: &Context, rungs: &Rungs) -> Result<(), KubeError> {
    let mut status = live.object.status.clone().unwrap_or_default();
    let told = conditions::find(&status.conditions, ConditionType::OffsetsCommitted);
    // What failed before and fails again changes nothing.
    if told.is_none_or(|c| c.reason != Reason::CommitFailed.as_str()) {
        status.observed_generation = live.object.metadata.generation;
        apply(&mut status, rungs, live.object.metadata.generation);
    }
    replace(live, context, status).await
}

/// Writes nothing new, and fails where the object was changed or deleted since it was read.
pub async fn lock(live: &mut Live, context: &Context) -> Result<(), KubeError> {
    let status = live.object.status.clone().unwrap_or_default();
    replace(live, context, status).await
}

/// Says how the mapping gets on: the group has stopped, and nothing behind that has been judged yet.
pub async fn mapping(live: &mut Live, context: &Context, progress: &str) -> Result<(), KubeError> {
    let generation = live.object.metadata.generation;
    let inactive = Statement::holds(Reason::Inactive, rungs::inactive(&live.object));
    let judging = Statement::unknown(Reason::NotJudged, format!("being judged: {progress}"));
    let mapping = Statement::fails(Reason::MappingOffsets, progress);
    // By the contract: the reason of the first condition that is not True.
    let ready = Statement { status: Status::False, ..judging.clone() };
    write(live, context, |status| {
        status.observed_generation = generation;
        let (list, now) = (&mut status.conditions, Timestamp::now());
        conditions::set(list, ConditionType::SourceGroupInactive, &inactive, generation, now);
        conditions::set(list, ConditionType::ReplicationCaughtUp, &judging, generation, now);
        conditions::set(list, ConditionType::OffsetsMapped, &mapping, generation, now);
        conditions::set_ready(list, &ready, Some(ConditionType::Reconciling), generation, now);
    })
    .await
}

/// Says of a finished object that somebody commits on the source again; everything else stays as it is.
pub async fn source_moved(live: &mut Live, context: &Context, text: &str) -> Result<(), KubeError> {
    let generation = live.object.metadata.generation;
    let statement = Statement::holds(Reason::SourceMovedAfterMigration, text);
    write(live, context, |status| {
        let list = &mut status.conditions;
        conditions::set(list, ConditionType::SourceMoved, &statement, generation, Timestamp::now());
    })
    .await?;
    context.tell(&live.object, true, statement.reason, "Watch", text).await;
    Ok(())
}

/// How status names a plan.
pub fn plan_ref(object: &AppMigration, plan: &Plan) -> PlanRef {
    let computed_at = plan.computed_at.parse().unwrap_or_else(|_| Timestamp::now());
    PlanRef { config_map: journal::name(object), hash: plan.hash(), computed_at: Time(computed_at) }
}

/// Changes status, if `change` changes anything.
pub async fn write(
    live: &mut Live,
    context: &Context,
    change: impl FnOnce(&mut AppMigrationStatus),
) -> Result<(), KubeError> {
    let mut status = live.object.status.clone().unwrap_or_default();
    change(&mut status);
    if live.object.status.as_ref() == Some(&status) {
        return Ok(());
    }
    replace(live, context, status).await
}

/// Changes status and sets the conditions, if anything changes.
pub async fn write_with(
    live: &mut Live,
    context: &Context,
    rungs: &Rungs,
    change: impl FnOnce(&mut AppMigrationStatus),
) -> Result<(), KubeError> {
    let generation = live.object.metadata.generation;
    let retry = live.object.annotations().get(RETRY_ANNOTATION).cloned();
    write(live, context, |status| {
        status.observed_generation = generation;
        if rungs.as_told {
            return;
        }
        change(status);
        status.last_handled_retry = retry.or(status.last_handled_retry.take());
        apply(status, rungs, generation);
    })
    .await
}

async fn replace(live: &mut Live, context: &Context, status: AppMigrationStatus) -> Result<(), KubeError> {
    let api: Api<AppMigration> =
        Api::namespaced(context.client.clone(), &live.object.namespace().unwrap_or_default());
    let object = AppMigration { status: Some(status), ..live.object.clone() };
    let (name, params) = (object.name_any(), PostParams::default());
    live.object = within_deadline("write the status", api.replace_status(&name, &params, &object)).await?;
    Ok(())
}

fn ready_reason(object: &AppMigration) -> Option<String> {
    let conditions = &object.status.as_ref()?.conditions;
    conditions::find(conditions, ConditionType::Ready).map(|c| c.reason.clone())
}

/// Sets all conditions to what the rungs say.
pub(super) fn apply(status: &mut AppMigrationStatus, rungs: &Rungs, generation: Option<i64>) {
    let now = Timestamp::now();
    let list = &mut status.conditions;
    let ready = rungs.ready();
    if !rungs.suspended {
        for kind in ConditionType::LADDER {
            let statement = rungs.get(kind).cloned().unwrap_or_else(Rungs::not_judged);
            conditions::set(list, kind, &statement, generation, now);
        }
    }
    let progress = if ready.status == Status::True || rungs.suspended {
        None
    } else if rungs.is_stalled(&ready) {
        Some(ConditionType::Stalled)
    } else {
        Some(ConditionType::Reconciling)
    };
    conditions::set_ready(list, &ready, progress, generation, now);
}

/// The counts of a plan that nobody commits.
pub fn foreseen(plan: &Plan) -> Summary {
    count(plan, |_| false, None)
}

/// The counts of the plan in hand.
fn summary(live: &Live) -> Option<Summary> {
    let computed = match &live.seen.mapping {
        Some(Mapping::Mapped(plan)) => Some(plan.as_ref()),
        _ => None,
    };
    let plan = live.seen.stored_plan().or(computed)?;
    if live.seen.own_journal().is_some_and(|j| j.committed_plan().is_some()) {
        return Some(count(plan, |_| true, None));
    }
    let committed: BTreeSet<_> =
        live.seen.outcome.as_ref().map(|o| o.committed.iter().collect()).unwrap_or_default();
    let before = live.object.status.as_ref().and_then(|s| s.summary.as_ref()).map_or(0, |s| s.committed);
    Some(count(plan, |t| committed.contains(&t.target()), live.seen.outcome.is_none().then_some(before)))
}

/// Counts by source partition. `known` is how many are committed, where it was not looked at now.
fn count(plan: &Plan, is_committed: impl Fn(&TargetPlan) -> bool, known: Option<u32>) -> Summary {
    let rows = || plan.targets.iter().flat_map(|t| t.sources.iter().map(move |row| (t, row)));
    let mut by_source: BTreeMap<(&str, i32), Vec<(&TargetPlan, &SourceCertificate)>> = BTreeMap::new();
    for (t, row) in rows() {
        let q = (row.topic.as_str(), row.partition);
        by_source.entry(q).or_default().push((t, row));
    }
    let topics: BTreeSet<&str> = by_source.keys().map(|(topic, _)| *topic).collect();
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let committed =
        number(by_source.values().filter(|rows| rows.iter().all(|(t, _)| is_committed(t))).count());
    let committed = known.unwrap_or(committed);
    let total = number(by_source.len());
    Summary {
        topics: number(topics.len()),
        partitions: total,
        committed,
        progress: format!("{committed}/{total}"),
        exact: number(by_source.values().filter(|rows| rows.iter().all(|(_, row)| row.exact)).count()),
        reread: rows().map(|(_, row)| row.reread).sum(),
        gaps: by_source.values().filter_map(|rows| rows.first()).map(|(_, row)| row.gap).sum(),
        natives_skipped: plan.targets.iter().map(|t| t.natives_skipped).sum(),
    }
}

#[cfg(test)]
mod tests;
