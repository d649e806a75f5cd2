//! Where one source partition's origins pass its committed offset on one target log: an interval that
//! shrinks with every look. Pure.

use crate::mapping::{SourceOffset, TargetOffset};

/// Steps that may follow the origins' own slope; after that the interval is halved.
const GUESSES: u32 = 4;
/// How far before the end the first look goes, in offsets; ever farther where nothing lies there.
const TAIL: i64 = 64;

/// A record of the source partition in question.
pub type Copy = (TargetOffset, SourceOffset);

/// A search for an upward crossing: a copy below the committed offset with one at or above it right behind.
/// Where the log never crosses it, the search comes to the log's start or end instead.
#[derive(Clone, Debug)]
pub struct Crossing {
    committed: i64,
    /// Nothing is left to look at below: `lo` is the last copy there.
    floor: i64,
    /// Nothing is left to look at from here on: `hi` is the first copy there.
    ceiling: i64,
    lo: Option<(i64, i64)>,
    hi: Option<(i64, i64)>,
    /// A stretch between floor and ceiling that holds no copy.
    island: Option<(i64, i64)>,
    /// Where it is looked for first.
    hint: Option<i64>,
    steps: u32,
}

impl Crossing {
    /// To be looked for in `[start, end)`.
    pub fn new(committed: SourceOffset, start: TargetOffset, end: TargetOffset) -> Self {
        Self {
            committed: committed.0,
            floor: start.0,
            ceiling: end.0.max(start.0),
            lo: None,
            hi: None,
            island: None,
            hint: None,
            steps: 0,
        }
    }

    /// To be looked for here first.
    #[must_use]
    pub fn aiming_at(mut self, hint: Option<TargetOffset>) -> Self {
        self.hint = hint.map(|hint| hint.0);
        self
    }

    /// Whether nothing is left to be looked at.
    pub fn is_found(&self) -> bool {
        self.floor >= self.ceiling
    }

    /// The copy right below the crossing.
    pub fn below(&self) -> Option<Copy> {
        self.lo.map(|(offset, origin)| (TargetOffset(offset), SourceOffset(origin)))
    }

    /// The copy right above it.
    pub fn above(&self) -> Option<Copy> {
        self.hi.map(|(offset, origin)| (TargetOffset(offset), SourceOffset(origin)))
    }

    /// How often [`Self::next`] was asked.
    pub fn steps(&self) -> u32 {
        self.steps
    }

    /// Where to look next. A look brings about `batch` offsets.
    pub fn next(&mut self, batch: i64) -> TargetOffset {
        self.steps += 1;
        if let Some((_, end)) = self.island {
            return TargetOffset(end);
        }
        let (floor, ceiling) = (self.floor, self.ceiling);
        let hint = self.hint.take();
        let aim = match (self.lo, self.hi) {
            // What is left comes with one look.
            (Some(_), Some(_)) if ceiling - floor <= batch => floor,
            (None, None) if let Some(hint) = hint => hint - batch / 2,
            (None, None) => ceiling.saturating_sub(TAIL.max(batch / 2) << (2 * self.steps - 2).min(40)),
            _ if self.steps > GUESSES + 1 => floor + (ceiling - floor) / 2,
            (Some(lo), Some(hi)) => interpolate(lo, hi, self.committed) - batch / 2,
            // As if the target had every offset of the source: wrong by what was compacted or repeated.
            (None, Some((offset, origin))) => {
                let distance = origin
                    .saturating_sub(self.committed)
                    .saturating_mul(1 << self.steps.saturating_sub(2).min(3));
                offset.saturating_sub(distance) - batch / 2
            }
            (Some((offset, origin)), None) => offset.saturating_add(self.committed - origin) - batch / 2,
        };
        TargetOffset(aim.clamp(floor, ceiling - 1))
    }

    /// Takes what lies in `[from, to)`: all copies there, in ascending order.
    pub fn take(&mut self, from: TargetOffset, to: TargetOffset, copies: impl Iterator<Item = Copy>) {
        let (mut from, to) = (from.0.max(self.floor), to.0.min(self.ceiling));
        if from >= to {
            return;
        }
        if let Some((start, end)) = self.island
            && start < from
            && from <= end
        {
            from = start;
        }
        let within =
            copies.map(|(offset, origin)| (offset.0, origin.0)).filter(|(o, _)| (from..to).contains(o));
        let mut last_below = None;
        let mut first_above = None;
        for copy in within {
            if copy.1 >= self.committed {
                first_above = Some(copy);
                break;
            }
            last_below = Some(copy);
        }
        match (last_below, first_above) {
            (Some(below), Some(above)) => {
                (self.lo, self.hi) = (Some(below), Some(above));
                (self.floor, self.ceiling) = (above.0, above.0);
            }
            (Some(below), None) => (self.lo, self.floor) = (Some(below), to),
            (None, Some(above)) => (self.hi, self.ceiling) = (Some(above), from),
            (None, None) if from <= self.floor => self.floor = to,
            (None, None) if to >= self.ceiling => self.ceiling = from,
            (None, None) => self.island = Some((from, to)),
        }
        self.island = self.island.filter(|(start, end)| self.floor < *start && *end < self.ceiling);
    }
}

/// Where the line through two copies passes an origin.
pub fn interpolate(lo: (i64, i64), hi: (i64, i64), committed: i64) -> i64 {
    let (offsets, origins) = (i128::from(hi.0 - lo.0), i128::from(hi.1) - i128::from(lo.1));
    let share = i128::from(committed) - i128::from(lo.1);
    let ahead = offsets * share / origins.max(1);
    lo.0 + i64::try_from(ahead).unwrap_or_default()
}
