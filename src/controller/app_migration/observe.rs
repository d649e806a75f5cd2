//! Looks at the world for `decide`. Reads only: of the API server, and of both Kafka clusters.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use jiff::Timestamp;
use kube::{Api, ResourceExt, runtime::reflector::ObjectRef};

use crate::{
    TopicPartition,
    api::v1alpha1::{AppMigration, ConditionType, K2KReplicator, Reason, RecordTimestamps},
    kafka::{Cluster, Committed, GroupDescription, KafkaError, ScanRange},
    mapping::{
        Assessment, Plan, TargetOffset,
        plan::{MadeFor, PLAN_VERSION, RecordRef, TopicIdentity},
    },
};

use super::{
    super::{
        Context, KubeError, conditions,
        fault::{Fault, Side},
        replicator::Replicator,
        within_deadline,
    },
    decide::Look,
    facts::{self, Clusters, Request},
    journal,
    live::Live,
    scope::{self, Selection},
    seen::{ClusterIds, Group, JournalSeen, Mapping, Target, topic_change},
};

/// Looks at one thing and notes what is seen. A Kafka fault is something seen; only a failed call to the API
/// server is an error.
pub async fn look(what: Look, live: &mut Live, context: &Context) -> Result<(), KubeError> {
    let outcome = match what {
        Look::Replicator => {
            live.seen.replicator = Some(replicator(&live.object, context));
            Ok(())
        }
        Look::Journal => {
            live.seen.journal = Some(read_journal(&live.object, context).await?);
            Ok(())
        }
        Look::Clusters => clusters(live, context).await,
        Look::Rivals => {
            live.seen.rival = Some(rival(live, context));
            Ok(())
        }
        Look::Group => group(live, context).await,
        Look::Quiet => {
            let period = live.object.spec.quiet_period.into();
            let uid = live.object.uid().unwrap_or_default();
            let committed = &live.seen.committed;
            live.seen.quiet = Some(context.quiet(&uid, |watch| watch.look(committed, period, Instant::now())));
            Ok(())
        }
        Look::Mapping => mapping(live).await,
        Look::Target => target(live).await,
        Look::Unmoved => unmoved(live).await,
    };
    live.seen.fault = outcome.err();
    Ok(())
}

type Usable = Result<Box<Replicator>, (Reason, String)>;

fn replicator(object: &AppMigration, context: &Context) -> Usable {
    let name = &object.spec.replicator_ref.name;
    let reference = ObjectRef::new(name).within(&object.namespace().unwrap_or_default());
    let Some(found) = context.replicators.get(&reference) else {
        let text = format!("there is no K2KReplicator {name} in this namespace; create it");
        return Err((Reason::ReplicatorNotFound, text));
    };
    is_ready(&found)?;
    let replicator = Replicator::new(&found).map_err(|why| (Reason::ReplicatorNotReady, why))?;
    if replicator.format.offset.is_none() {
        let text = format!(
            "K2KReplicator {name} does not write the offset header: switch it on in the replicator, then set \
             features.tracingHeaders.offset to Enabled"
        );
        return Err((Reason::TracingHeadersDisabled, text));
    }
    let kept = replicator.features.keep_record_creation_timestamp.is_enabled();
    if !kept && object.spec.policies.record_timestamps == RecordTimestamps::Require {
        let text = format!(
            "K2KReplicator {name} does not keep record timestamps (features.keepRecordCreationTimestamp); set \
             policies.recordTimestamps: Ignore if the application can live with that"
        );
        return Err((Reason::TimestampsNotKept, text));
    }
    Ok(Box::new(replicator))
}

/// Its own controller's word, and for this very generation.
fn is_ready(replicator: &K2KReplicator) -> Result<(), (Reason, String)> {
    let name = replicator.name_any();
    let status = replicator.status.as_ref();
    let ready = status.and_then(|s| conditions::find(&s.conditions, ConditionType::Ready));
    match ready {
        Some(ready) if ready.observed_generation != replicator.metadata.generation => {
            Err((Reason::ReplicatorNotReady, format!("K2KReplicator {name} has changed and is being checked")))
        }
        Some(ready) if ready.status == "True" => Ok(()),
        Some(ready) => {
            Err((Reason::ReplicatorNotReady, format!("K2KReplicator {name}: {}: {}", ready.reason, ready.message)))
        }
        None => Err((Reason::ReplicatorNotReady, format!("K2KReplicator {name} has not been checked yet"))),
    }
}

async fn read_journal(object: &AppMigration, context: &Context) -> Result<JournalSeen, KubeError> {
    let namespace = object.namespace().unwrap_or_default();
    let api: Api<k8s_openapi::api::core::v1::ConfigMap> = Api::namespaced(context.client.clone(), &namespace);
    let name = journal::name(object);
    let Some(first) = within_deadline(api.get_opt(&name)).await? else { return Ok(missing(object, &name)) };
    match owner(object, &first) {
        Owner::Ours => {}
        Owner::Former => return Ok(missing(object, &name)),
        Owner::Other => {
            let text = format!(
                "ConfigMap {name} is there already and belongs to somebody else: delete or rename it, or give this \
                 migration another name"
            );
            return Ok(JournalSeen::Conflict(text));
        }
    }
    let mut parts = Vec::new();
    for part in journal::part_names(&first) {
        let Some(found) = within_deadline(api.get_opt(&part)).await? else {
            return Ok(JournalSeen::Conflict(format!("ConfigMap {part}, a part of the plan, is gone")));
        };
        parts.push(found);
    }
    let journal = match journal::decode(&first, &parts) {
        Ok(journal) => journal,
        Err(error) => return Ok(JournalSeen::Conflict(format!("{error}; delete this object and create a new one"))),
    };
    Ok(verified(object, journal))
}

/// The plan must be the very one that status names. One that status does not name was stored just before a
/// crash and never acted on: it is computed again. One whose commit has begun is trusted even where status
/// was lost.
fn verified(object: &AppMigration, mut journal: journal::Journal) -> JournalSeen {
    let Some(expected) = object.status.as_ref().and_then(|s| s.plan.as_ref()) else {
        journal.plan = journal.plan.filter(|plan| plan.commit_begun_at.is_some());
        return JournalSeen::Ours(journal);
    };
    let actual = journal.plan.as_ref().map(Plan::hash);
    if actual.as_deref() == Some(expected.hash.as_str()) {
        return JournalSeen::Ours(journal);
    }
    JournalSeen::Conflict(format!(
        "ConfigMap {} was altered: status.plan.hash is {}, that of the plan in it {}; delete this object and create \
         a new one",
        expected.config_map,
        expected.hash,
        actual.as_deref().unwrap_or("none")
    ))
}

/// No journal: fine at first, a conflict once a plan was stored.
fn missing(object: &AppMigration, name: &str) -> JournalSeen {
    if object.status.as_ref().is_some_and(|s| s.plan.is_some()) {
        let text = format!("ConfigMap {name} with the stored plan is gone; delete this object and create a new one");
        return JournalSeen::Conflict(text);
    }
    JournalSeen::Ours(journal::Journal::default())
}

/// Whose a ConfigMap is.
pub enum Owner {
    /// This object's.
    Ours,
    /// A former object's of the same name.
    Former,
    /// Somebody else's, or nobody's.
    Other,
}

/// Whose the ConfigMap is, by its controller.
pub fn owner(object: &AppMigration, map: &k8s_openapi::api::core::v1::ConfigMap) -> Owner {
    let controller = map.owner_references().iter().find(|o| o.controller == Some(true));
    match controller {
        Some(o) if Some(&o.uid) == object.metadata.uid.as_ref() => Owner::Ours,
        Some(o) if o.kind == "AppMigration" && o.name == object.name_any() => Owner::Former,
        _ => Owner::Other,
    }
}

async fn clusters(live: &mut Live, context: &Context) -> Result<(), Fault> {
    let Some(Ok(replicator)) = &live.seen.replicator else { return Ok(()) };
    let namespace = live.object.namespace().unwrap_or_default();
    let source = context.cluster(&namespace, Side::Source, &replicator.source.cluster).await?;
    let target = context.cluster(&namespace, Side::Target, &replicator.target).await?;
    let source_id = source.current_id().await.map_err(|e| Fault::kafka(Side::Source, &e))?;
    let target_id = target.current_id().await.map_err(|e| Fault::kafka(Side::Target, &e))?;
    context.note_target(&namespace, &replicator.name, &target_id);
    live.seen.clusters = Some(ClusterIds { source: source_id, target: target_id });
    live.clusters = Some(Clusters { source, target });
    Ok(())
}

/// Among the confirmed and unfinished migrations of one target group on one target cluster, the one latched
/// first goes on, then the older, then the smaller uid.
fn rival(live: &Live, context: &Context) -> Option<String> {
    let target = live.seen.clusters.as_ref()?.target.clone();
    let order = |m: &AppMigration| {
        let status = m.status.as_ref();
        let latched = status.and_then(|s| s.stop_confirmed_at.as_ref()).map(|t| t.0);
        let created = m.metadata.creation_timestamp.as_ref().map(|t| t.0);
        (latched, created, m.metadata.uid.clone())
    };
    let mine = order(&live.object);
    let competes = |m: &AppMigration| {
        let status = m.status.as_ref();
        let namespace = m.namespace().unwrap_or_default();
        m.metadata.uid != live.object.metadata.uid
            && m.metadata.deletion_timestamp.is_none()
            && status.is_some_and(|s| s.stop_confirmed_at.is_some() && s.completed_at.is_none())
            && m.spec.target_group() == live.object.spec.target_group()
            && context.target_of(&namespace, &m.spec.replicator_ref.name).as_deref() == Some(target.as_str())
    };
    let all = context.migrations.state();
    let first = all.iter().filter(|m| competes(m) && order(m) < mine).min_by_key(|m| order(m))?;
    Some(format!("{}/{}", first.namespace().unwrap_or_default(), first.name_any()))
}

async fn group(live: &mut Live, context: &Context) -> Result<(), Fault> {
    let Some(clusters) = &live.clusters else { return Ok(()) };
    let name = &live.object.spec.consumer_group;
    let on_source = |error: KafkaError| Fault::kafka(Side::Source, &error);
    let group = clusters.source.group(name).await.map_err(on_source)?;
    let uid = live.object.uid().unwrap_or_default();
    if group.is_active() {
        context.quiet(&uid, super::QuietWatch::reset);
        let text = format!("{}; stop the application", members(name, &group));
        live.seen.group = Some(Group::Unfit(Reason::GroupActive, text));
        return Ok(());
    }
    let committed = clusters.source.committed(name).await.map_err(on_source)?;
    let gone = live.seen.journal_snapshot().and_then(|snapshot| {
        let gone: Vec<String> = snapshot.gone(&committed).map(|(q, was)| format!("{q} was at {was}")).collect();
        (!gone.is_empty()).then(|| {
            format!(
                "offsets that were committed at the confirmation are gone: {}; commit them again on the source, or \
                 delete this object and create a new one",
                gone.join(", ")
            )
        })
    });
    live.seen.group = Some(if committed.is_empty() && gone.is_none() {
        let text = format!(
            "the source knows no consumer group {name} with committed offsets; check spec.consumerGroup and the \
             credentials' rights (share and streams groups have none and cannot be moved)"
        );
        Group::Unfit(Reason::GroupNotFound, text)
    } else {
        Group::Stopped { gone }
    });
    live.seen.committed = committed;
    Ok(())
}

/// The members of an active group, for a message.
fn members(group: &str, description: &GroupDescription) -> String {
    let show = |m: &crate::kafka::GroupMember| match &m.instance_id {
        Some(instance) => format!(
            "{} at {} (static member {instance}, which stays listed until its session times out)",
            m.client_id, m.host
        ),
        None => format!("{} at {}", m.client_id, m.host),
    };
    let listed: Vec<String> = description.members.iter().take(5).map(show).collect();
    let more = description.members.len().saturating_sub(5);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    match listed.len() {
        0 => format!("group {group} is in state {:?}", description.state),
        _ => format!("group {group} has {} members: {}{more}", description.members.len(), listed.join(", ")),
    }
}

async fn mapping(live: &mut Live) -> Result<(), Fault> {
    let (Some(clusters), Some(Ok(replicator))) = (&live.clusters, &live.seen.replicator) else { return Ok(()) };
    let Some(snapshot) = live.seen.journal_snapshot() else { return Ok(()) };
    let Ok(selection) = Selection::new(&live.object.spec) else { return Ok(()) };
    let on_source = |error: KafkaError| Fault::kafka(Side::Source, &error);
    let on_target = |error: KafkaError| Fault::kafka(Side::Target, &error);
    let source_topics = clusters.source.topics().await.map_err(on_source)?;
    let committed = &live.seen.committed;
    let topics: BTreeSet<String> = committed.keys().map(|q| q.topic.clone()).filter(|t| selection.takes(t)).collect();
    let routed = replicator.routes.resolve(topics.iter().map(String::as_str));
    let wanted: BTreeSet<String> = routed.values().map(|route| route.topic.clone()).collect();
    let target_topics = identities(&clusters.target, &wanted).await.map_err(on_target)?;
    let counts = target_topics.iter().map(|(topic, id)| (topic.clone(), id.partitions)).collect();
    let inputs = scope::Inputs {
        spec: &live.object.spec,
        selection: &selection,
        replicator,
        committed,
        source_topics: &source_topics,
        target_topics: &counts,
    };
    let scope = match scope::choose(&inputs) {
        Ok(scope) => scope,
        Err(findings) => {
            live.seen.mapping = Some(Mapping::Blocked(findings));
            return Ok(());
        }
    };
    if scope.sources.is_empty() {
        let text = "no partition of the group's topics takes part: check spec.topics and policies";
        return Err(Fault::new(Reason::InvalidSpec, text));
    }
    let used: BTreeSet<String> = scope.sources.keys().map(|q| q.topic.clone()).collect();
    let made_for = MadeFor {
        source_cluster_id: live.seen.clusters.as_ref().map(|c| c.source.clone()).unwrap_or_default(),
        target_cluster_id: live.seen.clusters.as_ref().map(|c| c.target.clone()).unwrap_or_default(),
        source_topics: identities(&clusters.source, &used).await.map_err(on_source)?,
        target_topics,
        replicator_uid: replicator.uid.clone(),
    };
    let request = Request {
        scope: &scope,
        replicator_group: replicator.source.consumer_group.as_deref(),
        format: &replicator.format,
        filtering: replicator.features.record_filtering.is_enabled(),
        policies: (&live.object.spec.policies).into(),
        uncommitted: live.object.spec.policies.uncommitted_partitions,
        snapshot,
    };
    live.seen.mapping = Some(match facts::map(clusters, &request).await? {
        Assessment::Mapped(targets) => Mapping::Mapped(Plan {
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
        }),
        Assessment::Blocked(findings) => Mapping::Blocked(findings),
        Assessment::Ask(_) => Mapping::Blocked(Vec::new()),
    });
    Ok(())
}

async fn identities(
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

async fn target(live: &mut Live) -> Result<(), Fault> {
    let Some(clusters) = &live.clusters else { return Ok(()) };
    let name = live.object.spec.target_group();
    let on_target = |error: KafkaError| Fault::kafka(Side::Target, &error);
    let group = clusters.target.group(name).await.map_err(on_target)?;
    let active = group.is_active().then(|| {
        format!("on the target, {}; stop it: offsets can be committed only for a group without members", members(name, &group))
    });
    let committed = match clusters.target.committed(name).await {
        // A transaction of the group's own on the target: it is at work there.
        Err(error @ KafkaError::UnstableOffsets { .. }) => {
            live.seen.target = Some(Target { active: Some(error.to_string()), committed: BTreeMap::new() });
            return Ok(());
        }
        committed => committed.map_err(on_target)?,
    };
    live.seen.target = Some(Target { active, committed });
    Ok(())
}

/// The last check before the commit: who the clusters and topics are, the group, where the target's logs
/// begin and end, and the records on both sides of each position.
async fn unmoved(live: &mut Live) -> Result<(), Fault> {
    let plan = match (&live.seen.mapping, live.seen.stored_plan()) {
        (Some(Mapping::Mapped(plan)), _) => plan,
        (_, Some(plan)) => plan,
        _ => return Ok(()),
    };
    let Some(clusters) = &live.clusters else { return Ok(()) };
    let moved = match topics_moved(clusters, plan).await? {
        Some(moved) => Some(moved),
        None => match group_moved(live, clusters, plan).await? {
            Some(moved) => Some(moved),
            None => match logs_moved(clusters, plan).await? {
                Some(moved) => Some(moved),
                None => records_moved(live, clusters, plan).await?,
            },
        },
    };
    live.seen.unmoved = Some(moved.map_or(Ok(()), Err));
    Ok(())
}

async fn topics_moved(clusters: &Clusters, plan: &Plan) -> Result<Option<String>, Fault> {
    let names = |topics: &BTreeMap<String, TopicIdentity>| topics.keys().cloned().collect::<BTreeSet<_>>();
    let made_for = &plan.made_for;
    let source = identities(&clusters.source, &names(&made_for.source_topics)).await;
    let source = source.map_err(|e| Fault::kafka(Side::Source, &e))?;
    let target = identities(&clusters.target, &names(&made_for.target_topics)).await;
    let target = target.map_err(|e| Fault::kafka(Side::Target, &e))?;
    Ok(topic_change("source", &made_for.source_topics, &source)
        .or_else(|| topic_change("target", &made_for.target_topics, &target)))
}

async fn group_moved(live: &Live, clusters: &Clusters, plan: &Plan) -> Result<Option<String>, Fault> {
    let on_source = |error: KafkaError| Fault::kafka(Side::Source, &error);
    let group = clusters.source.group(&plan.group).await.map_err(on_source)?;
    if group.is_active() {
        return Ok(Some(members(&plan.group, &group)));
    }
    let now = clusters.source.committed(&plan.group).await.map_err(on_source)?;
    let mut planned: BTreeMap<TopicPartition, i64> = BTreeMap::new();
    for row in plan.targets.iter().flat_map(|t| &t.sources).filter(|row| row.assumed.is_none()) {
        planned.insert(TopicPartition::new(&row.topic, row.partition), row.committed.0);
    }
    let Ok(selection) = Selection::new(&live.object.spec) else { return Ok(None) };
    let left_out: BTreeSet<&str> = plan.left_out.iter().map(|l| l.topic.as_str()).collect();
    let offset = |c: &Committed| c.offset;
    let differs = now
        .iter()
        .filter(|(q, _)| selection.takes(&q.topic))
        .find(|(q, c)| planned.get(*q) != Some(&c.offset) && !(left_out.contains(q.topic.as_str()) && !planned.contains_key(*q)));
    if let Some((q, c)) = differs {
        return Ok(Some(format!("{q} was committed at {}, the plan is for {:?}", c.offset, planned.get(q))));
    }
    let gone = planned.iter().find(|(q, was)| now.get(*q).map(offset) != Some(**was));
    Ok(gone.map(|(q, was)| format!("the committed offset {was} of {q} is gone")))
}

async fn logs_moved(clusters: &Clusters, plan: &Plan) -> Result<Option<String>, Fault> {
    let on_target = |error: KafkaError| Fault::kafka(Side::Target, &error);
    let targets: Vec<TopicPartition> = plan.targets.iter().map(crate::mapping::plan::TargetPlan::target).collect();
    let ends = clusters.target.last_stable_offsets(&targets).await.map_err(on_target)?;
    let starts = clusters.target.log_starts(&targets).await.map_err(on_target)?;
    Ok(plan.targets.iter().zip(&targets).find_map(|(t, name)| {
        let (start, end) = (starts.get(name).copied()?, ends.get(name).copied()?);
        let outside = t.position.0 < start || t.position.0 > end;
        outside.then(|| format!("{name} now reaches from {start} to {end}, position {} lies outside", t.position))
    }))
}

/// Rule 29: the records on both sides of each position, read once more.
async fn records_moved(live: &Live, clusters: &Clusters, plan: &Plan) -> Result<Option<String>, Fault> {
    let Some(Ok(replicator)) = &live.seen.replicator else { return Ok(None) };
    for side in [below_of, at_of] {
        let mut expected: BTreeMap<(TopicPartition, i64), (TopicPartition, RecordRef)> = BTreeMap::new();
        let mut ranges = BTreeMap::new();
        for t in &plan.targets {
            // The nearest of the records on this side of the position.
            let nearest = t.sources.iter().filter_map(|row| Some((side(row)?, row)));
            let nearest = nearest.min_by_key(|(r, _)| r.offset.0.abs_diff(t.position.0));
            let Some((record, row)) = nearest.filter(|(r, _)| r.offset >= t.log_start) else { continue };
            let q = TopicPartition::new(&row.topic, row.partition);
            expected.insert((t.target(), record.offset.0), (q, record));
            ranges.insert(t.target(), record.offset);
        }
        if let Some(moved) = read_again(clusters, replicator, &ranges, expected).await? {
            return Ok(Some(moved));
        }
    }
    Ok(None)
}

fn below_of(row: &crate::mapping::plan::SourceCertificate) -> Option<RecordRef> {
    row.below
}

fn at_of(row: &crate::mapping::plan::SourceCertificate) -> Option<RecordRef> {
    row.at
}

type Expected = BTreeMap<(TopicPartition, i64), (TopicPartition, RecordRef)>;

async fn read_again(
    clusters: &Clusters,
    replicator: &Replicator,
    ranges: &BTreeMap<TopicPartition, TargetOffset>,
    expected: Expected,
) -> Result<Option<String>, Fault> {
    let starts: Vec<TopicPartition> = ranges.keys().cloned().collect();
    let starts = clusters.target.log_starts(&starts).await.map_err(|e| Fault::kafka(Side::Target, &e))?;
    // A record below the position that retention took since is no contradiction.
    let alive = |t: &TopicPartition, offset: i64| starts.get(t).is_none_or(|start| *start <= offset);
    let expected: Expected = expected.into_iter().filter(|((t, offset), _)| alive(t, *offset)).collect();
    let scanned = ranges
        .iter()
        .filter(|(t, offset)| alive(t, offset.0))
        .map(|(t, offset)| ScanRange { partition: t.clone(), from: offset.0, to: offset.0 + 1 })
        .collect();
    let format = replicator.format.clone();
    let names = facts::header_names(&format);
    let missing = Arc::new(Mutex::new(expected));
    let seen = Arc::clone(&missing);
    clusters
        .target
        .scan(scanned, names, facts::STALL, move |t, record| {
            let mut missing = seen.lock().unwrap_or_else(PoisonError::into_inner);
            let key = (t.clone(), record.offset);
            if let Some((q, wanted)) = missing.get(&key)
                && facts::is_copy_of(record, &format, q, wanted.origin)
            {
                missing.remove(&key);
            }
            ControlFlow::Continue(())
        })
        .await
        .map_err(|error| Fault::kafka(Side::Target, &error))?;
    let missing = missing.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(missing
        .iter()
        .next()
        .map(|((t, offset), (q, r))| format!("{t} no longer holds the copy of {q} offset {} at {offset}", r.origin)))
}

/// The last stable offsets of all partitions of the group's topics, for the snapshot.
pub async fn last_stable(live: &Live) -> Result<BTreeMap<TopicPartition, i64>, Fault> {
    let Some(clusters) = &live.clusters else { return Ok(BTreeMap::new()) };
    let on_source = |error: KafkaError| Fault::kafka(Side::Source, &error);
    let counts = clusters.source.topics().await.map_err(on_source)?;
    let topics: BTreeSet<&str> = live.seen.committed.keys().map(|q| q.topic.as_str()).collect();
    let partitions: Vec<TopicPartition> = topics
        .into_iter()
        .flat_map(|topic| {
            let count = i32::try_from(counts.get(topic).copied().unwrap_or_default()).unwrap_or(i32::MAX);
            (0..count).map(move |n| TopicPartition::new(topic, n))
        })
        .collect();
    clusters.source.last_stable_offsets(&partitions).await.map_err(on_source)
}
