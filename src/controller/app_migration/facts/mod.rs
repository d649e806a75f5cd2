//! Gathers what the mapping rules take, in the order that they demand, and answers their questions to the
//! source. Reads only.
//!
//! The target logs are searched for where the committed offsets lie, and read from there on. What the rules
//! make of that is final only if the rest of the logs could not say otherwise ([`doubts`]); logs that are in
//! doubt are read whole. But under `policies.verification: Window`, a person's word that what lies between the
//! windows need not be looked at.

mod progress;
mod questions;
mod standstill;
mod targets;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sha2::{Digest, Sha256};

use crate::{
    TopicPartition,
    api::v1alpha1::{NativeRecords, Reason, Reprocessing, UncommittedPartitions, Verification},
    kafka::{Cluster, Committed, HeaderNames, KafkaError, LogRecord},
    mapping::{
        Assessment, Bounds, Doubts, Facts, MappingPolicies, SourceFacts, SourceLog, SourceLogs, SourceOffset,
        assess, digest::KeyDigest, doubts, origin::OriginFormat, plan::MadeFor,
    },
    search::{self, Landmarks},
};

use super::{
    super::fault::{Fault, Side},
    journal::Snapshot,
    scope::{Chosen, Scope},
};
pub use progress::Progress;
use standstill::Bearings;
pub use standstill::Standstill;
use targets::Targets;

/// A scan that makes no progress for so long has failed.
pub const STALL: Duration = Duration::from_secs(30);
/// How often everything is looked at anew while retention keeps taking records.
const MAX_TRIES: usize = 5;
/// What the replicator has not brought yet is waited for so often, before the logs are read whole.
const WAITS: u32 = 20;
/// The first of those waits; each is longer by as much.
const WAIT: Duration = Duration::from_millis(50);

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
    /// The clusters and topics as they were just described.
    pub made_for: &'a MadeFor,
    /// How much is read.
    pub effort: Effort,
    /// Where it is told how far that has come.
    pub progress: Arc<Progress>,
    /// What earlier searches came across on the target.
    pub landmarks: Arc<Mutex<Landmarks>>,
    /// How the migration has waited so far; none for one that does not.
    pub standstill: Option<Arc<Mutex<Standstill>>>,
}

/// How much is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// As little as is certain.
    Usual,
    /// Every log whole.
    Whole,
    /// What can be read in a moment: nothing is committed by it.
    Glance,
}

impl Request<'_> {
    /// Whether a part of the logs can be enough: some policies ask for all native records, or for all that are
    /// read again.
    fn may_search(&self) -> bool {
        let MappingPolicies { native_records, reprocessing, verification, .. } = self.policies;
        self.effort != Effort::Whole
            && native_records == NativeRecords::Report
            && (verification == Verification::Backlog || reprocessing == Reprocessing::Accept)
    }
}

/// Looks at both clusters and applies the rules, unless the last time they were left waiting and nothing has moved
/// since.
pub async fn map(clusters: &Clusters, request: &Request<'_>) -> Result<Assessment, Fault> {
    let Some(standstill) = &request.standstill else {
        return conclusion(clusters, request).await;
    };
    let waits = locked(standstill).waits();
    let bearings = if waits { Some(bearings(clusters, request).await?) } else { None };
    let still = bearings.as_ref().and_then(|bearings| locked(standstill).still(bearings));
    if let Some(findings) = still.filter(|_| request.effort == Effort::Usual) {
        return Ok(Assessment::Blocked(findings));
    }
    let assessment = conclusion(clusters, request).await?;
    locked(standstill).came_to(bearings, &assessment);
    Ok(assessment)
}

/// Where everything stands now.
async fn bearings(clusters: &Clusters, request: &Request<'_>) -> Result<Bearings, Fault> {
    let source = &clusters.source;
    let offset = |(q, at): (TopicPartition, i64)| (q, SourceOffset(at));
    let positions = positions(source, request).await?.into_iter().map(|(q, c)| (q, c.offset)).map(offset);
    let positions = positions.filter(|(q, _)| request.scope.sources.contains_key(q)).collect();
    let starts = log_starts(source, request).await?.into_iter().map(offset).collect();
    let targets = Targets::new(&clusters.target, request).await?.facts();
    Ok(Bearings::new(request, positions, starts, &targets))
}

/// The committed offsets of the replicator's own group.
async fn positions(
    source: &Cluster,
    request: &Request<'_>,
) -> Result<BTreeMap<TopicPartition, Committed>, Fault> {
    match request.replicator_group {
        Some(group) => source.committed(group).await.map_err(on_source),
        None => Ok(BTreeMap::new()),
    }
}

/// Looks at both clusters and applies the rules until they conclude. Where retention on the source takes what
/// is being asked for, everything is looked at anew.
async fn conclusion(clusters: &Clusters, request: &Request<'_>) -> Result<Assessment, Fault> {
    for _ in 0..MAX_TRIES {
        if let Some(concluded) = look(clusters, request).await? {
            return Ok(concluded);
        }
    }
    let text = "retention on the source kept taking records while they were read; trying again";
    Err(Fault::new(Reason::SourceUnavailable, text))
}

/// The order of the reads decides: the committed offsets were read before; then the replicator's position,
/// then where the logs of the target are to be read from, the bounds of what can lie before that, the source's
/// log starts, each target's high watermark, end and log start, the logs up to those ends, and the source last.
async fn look(clusters: &Clusters, request: &Request<'_>) -> Result<Option<Assessment>, Fault> {
    let positions = positions(&clusters.source, request).await?;
    let mut targets = Targets::new(&clusters.target, request).await?;
    let bounds = ends(&clusters.source, request).await?;
    if request.may_search() {
        targets.search(&clusters.target, request, &committed(&clusters.source, request).await?).await?;
    }
    let mut waits = 0;
    loop {
        let starts = log_starts(&clusters.source, request).await?;
        targets.read(&clusters.target, request).await?;
        let facts = Facts {
            sources: sources(&clusters.source, request, &positions, &starts).await?,
            targets: targets.facts(),
            filtering: request.filtering,
            policies: request.policies,
        };
        let concluded = conclude(&clusters.source, &facts, &bounds).await?;
        let Some((assessment, doubts)) = concluded else {
            return Ok(None);
        };
        if doubts.none() {
            return Ok(Some(assessment));
        }
        targets.keep(facts);
        let glance = request.effort == Effort::Glance;
        if waits < WAITS && doubts.unread.is_empty() && !glance {
            waits += 1;
            tokio::time::sleep(WAIT * waits).await;
            continue;
        }
        if !targets.read_whole(&doubts, request) {
            return Ok(Some(assessment));
        }
    }
}

/// Applies the rules, asking the source what they want to know. None where retention took what was asked for.
async fn conclude(
    source: &Cluster,
    facts: &Facts,
    bounds: &Bounds,
) -> Result<Option<(Assessment, Doubts)>, Fault> {
    let start = |(q, source): (&TopicPartition, &SourceFacts)| (q.clone(), SourceLog::new(source.log_start));
    let mut logs: SourceLogs = facts.sources.iter().map(start).collect();
    loop {
        // Pure, but long for many partitions: not on the runtime's own time.
        let (assessment, doubted) = tokio::task::block_in_place(|| {
            let assessment = assess(facts, &logs);
            let doubted = doubts(facts, &logs, bounds, &assessment);
            (assessment, doubted)
        });
        match doubted {
            Ok(doubts) => return Ok(Some((assessment, doubts))),
            Err(questions) => {
                if !questions::answer(source, &questions, &mut logs).await? {
                    return Ok(None);
                }
            }
        }
    }
}

/// The source's ends now, open transactions included: not every replicator waits for those to end.
async fn ends(source: &Cluster, request: &Request<'_>) -> Result<Bounds, Fault> {
    let all: Vec<TopicPartition> = request.scope.sources.keys().cloned().collect();
    let ends = source.high_watermarks(&all).await.map_err(on_source)?;
    Ok(ends.into_iter().map(|(q, end)| (q, SourceOffset(end))).collect())
}

async fn log_starts(source: &Cluster, request: &Request<'_>) -> Result<BTreeMap<TopicPartition, i64>, Fault> {
    let all: Vec<TopicPartition> = request.scope.sources.keys().cloned().collect();
    source.log_starts(&all).await.map_err(on_source)
}

/// The committed offsets, or what stands in for them.
async fn committed(source: &Cluster, request: &Request<'_>) -> Result<Bounds, Fault> {
    let starts = log_starts(source, request).await?;
    let mut committed = Bounds::new();
    for (q, chosen) in &request.scope.sources {
        let start = SourceOffset(starts.get(q).copied().unwrap_or_default());
        committed.insert(q.clone(), position(q, chosen, request, start)?.0);
    }
    Ok(committed)
}

/// The source, which is looked at last.
async fn sources(
    source: &Cluster,
    request: &Request<'_>,
    positions: &BTreeMap<TopicPartition, Committed>,
    starts_before: &BTreeMap<TopicPartition, i64>,
) -> Result<BTreeMap<TopicPartition, SourceFacts>, Fault> {
    let all: Vec<TopicPartition> = request.scope.sources.keys().cloned().collect();
    let starts = source.log_starts(&all).await.map_err(on_source)?;
    let stable = source.last_stable_offsets(&all).await.map_err(on_source)?;
    let high = source.high_watermarks(&all).await.map_err(on_source)?;
    let mut facts = BTreeMap::new();
    for (q, chosen) in &request.scope.sources {
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
            log_start_before: of(starts_before),
            last_stable: of(&stable),
            high_watermark: of(&high).max(of(&stable)),
            targets: chosen.targets.clone(),
        };
        facts.insert(q.clone(), source);
    }
    Ok(facts)
}

#[allow(clippy::needless_pass_by_value)] // For `map_err`.
fn on_source(error: KafkaError) -> Fault {
    Fault::kafka(Side::Source, &error)
}

#[allow(clippy::needless_pass_by_value)] // For `map_err`.
fn on_target(error: KafkaError) -> Fault {
    Fault::kafka(Side::Target, &error)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
                    "{q}: where it stood at the confirmation is not known, as it was added later; set \
                     policies.uncommittedPartitions to Earliest or Skip"
                );
                Fault::new(Reason::UncommittedPartitions, text)
            })?;
            Ok((SourceOffset(at_confirmation), Some("Latest")))
        }
        (None, _) => Ok((log_start, Some("Earliest"))),
    }
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

/// Whether a record is a copy of source offset `origin`, in whatever encoding.
pub fn is_copy_of(
    record: &LogRecord<'_>,
    format: &OriginFormat,
    q: &TopicPartition,
    origin: SourceOffset,
) -> bool {
    use crate::mapping::origin::{Implied, Numbers, Origin, decode};
    let raw = search::raw_origin(record.origin());
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
