//! What can be told of both clusters by one who sees all of them.

use super::clusters::{Clusters, Origin, Written};

impl Clusters {
    /// The logs, a line each: keys on the sources, origins on the targets.
    pub fn draw(&self) -> String {
        let sources = self.sources.iter().map(|log| log.draw(|r| format!("k{}", r.key)));
        let written = |w: &Written| match w.origin {
            None => "native".to_owned(),
            Some((q, s, _)) => format!("{q}:{s}{}", if w.garbled { "?" } else { "" }),
        };
        let targets = self.targets.iter().map(|log| log.draw(written));
        let lines =
            sources.map(|log| format!("source {log}")).chain(targets.map(|log| format!("target {log}")));
        format!(
            "{}\nreplicator at {:?}, committed {:?}",
            lines.collect::<Vec<_>>().join("\n"),
            self.positions,
            self.committed
        )
    }

    /// Whether a transaction on a target hides copies. What the source's cleaner takes then leaves no trace on
    /// either side until that ends.
    pub(super) fn hides(&self, q: usize) -> bool {
        self.routes[q].iter().any(|t| self.targets[*t].last_stable() < self.targets[*t].end())
    }

    /// Whether a source partition lost records that it had.
    pub fn was_cut(&self) -> bool {
        !self.cuts.is_empty()
    }

    /// Whether another record took the place of this one.
    pub fn is_stale(&self, (q, offset, life): Origin) -> bool {
        self.cuts[life..].iter().any(|(cut, to)| *cut == q && *to <= offset)
    }

    /// Nobody can foresee a step back that has left no trace below the ends, unless the replicator's
    /// position is known: such a one is taken back here. Where what it wrote lies behind the ends (a certificate
    /// speaks as of these) false is returned.
    pub fn foreseeable(&mut self, known: bool) -> bool {
        (0..self.sources.len()).all(|q| self.foreseeable_of(q, known))
    }

    fn foreseeable_of(&mut self, q: usize, known: bool) -> bool {
        let (copies, hidden) = self.copies(q);
        let seen: Vec<usize> = copies.iter().filter(|w| !w.garbled).filter_map(Written::offset).collect();
        let stepped_back = |w: &Written| {
            let of = w.offset();
            let before = copies.iter().chain(&hidden).filter(|o| o.turn < w.turn);
            before.max_by_key(|o| o.offset()).is_some_and(|o| o.offset() > of)
                || copies.iter().any(|o| o.offset() == of)
        };
        if hidden.iter().any(stepped_back) {
            return false;
        }
        let traced = seen.last().is_some_and(|last| {
            last + 1 == self.positions[q] && seen.iter().filter(|offset| *offset == last).count() > 1
        });
        if known {
            return true;
        }
        let next = |of: &[Written]| of.iter().filter_map(Written::offset).max().map_or(0, |max| max + 1);
        if !traced {
            self.positions[q] = self.positions[q].max(next(&copies)).max(next(&hidden));
        }
        // An abort goes back too.
        let begun_at_least = if traced { self.positions[q] } else { next(&copies) };
        if let Some(begun) = &mut self.begun {
            begun[q] = begun[q].max(begun_at_least);
        }
        true
    }

    /// The copies of a source partition in the order that they were written in: below the ends, and behind.
    fn copies(&self, q: usize) -> (Vec<Written>, Vec<Written>) {
        let targets = self.routes[q].iter().map(|t| &self.targets[*t]);
        let all = targets.flat_map(|log| log.any(0, log.end()).map(|(at, w)| (at < log.last_stable(), w)));
        let mut all: Vec<_> = all.filter(|(_, w)| w.origin.is_some_and(|(p, ..)| p == q)).collect();
        all.sort_unstable_by_key(|(_, w)| w.turn);
        let (seen, hidden): (Vec<_>, Vec<_>) = all.into_iter().partition(|(seen, _)| *seen);
        let records = |of: Vec<(bool, Written)>| of.into_iter().map(|(_, w)| w).collect();
        (records(seen), records(hidden))
    }
}

impl Written {
    fn offset(&self) -> Option<usize> {
        self.origin.map(|(_, offset, _)| offset)
    }
}
