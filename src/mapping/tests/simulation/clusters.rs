//! Source, replicator and target, and what happens to them step by step.

use super::{history::Habits, log::Log};

/// A record of the source.
#[derive(Clone, Copy, Debug)]
pub struct Produced {
    pub key: u8,
    /// Not in order, and often the same.
    pub time: i64,
    /// Which life of the topic: another one after it was truncated or recreated.
    pub life: usize,
}

/// A source record: its partition, offset and life.
pub type Origin = (usize, usize, usize);

/// A record of the target.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    /// What it is a copy of; none for a native record.
    pub origin: Option<Origin>,
    /// Its header cannot be decoded.
    pub garbled: bool,
    pub key: u8,
    pub time: i64,
    /// The how-manieth record that the target cluster got.
    pub turn: usize,
}

/// What happens. Numbers are taken modulo what there is.
#[derive(Clone, Debug)]
pub enum Step {
    /// Records with these keys, in a transaction or not.
    Produce(usize, Vec<u8>, bool),
    /// The producer's transaction commits or aborts.
    EndProduce(usize, bool),
    /// The replicator copies so many records, in order.
    Copy(usize, usize),
    /// The same, in reverse: it reorders within a window.
    Shuffle(usize, usize),
    /// It copies a record with a header that cannot be decoded.
    Garble(usize),
    /// It loses sight of so many records (a fault, an undeclared filter, a late start).
    Skip(usize, usize),
    /// It begins a transaction on the target; commits or aborts it.
    Begin,
    End(bool),
    /// It commits its position on the source.
    Commit(usize),
    /// It restarts from its committed position.
    Crash(usize),
    /// A person puts it back by so many offsets.
    Rewind(usize, usize),
    /// A fenced instance writes a range again.
    Zombie(usize, usize, usize),
    /// Somebody else writes to the target, in a transaction or not.
    Native(usize, bool),
    EndNative(usize, bool),
    ExpireSource(usize, usize),
    ExpireTarget(usize, usize),
    CompactSource(usize, usize),
    CompactTarget(usize, usize),
    /// The source loses everything from an offset on; at 0 it is recreated.
    Truncate(usize, usize),
    RecreateTarget(usize),
}

/// Both clusters and the replicator between them.
#[derive(Clone, Debug, Default)]
pub struct Clusters {
    pub sources: Vec<Log<Produced>>,
    pub targets: Vec<Log<Written>>,
    /// For each source partition the targets that it is copied to.
    pub routes: Vec<Vec<usize>>,
    /// Target topics are compacted.
    pub compacted: bool,
    /// A key whose records the replicator drops on purpose.
    pub dropped: Option<u8>,
    /// The replicator does not wait for the end of transactions on the source.
    pub uncommitted: bool,
    /// The target partition follows from the key, not from when it is written.
    pub by_key: bool,
    /// What the replicator copies next, and what it has committed of that.
    pub positions: Vec<usize>,
    pub committed: Vec<usize>,
    /// Where it stood when its open transaction began.
    pub(super) begun: Option<Vec<usize>>,
    clock: usize,
    turns: usize,
    /// Each time that a source partition lost everything from an offset on. Their number is the current life.
    pub(super) cuts: Vec<(usize, usize)>,
}

impl Clusters {
    pub fn new(sources: usize, targets: usize, habits: &Habits) -> Self {
        Self {
            compacted: habits.compacted,
            dropped: habits.drops.then_some(0),
            uncommitted: habits.uncommitted,
            by_key: habits.by_key,
            sources: vec![Log::default(); sources],
            targets: vec![Log::default(); targets],
            routes: vec![(0..targets).collect(); sources],
            positions: vec![0; sources],
            committed: vec![0; sources],
            ..Self::default()
        }
    }

    pub fn apply(&mut self, step: &Step) {
        self.clock += 1;
        let (sources, targets) = (self.sources.len(), self.targets.len());
        match step {
            Step::Produce(q, keys, in_transaction) => self.produce(q % sources, keys, *in_transaction),
            Step::EndProduce(q, commit) => self.sources[q % sources].end_transaction(|_| true, *commit),
            Step::Copy(q, n) => self.copy(q % sources, *n, false, false),
            Step::Shuffle(q, n) => self.copy(q % sources, *n, true, false),
            Step::Garble(q) => self.copy(q % sources, 1, false, true),
            Step::Skip(q, n) => self.move_to(q % sources, self.positions[q % sources] + n),
            Step::Begin => self.begun = self.begun.take().or_else(|| Some(self.positions.clone())),
            Step::End(commit) => self.end(*commit),
            Step::Commit(q) => self.commit(q % sources),
            Step::Crash(q) => self.restart(q % sources),
            Step::Rewind(q, n) => self.rewind(q % sources, *n),
            Step::Zombie(q, from, n) => self.zombie(q % sources, *from, *n),
            Step::Native(t, in_transaction) => {
                self.write(t % targets, Written { turn: 0, ..NATIVE }, *in_transaction);
            }
            Step::EndNative(t, commit) => {
                self.targets[t % targets].end_transaction(|w| w.origin.is_none(), *commit);
            }
            Step::ExpireSource(q, n) => self.sources[q % sources].expire(*n),
            Step::ExpireTarget(t, n) => self.targets[t % targets].expire(*n),
            Step::CompactSource(q, to) if !self.hides(q % sources) => {
                self.sources[q % sources].compact(*to, |r| Some(r.key));
            }
            Step::CompactTarget(t, to) if self.compacted => {
                self.targets[t % targets].compact(*to, |w| w.origin.map(|_| w.key));
            }
            Step::CompactSource(..) | Step::CompactTarget(..) => {}
            Step::Truncate(q, to) => self.truncate(q % sources, *to),
            Step::RecreateTarget(t) => {
                self.end(false);
                self.targets[t % targets] = Log::default();
            }
        }
    }

    fn produce(&mut self, q: usize, keys: &[u8], in_transaction: bool) {
        let clock = i64::try_from(self.clock).unwrap();
        for key in keys {
            let record = Produced { key: *key, time: clock - i64::from(key % 3), life: self.cuts.len() };
            self.sources[q].write(record, in_transaction);
        }
    }

    fn readable(&self, q: usize) -> usize {
        if self.uncommitted { self.sources[q].end() } else { self.sources[q].last_stable() }
    }

    fn move_to(&mut self, q: usize, position: usize) {
        self.positions[q] = position.min(self.readable(q));
    }

    fn copy(&mut self, q: usize, records: usize, reversed: bool, garbled: bool) {
        let to = self.readable(q);
        let mut batch: Vec<(usize, Produced)> =
            self.sources[q].any(self.positions[q], to).take(records).collect();
        match batch.last() {
            Some((last, _)) if batch.len() == records => self.positions[q] = last + 1,
            _ => self.positions[q] = self.positions[q].max(to),
        }
        if reversed {
            batch.reverse();
        }
        for (offset, record) in batch {
            self.copy_one(q, offset, record, garbled, self.begun.is_some());
        }
    }

    fn copy_one(&mut self, q: usize, offset: usize, record: Produced, garbled: bool, in_transaction: bool) {
        let Produced { key, time, life } = record;
        if self.dropped == Some(key) {
            return;
        }
        let routes = &self.routes[q];
        let t = routes[if self.by_key { usize::from(key) } else { self.clock } % routes.len()];
        let written = Written { origin: Some((q, offset, life)), garbled, key, time, turn: 0 };
        self.write(t, written, in_transaction);
    }

    fn write(&mut self, t: usize, record: Written, in_transaction: bool) {
        self.turns += 1;
        self.targets[t].write(Written { turn: self.turns, ..record }, in_transaction);
    }

    /// The replicator's transaction ends; after an abort it goes back.
    fn end(&mut self, commit: bool) {
        let Some(begun) = self.begun.take() else { return };
        for target in &mut self.targets {
            target.end_transaction(|w| w.origin.is_some(), commit);
        }
        if !commit {
            self.positions = begun;
        }
    }

    fn restart(&mut self, q: usize) {
        self.end(false);
        self.positions[q] = self.committed[q];
    }

    fn rewind(&mut self, q: usize, n: usize) {
        self.end(false);
        self.move_to(q, self.positions[q].saturating_sub(n));
        self.commit(q);
    }

    /// Not while a transaction is open: what it holds may be lost.
    fn commit(&mut self, q: usize) {
        if self.begun.is_none() {
            self.committed[q] = self.positions[q];
        }
    }

    fn zombie(&mut self, q: usize, from: usize, n: usize) {
        let again: Vec<_> = self.sources[q].committed(from, (from + n).min(self.positions[q])).collect();
        for (offset, record) in again {
            self.copy_one(q, offset, record, false, false);
        }
    }

    /// The replicator starts anew where its position is gone, and commits that.
    fn truncate(&mut self, q: usize, to: usize) {
        self.end(false);
        self.sources[q].end_transaction(|_| true, false);
        self.sources[q].cut(to);
        self.cuts.push((q, to));
        self.positions[q] = self.positions[q].min(to);
        self.committed[q] = self.committed[q].min(to);
    }

    /// Nobody produces any more, all transactions end, the replicator copies the rest and commits that.
    pub fn rest(&mut self, commit: bool) {
        for target in &mut self.targets {
            target.end_transaction(|w| w.origin.is_none(), commit);
        }
        self.end(commit);
        for q in 0..self.sources.len() {
            self.sources[q].end_transaction(|_| true, commit);
            self.copy(q, usize::MAX, false, false);
            self.commit(q);
        }
    }
}

const NATIVE: Written = Written { origin: None, garbled: false, key: 0, time: 0, turn: 0 };
