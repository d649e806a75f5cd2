//! Gathers what the mapping rules take, in the order that they demand, and answers their questions to the
//! source. Reads only.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sha2::{Digest, Sha256};

use crate::{
    TopicPartition,
    api::v1alpha1::{Reason, UncommittedPartitions},
    kafka::{Cluster, HeaderNames, KafkaError, LogRecord, OriginHeaders, ScanRange},
    mapping::{
        Assessment, Facts, MappingPolicies, Question, SourceFacts, SourceLog, SourceLogs, SourceOffset,
        TargetFacts, TargetOffset, assess,
        digest::{Found, KeyDigest, TargetDigest},
        origin::{OriginFormat, RawOrigin},
    },
};

use super::{
    super::fault::{Fault, Side},
    journal::Snapshot,
    scope::{Chosen, Scope},
};

/// A scan that makes no progress for so long has failed.
pub const STALL: Duration = Duration::from_secs(30);
/// How often everything is looked at anew while retention keeps taking records.
const MAX_TRIES: usize = 5;
/// Offsets that are looked at first where one record decides; then ever more.
const FIRST_STRETCH: i64 = 4_096;

/// The two clusters, connected.
#[derive(Clone)]
pub struct Clusters {
    /// The source.
    pub source: Cluster,
    /// The target.
    pub target: Cluster,
}

/// What the rules take besides the scope.
pub struct Request<'a> {
    /// What takes part.
    pub scope: &'a Scope,
    /// Committed offsets, read before anything else.
    pub replicator_group: Option<&'a str>,
    /// How origins are written.
    pub format: &'a OriginFormat,
    /// The replicator drops some records on purpose.
    pub filtering: bool,
    /// The policies that bear on the mapping.
    pub policies: MappingPolicies,
    /// What stands in for a missing commit.
    pub uncommitted: UncommittedPartitions,
    /// The source at the confirmation.
    pub snapshot: &'a Snapshot,
}

/// Looks at both clusters and applies the rules until they conclude. Where retention on the source takes what
/// is being asked for, everything is looked at anew.
pub async fn map(clusters: &Clusters, request: &Request<'_>) -> Result<Assessment, Fault> {
    for _ in 0..MAX_TRIES {
        if let Some(concluded) = look(clusters, request).await? {
            return Ok(concluded);
        }
    }
    let text = "retention on the source kept taking records while they were read; trying again";
    Err(Fault::new(Reason::SourceUnavailable, text))
}

async fn look(clusters: &Clusters, request: &Request<'_>) -> Result<Option<Assessment>, Fault> {
    let facts = gather(clusters, request).await?;
    let start = |(q, source): (&TopicPartition, &SourceFacts)| (q.clone(), SourceLog::new(source.log_start));
    let mut logs: SourceLogs = facts.sources.iter().map(start).collect();
    loop {
        // Pure, but long for many partitions: not on the runtime's own time.
        match tokio::task::block_in_place(|| assess(&facts, &logs)) {
            Assessment::Ask(questions) => {
                if !answer(&clusters.source, &questions, &mut logs).await? {
                    return Ok(None);
                }
            }
            concluded => return Ok(Some(concluded)),
        }
    }
}

/// The order of the reads decides: the committed offsets were read before; then the replicator's position,
/// then each target's high watermark, end and log start, the logs up to those ends, and the source last.
async fn gather(clusters: &Clusters, request: &Request<'_>) -> Result<Facts, Fault> {
    let on_source = |error: KafkaError| Fault::kafka(Side::Source, &error);
    let on_target = |error: KafkaError| Fault::kafka(Side::Target, &error);
    let scope = request.scope;
    let positions = match request.replicator_group {
        Some(group) => clusters.source.committed(group).await.map_err(on_source)?,
        None => BTreeMap::new(),
    };
    let targets: Vec<TopicPartition> = scope.targets.keys().cloned().collect();
    // Before the end: a high watermark beyond a later end tells of an open transaction, never of new records.
    let high = clusters.target.high_watermarks(&targets).await.map_err(on_target)?;
    let ends = clusters.target.last_stable_offsets(&targets).await.map_err(on_target)?;
    let starts = clusters.target.log_starts(&targets).await.map_err(on_target)?;
    let topics: BTreeSet<String> = targets.iter().map(|t| t.topic.clone()).collect();
    let compacted = clusters.target.compacted_topics(&topics).await.map_err(on_target)?;
    let mut facts = Facts { filtering: request.filtering, policies: request.policies, ..Facts::default() };
    for t in &targets {
        let of = |offsets: &BTreeMap<TopicPartition, i64>| {
            TargetOffset(offsets.get(t).copied().unwrap_or_default())
        };
        facts.targets.insert(
            t.clone(),
            TargetFacts {
                log_start: of(&starts),
                end: of(&ends),
                high_watermark: of(&high),
                compacted: compacted.contains(&t.topic),
                found: Found::default(),
            },
        );
    }
    read_targets(&clusters.target, request, &mut facts).await?;
    let sources: Vec<TopicPartition> = scope.sources.keys().cloned().collect();
    let starts = clusters.source.log_starts(&sources).await.map_err(on_source)?;
    let stable = clusters.source.last_stable_offsets(&sources).await.map_err(on_source)?;
    let high = clusters.source.high_watermarks(&sources).await.map_err(on_source)?;
    for (q, chosen) in &scope.sources {
        let of = |offsets: &BTreeMap<TopicPartition, i64>| {
            SourceOffset(offsets.get(q).copied().unwrap_or_default())
        };
        let (committed, assumed) = position(q, chosen, request, of(&starts))?;
        let source = SourceFacts {
            committed,
            metadata: chosen.committed.as_ref().map(|c| c.metadata.clone()).unwrap_or_default(),
            assumed,
            replicator_position: positions.get(q).map(|c| SourceOffset(c.offset)),
            log_start: of(&starts),
            last_stable: of(&stable),
            high_watermark: of(&high).max(of(&stable)),
            targets: chosen.targets.clone(),
        };
        facts.sources.insert(q.clone(), source);
    }
    Ok(facts)
}

/// The committed offset, or what stands in for it (rule 16).
fn position(
    q: &TopicPartition,
    chosen: &Chosen,
    request: &Request<'_>,
    log_start: SourceOffset,
) -> Result<(SourceOffset, Option<&'static str>), Fault> {
    match (&chosen.committed, request.uncommitted) {
        (Some(committed), _) => Ok((SourceOffset(committed.offset), None)),
        (None, UncommittedPartitions::Latest) => {
            let at_confirmation = request.snapshot.last_stable(q).ok_or_else(|| {
                let text = format!(
                    "{q}: added to the source after the confirmation; where it stood then is not known"
                );
                Fault::new(Reason::UncommittedPartitions, text)
            })?;
            Ok((SourceOffset(at_confirmation), Some("Latest")))
        }
        (None, _) => Ok((log_start, Some("Earliest"))),
    }
}

/// One full scan of every target partition from its log start to its end.
async fn read_targets(target: &Cluster, request: &Request<'_>, facts: &mut Facts) -> Result<(), Fault> {
    let scope = request.scope;
    let digest = |(t, implied): (&TopicPartition, &_)| {
        let wanted: BTreeSet<TopicPartition> =
            scope.sources.iter().filter(|(_, c)| c.targets.contains(t)).map(|(q, _)| q.clone()).collect();
        let digest = TargetDigest::new(request.format.clone(), Clone::clone(implied), wanted);
        (t.clone(), (digest, facts.targets[t].compacted))
    };
    let digests: BTreeMap<TopicPartition, (TargetDigest, bool)> = scope.targets.iter().map(digest).collect();
    let ranges = facts
        .targets
        .iter()
        .map(|(t, seen)| ScanRange { partition: t.clone(), from: seen.log_start.0, to: seen.end.0 })
        .collect();
    let digests = Arc::new(Mutex::new(digests));
    let names = header_names(request.format);
    let feed = Arc::clone(&digests);
    let stats = target
        .scan(ranges, names, STALL, move |t, record| {
            let mut digests = feed.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((digest, compacted)) = digests.get_mut(t) {
                let key = if *compacted { record.key.map(key_digest) } else { None };
                digest.record(TargetOffset(record.offset), raw_origin(&record.origin()), key);
            }
            ControlFlow::Continue(())
        })
        .await
        .map_err(|error| Fault::kafka(Side::Target, &error))?;
    // Retention may have moved a log start while it was read.
    for (t, start) in &stats.truncated {
        if let Some(seen) = facts.targets.get_mut(t) {
            seen.log_start = TargetOffset(*start).min(seen.end);
        }
    }
    let digests = std::mem::take(&mut *digests.lock().unwrap_or_else(PoisonError::into_inner));
    for (t, (digest, _)) in digests {
        if let Some(seen) = facts.targets.get_mut(&t) {
            seen.found = digest.finish();
        }
    }
    Ok(())
}

/// Reads what the rules ask of the source. Where one record decides, in stretches that grow. False where the
/// log start has moved into what was asked for: what was there is not known then.
async fn answer(source: &Cluster, questions: &[Question], logs: &mut SourceLogs) -> Result<bool, Fault> {
    let mut stretches = Vec::new();
    for question in questions {
        let Some(log) = logs.get(&question.partition) else {
            continue;
        };
        let Some(from) = log.first_unknown(question.from, question.to) else {
            continue;
        };
        let to = if question.first_only {
            let known = from.0 - question.from.0;
            question.to.min(SourceOffset(from.0 + FIRST_STRETCH.max(known)))
        } else {
            question.to
        };
        stretches.push((question.partition.clone(), from, to, question.keys));
    }
    let ranges = stretches
        .iter()
        .map(|(q, from, to, _)| ScanRange { partition: q.clone(), from: from.0, to: to.0 })
        .collect();
    let keyed: BTreeSet<TopicPartition> =
        stretches.iter().filter(|(.., keys)| *keys).map(|(q, ..)| q.clone()).collect();
    let shared = Arc::new(Mutex::new(std::mem::take(logs)));
    let feed = Arc::clone(&shared);
    let scanned = source
        .scan(ranges, HeaderNames::default(), STALL, move |q, record| {
            let key = if keyed.contains(q) { record.key.map(key_digest) } else { None };
            let mut logs = feed.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(log) = logs.get_mut(q) {
                log.record(SourceOffset(record.offset), key);
            }
            ControlFlow::Continue(())
        })
        .await;
    *logs = std::mem::take(&mut *shared.lock().unwrap_or_else(PoisonError::into_inner));
    let stats = scanned.map_err(|error| Fault::kafka(Side::Source, &error))?;
    if !stats.truncated.is_empty() {
        return Ok(false);
    }
    for (q, from, to, _) in stretches {
        if let Some(log) = logs.get_mut(&q) {
            log.cover(from, to);
        }
    }
    Ok(true)
}

/// The header names as the log reader takes them.
pub fn header_names(format: &OriginFormat) -> HeaderNames {
    HeaderNames {
        topic: format.topic.clone(),
        partition: format.partition.clone(),
        offset: format.offset.clone(),
        pipeline: format.pipeline.clone(),
    }
}

/// The header values as the rules take them: a null is no bytes.
pub fn raw_origin(headers: &OriginHeaders<'_>) -> RawOrigin {
    let bytes = |value: Option<Option<&[u8]>>| value.map(|bytes| bytes.unwrap_or_default().to_vec());
    RawOrigin {
        topic: bytes(headers.topic),
        partition: bytes(headers.partition),
        offset: bytes(headers.offset),
        pipeline: bytes(headers.pipeline),
    }
}

/// Whether a record is a copy of source offset `origin`, in whatever encoding.
pub fn is_copy_of(
    record: &LogRecord<'_>,
    format: &OriginFormat,
    q: &TopicPartition,
    origin: SourceOffset,
) -> bool {
    use crate::mapping::origin::{Implied, Numbers, Origin, decode};
    let raw = raw_origin(&record.origin());
    let implied = Implied { topic: Some(q.topic.clone()), partition: Some(q.partition) };
    [Numbers::Decimal, Numbers::BigEndian, Numbers::LittleEndian]
        .into_iter()
        .any(|numbers| decode(&raw, format, &implied, numbers) == Origin::Copy(q.clone(), origin))
}

fn key_digest(key: &[u8]) -> KeyDigest {
    let digest = Sha256::digest(key);
    let mut short = KeyDigest::default();
    short.copy_from_slice(&digest[..16]);
    short
}
