//! Copies that earlier searches came across. Many groups read the same partitions: with these a later search
//! mostly finds its place at the first look. They only tell where to look; what counts is what is seen there.

use std::collections::{BTreeMap, HashMap};

use super::crossing::{Copy, interpolate};
use crate::{
    TopicPartition,
    mapping::{SourceOffset, TargetOffset},
};

/// Copies that are kept of one source partition on one target partition.
const KEPT: usize = 32;
/// Pairs of partitions that are remembered.
const PAIRS: usize = 20_000;

/// The landmarks of one cluster's logs, by target partition and source partition: target offset to origin.
#[derive(Debug, Default)]
pub struct Landmarks(HashMap<(TopicPartition, TopicPartition), BTreeMap<i64, i64>>);

impl Landmarks {
    /// Remembers copies of `q` on `t`.
    pub fn note(&mut self, t: &TopicPartition, q: &TopicPartition, copies: impl Iterator<Item = Copy>) {
        if self.0.len() >= PAIRS {
            self.0.clear();
        }
        let known = self.0.entry((t.clone(), q.clone())).or_default();
        known.extend(copies.map(|(offset, origin)| (offset.0, origin.0)));
        while known.len() > KEPT {
            known.pop_first();
        }
    }

    /// About where the copies of `q` on `t` pass `committed`.
    pub fn hint(
        &self,
        t: &TopicPartition,
        q: &TopicPartition,
        committed: SourceOffset,
    ) -> Option<TargetOffset> {
        let known = self.0.get(&(t.clone(), q.clone()))?;
        let hi = known.iter().find(|(_, origin)| **origin >= committed.0);
        let before = hi.map_or(i64::MAX, |(offset, _)| *offset);
        let lo = known.range(..before).next_back();
        let pair = |(offset, origin): (&i64, &i64)| (*offset, *origin);
        let hint = match (lo.map(pair), hi.map(pair)) {
            (Some(lo), Some(hi)) => interpolate(lo, hi, committed.0),
            (Some((offset, origin)), None) | (None, Some((offset, origin))) => {
                offset.saturating_add(committed.0.saturating_sub(origin))
            }
            (None, None) => return None,
        };
        Some(TargetOffset(hint))
    }
}
