//! The rules for what is missing of one source partition at and above its committed offset: gaps, records
//! dropped on purpose, superseded ones, and holes behind the first unread record.

use crate::api::v1alpha1::{GapPolicy, Reason};

use super::{
    SourceFacts, SourceOffset, TargetOffset,
    digest::Seen,
    finding::Finding,
    intervals::IntervalSet,
    judge::{GapAt, Judge, Judgement, View},
    source_log::Question,
};

/// So many ranges of a gap are told.
const LISTED: usize = 5;

impl Judge<'_, '_> {
    /// Rules 2, 3, 4, 12 and 13: what the source holds in `[c, U)`, or may have held, that no target has.
    pub(super) fn gaps(&self, judgement: &mut Judgement) -> Result<(), Question> {
        let SourceFacts { committed: c, log_start, last_stable, .. } = *self.facts;
        let first = self.first_unread();
        // What an open transaction hides is not missing.
        let passed = self.replicator_position().filter(|_| !self.is_hidden());
        let Some(until) = first.or(passed) else {
            return self.undecided(judgement);
        };
        let held_to = until.min(last_stable.max(c));
        let missing = self.missing(c.max(log_start), held_to)?;
        // What the source no longer holds cannot be told from what it never held: an upper bound.
        let origins = self.origins();
        let gone = origins.holes_within(c.0, log_start.0);
        let possible: u64 = gone.iter().map(|(from, to)| from.abs_diff(*to)).sum();
        let count: u64 = missing.iter().map(|(from, to)| from.abs_diff(*to)).sum();
        if count + possible == 0 {
            return Ok(());
        }
        if self.dropped_on_purpose(first) {
            judgement.filtered += count + possible;
            return Ok(());
        }
        let superseded = self.superseded(&missing);
        let number = superseded.count_within(0, i64::MAX);
        judgement.superseded += number;
        judgement.gap = count - number + possible;
        let lost = missing.iter().flat_map(|(from, to)| superseded.holes_within(*from, *to));
        judgement.gap_at = GapAt::new(gone.into_iter().chain(lost), possible);
        Ok(())
    }

    /// Nothing at or above c has been seen and R is not known: a target that lost its records looks exactly
    /// like one that is a moment behind.
    fn undecided(&self, judgement: &mut Judgement) -> Result<(), Question> {
        let SourceFacts { committed: c, log_start, last_stable, .. } = *self.facts;
        judgement.undecided = self.source_has_any(c.max(log_start), last_stable.max(c))?;
        // What is still to come below c is waited for first.
        if judgement.undecided && self.all.policies.gap == GapPolicy::Fail && judgement.findings.is_empty() {
            judgement.findings.push(self.nothing_unread_yet());
        }
        let lost = self.origins().holes_within(c.0, log_start.0);
        let possible: u64 = lost.iter().map(|(from, to)| from.abs_diff(*to)).sum();
        if possible > 0 {
            judgement.gap = possible;
            judgement.gap_at = GapAt::new(lost, possible);
        }
        Ok(())
    }

    fn nothing_unread_yet(&self) -> Finding {
        let c = self.facts.committed;
        if let Some(finding) = self.open_transaction("policies.gap: Accept") {
            return finding;
        }
        let text = format!(
            "committed {c}; the source holds records from there on and the target none of them yet; waiting \
             for the first one (policies.gap: Accept goes on without)"
        );
        self.finding(Reason::ReplicationBehind, text)
    }

    /// Holes behind the first unread record: they do not move the position, but it is not verified unless the
    /// source explains them.
    pub(super) fn later_holes(&self, judgement: &mut Judgement) -> Result<(), Question> {
        let (Some(first), Some(max)) = (self.first_unread(), self.max_origin()) else {
            return Ok(());
        };
        let from = first.max(self.facts.log_start);
        // What the replicator has passed should be there too, unless an open transaction hides it.
        let seen_to = max.next();
        let SourceFacts { committed: c, last_stable, .. } = *self.facts;
        // Nor does an open transaction on the source tell whether what it holds will be a data record.
        judgement.undecided |= !self.origins().holes_within(c.max(last_stable).0, seen_to.0).is_empty();
        let passed = self.replicator_position().map(|r| r.min(last_stable));
        let to = passed.map_or(seen_to, |r| r.max(seen_to)).min(last_stable.max(from));
        let holes = self.origins().holes_within(from.0, to.0);
        let (Some((start, _)), Some((_, end))) = (holes.first(), holes.last()) else {
            return Ok(());
        };
        let mut missing = self.missing(SourceOffset(*start), SourceOffset(*end))?;
        if self.is_hidden() {
            let before = missing.len();
            missing.retain(|(from, _)| *from < seen_to.0);
            judgement.undecided |= missing.len() < before;
        }
        let count: u64 = missing.iter().map(|(from, to)| from.abs_diff(*to)).sum();
        if self.all.filtering {
            judgement.filtered += count;
            return Ok(());
        }
        let superseded = self.superseded(&missing).count_within(0, i64::MAX);
        judgement.superseded += superseded;
        judgement.unexplained = count - superseded;
        Ok(())
    }

    /// Rule 4: declared, and between two origins on the target.
    fn dropped_on_purpose(&self, first_unread: Option<SourceOffset>) -> bool {
        let below = |v: &View<'_>| v.copies.highest_last_copy(self.facts.committed, TargetOffset(i64::MAX));
        self.all.filtering && first_unread.is_some() && self.views.iter().any(|v| below(v).is_some())
    }

    /// Rule 12 on a compacted target: those whose key has a later record there.
    fn superseded(&self, missing: &[(i64, i64)]) -> IntervalSet {
        let mut superseded = IntervalSet::default();
        let views: Vec<&Seen> = self
            .views
            .iter()
            .filter(|v| v.facts.is_compacted() && v.former.is_none())
            .filter_map(|v| v.seen)
            .collect();
        if views.is_empty() {
            return superseded;
        }
        let later = |offset: i64| {
            let key = self.log.key(offset)?;
            views.iter().find(|seen| seen.keys.get(key).is_some_and(|origin| origin.0 > offset))
        };
        let offsets = missing.iter().flat_map(|(from, to)| *from..*to);
        offsets.filter(|offset| later(*offset).is_some()).for_each(|offset| superseded.insert(offset));
        superseded
    }

    /// Every origin that any target holds, or is taken to hold where it was not read.
    pub(super) fn origins(&self) -> IntervalSet {
        let mut origins = IntervalSet::default();
        for (from, to) in self.views.iter().flat_map(|v| v.copies.origins()) {
            origins.insert_range(from, to);
        }
        let assumed = self.views.iter().filter_map(|v| v.seen).flat_map(|s| s.assumed.within(0, i64::MAX));
        for (from, to) in assumed {
            origins.insert_range(from, to);
        }
        origins
    }

    /// Data records that the source holds in `[from, to)` and no target does.
    pub(super) fn missing(&self, from: SourceOffset, to: SourceOffset) -> Result<Vec<(i64, i64)>, Question> {
        if from >= to {
            return Ok(Vec::new());
        }
        let origins = self.origins();
        let holes = origins.holes_within(from.0, to.0);
        let (Some((start, _)), Some((_, end))) = (holes.first(), holes.last()) else {
            return Ok(Vec::new());
        };
        let data = self.source_data(SourceOffset(*start), SourceOffset(*end))?;
        Ok(data.into_iter().flat_map(|(from, to)| origins.holes_within(from, to)).collect())
    }
}

impl GapAt {
    /// Of all ranges, which may touch each other, the first few.
    fn new(ranges: impl IntoIterator<Item = (i64, i64)>, possible: u64) -> Self {
        let mut union = IntervalSet::default();
        for (from, to) in ranges {
            union.insert_range(from, to);
        }
        let mut runs = union.within(0, i64::MAX);
        Self { first: runs.by_ref().take(LISTED).collect(), more: runs.count(), possible }
    }
}

/// A gap of so many records as it is told to a person.
pub fn gap_text(gap: u64, GapAt { first, more, possible }: &GapAt) -> String {
    let kind = match *possible {
        0 => "",
        p if p >= gap => ", an upper bound as the source no longer holds that range",
        _ => ", an upper bound as the source no longer holds all of that range",
    };
    let listed: Vec<String> = first.iter().map(|(from, to)| format!("{from} to {}", to - 1)).collect();
    let listed = listed.join(", ");
    let more = if *more > 0 { format!(" and {more} more ranges") } else { String::new() };
    format!(
        "{gap} records of source offsets {listed}{more} are missing on the target{kind} (have them copied again, or \
         policies.gap: Accept goes on without them)"
    )
}

#[cfg(test)]
mod tests {
    use super::{GapAt, gap_text};

    #[test]
    fn the_first_ranges_are_listed_and_the_others_counted() {
        let gap = |runs: Vec<(i64, i64)>| gap_text(9, &GapAt::new(runs, 0));
        assert!(
            gap(vec![(7, 9), (1, 2), (2, 4)]).starts_with("9 records of source offsets 1 to 3, 7 to 8 are")
        );
        let many = gap((0..7).map(|n| (2 * n, 2 * n + 1)).collect());
        assert!(
            many.contains(" 0 to 0, 2 to 2, 4 to 4, 6 to 6, 8 to 8 and 2 more ranges are missing"),
            "{many}"
        );
    }
}
