//! The last check before the commit: whether anything has moved since the plan was computed.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    TopicPartition,
    kafka::{Committed, KafkaError, ScanRange},
    mapping::{
        Plan, TargetOffset,
        plan::{RecordRef, SourceCertificate, TargetPlan, TopicIdentity},
    },
};

use super::{
    super::{
        super::{
            fault::{Fault, Side},
            replicator::Replicator,
        },
        facts::{self, Clusters},
        live::Live,
        scope::Selection,
        seen::topic_change,
    },
    groups::members,
    plan::identities,
};

/// The last check before the commit: who the clusters and topics are, the group, where the target's logs
/// begin and end, and the records on both sides of each position.
pub async fn unmoved(live: &mut Live) -> Result<(), Fault> {
    let Some(plan) = live.seen.plan() else {
        return Ok(());
    };
    let Some(clusters) = &live.clusters else {
        return Ok(());
    };
    let moved = match topics_moved(clusters, plan).await? {
        Some(moved) => Some(moved),
        None => match group_moved(live, clusters, plan).await? {
            Some(moved) => Some(moved),
            None => match logs_moved(clusters, plan.targets.iter()).await? {
                Some(moved) => Some(moved),
                None => records_moved(live, clusters, plan).await?,
            },
        },
    };
    live.seen.unmoved = Some(moved.map_or(Ok(()), Err));
    Ok(())
}

/// What keeps a plan whose commit has begun from being finished: a target topic was recreated, or a position
/// that is still to be committed lies outside its log. The source does not matter any more.
pub async fn unfinishable(live: &Live, clusters: &Clusters, plan: &Plan) -> Result<Option<String>, Fault> {
    let then = &plan.made_for.target_topics;
    let now = identities(&clusters.target, &then.keys().cloned().collect()).await;
    let now = now.map_err(|e| Fault::kafka(Side::Target, &e))?;
    let recreated = then.iter().find_map(|(topic, was)| match now.get(topic) {
        Some(is) if is.id == was.id => None,
        Some(_) => Some(format!("topic {topic} was recreated on the target")),
        None => Some(format!("topic {topic} is gone from the target")),
    });
    if recreated.is_some() {
        return Ok(recreated);
    }
    let there = live.seen.target.as_ref().map(|t| t.committed.clone()).unwrap_or_default();
    let open =
        |t: &&TargetPlan| t.kept.is_none() && there.get(&t.target()).is_none_or(|c| c.offset != t.position.0);
    logs_moved(clusters, plan.targets.iter().filter(open)).await
}

/// A topic that is another one than the plan was made for, or has other partitions.
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
    let Ok(selection) = Selection::new(&live.object.spec) else {
        return Ok(None);
    };
    let left_out: BTreeSet<&str> =
        plan.left_out.iter().filter(|l| l.partition.is_none()).map(|l| l.topic.as_str()).collect();
    let offset = |c: &Committed| c.offset;
    let takes_part = |q: &TopicPartition| {
        planned.contains_key(q) || (selection.takes(&q.topic) && !left_out.contains(q.topic.as_str()))
    };
    let differs = now.iter().find(|(q, c)| takes_part(q) && planned.get(*q) != Some(&c.offset));
    if let Some((q, c)) = differs {
        let was = planned.get(q).map_or("no offset".to_owned(), ToString::to_string);
        return Ok(Some(format!("{q} was committed at {}, the plan is for {was}", c.offset)));
    }
    // Whoever commits other metadata is at work.
    let single = plan
        .targets
        .iter()
        .filter_map(|t| <&[_; 1]>::try_from(t.sources.as_slice()).ok().map(|[row]| (t, row)));
    for (t, row) in single {
        let q = TopicPartition::new(&row.topic, row.partition);
        if row.assumed.is_none() && now.get(&q).is_some_and(|c| c.metadata != t.metadata) {
            return Ok(Some(format!("{q} was committed with other metadata than the plan's")));
        }
    }
    let gone = planned.iter().find(|(q, was)| now.get(*q).map(offset) != Some(**was));
    Ok(gone.map(|(q, was)| format!("the committed offset {was} of {q} is gone")))
}

async fn logs_moved<'p>(
    clusters: &Clusters,
    plans: impl Iterator<Item = &'p TargetPlan>,
) -> Result<Option<String>, Fault> {
    let on_target = |error: KafkaError| Fault::kafka(Side::Target, &error);
    let positions: BTreeMap<TopicPartition, TargetOffset> = plans.map(|t| (t.target(), t.position)).collect();
    let targets: Vec<TopicPartition> = positions.keys().cloned().collect();
    if targets.is_empty() {
        return Ok(None);
    }
    let ends = clusters.target.last_stable_offsets(&targets).await.map_err(on_target)?;
    let starts = clusters.target.log_starts(&targets).await.map_err(on_target)?;
    Ok(positions.iter().find_map(|(t, position)| {
        let (start, end) = (starts.get(t).copied()?, ends.get(t).copied()?);
        let outside = position.0 < start || position.0 > end;
        outside.then(|| format!("{t} now reaches from {start} to {end}, position {position} lies outside"))
    }))
}

/// Rule 29: the records on both sides of each position, read once more.
async fn records_moved(live: &Live, clusters: &Clusters, plan: &Plan) -> Result<Option<String>, Fault> {
    let Some(Ok(replicator)) = &live.seen.replicator else {
        return Ok(None);
    };
    for side in [below_of, at_of] {
        let read = read_again(clusters, replicator, expected(plan, side)).await;
        let read = read.map_err(|error| Fault::kafka(Side::Target, &error))?;
        if let Some(((t, offset), (q, r))) = read.missing.into_iter().next() {
            return Ok(Some(format!("{t} no longer holds the copy of {q} offset {} at {offset}", r.origin)));
        }
    }
    Ok(None)
}

/// The first record that the group has not read, by target partition, read once more; those that are there.
pub async fn first_records(live: &Live, plan: &Plan) -> Result<BTreeMap<TopicPartition, RecordRef>, Fault> {
    let (Some(Ok(replicator)), Some(clusters)) = (&live.seen.replicator, &live.clusters) else {
        return Ok(BTreeMap::new());
    };
    let read = match read_again(clusters, replicator, expected(plan, at_of)).await {
        Ok(read) => read,
        // The log was cut below a position: nothing is there to be read.
        Err(KafkaError::OffsetOutOfRange { .. }) => return Ok(BTreeMap::new()),
        Err(error) => return Err(Fault::kafka(Side::Target, &error)),
    };
    let kept: BTreeSet<TopicPartition> =
        plan.targets.iter().filter(|t| t.kept.is_some()).map(TargetPlan::target).collect();
    let seen = read.seen.into_iter().map(|((t, _), (_, record))| (t, record));
    Ok(seen.filter(|(t, _)| !kept.contains(t)).collect())
}

/// The nearest of the records on this side of each position.
fn expected(plan: &Plan, side: fn(&SourceCertificate) -> Option<RecordRef>) -> Expected {
    let nearest = |t: &TargetPlan| {
        let records = t.sources.iter().filter_map(|row| Some((side(row)?, row)));
        let (record, row) = records.min_by_key(|(r, _)| r.offset.0.abs_diff(t.position.0))?;
        let q = TopicPartition::new(&row.topic, row.partition);
        (record.offset >= t.log_start).then(|| ((t.target(), record.offset.0), (q, record)))
    };
    plan.targets.iter().filter_map(nearest).collect()
}

fn below_of(row: &SourceCertificate) -> Option<RecordRef> {
    row.below
}

fn at_of(row: &SourceCertificate) -> Option<RecordRef> {
    row.at
}

/// Target partition and offset, and the source partition and record that a copy is there of.
type Expected = BTreeMap<(TopicPartition, i64), (TopicPartition, RecordRef)>;

#[derive(Default)]
/// Which of these are there, and which are not though the log begins below them.
struct ReadAgain {
    seen: Expected,
    missing: Expected,
}

async fn read_again(
    clusters: &Clusters,
    replicator: &Replicator,
    expected: Expected,
) -> Result<ReadAgain, KafkaError> {
    let targets: Vec<TopicPartition> = expected.keys().map(|(t, _)| t.clone()).collect();
    let starts = clusters.target.log_starts(&targets).await?;
    // A record below the position that retention took since is no contradiction.
    let alive = |t: &TopicPartition, offset: i64| starts.get(t).is_none_or(|start| *start <= offset);
    let expected: Expected = expected.into_iter().filter(|((t, offset), _)| alive(t, *offset)).collect();
    let range = |(t, offset): &(TopicPartition, i64)| ScanRange {
        partition: t.clone(),
        from: *offset,
        to: offset + 1,
    };
    let scanned = expected.keys().map(range).collect();
    let format = replicator.format.clone();
    let names = facts::header_names(&format);
    let read = Arc::new(Mutex::new(ReadAgain { seen: Expected::new(), missing: expected }));
    let feed = Arc::clone(&read);
    clusters
        .target
        .scan(scanned, names, facts::STALL, move |t, record| {
            let mut read = feed.lock().unwrap_or_else(PoisonError::into_inner);
            let key = (t.clone(), record.offset);
            let found = read.missing.get(&key);
            if found.is_some_and(|(q, wanted)| facts::is_copy_of(record, &format, q, wanted.origin))
                && let Some(found) = read.missing.remove(&key)
            {
                read.seen.insert(key, found);
            }
            ControlFlow::Continue(())
        })
        .await?;
    let mut read = read.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(std::mem::take(&mut *read))
}
