//! The target partitions, read as far as is needed: from where a search says, or whole.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::ControlFlow,
    sync::{Arc, Mutex},
};

use crate::{
    TopicPartition,
    kafka::{Cluster, ScanRange},
    mapping::{
        Compaction, Doubts, Facts, SourceOffset, TargetFacts, TargetOffset,
        digest::{self, Digests, TargetDigest},
    },
    search::{self, Found, Wanted, raw_origin},
};

use super::{
    super::super::fault::Fault, Effort, Request, STALL, header_names, key_digest, locked, on_target,
};

/// Offsets that are read before the end where no copy is at or above the committed offset: what came last is
/// judged by what came right before it.
const CONTEXT: i64 = 1_000;

/// A log of so many offsets is read whole: a search would take longer, and tell less.
const SMALL: i64 = 1_000;

/// At a glance a log of more offsets is not read whole.
const GLANCE: i64 = 100_000;

/// The state of each target partition.
pub struct Targets(BTreeMap<TopicPartition, Target>);

#[derive(Default)]
struct Target {
    facts: TargetFacts,
    /// What was read so far ends here.
    next: TargetOffset,
}

impl Target {
    fn read_from(&mut self, offset: TargetOffset) {
        self.facts.read_from = offset;
        self.facts.found = digest::Found::default();
        self.next = offset;
    }
}

impl Targets {
    /// Where the logs begin and end now.
    pub async fn new(target: &Cluster, request: &Request<'_>) -> Result<Self, Fault> {
        let topics: BTreeSet<String> = request.scope.targets.keys().map(|t| t.topic.clone()).collect();
        let compacted = target.compacted_topics(&topics).await.map_err(on_target)?;
        let state = |t: &TopicPartition| {
            let compaction = match compacted.get(&t.topic) {
                Some(true) => Compaction::On,
                Some(false) => Compaction::Off,
                None => Compaction::Unknown,
            };
            let facts = TargetFacts { compaction, ..TargetFacts::default() };
            (t.clone(), Target { facts, ..Target::default() })
        };
        let mut targets = Self(request.scope.targets.keys().map(state).collect());
        targets.look_at_bounds(target).await?;
        for target in targets.0.values_mut() {
            target.read_from(target.facts.log_start);
        }
        Ok(targets)
    }

    /// The high watermark before the end: one beyond a later end tells of an open transaction, never of new
    /// records.
    async fn look_at_bounds(&mut self, target: &Cluster) -> Result<(), Fault> {
        let all: Vec<TopicPartition> = self.0.keys().cloned().collect();
        let high = target.high_watermarks(&all).await.map_err(on_target)?;
        let ends = target.last_stable_offsets(&all).await.map_err(on_target)?;
        let starts = target.log_starts(&all).await.map_err(on_target)?;
        for (t, target) in &mut self.0 {
            let of = |offsets: &BTreeMap<TopicPartition, i64>| {
                TargetOffset(offsets.get(t).copied().unwrap_or_default())
            };
            let facts = &mut target.facts;
            (facts.high_watermark, facts.end, facts.log_start) = (of(&high), of(&ends), of(&starts));
        }
        Ok(())
    }

    /// Searches the logs for where they are to be read from. One that cannot be searched is read whole.
    pub async fn search(
        &mut self,
        target: &Cluster,
        request: &Request<'_>,
        committed: &BTreeMap<TopicPartition, SourceOffset>,
    ) -> Result<(), Fault> {
        let wanted = self.wanted(request, committed);
        if wanted.is_empty() {
            return Ok(());
        }
        let (names, format) = (header_names(request.format), request.format.clone());
        let searched = target.probe(names, STALL, move |prober| search::search(prober, &format, &wanted));
        match searched.await {
            Ok(found) => self.found(&found),
            // A scan shows whether the trouble lasts, and has a better word for it.
            Err(error) => tracing::debug!(%error, "the search failed; reading the logs whole"),
        }
        Ok(())
    }

    fn wanted(
        &self,
        request: &Request<'_>,
        committed: &BTreeMap<TopicPartition, SourceOffset>,
    ) -> BTreeMap<TopicPartition, Wanted> {
        let mut by_target: BTreeMap<&TopicPartition, BTreeMap<TopicPartition, SourceOffset>> =
            BTreeMap::new();
        for (q, chosen) in &request.scope.sources {
            for t in &chosen.targets {
                let offset = committed.get(q).copied().unwrap_or_default();
                by_target.entry(t).or_default().insert(q.clone(), offset);
            }
        }
        let wanted = |(t, target): (&TopicPartition, &Target)| {
            let wanted = Wanted {
                start: target.facts.log_start,
                end: target.facts.end,
                implied: request.scope.targets.get(t).cloned().unwrap_or_default(),
                committed: by_target.get(t).cloned().unwrap_or_default(),
            };
            (t.clone(), wanted)
        };
        let large =
            |(_, target): &(&TopicPartition, &Target)| target.facts.end.0 - target.facts.log_start.0 > SMALL;
        self.0.iter().filter(large).map(wanted).collect()
    }

    fn found(&mut self, found: &Found) {
        tracing::debug!(rounds = found.rounds, unfit = ?found.unfit, "searched");
        for (t, guess) in &found.guesses {
            let Some(target) = self.0.get_mut(t) else { continue };
            target.facts.probes = guess.probes;
            if let Some(below) = guess.last_below() {
                let context = if guess.position().is_none() { CONTEXT } else { 0 };
                target.read_from(target.facts.log_start.max(TargetOffset(below.0 - context)));
            }
        }
    }

    /// Reads on, up to the ends of now: one moment for all.
    pub async fn read(&mut self, target: &Cluster, request: &Request<'_>) -> Result<(), Fault> {
        self.look_at_bounds(target).await?;
        let (mut digests, mut compacted) = (HashMap::new(), BTreeSet::new());
        let mut ranges = Vec::new();
        for (t, target) in &mut self.0 {
            let wanted: BTreeSet<TopicPartition> = request
                .scope
                .sources
                .iter()
                .filter(|(_, c)| c.targets.contains(t))
                .map(|(q, _)| q.clone())
                .collect();
            let implied = request.scope.targets.get(t).cloned().unwrap_or_default();
            // What retention has taken is not there to be read by the group either.
            if target.facts.log_start > target.facts.read_from {
                target.read_from(target.facts.log_start);
            }
            let found = std::mem::take(&mut target.facts.found);
            let digest = TargetDigest::resume(request.format.clone(), implied, wanted, found);
            digests.insert(t.clone(), digest);
            if target.facts.is_compacted() {
                compacted.insert(t.clone());
            }
            let (from, to) = (target.next.max(target.facts.log_start), target.facts.end.max(target.next));
            ranges.push(ScanRange { partition: t.clone(), from: from.0, to: to.0 });
            (target.next, target.facts.end) = (to, to);
        }
        let digests = Arc::new(Mutex::new(Digests::new(digests)));
        let feed = Arc::clone(&digests);
        let stats = target
            .scan(ranges, header_names(request.format), STALL, move |t, record| {
                let key = if compacted.contains(t) { record.key.map(key_digest) } else { None };
                locked(&feed).record(t, TargetOffset(record.offset), &raw_origin(record.origin()), key);
                ControlFlow::Continue(())
            })
            .await
            .map_err(on_target)?;
        let digests = std::mem::take(&mut *locked(&digests));
        for (t, found) in digests.finish() {
            let Some(Target { facts, .. }) = self.0.get_mut(&t) else { continue };
            facts.found = found;
            // Retention may have moved a log start while it was read.
            if let Some(start) = stats.truncated.get(&t) {
                facts.log_start = facts.log_start.max(TargetOffset(*start)).min(facts.end);
            }
            facts.read_from = facts.read_from.max(facts.log_start);
        }
        Ok(())
    }

    /// What was seen, for the rules; [`Self::keep`] takes it back.
    pub fn facts(&mut self) -> BTreeMap<TopicPartition, TargetFacts> {
        self.0.iter_mut().map(|(t, target)| (t.clone(), std::mem::take(&mut target.facts))).collect()
    }

    /// Goes on from there.
    pub fn keep(&mut self, facts: Facts) {
        for (t, facts) in facts.targets {
            if let Some(target) = self.0.get_mut(&t) {
                target.facts = facts;
            }
        }
    }

    /// What is in doubt is read again, from its log start; at a glance only where that takes no time. False where
    /// nothing is.
    pub fn read_whole(&mut self, doubts: &Doubts, request: &Request<'_>) -> bool {
        let most = if request.effort == Effort::Glance { GLANCE } else { i64::MAX };
        let mut any = false;
        let behind =
            doubts.behind.iter().filter_map(|q| request.scope.sources.get(q)).flat_map(|q| &q.targets);
        for t in doubts.unread.iter().chain(behind) {
            let Some(target) = self.0.get_mut(t) else { continue };
            let facts = &target.facts;
            if facts.is_partial() && facts.end.0 - facts.log_start.0 <= most {
                target.read_from(target.facts.log_start);
                any = true;
            }
        }
        any
    }
}
