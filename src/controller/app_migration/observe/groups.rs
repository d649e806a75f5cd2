//! Looks at the group: on the source, where it must have stopped, and on the target.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;

use crate::{
    TopicPartition,
    api::v1alpha1::{HiddenTopics, Reason},
    kafka::{Cluster, Committed, GroupDescription, GroupMember, KafkaError},
    mapping::plan::TargetPlan,
    printable::counted,
};

use super::super::{
    super::{
        Context,
        fault::{Fault, Side},
    },
    journal::Snapshot,
    live::Live,
    quiet::QuietWatch,
    scope::Selection,
    seen::{Group, Target},
};

/// Topics that a message names, and those that are asked for one by one.
const LISTED: usize = 5;
const ASKED: usize = 50;

/// The group on the source.
pub async fn source(live: &mut Live, context: &Context) -> Result<(), Fault> {
    let Some(clusters) = live.clusters.clone() else {
        return Ok(());
    };
    let name = &live.object.spec.consumer_group.clone();
    let on_source = |error: KafkaError| Fault::kafka(Side::Source, &error);
    let group = clusters.source.group(name).await.map_err(on_source)?;
    let denied = denied(live, &group, Some(context)).await?;
    if group.is_active() {
        context.quiet(&live.object.uid().unwrap_or_default(), QuietWatch::begin_anew);
        live.seen.committed = match clusters.source.committed(name).await {
            // It is at work: no news.
            Err(KafkaError::UnstableOffsets { .. }) => BTreeMap::new(),
            committed => committed.map_err(on_source)?,
        };
        let beside = denied.map_or_else(String::new, |topics| {
            format!("; the credentials may not describe {topics}: grant Describe")
        });
        let text = format!("{}; stop the application{beside}", members(name, &group));
        live.seen.group = Some(Group::Unfit(Reason::GroupActive, text));
        return Ok(());
    }
    let committed = clusters.source.committed(name).await.map_err(on_source)?;
    if let Some(topics) = denied {
        return Err(Fault::new(Reason::AuthorizationFailed, cannot_be_seen(name, &topics)));
    }
    let gone = live.seen.journal_snapshot().and_then(|snapshot| gone(live, snapshot, &committed));
    live.seen.group = Some(if committed.is_empty() && gone.is_none() {
        let text = format!(
            "{}; check the name and the credentials' rights (share and streams groups have none and cannot be \
             moved); spec.consumerGroup is fixed by the confirmation: if it is wrong, delete this object and create \
             a new one",
            not_found(live)
        );
        Group::Unfit(Reason::GroupNotFound, text)
    } else if group.not_found() && !committed.is_empty() {
        Group::Unfit(Reason::UnsupportedGroupType, of_another_kind(name))
    } else {
        Group::Stopped { gone }
    });
    live.seen.committed = committed;
    Ok(())
}

/// What is said of a group that the source does not know, and where the known ones are listed.
pub fn not_found(live: &Live) -> String {
    let spec = &live.object.spec;
    format!(
        "the source knows no consumer group {} with committed offsets (kubectl appmig candidates {} lists the groups)",
        spec.consumer_group, spec.replicator_ref.name
    )
}

/// What would be in the way on the source, foreseen while the group may still be at work.
pub async fn obstacle(live: &mut Live, context: Option<&Context>) -> Result<Option<String>, Fault> {
    let (Some(clusters), Some(Ok(replicator))) = (live.clusters.clone(), &live.seen.replicator) else {
        return Ok(None);
    };
    let name = &live.object.spec.consumer_group.clone();
    if replicator.source.consumer_group.as_ref() == Some(name) {
        return Ok(Some(format!(
            "{}: {name} is the replicator's own group by spec.source.consumerGroup of K2KReplicator {}: name the \
             application's in the one, the replicator's in the other",
            Reason::InvalidSpec,
            replicator.name
        )));
    }
    let group = clusters.source.group(name).await.map_err(|e: KafkaError| Fault::kafka(Side::Source, &e))?;
    let denied = denied(live, &group, context).await?;
    let found = if group.not_found() && !live.seen.committed.is_empty() {
        Some((Reason::UnsupportedGroupType, of_another_kind(name)))
    } else {
        denied.map(|topics| (Reason::AuthorizationFailed, cannot_be_seen(name, &topics)))
    };
    Ok(found.map(|(reason, text)| format!("{reason}: {text}")))
}

/// A consumer group with offsets is Empty, never Dead: this is of a kind that the call does not know.
fn of_another_kind(group: &str) -> String {
    format!(
        "{group} has committed offsets but is no consumer group (a streams or share group?): only consumer groups \
         can be moved"
    )
}

fn cannot_be_seen(group: &str, topics: &str) -> String {
    format!(
        "members of {group} were reading {topics}, which the credentials may not describe on the source: its offsets \
         cannot be seen; grant Describe (or, before the confirmation, leave them out by spec.topics.exclude; after it, \
         delete this object and create a new one)"
    )
}

/// Topics that members read, or were seen to read before, and that the credentials may not describe, in words: the
/// broker leaves their offsets out of a group's, silently. Kept in memory and in status until they may be described:
/// in a rebalance, and once they have stopped, no member shows any.
async fn denied(
    live: &mut Live,
    group: &GroupDescription,
    context: Option<&Context>,
) -> Result<Option<String>, Fault> {
    let Some(clusters) = &live.clusters else { return Ok(None) };
    let (cluster_id, consumer_group) = (clusters.source.id(), &live.object.spec.consumer_group);
    let uid = live.object.uid().unwrap_or_default();
    let in_memory = context.map(|context| context.quiet(&uid, |watch| watch.hidden().clone()));
    let in_status = live.object.status.as_ref().and_then(|status| status.hidden_topics.clone());
    // Of this group, on this cluster: both can be others by now.
    let before = in_memory.into_iter().chain(in_status);
    let before = before.filter(|b| b.cluster_id == cluster_id && b.consumer_group == *consumer_group);
    let read = group.members.iter().flat_map(|m| &m.assignment).map(|q| q.topic.clone());
    let read = before.flat_map(|hidden| hidden.topics).chain(read).collect();
    let denied = may_not_describe(&clusters.source, read).await?;
    let selection = Selection::new(&live.object.spec).ok();
    let takes = |topic: &String| selection.as_ref().is_some_and(|s| s.takes(topic));
    let (concerned, others): (Vec<String>, Vec<String>) = denied.into_iter().partition(takes);
    let more = concerned.len().saturating_sub(LISTED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let listed = concerned.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let told = (!concerned.is_empty()).then(|| listed + &more);
    let hidden = HiddenTopics {
        cluster_id: cluster_id.to_owned(),
        consumer_group: consumer_group.clone(),
        topics: concerned.into_iter().chain(others).collect(),
    };
    if let Some(context) = context {
        context.quiet(&uid, |watch| watch.hidden().clone_from(&hidden));
    }
    live.seen.hidden = Some(hidden);
    Ok(told)
}

/// Those of `topics` that are there, perhaps, and that the credentials may not describe.
async fn may_not_describe(source: &Cluster, topics: BTreeSet<String>) -> Result<BTreeSet<String>, Fault> {
    let on_source = |error: KafkaError| Fault::kafka(Side::Source, &error);
    if topics.is_empty() {
        return Ok(topics);
    }
    let visible = source.topics().await.map_err(on_source)?;
    let mut denied = BTreeSet::new();
    for topic in topics.into_iter().filter(|topic| !visible.contains_key(topic)) {
        // After so many the others are taken for denied too: some of these may be ones that do not take part.
        if denied.len() >= ASKED {
            denied.insert(topic);
            continue;
        }
        // One that was deleted under its reader is not there, rather than not shown. Any other error is no answer.
        match source.describe_topics(std::slice::from_ref(&topic)).await {
            Err(KafkaError::Authorization { .. }) => drop(denied.insert(topic)),
            described => drop(described.map_err(on_source)?),
        }
    }
    Ok(denied)
}

/// Rule 31: offsets of topics that take part, there at the confirmation and gone now.
fn gone(live: &Live, snapshot: &Snapshot, committed: &BTreeMap<TopicPartition, Committed>) -> Option<String> {
    let selection = Selection::new(&live.object.spec).ok()?;
    let gone: Vec<String> = snapshot
        .gone(committed)
        .filter(|(q, _)| selection.takes(&q.topic))
        .map(|(q, was)| format!("{q} was at {was}"))
        .collect();
    (!gone.is_empty()).then(|| {
        format!(
            "offsets that were committed at the confirmation are gone: {}; commit them again on the source, or \
             delete this object and create a new one",
            gone.join(", ")
        )
    })
}

/// How long a static member that has gone stays listed. A broker tells nobody a member's session timeout: what
/// is known is what it is unless somebody set it, and what the brokers allow at most.
const STATIC_MEMBERS: &str = "; a static member that has stopped stays listed until its session times out: after \
                              the session.timeout.ms of its consumer (45 s unless set, at most the broker's \
                              group.max.session.timeout.ms), in a group of the consumer protocol after \
                              group.consumer.session.timeout.ms";

/// The members of an active group, for a message.
pub fn members(group: &str, description: &GroupDescription) -> String {
    let show = |m: &GroupMember| match &m.instance_id {
        Some(instance) => format!("{} at {} (static member {instance})", m.client_id, m.host),
        None => format!("{} at {}", m.client_id, m.host),
    };
    let listed: Vec<String> = description.members.iter().take(5).map(show).collect();
    let more = description.members.len().saturating_sub(5);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let fixed = if description.members.iter().any(|m| m.instance_id.is_some()) { STATIC_MEMBERS } else { "" };
    let count = description.members.len();
    if count == 0 {
        return format!("group {group} is in state {:?}", description.state);
    }
    format!("group {group} has {}: {}{more}{fixed}", counted(count as u64, "member"), listed.join(", "))
}

/// The group on the target.
pub async fn target(live: &mut Live) -> Result<(), Fault> {
    let Some(clusters) = &live.clusters else {
        return Ok(());
    };
    let name = live.object.spec.target_group();
    let on_target = |error: KafkaError| Fault::kafka(Side::Target, &error);
    let group = clusters.target.group(name).await.map_err(on_target)?;
    let active = group.is_active().then(|| {
        format!(
            "on the target, {}; stop it: offsets can be committed only for a group without members",
            members(name, &group)
        )
    });
    let committed = match clusters.target.committed(name).await {
        // A transaction of the group's own on the target: it is at work there.
        Err(error @ KafkaError::UnstableOffsets { .. }) => {
            live.seen.target = Some(Target { active: Some(error.to_string()), ..Target::default() });
            return Ok(());
        }
        committed => committed.map_err(on_target)?,
    };
    let planned = live.seen.plan().into_iter().flat_map(|plan| plan.targets.iter().map(TargetPlan::target));
    let planned: Vec<TopicPartition> = planned.filter(|t| committed.contains_key(t)).collect();
    let ends = clusters.target.high_watermarks(&planned).await.map_err(on_target)?;
    live.seen.target = Some(Target { active, committed, ends });
    Ok(())
}

/// The last stable offsets of all partitions of the group's topics, for the snapshot.
pub async fn last_stable(live: &Live) -> Result<BTreeMap<TopicPartition, i64>, Fault> {
    let Some(clusters) = &live.clusters else {
        return Ok(BTreeMap::new());
    };
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
