//! A model of source, replicator and target that logs are drawn in, and the loop that answers questions.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    TopicPartition,
    api::v1alpha1::{Features, Toggle, Tracing, TracingHeaders},
    mapping::{
        Assessment, Bounds, Compaction, Doubts, Facts, MappingPolicies, SourceFacts, SourceLog, SourceLogs,
        SourceOffset, TargetFacts, TargetOffset, Verified, assess,
        digest::TargetDigest,
        doubts,
        origin::{Implied, OriginFormat, RawOrigin},
        plan::TargetPlan,
    },
};

/// A record on a target partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// A copy of this offset of source partition `.0`.
    Copy(i32, i64),
    /// Written by somebody else.
    Native,
    /// An origin header that cannot be decoded.
    Undecodable,
}

/// A source partition: what each offset holds.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// Offset to whether it holds a data record. From 0 to the end.
    pub log: Vec<bool>,
    pub log_start: i64,
    /// The same, before the target's end was read.
    pub log_start_before: i64,
    /// An open transaction holds what lies from here on.
    pub open_from: Option<i64>,
    pub committed: i64,
    pub replicator: Option<i64>,
}

/// Source partitions `orders-n`, and target partitions `copy-n`.
#[derive(Clone, Debug, Default)]
pub struct World {
    pub sources: Vec<Source>,
    pub targets: Vec<Vec<Record>>,
    pub target_starts: Vec<i64>,
    /// For each source partition its target partitions.
    pub routes: Vec<Vec<usize>>,
    pub filtering: bool,
    pub policies: MappingPolicies,
    /// An open transaction hides target offsets from here on.
    pub open_from: Option<i64>,
    /// The targets are read from here on only, where that is behind their start.
    pub read_from: i64,
}

pub fn orders(n: usize) -> TopicPartition {
    TopicPartition::new("orders", i32::try_from(n).unwrap())
}

pub fn copy(n: usize) -> TopicPartition {
    TopicPartition::new("copy", i32::try_from(n).unwrap())
}

pub fn format() -> OriginFormat {
    let on = Toggle::Enabled;
    let tracing_headers = TracingHeaders { topic: on, partition: on, offset: on, pipeline: Toggle::Disabled };
    OriginFormat::new(&Features { tracing_headers, ..Features::default() }, &Tracing::default())
}

/// The numbers of its headers as text; none where it has no headers.
pub fn headers(record: Record) -> Option<[String; 2]> {
    match record {
        Record::Copy(q, s) => Some([q.to_string(), s.to_string()]),
        Record::Undecodable => Some(["0".into(), "?".into()]),
        Record::Native => None,
    }
}

pub fn raw(headers: Option<&[String; 2]>) -> RawOrigin<'_> {
    let Some([partition, offset]) = headers else { return RawOrigin::default() };
    RawOrigin {
        topic: Some(b"orders"),
        partition: Some(partition.as_bytes()),
        offset: Some(offset.as_bytes()),
        pipeline: None,
    }
}

impl World {
    /// One source partition of `end` records copied in order to one target partition.
    pub fn plain(end: i64, committed: i64) -> Self {
        let source =
            Source { log: vec![true; usize::try_from(end).unwrap()], committed, ..Source::default() };
        Self {
            sources: vec![source],
            targets: vec![(0..end).map(|s| Record::Copy(0, s)).collect()],
            target_starts: vec![0],
            routes: vec![vec![0]],
            ..Self::default()
        }
    }

    /// The same, with this drawn as the target's log.
    pub fn drawn(end: i64, committed: i64, origins: &[i64]) -> Self {
        let mut world = Self::plain(end, committed);
        world.targets = vec![origins.iter().map(|s| Record::Copy(0, *s)).collect()];
        world
    }

    fn target_facts(&self, n: usize) -> TargetFacts {
        let wanted: BTreeSet<_> = (0..self.sources.len()).map(orders).collect();
        let mut digest = TargetDigest::new(format(), Implied::default(), wanted);
        let high_watermark = i64::try_from(self.targets[n].len()).unwrap();
        let end = self.open_from.unwrap_or(high_watermark);
        let from = self.read_from.max(self.target_starts[n]);
        for (offset, record) in self.targets[n].iter().enumerate() {
            let offset = i64::try_from(offset).unwrap();
            if (from..end).contains(&offset) {
                digest.record(TargetOffset(offset), &raw(headers(*record).as_ref()), None);
            }
        }
        TargetFacts {
            log_start: TargetOffset(self.target_starts[n]),
            end: TargetOffset(end),
            high_watermark: TargetOffset(high_watermark),
            compaction: Compaction::Off,
            read_from: TargetOffset(from),
            verified: if from > self.target_starts[n] { Verified::Backlog } else { Verified::Scan },
            probes: 0,
            found: digest.finish(),
        }
    }

    pub fn facts(&self) -> Facts {
        let source = |(n, source): (usize, &Source)| {
            let end = SourceOffset(i64::try_from(source.log.len()).unwrap());
            let facts = SourceFacts {
                committed: SourceOffset(source.committed),
                metadata: Vec::new(),
                assumed: None,
                replicator_position: source.replicator.map(SourceOffset),
                log_start: SourceOffset(source.log_start),
                log_start_before: SourceOffset(source.log_start_before),
                last_stable: source.open_from.map_or(end, SourceOffset),
                high_watermark: end,
                targets: self.routes[n].iter().map(|t| copy(*t)).collect(),
            };
            (orders(n), facts)
        };
        Facts {
            sources: self.sources.iter().enumerate().map(source).collect(),
            targets: (0..self.targets.len()).map(|n| (copy(n), self.target_facts(n))).collect(),
            filtering: self.filtering,
            policies: self.policies,
        }
    }

    /// The sources' ends.
    pub fn ends(&self) -> Bounds {
        self.facts().sources.into_iter().map(|(q, source)| (q, source.high_watermark)).collect()
    }

    /// Asks and answers until the rules have concluded.
    pub fn assess(&self) -> Assessment {
        self.assess_within(&Bounds::new()).0
    }

    /// The same, with what speaks against it where the targets are read in part.
    pub fn assess_within(&self, bounds: &Bounds) -> (Assessment, Doubts) {
        let facts = self.facts();
        let mut logs: SourceLogs = BTreeMap::new();
        for (n, source) in self.sources.iter().enumerate() {
            logs.insert(orders(n), SourceLog::new(SourceOffset(source.log_start)));
        }
        for _ in 0..20 {
            let assessment = assess(&facts, &logs);
            let questions = match doubts(&facts, &logs, bounds, &assessment) {
                Ok(doubts) => return (assessment, doubts),
                Err(questions) => questions,
            };
            for question in questions {
                let n = usize::try_from(question.partition.partition).unwrap();
                let log = logs.get_mut(&question.partition).unwrap();
                let source = &self.sources[n];
                let mut covered = question.to;
                for offset in question.from.0.max(source.log_start)..question.to.0 {
                    if source.log[usize::try_from(offset).unwrap()] {
                        log.record(SourceOffset(offset), None);
                        if question.first_only {
                            covered = SourceOffset(offset + 1);
                            break;
                        }
                    }
                }
                log.cover(question.from, covered);
            }
        }
        panic!("the rules ask for ever: {self:?}");
    }

    pub fn mapped(&self) -> Vec<TargetPlan> {
        match self.assess() {
            Assessment::Mapped(plans) => plans,
            other => panic!("not mapped: {other:?}"),
        }
    }
}
