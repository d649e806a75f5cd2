//! The operator's reads, one by one.

use std::collections::BTreeSet;

use super::{
    clusters::Written,
    operator::Look,
    reader::{Reader, at, key_digest, source, target},
};
use crate::{
    TopicPartition,
    mapping::{
        Bounds, Compaction, Facts, SourceFacts, TargetFacts,
        digest::{Found, TargetDigest},
        origin::Implied,
        tests::world::{Record, copy, format, headers, orders, raw},
    },
};

impl Reader<'_> {
    /// The same group, the same targets, nothing read yet.
    pub(super) fn start(&mut self) {
        let Look { clusters, committed, .. } = &self.look;
        let group = |(q, c): (usize, &usize)| {
            let targets = clusters.routes[q].iter().map(|t| copy(*t)).collect();
            (orders(q), SourceFacts { committed: source(*c), targets, ..SourceFacts::default() })
        };
        let compaction = if clusters.compacted { Compaction::On } else { Compaction::Off };
        let unread = |t: usize| (copy(t), TargetFacts { compaction, ..TargetFacts::default() });
        self.look.facts = Facts {
            sources: committed.iter().enumerate().map(group).collect(),
            targets: (0..clusters.targets.len()).map(unread).collect(),
            filtering: self.history.habits.declared,
            policies: self.history.policies,
        };
        self.look.bounds = Bounds::new();
        for t in 0..self.look.targets.len() {
            let start = self.look.clusters.targets[t].start;
            self.facts(t).log_start = target(start);
            self.read_from(t, start);
        }
    }

    pub(super) fn read_from(&mut self, t: usize, offset: usize) {
        self.look.next[t] = offset;
        self.look.targets[t].clear();
        let facts = self.facts(t);
        facts.read_from = target(offset);
        facts.found = Found::default();
    }

    pub(super) fn committed(&mut self) {
        self.pause();
        for (q, log) in self.look.clusters.sources.iter().enumerate() {
            self.look.committed[q] = log.last_stable().saturating_sub(self.history.lag[q]);
            if let Some(facts) = self.look.facts.sources.get_mut(&orders(q)) {
                facts.committed = source(self.look.committed[q]);
            }
        }
    }

    pub(super) fn replicator(&mut self) {
        self.pause();
        for (q, facts) in self.look.facts.sources.values_mut().enumerate() {
            let committed = self.look.clusters.committed[q];
            facts.replicator_position = self.history.habits.known.then(|| source(committed));
        }
    }

    /// Whatever the search finds must do: here the parts begin anywhere.
    pub(super) fn parts(&mut self) {
        let Some((crossing, at)) = self.history.part.filter(|_| self.history.may_search()) else { return };
        for t in 0..self.look.next.len() {
            let start = self.look.clusters.targets[t].start;
            let end = self.look.clusters.targets[t].last_stable();
            let crossings = self.crossings(t);
            let any = start + at.index(end - start + 1);
            let from = if crossing && !crossings.is_empty() { *at.get(&crossings) } else { any };
            self.read_from(t, from);
        }
        for q in 0..self.look.committed.len() {
            self.pause();
            self.look.bounds.insert(orders(q), source(self.look.clusters.sources[q].end()));
        }
    }

    pub(super) fn starts(&mut self) {
        self.pause();
        for (facts, log) in self.look.facts.sources.values_mut().zip(&self.look.clusters.sources) {
            facts.log_start_before = source(log.start);
        }
    }

    /// Where a record that the group has read is followed by one that it has not.
    pub(super) fn crossings(&self, t: usize) -> Vec<usize> {
        let log = &self.look.clusters.targets[t];
        let all: Vec<_> = log.committed(log.start, log.end()).collect();
        let is_read = |w: &Written| w.origin.is_some_and(|(q, s, _)| s < self.look.committed[q]);
        let crossing = all.windows(2).filter(|pair| is_read(&pair[0].1) && !is_read(&pair[1].1));
        crossing.map(|pair| pair[0].0).collect()
    }

    /// All in one moment: a replay that is spread over two targets and ends between two such reads leaves no
    /// trace of itself.
    pub(super) fn ends(&mut self) {
        self.pause();
        self.unforeseeable |= !self.look.clusters.foreseeable(self.history.habits.known);
        for t in 0..self.look.next.len() {
            let log = &self.look.clusters.targets[t];
            let end = (self.operator.end)(log);
            self.look.hidden[t] = log.last_stable() < log.end();
            self.facts(t).end = target(end);
        }
        self.each(|reader, t| {
            let start = reader.look.clusters.targets[t].start;
            reader.facts(t).log_start = target(start);
        });
    }

    /// See `controller::app_migration::facts::targets`: reads on, in two halves.
    pub(super) fn log(&mut self, t: usize) {
        let TargetFacts { log_start, read_from, end, .. } = *self.facts(t);
        if log_start > read_from {
            self.read_from(t, at(log_start.0));
        }
        let from = self.look.next[t].max(at(log_start.0));
        let end =
            if self.operator.to_the_end { at(end.0) } else { self.look.clusters.targets[t].last_stable() };
        let to = end.max(self.look.next[t]);
        let wanted: BTreeSet<TopicPartition> = (0..self.look.committed.len()).map(orders).collect();
        let found = std::mem::take(&mut self.facts(t).found);
        let mut digest = TargetDigest::resume(format(), Implied::default(), wanted, found);
        let half = usize::midpoint(from, to);
        self.digest(&mut digest, t, from, half);
        self.pause();
        self.digest(&mut digest, t, half, to);
        self.look.next[t] = to;
        let start = target(self.look.clusters.targets[t].start);
        let to_the_end = self.operator.to_the_end;
        let known_from = at(self.facts(t).read_from.min(start).0);
        self.look.targets[t].retain(|offset, _| *offset >= known_from);
        let facts = self.facts(t);
        facts.found = digest.finish();
        if to_the_end {
            facts.end = target(to);
        }
        // Retention may have moved the log start while it was read.
        if start.0 > i64::try_from(from).unwrap() {
            facts.log_start = facts.log_start.max(start).min(facts.end);
        }
        facts.read_from = facts.read_from.max(facts.log_start);
    }

    pub(super) fn digest(&mut self, digest: &mut TargetDigest, t: usize, from: usize, to: usize) {
        for (offset, written) in self.look.clusters.targets[t].any(from, to) {
            let record = match written.origin {
                _ if written.garbled => Record::Undecodable,
                Some((q, s, _)) => Record::Copy(i32::try_from(q).unwrap(), i64::try_from(s).unwrap()),
                None => Record::Native,
            };
            let key = self.look.clusters.compacted.then(|| key_digest(written.key));
            digest.record(target(offset), &raw(headers(record).as_ref()), key);
        }
        self.look.targets[t].extend(self.look.clusters.targets[t].any(0, to));
    }

    pub(super) fn source(&mut self) {
        self.pause();
        let facts = self.look.facts.sources.values_mut();
        for (facts, log) in facts.zip(&self.look.clusters.sources) {
            facts.log_start = source(log.start);
            facts.last_stable = source(log.last_stable());
            facts.high_watermark = source(log.end());
        }
        self.look.sources.clone_from(&self.look.clusters.sources);
    }
}
