//! The `K2KReplicator` controller: validate, connect to both sides, resolve the routes, report. Writes
//! nothing but the object's status.

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use jiff::Timestamp;
use kube::{Api, ResourceExt, api::PostParams, runtime::controller::Action};

use crate::{
    api::v1alpha1::{ConditionType, K2KReplicator, K2KReplicatorStatus, K2KReplicatorSummary, Reason},
    crash,
    mapping::{Route, Routes},
    printable::{counted, printable},
    runtime::pace,
};

use super::{
    Context, KubeError,
    conditions::{self, Statement, Status},
    fault::{Fault, Side},
    lanes::Work,
    measure,
    pipeline::{self, Loaded},
    replicator::Replicator,
    within_deadline,
};

/// So many unused keys of a pipeline file are listed.
const MOST_KEYS: usize = 128;
/// A replicator that stays ready is checked ever more seldom, up to so many times the first delay.
const LONGEST_RECHECK: u32 = 5;

/// What was seen of a usable replicator.
struct Seen {
    summary: K2KReplicatorSummary,
    missing: Vec<String>,
    /// What is no error, and may be a slip.
    notes: Vec<String>,
    unused: Vec<String>,
}

/// One look at a replicator.
pub async fn reconcile(object: Arc<K2KReplicator>, context: Arc<Context>) -> Result<Action, KubeError> {
    crash::reconciling(object.as_ref(), look(Arc::clone(&object), context)).await
}

async fn look(object: Arc<K2KReplicator>, context: Arc<Context>) -> Result<Action, KubeError> {
    let uid = object.uid().unwrap_or_default();
    if object.metadata.deletion_timestamp.is_some() {
        context.forget(&uid);
        return Ok(Action::await_change());
    }
    // A status that is gone is told anew.
    let told = object.status.as_ref().is_some_and(|status| !status.conditions.is_empty());
    let fingerprint = format!("{:?} {told}", object.metadata.generation);
    if let Some(rest) = context.pace(&uid, |pace| pace.rest(&fingerprint, Instant::now())) {
        return Ok(Action::requeue(rest));
    }
    let lane = (object.namespace().unwrap_or_default(), object.name_any());
    let checked = async {
        let _place = context.lanes.look(&lane, Work::Check).await;
        match pipeline::load(&object, &context.client).await? {
            Ok(loaded) => Ok::<_, KubeError>(observe(&object, loaded, &context).await),
            Err(fault) => Ok(Err(fault)),
        }
    };
    let seen = tokio::select! {
        seen = checked => seen?,
        () = context.stopped() => return Ok(Action::await_change()),
    };
    let changed = report(&object, &context, &seen).await?;
    let options = &context.options;
    let (now, first) = (Instant::now(), options.replicator_recheck);
    let delay = context.pace(&uid, |pace| {
        pace.failed(seen.is_err());
        if changed {
            pace.changed();
        }
        match &seen {
            Ok(_) => pace.grow(pace::spread(first), first * LONGEST_RECHECK, now),
            // A pipeline file that is put in place, or mended, changes nothing in the object.
            Err(fault) if fault.reason.is_stalled() && object.spec.pipeline_from.is_none() => {
                pace.after(pace::spread(options.stalled_recheck), now)
            }
            Err(_) => pace.back_off(options.backoff_max, pace::jitter(), now),
        }
    });
    Ok(Action::requeue(delay))
}

async fn observe(
    object: &K2KReplicator,
    Loaded { replicator, unused }: Loaded,
    context: &Context,
) -> Result<Seen, Fault> {
    let namespace = object.namespace().unwrap_or_default();
    // The target first, as others want to know which it is; the source has the first word all the same.
    let target = context.target(&namespace, &replicator.name, &replicator.target).await;
    let source = context.cluster(&namespace, Side::Source, &replicator.source.cluster).await?;
    let (target, _) = target?;
    let on_source = |error| Fault::kafka(Side::Source, &error);
    let on_target = |error| Fault::kafka(Side::Target, &error);
    // Topics that the principal may not see are left out of lists silently; asked by name they are refused.
    let named = literal_topics(&replicator);
    source.describe_topics(&named).await.map_err(on_source)?;
    let mut notes = Vec::new();
    if source.id() == target.id() {
        notes.push("source and target are the same cluster, within which no group can be moved".to_owned());
    }
    if let Some(group) = &replicator.source.consumer_group
        && source.group(group).await.map_err(on_source)?.not_found()
    {
        notes.push(format!("the source knows no group {group} yet (spec.source.consumerGroup)"));
    }
    let topics = source.topics().await.map_err(on_source)?;
    let routed = replicator.routes.resolve(topics.keys().map(String::as_str));
    let wanted = routed.values().map(|route| route.topic.clone());
    let wanted: BTreeSet<String> = wanted.chain(targets_of(&replicator.routes, &named)).collect();
    let wanted: Vec<String> = wanted.into_iter().collect();
    let there = target.describe_topics(&wanted).await.map_err(on_target)?;
    let lacks = |route: &&Route| !there.contains_key(&route.topic);
    let missing: Vec<String> = routed.values().filter(lacks).map(|route| route.topic.clone()).collect();
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let summary = K2KReplicatorSummary {
        topics: count(routed.len()),
        partitions: routed.keys().filter_map(|t| topics.get(t)).sum(),
        missing_on_target: count(missing.len()),
    };
    notes.extend(replicator.routes.unmatched(topics.keys().map(String::as_str)));
    Ok(Seen { summary, missing, notes, unused })
}

/// Topics that the routes name outright, without any pattern.
fn literal_topics(replicator: &Replicator) -> Vec<String> {
    let literal = |p: &&String| p.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    replicator.patterns.iter().filter(literal).cloned().collect()
}

fn targets_of(routes: &Routes, topics: &[String]) -> Vec<String> {
    topics.iter().filter_map(|topic| routes.route(topic)).map(|route| route.topic).collect()
}

fn statement(seen: &Result<Seen, Fault>) -> Statement {
    match seen {
        Err(fault) => Statement::fails(fault.reason, fault.message.clone()),
        Ok(Seen { summary, missing, notes, unused }) => {
            let [topics, partitions] = [(summary.topics, "topic"), (summary.partitions, "partition")]
                .map(|(count, what)| counted(count.into(), what));
            let mut parts = vec![format!("routed: {topics} with {partitions}")];
            parts.extend(notes.iter().cloned());
            if !unused.is_empty() {
                parts.push(format!(
                    "{} keys of the pipeline file are not used (status.unusedKeys)",
                    unused.len()
                ));
            }
            if !missing.is_empty() {
                let names: BTreeSet<&str> = missing.iter().map(String::as_str).collect();
                let shown: Vec<&str> = names.iter().take(5).copied().collect();
                let more = if names.len() > shown.len() { ", …" } else { "" };
                let what = counted(names.len() as u64, "topic");
                parts.push(format!("the target lacks {what}: {}{more}", shown.join(", ")));
            }
            let text = parts.join("; ");
            Statement::holds(Reason::Ready, text)
        }
    }
}

/// Writes what was seen, where it is new. True where it is more than other words.
async fn report(
    object: &K2KReplicator,
    context: &Context,
    seen: &Result<Seen, Fault>,
) -> Result<bool, KubeError> {
    let generation = object.metadata.generation;
    let ready = statement(seen);
    measure::came_to(measure::REPLICATOR, ready.reason, ready.reason.is_stalled());
    let mut status = object.status.clone().unwrap_or_default();
    status.observed_generation = generation;
    if let Ok(seen) = seen {
        status.summary = Some(seen.summary);
        status.unused_keys = seen.unused.iter().take(MOST_KEYS).map(|key| short(key)).collect();
    }
    state(&mut status, &ready, generation);
    if object.status.as_ref() == Some(&status) {
        return Ok(false);
    }
    let mut object = object.clone();
    let before = object.status.replace(status).unwrap_or_default();
    let api: Api<K2KReplicator> =
        Api::namespaced(context.client.clone(), &object.namespace().unwrap_or_default());
    let (name, params) = (object.name_any(), PostParams::default());
    within_deadline("write the status", api.replace_status(&name, &params, &object)).await?;
    let told = conditions::find(&before.conditions, ConditionType::Ready);
    let new_reason = told.map(|c| c.reason.as_str()) != Some(ready.reason.as_str());
    if new_reason {
        tracing::info!(reason = %ready.reason, "{}", ready.message);
        context.tell(&object, ready.status != Status::True, ready.reason, "Check", &ready.message).await;
    }
    let summary = object.status.as_ref().and_then(|s| s.summary);
    Ok(new_reason || summary != before.summary)
}

/// As the CRD bounds it.
fn short(key: &str) -> String {
    printable(key).chars().take(512).collect()
}

fn state(status: &mut K2KReplicatorStatus, ready: &Statement, generation: Option<i64>) {
    let now = Timestamp::now();
    let progress = if ready.status == Status::True {
        None
    } else if ready.reason.is_stalled() {
        Some(ConditionType::Stalled)
    } else {
        Some(ConditionType::Reconciling)
    };
    conditions::set_ready(&mut status.conditions, ready, progress, generation, now);
}
