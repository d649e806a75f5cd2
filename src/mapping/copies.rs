//! The copies of one source partition on one target partition: for each origin the last target offset that
//! holds it.

use std::collections::BTreeMap;

use super::{SourceOffset, TargetOffset};

/// `L`: each origin's last copy. Runs in which origin and target offset grow together take one entry, so a
/// plain log of any length takes a handful.
#[derive(Clone, Debug, Default)]
pub struct Copies {
    /// First origin of a run to its length and the target offset of its first record. Runs are disjoint.
    runs: BTreeMap<i64, Run>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    length: i64,
    target: i64,
}

impl Copies {
    /// Notes that `target` holds a copy of `origin`. Target offsets must come in ascending order.
    /// Says whether an older copy of it was known.
    pub fn insert(&mut self, origin: SourceOffset, target: TargetOffset) -> bool {
        let repeats = self.remove(origin.0);
        if let Some((start, run)) = self.runs.range_mut(..origin.0).next_back()
            && start + run.length == origin.0
            && run.target + run.length == target.0
        {
            run.length += 1;
        } else {
            self.runs.insert(origin.0, Run { length: 1, target: target.0 });
        }
        repeats
    }

    /// Takes `origin` out of the run that holds it, if any does.
    fn remove(&mut self, origin: i64) -> bool {
        let Some((&start, &run)) = self.runs.range(..=origin).next_back() else {
            return false;
        };
        let index = origin - start;
        if index >= run.length {
            return false;
        }
        self.runs.remove(&start);
        if index > 0 {
            self.runs.insert(start, Run { length: index, target: run.target });
        }
        if index + 1 < run.length {
            let tail = Run { length: run.length - index - 1, target: run.target + index + 1 };
            self.runs.insert(origin + 1, tail);
        }
        true
    }

    /// Whether there is no copy at all.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The last copy of `origin`.
    pub fn last_copy(&self, origin: SourceOffset) -> Option<TargetOffset> {
        let (start, run) = self.runs.range(..=origin.0).next_back()?;
        let index = origin.0 - start;
        (index < run.length).then(|| TargetOffset(run.target + index))
    }

    /// The smallest origin that is at least `from`.
    pub fn first_origin_at_or_after(&self, from: SourceOffset) -> Option<SourceOffset> {
        if self.last_copy(from).is_some() {
            return Some(from);
        }
        self.runs.range(from.0..).next().map(|(&start, _)| SourceOffset(start))
    }

    /// The greatest origin.
    pub fn max_origin(&self) -> Option<SourceOffset> {
        self.runs.last_key_value().map(|(start, run)| SourceOffset(start + run.length - 1))
    }

    /// The smallest of the last copies of all origins that are at least `from`, with its origin: nothing at
    /// or above `from` is lost by a reader that starts there, and would be by one that starts any later.
    pub fn lowest_last_copy(&self, from: SourceOffset) -> Option<(TargetOffset, SourceOffset)> {
        self.parts(from.0, i64::MAX)
            .map(|(origin, run)| (TargetOffset(run.target), SourceOffset(origin)))
            .min()
    }

    /// The greatest of the last copies of all origins below `to` that lie below target offset `limit`.
    pub fn highest_last_copy(
        &self,
        to: SourceOffset,
        limit: TargetOffset,
    ) -> Option<(TargetOffset, SourceOffset)> {
        self.parts(i64::MIN, to.0)
            .filter(|(_, run)| run.target < limit.0)
            .map(|(origin, run)| {
                let last = run.length.min(limit.0 - run.target) - 1;
                (TargetOffset(run.target + last), SourceOffset(origin + last))
            })
            .max()
    }

    /// The greatest of the last copies of all origins that are at least `from`.
    pub fn highest_last_copy_from(&self, from: SourceOffset) -> Option<(TargetOffset, SourceOffset)> {
        self.parts(from.0, i64::MAX)
            .map(|(origin, run)| (run.target + run.length - 1, origin + run.length - 1))
            .max()
            .map(|(target, origin)| (TargetOffset(target), SourceOffset(origin)))
    }

    /// How many origins below `to` have their last copy at or after `position`.
    pub fn count_at_or_after(&self, to: SourceOffset, position: TargetOffset) -> u64 {
        self.parts(i64::MIN, to.0)
            .map(|(_, run)| run.length - (position.0 - run.target).clamp(0, run.length))
            .map(i64::unsigned_abs)
            .sum()
    }

    /// Origins as intervals `[from, to)`, in order.
    pub fn origins(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        self.runs.iter().map(|(&start, run)| (start, start + run.length))
    }

    /// Forgets every copy at or below target offset `bound` (rule 22: of a former incarnation).
    pub fn forget_up_to(&mut self, bound: TargetOffset) {
        let old = std::mem::take(&mut self.runs);
        for (origin, run) in old {
            let gone = (bound.0 + 1 - run.target).clamp(0, run.length);
            if gone < run.length {
                self.runs.insert(origin + gone, Run { length: run.length - gone, target: run.target + gone });
            }
        }
    }

    /// The runs, cut to origins in `[from, to)`.
    fn parts(&self, from: i64, to: i64) -> impl Iterator<Item = (i64, Run)> + '_ {
        let head = self.runs.range(..from).next_back();
        head.into_iter().chain(self.runs.range(from..to)).filter_map(move |(&start, run)| {
            let skip = from.saturating_sub(start).max(0);
            let length = (run.length.min(to.saturating_sub(start))) - skip;
            (length > 0).then_some((start + skip, Run { length, target: run.target + skip }))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::{Copies, SourceOffset, TargetOffset};

    proptest! {
        /// Against the plain map from origin to last target offset.
        #[test]
        fn behaves_as_a_plain_map(
            runs in prop::collection::vec((0i64..30, 1i64..8, 1i64..3), 0..12),
            c in 0i64..40,
            p in 0i64..80,
            bound in 0i64..60,
        ) {
            let (mut copies, mut model) = (Copies::default(), BTreeMap::new());
            let mut target = 0;
            for (start, length, step) in runs {
                for origin in start..start + length {
                    let repeats = copies.insert(SourceOffset(origin), TargetOffset(target));
                    prop_assert_eq!(repeats, model.insert(origin, target).is_some());
                    target += step;
                }
            }
            check(&copies, &model, c, p)?;
            copies.forget_up_to(TargetOffset(bound));
            model.retain(|_, target| *target > bound);
            check(&copies, &model, c, p)?;
        }
    }

    fn check(copies: &Copies, model: &BTreeMap<i64, i64>, c: i64, p: i64) -> Result<(), TestCaseError> {
        let at = SourceOffset(c);
        prop_assert_eq!(copies.max_origin().map(|s| s.0), model.keys().next_back().copied());
        prop_assert_eq!(
            copies.first_origin_at_or_after(at).map(|s| s.0),
            model.range(c..).next().map(|(s, _)| *s)
        );
        prop_assert_eq!(
            copies.lowest_last_copy(at).map(|(o, s)| (o.0, s.0)),
            model.range(c..).map(|(s, o)| (*o, *s)).min()
        );
        prop_assert_eq!(
            copies.highest_last_copy(at, TargetOffset(p)).map(|(o, s)| (o.0, s.0)),
            model.range(..c).filter(|(_, o)| **o < p).map(|(s, o)| (*o, *s)).max()
        );
        prop_assert_eq!(
            copies.count_at_or_after(at, TargetOffset(p)),
            model.range(..c).filter(|(_, o)| **o >= p).count() as u64
        );
        for origin in 0..45 {
            prop_assert_eq!(copies.last_copy(SourceOffset(origin)).map(|o| o.0), model.get(&origin).copied());
        }
        Ok(())
    }
}
