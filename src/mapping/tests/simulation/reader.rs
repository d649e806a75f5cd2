//! The operator at work, while both clusters go on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{
    clusters::{Clusters, Step},
    history::History,
    operator::{Look, Operator, RIGHT, Read},
};
use crate::{
    TopicPartition,
    mapping::{
        Assessment, Doubts, Question, SourceFacts, SourceLog, SourceLogs, SourceOffset, TargetFacts,
        TargetOffset, assess, digest::KeyDigest, tests::world::copy,
    },
};

/// How often all is looked at anew while retention keeps taking records.
const MAX_TRIES: usize = 5;
/// How often what the replicator has not brought yet is waited for.
const WAITS: usize = 2;

/// The operator at its reads.
pub struct Reader<'a> {
    pub(super) history: &'a History,
    pub(super) operator: &'a Operator,
    meanwhile: VecDeque<&'a [Step]>,
    pub(super) look: Look,
    pub(super) unforeseeable: bool,
}

impl<'a> Reader<'a> {
    /// What the operator comes to. None where the history has something that nobody can foresee, or where
    /// retention never lets it finish.
    pub fn answer(history: &'a History, operator: &'a Operator) -> Option<(Assessment, Look)> {
        let mut reader = Self::new(history, operator, history.clusters());
        if reader.group_stands_first() {
            reader.committed();
        }
        for step in &history.waiting {
            reader.look.clusters.apply(step);
        }
        for _ in 0..MAX_TRIES {
            let assessment = reader.look();
            if reader.unforeseeable || (!history.habits.known && reader.look.lost_the_trace()) {
                return None;
            }
            if let Some(assessment) = assessment.filter(|a| reader.is_current(a)) {
                return Some((assessment, reader.look));
            }
        }
        None
    }

    /// What the rules come to where nothing happens any more.
    pub fn at_rest(history: &'a History, clusters: Clusters, committed: Vec<usize>) -> (Assessment, Look) {
        let mut reader = Self::new(history, &RIGHT, clusters);
        reader.look.committed = committed;
        reader.meanwhile.clear();
        (reader.look().unwrap(), reader.look)
    }

    fn new(history: &'a History, operator: &'a Operator, clusters: Clusters) -> Self {
        let (sources, targets) = (clusters.sources.len(), clusters.targets.len());
        let look = Look {
            clusters,
            committed: vec![0; sources],
            targets: vec![BTreeMap::new(); targets],
            hidden: vec![false; targets],
            next: vec![0; targets],
            ..Look::default()
        };
        let meanwhile = history.meanwhile.iter().map(Vec::as_slice).collect();
        Self { history, operator, meanwhile, look, unforeseeable: false }
    }

    fn group_stands_first(&self) -> bool {
        self.operator.first.first() == Some(&Read::Committed)
    }

    /// See `controller::app_migration::facts::look`.
    fn look(&mut self) -> Option<Assessment> {
        self.start();
        for read in self.operator.first {
            self.read(*read);
        }
        let mut waits = 0;
        loop {
            for read in self.operator.then {
                self.read(*read);
            }
            let (mut assessment, doubts) = self.conclude()?;
            if doubts.unread.is_empty() && !doubts.behind.is_empty() && waits < WAITS {
                waits += 1;
            } else if !self.read_whole(&doubts) {
                self.spoil(&mut assessment);
                return Some(assessment);
            }
        }
    }

    fn spoil(&self, assessment: &mut Assessment) {
        if let Assessment::Mapped(plans) = assessment {
            for plan in plans {
                (self.operator.plan)(&self.look, plan);
            }
        }
    }

    /// Rule 29: just before the commit the position must lie within the log.
    fn is_current(&self, assessment: &Assessment) -> bool {
        let Assessment::Mapped(plans) = assessment else { return true };
        plans.iter().zip(&self.look.clusters.targets).all(|(plan, log)| plan.position >= target(log.start))
    }

    /// The world goes on.
    pub(super) fn pause(&mut self) {
        for step in self.meanwhile.pop_front().unwrap_or_default() {
            if self.history.may_happen_while_looked_at(step) {
                self.look.clusters.apply(step);
            }
        }
    }

    fn read(&mut self, read: Read) {
        match read {
            Read::Committed if self.group_stands_first() => {}
            Read::Committed => self.committed(),
            Read::Replicator => self.replicator(),
            Read::Parts => self.parts(),
            Read::Marks => self.each(|reader, t| {
                let end = reader.look.clusters.targets[t].end();
                reader.facts(t).high_watermark = target(end);
            }),
            Read::Ends => self.ends(),
            Read::Logs => self.each(Self::log),
            Read::Starts => self.starts(),
            Read::Source => self.source(),
        }
    }

    pub(super) fn each(&mut self, read: impl Fn(&mut Self, usize)) {
        for t in 0..self.look.clusters.targets.len() {
            self.pause();
            read(self, t);
        }
    }

    pub(super) fn facts(&mut self, t: usize) -> &mut TargetFacts {
        self.look.facts.targets.get_mut(&copy(t)).unwrap()
    }

    /// See `controller::app_migration::facts::conclude`. None where retention took what was asked for.
    fn conclude(&mut self) -> Option<(Assessment, Doubts)> {
        let start =
            |(q, facts): (&TopicPartition, &SourceFacts)| (q.clone(), SourceLog::new(facts.log_start));
        let mut logs: SourceLogs = self.look.facts.sources.iter().map(start).collect();
        for _ in 0..40 {
            let Look { facts, bounds, .. } = &self.look;
            let assessment = assess(facts, &logs);
            match (self.operator.doubts)(facts, &logs, bounds, &assessment) {
                Ok(doubts) => return Some((assessment, doubts)),
                Err(questions) => {
                    for question in questions {
                        self.pause();
                        self.ask(&question, &mut logs)?;
                    }
                }
            }
        }
        panic!("the rules ask for ever: {:?}", self.look)
    }

    fn ask(&self, question: &Question, logs: &mut SourceLogs) -> Option<()> {
        let log = &self.look.clusters.sources[usize::try_from(question.partition.partition).unwrap()];
        let known = logs.get_mut(&question.partition).unwrap();
        let Some(from) = known.first_unknown(question.from, question.to) else { return Some(()) };
        if at(from.0) < log.start {
            return None;
        }
        let mut to = question.to;
        for (offset, record) in log.committed(at(from.0), at(to.0)) {
            known.record(source(offset), question.keys.then(|| key_digest(record.key)));
            if question.first_only {
                to = source(offset + 1);
                break;
            }
        }
        known.cover(from, to);
        Some(())
    }

    /// What is in doubt is read again, from its log start. False where nothing is.
    fn read_whole(&mut self, doubts: &Doubts) -> bool {
        let sources = &self.look.facts.sources;
        let behind = doubts.behind.iter().flat_map(|q| &sources[q].targets);
        let doubted: BTreeSet<TopicPartition> = doubts.unread.iter().chain(behind).cloned().collect();
        let mut any = false;
        for t in 0..self.look.next.len() {
            let facts = &self.look.facts.targets[&copy(t)];
            if doubted.contains(&copy(t)) && facts.is_partial() {
                let start = at(facts.log_start.0);
                self.read_from(t, start);
                any = true;
            }
        }
        any
    }
}

pub fn source(offset: usize) -> SourceOffset {
    SourceOffset(i64::try_from(offset).unwrap())
}

pub fn target(offset: usize) -> TargetOffset {
    TargetOffset(i64::try_from(offset).unwrap())
}

pub fn at(offset: i64) -> usize {
    usize::try_from(offset).unwrap()
}

pub fn key_digest(key: u8) -> KeyDigest {
    let mut digest = KeyDigest::default();
    digest[0] = key;
    digest
}
