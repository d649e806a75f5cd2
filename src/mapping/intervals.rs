//! A set of offsets, kept as half-open intervals: small where offsets come in runs.

use std::collections::BTreeMap;

/// A set of `i64`, as disjoint half-open intervals that do not touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IntervalSet {
    /// Start to end (exclusive).
    intervals: BTreeMap<i64, i64>,
}

impl IntervalSet {
    /// Adds one offset.
    pub fn insert(&mut self, value: i64) {
        self.insert_range(value, value + 1);
    }

    /// Adds `[from, to)`.
    pub fn insert_range(&mut self, from: i64, to: i64) {
        if from >= to {
            return;
        }
        let (mut start, mut end) = (from, to);
        // Everything that overlaps or touches [from, to) melts into it.
        while let Some((&s, &e)) = self.intervals.range(..=end).next_back() {
            if e < start {
                break;
            }
            self.intervals.remove(&s);
            start = start.min(s);
            end = end.max(e);
        }
        self.intervals.insert(start, end);
    }

    /// Whether `value` is in the set.
    pub fn contains(&self, value: i64) -> bool {
        self.intervals.range(..=value).next_back().is_some_and(|(_, &end)| value < end)
    }

    /// Whether the set has nothing.
    pub fn is_empty(&self) -> bool {
        self.intervals.is_empty()
    }

    /// The smallest member that is at least `from`.
    pub fn first_at_or_after(&self, from: i64) -> Option<i64> {
        if self.contains(from) {
            return Some(from);
        }
        self.intervals.range(from..).next().map(|(&start, _)| start)
    }

    /// The intervals within `[from, to)`, in order.
    pub fn within(&self, from: i64, to: i64) -> impl Iterator<Item = (i64, i64)> + '_ {
        let head = self.intervals.range(..from).next_back().map(|(&s, &e)| (s, e));
        head.into_iter()
            .chain(self.intervals.range(from..to.max(from)).map(|(&s, &e)| (s, e)))
            .map(move |(s, e)| (s.max(from), e.min(to)))
            .filter(|(s, e)| s < e)
    }

    /// How many members lie in `[from, to)`.
    pub fn count_within(&self, from: i64, to: i64) -> u64 {
        self.within(from, to).map(|(s, e)| e.abs_diff(s)).sum()
    }

    /// What `[from, to)` has that the set has not, in order.
    pub fn holes_within(&self, from: i64, to: i64) -> Vec<(i64, i64)> {
        let mut holes = Vec::new();
        let mut next = from;
        for (start, end) in self.within(from, to) {
            if next < start {
                holes.push((next, start));
            }
            next = end;
        }
        if next < to {
            holes.push((next, to));
        }
        holes
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::IntervalSet;

    proptest! {
        #[test]
        fn behaves_as_a_plain_set(ranges in prop::collection::vec((0i64..60, 0i64..8), 0..20), from in 0i64..60, len in 0i64..40) {
            let mut set = IntervalSet::default();
            let mut model = BTreeSet::new();
            for (start, len) in ranges {
                set.insert_range(start, start + len);
                model.extend(start..start + len);
            }
            let to = from + len;
            prop_assert_eq!(set.count_within(from, to), model.range(from..to).count() as u64);
            prop_assert_eq!(set.first_at_or_after(from), model.range(from..).next().copied());
            for value in 0..70 {
                prop_assert_eq!(set.contains(value), model.contains(&value));
            }
            let holes: BTreeSet<i64> = set.holes_within(from, to).into_iter().flat_map(|(s, e)| s..e).collect();
            let expected: BTreeSet<i64> = (from..to).filter(|v| !model.contains(v)).collect();
            prop_assert_eq!(holes, expected);
        }
    }
}
