//! The target partitions, read as far as is needed: from where a search says, or whole.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::ControlFlow,
    sync::{Arc, Mutex},
};

use crate::{
    TopicPartition,
    api::v1alpha1::Verification,
    kafka::{Cluster, ScanRange},
    mapping::{
        Compaction, Doubts, Facts, SourceOffset, TargetFacts, TargetOffset, Verified,
        digest::{self, Digests, TargetDigest},
    },
    runtime::metrics::{Reading, metrics},
    search::{self, Found, Guess, Wanted, raw_origin},
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

/// Offsets that `policies.verification: Window` reads on both sides of a position, and before the end.
const WINDOW: i64 = 10_000;

#[derive(Default)]
struct Target {
    facts: TargetFacts,
    /// What was read so far ends here.
    next: TargetOffset,
    /// Not to be read: where this begins and ends.
    unread: Option<(TargetOffset, TargetOffset)>,
}

impl Target {
    fn read_from(&mut self, offset: TargetOffset) {
        self.facts.read_from = offset;
        self.facts.found = digest::Found::default();
        self.next = offset;
        self.unread = None;
    }

    /// What follows from a guess.
    fn guessed(&mut self, guess: &Guess, verification: Verification) {
        let TargetFacts { log_start, end, .. } = self.facts;
        self.facts.probes = guess.probes;
        match (verification, guess.last_below(), guess.extent()) {
            (Verification::Window, _, Some((first, last))) => {
                self.facts.verified = Verified::Window;
                self.read_from(log_start.max(TargetOffset(first.0 - WINDOW)));
                let (from, to) = (TargetOffset(last.0 + WINDOW), TargetOffset(end.0 - WINDOW));
                self.unread = (from < to).then_some((from, to));
            }
            (Verification::Backlog, Some(below), _) => {
                self.facts.verified = Verified::Backlog;
                let context = if guess.position().is_none() { CONTEXT } else { 0 };
                self.read_from(log_start.max(TargetOffset(below.0 - context)));
            }
            _ => {}
        }
    }

    /// A stretch to be read next, up to the end or to what is not to be read; and whether that is left out
    /// before the next one.
    fn stretch(&mut self) -> (TargetOffset, TargetOffset, bool) {
        let from = self.next.max(self.facts.log_start);
        if let Some((to, resume)) = self.unread.take_if(|(_, resume)| *resume > from) {
            self.next = resume;
            return (from, to.max(from), true);
        }
        self.next = self.facts.end.max(self.next);
        (from, self.next, false)
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
        if request.policies.verification == Verification::Window {
            // A log that fits into the windows.
            for (_, target) in self.0.iter_mut().filter(|(t, _)| !wanted.contains_key(*t)) {
                target.facts.verified = Verified::Window;
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let (names, format) = (header_names(request.format), request.format.clone());
        let searched = target.probe(names, STALL, move |prober| search::search(prober, &format, &wanted));
        match searched.await {
            Ok(found) => self.found(&found, request),
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
            let committed = by_target.get(t).cloned().unwrap_or_default();
            let landmarks = locked(&request.landmarks);
            let hint =
                |(q, c): (&TopicPartition, &SourceOffset)| Some((q.clone(), landmarks.hint(t, q, *c)?));
            let hints = committed.iter().filter_map(hint).collect();
            let wanted = Wanted {
                start: target.facts.log_start,
                end: target.facts.end,
                implied: request.scope.targets.get(t).cloned().unwrap_or_default(),
                committed,
                hints,
            };
            (t.clone(), wanted)
        };
        let large =
            |(_, target): &(&TopicPartition, &Target)| target.facts.end.0 - target.facts.log_start.0 > SMALL;
        self.0.iter().filter(large).map(wanted).collect()
    }

    fn found(&mut self, found: &Found, request: &Request<'_>) {
        tracing::debug!(rounds = found.rounds, unfit = ?found.unfit, "searched");
        metrics().search_rounds.inc_by(found.rounds.into());
        let records = found.guesses.values().map(|guess| guess.records).sum();
        metrics().read.get_or_create(&Reading { by: "search" }).inc_by(records);
        for (t, guess) in &found.guesses {
            if let Some(target) = self.0.get_mut(t) {
                target.guessed(guess, request.policies.verification);
            }
            for (q, copies) in &guess.landmarks {
                locked(&request.landmarks).note(t, q, copies.iter().copied());
            }
        }
    }

    /// Reads on, up to the ends of now: one moment for all.
    pub async fn read(&mut self, target: &Cluster, request: &Request<'_>) -> Result<(), Fault> {
        self.look_at_bounds(target).await?;
        let mut reaching: HashMap<&TopicPartition, BTreeSet<TopicPartition>> = HashMap::new();
        for (q, chosen) in &request.scope.sources {
            for t in &chosen.targets {
                reaching.entry(t).or_default().insert(q.clone());
            }
        }
        let mut digests = HashMap::new();
        for (t, target) in &mut self.0 {
            let wanted = reaching.remove(t).unwrap_or_default();
            let implied = request.scope.targets.get(t).cloned().unwrap_or_default();
            // What retention has taken is not there to be read by the group either.
            if target.facts.log_start > target.facts.read_from {
                target.read_from(target.facts.log_start);
            }
            let found = std::mem::take(&mut target.facts.found);
            digests.insert(t.clone(), TargetDigest::resume(request.format.clone(), implied, wanted, found));
        }
        let digests = Arc::new(Mutex::new(Digests::new(digests)));
        let mut open: Vec<TopicPartition> = self.0.keys().cloned().collect();
        while !open.is_empty() {
            open = self.read_stretches(target, request, &digests, open).await?;
        }
        let digests = std::mem::take(&mut *locked(&digests));
        for (t, found) in digests.finish() {
            let Some(Target { facts, .. }) = self.0.get_mut(&t) else { continue };
            facts.found = found;
            facts.read_from = facts.read_from.max(facts.log_start);
            if facts.verified == Verified::Backlog && !facts.is_partial() {
                facts.verified = Verified::Scan;
            }
        }
        Ok(())
    }

    /// Reads the next stretch of each. Which have another one.
    async fn read_stretches(
        &mut self,
        target: &Cluster,
        request: &Request<'_>,
        digests: &Arc<Mutex<Digests>>,
        open: Vec<TopicPartition>,
    ) -> Result<Vec<TopicPartition>, Fault> {
        let (mut ranges, mut leaps, mut compacted) = (Vec::new(), Vec::new(), BTreeSet::new());
        for t in open {
            let Some(target) = self.0.get_mut(&t) else { continue };
            let (from, to, leap) = target.stretch();
            if target.facts.is_compacted() {
                compacted.insert(t.clone());
            }
            if leap {
                leaps.push((t.clone(), to));
            } else {
                target.facts.end = to;
            }
            ranges.push(ScanRange { partition: t, from: from.0, to: to.0 });
        }
        let mut ends: HashMap<TopicPartition, i64> = ranges
            .iter()
            .filter(|range| range.from < range.to)
            .map(|range| (range.partition.clone(), range.to))
            .collect();
        request.progress.begin(ends.len());
        let (feed, progress) = (Arc::clone(digests), Arc::clone(&request.progress));
        let stats = target
            .scan(ranges, header_names(request.format), STALL, move |t, record| {
                let key = if compacted.contains(t) { record.key.map(key_digest) } else { None };
                locked(&feed).record(t, TargetOffset(record.offset), &raw_origin(record.origin()), key);
                // A transaction's marker may be the last.
                let is_last = ends.get(t).is_some_and(|end| record.offset + 2 >= *end);
                progress.record(is_last && ends.remove(t).is_some());
                ControlFlow::Continue(())
            })
            .await
            .map_err(on_target)?;
        // Retention may have moved a log start while it was read.
        for (t, start) in stats.truncated {
            if let Some(Target { facts, .. }) = self.0.get_mut(&t) {
                facts.log_start = facts.log_start.max(TargetOffset(start)).min(facts.end);
            }
        }
        for (t, at) in &leaps {
            // Where it has, what was to be left unread may be all that there is.
            match self.0.get_mut(t).filter(|target| target.facts.log_start > target.facts.read_from) {
                Some(target) => target.next = *at,
                None => locked(digests).leap(t, *at),
            }
        }
        Ok(leaps.into_iter().map(|(t, _)| t).collect())
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
                target.facts.verified = Verified::Scan;
                any = true;
            }
        }
        any
    }
}
