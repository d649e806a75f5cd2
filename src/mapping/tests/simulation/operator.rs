//! How the operator goes about it, and what it has seen.

use std::collections::BTreeMap;

use super::{
    clusters::{Clusters, Produced, Written},
    log::Log,
};
use crate::mapping::{Assessment, Bounds, Doubts, Facts, Question, SourceLogs, doubts, plan::TargetPlan};

/// One of the reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// The group's committed offsets: it stands still from here on.
    Committed,
    /// The replicator's position.
    Replicator,
    /// From where on the targets are to be read, and then the bounds of what can lie before that.
    Parts,
    /// The targets' high watermarks.
    Marks,
    /// The targets' ends, then their log starts.
    Ends,
    /// The targets' logs.
    Logs,
    /// The source's log starts.
    Starts,
    /// The source's log starts and ends.
    Source,
}

/// Whether a part of the logs was enough.
type Doubting = fn(&Facts, &SourceLogs, &Bounds, &Assessment) -> Result<Doubts, Vec<Question>>;

/// How the operator goes about it; wrong in one way or another where it is a mutant.
#[derive(Clone, Copy)]
pub struct Operator {
    pub name: &'static str,
    /// Read once, and then as often as there are doubts.
    pub first: &'static [Read],
    pub then: &'static [Read],
    /// A target's end.
    pub end: fn(&Log<Written>) -> usize,
    /// The logs are read up to that end, or to whatever it is by then.
    pub to_the_end: bool,
    pub doubts: Doubting,
    /// Makes something else of the right plan.
    pub plan: fn(&Look, &mut TargetPlan),
}

/// As it should be.
pub const RIGHT: Operator = Operator {
    name: "the rules",
    first: &[Read::Committed, Read::Replicator, Read::Parts],
    then: &[Read::Starts, Read::Marks, Read::Ends, Read::Logs, Read::Source],
    end: Log::last_stable,
    to_the_end: true,
    doubts,
    plan: |_, _| (),
};

/// What was looked at.
#[derive(Debug, Default)]
pub struct Look {
    /// As they are in the end.
    pub clusters: Clusters,
    pub committed: Vec<usize>,
    pub facts: Facts,
    pub bounds: Bounds,
    /// What was on the targets below their ends when they were read, whether it was looked at or not.
    pub targets: Vec<BTreeMap<usize, Written>>,
    /// Whether an open transaction hid something.
    pub hidden: Vec<bool>,
    /// The sources when they were read.
    pub sources: Vec<Log<Produced>>,
    /// What was read so far ends here.
    pub next: Vec<usize>,
}

impl Look {
    /// Whether the last copy of a spread source partition lies below the greatest and repeats nothing that is
    /// still there: retention or the cleaner may have taken what it repeated on another target.
    pub fn lost_the_trace(&self) -> bool {
        let spread = self.targets.len() > 1;
        let taken = self.clusters.compacted || self.clusters.targets.iter().any(|log| log.start > 0);
        spread && taken && (0..self.committed.len()).any(|q| self.steps_back(q))
    }

    fn steps_back(&self, q: usize) -> bool {
        let written = self.targets.iter().flat_map(BTreeMap::values).filter(|w| !w.garbled);
        let copies = written.filter_map(|w| w.origin.filter(|(p, ..)| *p == q).map(|(_, s, _)| (w.turn, s)));
        let Some((_, last)) = copies.clone().max() else { return false };
        copies.clone().any(|(_, s)| s > last) && copies.filter(|(_, s)| *s == last).count() == 1
    }
}
