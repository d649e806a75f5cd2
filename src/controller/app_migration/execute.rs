//! The only code that changes anything but conditions: the one file to read for data safety.
//!
//! The order is the safety. The plan is stored, and its hash in status under an optimistic lock, before the
//! first commit; the journal says that the commit begins, and status says so under the same lock, right
//! before it; what the target has is read back before anything is called done. After a crash at any point
//! the same plan is finished, or computed again where the target shows none of it.

use std::{collections::BTreeMap, time::Instant};

use jiff::Timestamp;
use k8s_openapi::{api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::Time};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, PostParams, Preconditions},
};

use crate::{
    TopicPartition,
    api::v1alpha1::COMMITTED_ANNOTATION,
    kafka::{CommitOffset, KafkaError},
    mapping::{
        Plan,
        plan::{ReadBack, TargetPlan},
    },
};

use super::{
    super::{
        Context, KubeError,
        fault::{Fault, Side},
        within_deadline,
    },
    existing::Existing,
    journal::{self, Journal, Snapshot},
    live::Live,
    observe::{self, Owner},
    report,
    rungs::Rungs,
    seen::{JournalSeen, Mapping, Outcome},
    step::{Act, Look},
};

/// Does one thing, and notes what came of it. Only the operator that leads does anything.
pub async fn act(what: Act, rungs: &Rungs, live: &mut Live, context: &Context) -> Result<(), KubeError> {
    context.claim.deadline()?;
    match what {
        Act::Latch => {
            let now = Timestamp::now();
            report::write_with(live, context, rungs, |status| {
                status.stop_confirmed_at = Some(Time(now));
                status.preview = None;
            })
            .await
        }
        Act::StoreSnapshot => store_snapshot(live, context).await,
        Act::StorePlan => store_plan(rungs, live, context).await,
        Act::Commit => commit(rungs, live, context).await,
    }
}

async fn store_snapshot(live: &mut Live, context: &Context) -> Result<(), KubeError> {
    let stable = match observe::last_stable(live).await {
        Ok(stable) => stable,
        Err(fault) => {
            live.seen.fault = Some((Look::Group, fault));
            live.seen.group = None;
            return Ok(());
        }
    };
    let taken_at = Timestamp::now().to_string();
    let snapshot = Snapshot::new(&live.object.spec, &live.seen.committed, &stable, taken_at);
    let plan = live.seen.stored_plan().cloned();
    store(live, context, Some(snapshot), plan).await
}

async fn store_plan(rungs: &Rungs, live: &mut Live, context: &Context) -> Result<(), KubeError> {
    let Some(Mapping::Mapped(plan)) = &live.seen.mapping else {
        return Ok(());
    };
    let plan = Plan::clone(plan);
    // What was checked was checked for another plan.
    live.seen.unmoved = None;
    // Status never names a plan that the ConfigMap does not hold: the old name goes first.
    if live.object.status.as_ref().is_some_and(|s| s.plan.is_some()) {
        report::write(live, context, |status| status.plan = None).await?;
    }
    let reference = report::plan_ref(&live.object, &plan);
    let snapshot = live.seen.journal_snapshot().cloned();
    store(live, context, snapshot, Some(plan)).await?;
    if live.seen.own_journal().is_none() {
        return Ok(());
    }
    let rungs = rungs.clone();
    report::write_with(live, context, &rungs, |status| status.plan = Some(reference)).await?;
    Ok(())
}

/// Announces the commit, commits, reads back.
async fn commit(rungs: &Rungs, live: &mut Live, context: &Context) -> Result<(), KubeError> {
    let Some(mut plan) = live.seen.stored_plan().cloned() else {
        return Ok(());
    };
    let Some(target) = &live.seen.target else {
        return Ok(());
    };
    let existing = target.committed.clone();
    let kept = Existing::judge(&live.object, &plan, target).kept;
    let was = plan.clone();
    for t in &mut plan.targets {
        t.kept = kept.get(&t.target()).copied();
    }
    if plan.commit_begun_at.is_none() {
        for t in &mut plan.targets {
            t.there_before = existing.get(&t.target()).is_some_and(|c| c.offset == t.position.0);
        }
        plan.commit_begun_at = Some(Timestamp::now().to_string());
    }
    if plan != was {
        let snapshot = live.seen.journal_snapshot().cloned();
        store(live, context, snapshot, Some(plan.clone())).await?;
    }
    if live.seen.own_journal().is_none() {
        return Ok(());
    }
    // The lock of this write is the last word of the API server: it fails if the object was changed or
    // deleted since it was read, and nothing is committed then.
    report::announce(live, context, rungs).await?;
    // Kafka knows nothing of the Lease: the call is over before another operator may lead.
    let until = context.claim.deadline()?;
    if context.stopping() {
        return Ok(());
    }
    let outcome = commit_offsets(live, &plan, &existing, until).await;
    match outcome {
        Ok(outcome) => live.seen.outcome = Some(read_back(live, &plan, outcome).await),
        Err(fault) => live.seen.fault = Some((Look::Target, fault)),
    }
    if live.seen.outcome.as_ref().is_some_and(|o| o.done(&plan)) {
        // Once: a seal that was cut short has made parts of the journal immutable.
        let certified = plan.targets.iter().all(|t| t.read_back.is_some());
        if !certified && let Err(fault) = certify(live, context, plan).await? {
            live.seen.fault = Some((Look::Target, fault));
            return Ok(());
        }
        seal(live, context).await?;
    }
    Ok(())
}

/// Commits what the target does not have yet, in one call.
async fn commit_offsets(
    live: &Live,
    plan: &Plan,
    existing: &BTreeMap<TopicPartition, crate::kafka::Committed>,
    until: Option<Instant>,
) -> Result<Outcome, Fault> {
    let Some(clusters) = &live.clusters else {
        return Ok(Outcome::default());
    };
    let there = |t: &TargetPlan| {
        existing.get(&t.target()).is_some_and(|c| c.offset == t.position.0 && c.metadata == t.metadata)
    };
    let offsets: Vec<CommitOffset> = plan
        .targets
        .iter()
        .filter(|t| t.kept.is_none() && !there(t))
        .map(|t| CommitOffset { partition: t.target(), offset: t.position.0, metadata: t.metadata.clone() })
        .collect();
    let mut outcome = Outcome::default();
    if offsets.is_empty() {
        return Ok(outcome);
    }
    let target = until.map_or_else(|| clusters.target.clone(), |until| clusters.target.not_after(until));
    let results = match target.commit(&plan.target_group, &offsets).await {
        Ok(results) => results,
        Err(KafkaError::GroupActive { reason, .. }) => {
            outcome.active = Some(format!("the target group has members: {reason}"));
            return Ok(outcome);
        }
        Err(error) => return Err(Fault::kafka(Side::Target, &error)),
    };
    for (partition, result) in results {
        match result {
            Ok(()) => {}
            Err(KafkaError::GroupActive { reason, .. }) => {
                outcome.active = Some(format!("the target group has members: {reason}"));
            }
            Err(error @ KafkaError::MetadataTooLarge { .. }) => {
                outcome.refused.push((partition, error.to_string()));
            }
            Err(error) => outcome.failed.push((partition, error.to_string())),
        }
    }
    Ok(outcome)
}

/// Law 5: success is what the target says when it is asked again.
async fn read_back(live: &Live, plan: &Plan, mut outcome: Outcome) -> Outcome {
    let Some(clusters) = &live.clusters else {
        return outcome;
    };
    let there = match clusters.target.committed(&plan.target_group).await {
        Ok(there) => there,
        Err(error) => {
            let unread = plan.targets.iter().take(1);
            outcome
                .failed
                .extend(unread.map(|t| (t.target(), format!("offsets could not be read back: {error}"))));
            return outcome;
        }
    };
    for t in &plan.targets {
        let target = t.target();
        let found = there.get(&target).map(|c| c.offset);
        let metadata = there.get(&target).map(|c| c.metadata.as_slice());
        let as_planned = t.kept.is_some() || metadata == Some(&t.metadata);
        if found == Some(t.final_offset().0) && as_planned {
            outcome.committed.push(target);
        } else if !outcome.refused.iter().chain(&outcome.failed).any(|(failed, _)| *failed == target) {
            let found = found.map_or("none".to_owned(), |o| o.to_string());
            let other = if as_planned { "" } else { " with other metadata" };
            let why = format!("offset {} was committed, {found} was read back{other}", t.final_offset());
            outcome.failed.push((target, why));
        }
    }
    outcome
}

/// Notes in the plan what was read back, and the first record at each position, read once more.
async fn certify(live: &mut Live, context: &Context, mut plan: Plan) -> Result<Result<(), Fault>, KubeError> {
    let first = match observe::first_records(live, &plan).await {
        Ok(first) => first,
        Err(fault) => return Ok(Err(fault)),
    };
    for t in &mut plan.targets {
        t.read_back = Some(ReadBack { offset: t.final_offset(), first: first.get(&t.target()).copied() });
    }
    let snapshot = live.seen.journal_snapshot().cloned();
    store(live, context, snapshot, Some(plan)).await?;
    Ok(Ok(()))
}

/// Writes the journal: further parts first, the index last. Parts that the index names now are not touched
/// before it names others: whoever dies in between leaves the former journal whole.
async fn store(
    live: &mut Live,
    context: &Context,
    snapshot: Option<Snapshot>,
    plan: Option<Plan>,
) -> Result<(), KubeError> {
    // A cache may lag: an object that is not the one that was read must not touch the journal.
    report::lock(live, context).await?;
    let mut journal = Journal {
        snapshot,
        plan,
        parts: live.seen.own_journal().map(|j| j.parts.clone()).unwrap_or_default(),
        sealed: false,
    };
    let maps = match journal::encode(&live.object, &journal) {
        Ok(maps) => maps,
        Err(error) => {
            live.seen.journal = Some(JournalSeen::Conflict(error.to_string()));
            return Ok(());
        }
    };
    journal.parts = journal::further_parts(&maps);
    for map in maps {
        if let Some(conflict) = put(live, context, map).await? {
            live.seen.journal = Some(JournalSeen::Conflict(conflict));
            return Ok(());
        }
    }
    live.seen.journal = Some(JournalSeen::Ours(Box::new(journal)));
    Ok(())
}

/// Creates or replaces one ConfigMap. One of a former object is deleted first; one of somebody else's is left
/// alone.
async fn put(live: &Live, context: &Context, mut map: ConfigMap) -> Result<Option<String>, KubeError> {
    let api: Api<ConfigMap> =
        Api::namespaced(context.client.clone(), &live.object.namespace().unwrap_or_default());
    let name = map.name_any();
    if let Some(found) = within_deadline("look for the plan", api.get_opt(&name)).await? {
        match observe::owner(&live.object, &found) {
            Owner::Ours => {
                map.metadata.resource_version = found.metadata.resource_version;
                context.claim.deadline()?;
                within_deadline("replace the plan", api.replace(&name, &PostParams::default(), &map)).await?;
                return Ok(None);
            }
            Owner::Former => {
                context.claim.deadline()?;
                let preconditions = Preconditions {
                    uid: found.metadata.uid.clone(),
                    resource_version: found.metadata.resource_version.clone(),
                };
                let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
                within_deadline("delete a former plan", api.delete(&name, &params)).await?;
            }
            Owner::Other => {
                return Ok(Some(format!(
                    "ConfigMap {name} is there already and belongs to somebody else: delete or rename it, or give \
                     this migration another name"
                )));
            }
        }
    }
    within_deadline("create the plan", api.create(&PostParams::default(), &map)).await?;
    Ok(None)
}

/// Makes the committed plan immutable, the index last: from then on it stands for a commit that was read back,
/// whatever the application does with the offsets.
async fn seal(live: &Live, context: &Context) -> Result<(), KubeError> {
    let Some(journal) = live.seen.own_journal() else {
        return Ok(());
    };
    let hash = journal.plan.as_ref().map(Plan::hash).unwrap_or_default();
    let parts = journal.parts.clone();
    let api: Api<ConfigMap> =
        Api::namespaced(context.client.clone(), &live.object.namespace().unwrap_or_default());
    for name in parts.into_iter().chain([journal::name(&live.object)]) {
        let Some(mut found) = within_deadline("look for what is to be sealed", api.get_opt(&name)).await?
        else {
            continue;
        };
        let ours = matches!(observe::owner(&live.object, &found), Owner::Ours);
        if ours && found.immutable != Some(true) {
            found.immutable = Some(true);
            found.annotations_mut().insert(COMMITTED_ANNOTATION.to_owned(), hash.clone());
            within_deadline("seal the plan", api.replace(&name, &PostParams::default(), &found)).await?;
        }
    }
    Ok(())
}
