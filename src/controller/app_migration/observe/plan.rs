//! Looks at everything that the positions follow from, and has the rules applied.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::PoisonError,
    time::Instant,
};

use jiff::Timestamp;
use kube::ResourceExt;
use tracing::Instrument as _;

use crate::{
    api::v1alpha1::Reason,
    kafka::{Cluster, KafkaError},
    mapping::{
        Assessment, Finding, MappingPolicies, Plan,
        plan::{MadeFor, PLAN_VERSION, TopicIdentity},
    },
    runtime::metrics::metrics,
    telemetry::CALLS,
};

use super::super::{
    super::{
        Context,
        fault::{Fault, Side},
    },
    facts::{self, Effort, Request},
    journal::Snapshot,
    live::{self, Live},
    scope::{self, Selection},
    seen::Mapping,
};

/// The positions, or what stands in the way.
pub async fn mapping(live: &mut Live, context: &Context) -> Result<(), Fault> {
    let Some(snapshot) = live.seen.journal_snapshot().cloned() else {
        return Ok(());
    };
    let (lane, work) = live::lane(&live.object);
    let _place = context.lanes.mapping(&lane, work).await;
    let policies = (&live.object.spec.policies).into();
    let standstill = context.standstill(&live.object.uid().unwrap_or_default());
    let effort = standstill.lock().unwrap_or_else(PoisonError::into_inner).effort();
    live.standstill = Some(standstill);
    live.seen.mapping = Some(compute(live, &snapshot, policies, effort).await?);
    Ok(())
}

/// What follows from the group's offsets as they were read just now, under these policies.
pub async fn compute(
    live: &Live,
    snapshot: &Snapshot,
    policies: MappingPolicies,
    effort: Effort,
) -> Result<Mapping, Fault> {
    let (Some(clusters), Some(Ok(replicator))) = (&live.clusters, &live.seen.replicator) else {
        return Ok(Mapping::Blocked(Vec::new()));
    };
    let selection = Selection::new(&live.object.spec).map_err(|why| Fault::new(Reason::InvalidSpec, why))?;
    let on_source = |error: KafkaError| Fault::kafka(Side::Source, &error);
    let on_target = |error: KafkaError| Fault::kafka(Side::Target, &error);
    let mut source_topics = clusters.source.topics().await.map_err(on_source)?;
    let committed = &live.seen.committed;
    let hidden = live.seen.hidden.iter().flat_map(|hidden| &hidden.topics);
    let known = source_topics.keys().chain(committed.keys().map(|q| &q.topic)).chain(hidden);
    if let Some(why) = selection.misspelt(known.map(String::as_str)) {
        return Err(Fault::new(Reason::InvalidSpec, why));
    }
    let topics: BTreeSet<String> =
        committed.keys().map(|q| q.topic.clone()).filter(|t| selection.takes(t)).collect();
    let routed = replicator.routes.resolve(topics.iter().map(String::as_str));
    let wanted: BTreeSet<String> = routed.values().map(|route| route.topic.clone()).collect();
    let target_topics = identities(&clusters.target, &wanted).await.map_err(on_target)?;
    let source_identities = identities(&clusters.source, &topics).await.map_err(on_source)?;
    // Partitions and ids of one moment: what is added later must show as a change of the plan's topics.
    source_topics.retain(|topic, _| !topics.contains(topic));
    source_topics.extend(counts(&source_identities));
    let inputs = scope::Inputs {
        spec: &live.object.spec,
        selection: &selection,
        replicator,
        committed,
        source_topics: &source_topics,
        target_topics: &counts(&target_topics),
    };
    let scope = match scope::choose(&inputs) {
        Ok(scope) => scope,
        Err(findings) => return Ok(Mapping::Blocked(findings)),
    };
    if scope.sources.is_empty() {
        let text = "no partition of the group's topics takes part: check spec.topics and policies";
        return Err(Fault::new(Reason::InvalidSpec, text));
    }
    let used: BTreeSet<String> = scope.sources.keys().map(|q| q.topic.clone()).collect();
    let made_for = MadeFor {
        source_cluster_id: live.seen.clusters.as_ref().map(|c| c.source.clone()).unwrap_or_default(),
        target_cluster_id: live.seen.clusters.as_ref().map(|c| c.target.clone()).unwrap_or_default(),
        source_topics: source_identities.into_iter().filter(|(topic, _)| used.contains(topic)).collect(),
        target_topics,
        replicator_uid: replicator.uid.clone(),
        replicator_generation: replicator.generation,
        pipeline: replicator.pipeline.clone(),
    };
    let request = Request {
        scope: &scope,
        // The migrated group's own offsets say nothing of the replicator.
        replicator_group: replicator
            .source
            .consumer_group
            .as_deref()
            .filter(|group| *group != live.object.spec.consumer_group),
        format: &replicator.format,
        filtering: replicator.features.record_filtering.is_enabled(),
        policies,
        uncommitted: live.object.spec.policies.uncommitted_partitions,
        snapshot,
        made_for: &made_for,
        effort,
        progress: live.progress.clone(),
        landmarks: live.landmarks.clone(),
        standstill: live.standstill.clone(),
    };
    let start = Instant::now();
    let assessment =
        facts::map(clusters, &request).instrument(tracing::debug_span!(target: CALLS, "mapping")).await;
    metrics().mapping_duration.observe(start.elapsed().as_secs_f64());
    Ok(match assessment? {
        Assessment::Mapped(targets) => Mapping::Mapped(Box::new(Plan {
            version: PLAN_VERSION,
            migration: live.object.name_any(),
            group: live.object.spec.consumer_group.clone(),
            target_group: live.object.spec.target_group().to_owned(),
            generation: live.object.metadata.generation.unwrap_or_default(),
            computed_at: Timestamp::now().to_string(),
            commit_begun_at: None,
            made_for,
            targets,
            left_out: scope.left_out,
        })),
        Assessment::Blocked(mut findings) => {
            if let Some(group) = request.replicator_group {
                explain(&clusters.source, group, &mut findings).await;
            }
            Mapping::Blocked(findings)
        }
        Assessment::Ask(_) => Mapping::Blocked(Vec::new()),
    })
}

/// Who waits for a replicator that is not there is told so. A replicator may do without members: it is a question.
async fn explain(source: &Cluster, replicator_group: &str, findings: &mut [Finding]) {
    let behind = findings.iter_mut().find(|finding| finding.reason == Reason::ReplicationBehind);
    if let Some(first) = behind
        && let Ok(group) = source.group(replicator_group).await
        && !group.is_active()
    {
        let hint = format!("; the replicator's group {replicator_group} has no members now: does it run?");
        first.message.push_str(&hint);
    }
}

fn counts(topics: &BTreeMap<String, TopicIdentity>) -> BTreeMap<String, u32> {
    topics.iter().map(|(topic, identity)| (topic.clone(), identity.partitions)).collect()
}

/// Ids and partition counts of those of `topics` that are there.
pub async fn identities(
    cluster: &Cluster,
    topics: &BTreeSet<String>,
) -> Result<BTreeMap<String, TopicIdentity>, KafkaError> {
    let names: Vec<String> = topics.iter().cloned().collect();
    let described = cluster.describe_topics(&names).await?;
    Ok(described
        .into_iter()
        .map(|(topic, d)| (topic, TopicIdentity { id: d.id, partitions: d.partitions }))
        .collect())
}
