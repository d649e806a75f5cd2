//! The position on one target partition *t*: p*, what moves it down, and what is counted around it.

use crate::{
    TopicPartition,
    api::v1alpha1::{NativeRecords, Reason},
};

use super::{
    SourceOffset, TargetOffset,
    facts::{SourceFacts, TargetFacts},
    finding::Finding,
    judge::View,
    plan::Kind,
};

/// Where the group resumes on *t*.
#[derive(Debug)]
pub struct Position {
    /// The position.
    pub offset: TargetOffset,
    /// What lies around it.
    pub kind: Kind,
    /// The source partition that set it, where one did.
    pub set_by: Option<TopicPartition>,
    /// Undecodable records that the position was moved down to (rule 30).
    pub undecodable_included: u64,
    /// Native records below the position (rule 25).
    pub natives_skipped: u64,
    /// What stands in the way.
    pub findings: Vec<Finding>,
}

/// Finds the position on `target` from the copies of all of the group's source partitions on it.
pub fn find(
    target: &TopicPartition,
    facts: &TargetFacts,
    views: &[(&TopicPartition, &SourceFacts, &View<'_>)],
    natives: NativeRecords,
) -> Position {
    let found = &facts.found;
    let lowest = views
        .iter()
        .filter_map(|(q, source, view)| Some((view.copies.lowest_last_copy(source.committed)?.0, *q)))
        .min();
    let below = |limit: TargetOffset| {
        let last = |(_, source, view): &(_, &SourceFacts, &View<'_>)| {
            view.copies.highest_last_copy(source.committed, limit).map(|(offset, _)| offset)
        };
        views.iter().filter_map(last).max()
    };
    let everything = TargetOffset(i64::MAX);
    let (start, set_by) = match lowest {
        Some((offset, q)) => (offset, Some(q.clone())),
        None => (below(everything).map_or(facts.end, TargetOffset::next), None),
    };
    let read_below = below(start);
    let kind = match (read_below.is_some(), set_by.is_some()) {
        (true, true) => Kind::Boundary,
        (false, true) => Kind::Start,
        (true, false) => Kind::End,
        (false, false) => Kind::Empty,
    };
    // Rule 30: an undecodable record with no record already read between it and p may be the next one.
    let floor = read_below.map_or(facts.log_start, TargetOffset::next);
    let undecodable = found.undecodable.first_at_or_after(floor.0).filter(|u| *u < start.0);
    let mut offset = undecodable.map_or(start, TargetOffset);
    let undecodable_included = found.undecodable.count_within(offset.0, start.0);
    // Rule 25.
    if natives == NativeRecords::Include
        && let Some(native) = found.natives.first_at_or_after(facts.log_start.0)
    {
        offset = offset.min(TargetOffset(native));
    }
    let natives_skipped = found.natives.count_within(facts.log_start.0, offset.0);
    let mut findings = Vec::new();
    if natives == NativeRecords::Fail && natives_skipped > 0 {
        let text = format!(
            "{natives_skipped} records that the replicator did not write lie below position {offset} and would \
             be skipped (policies.nativeRecords: Report goes on, Include reads them)"
        );
        findings.push(Finding::new(Reason::NativeRecordsRefused, target, text));
    }
    Position { offset, kind, set_by, undecodable_included, natives_skipped, findings }
}

/// What makes a target partition unusable as a whole.
pub fn unusable(target: &TopicPartition, facts: &TargetFacts) -> Option<Finding> {
    let found = &facts.found;
    if found.ambiguous {
        let text = "the encoding of its origin headers cannot be told from the records; set \
                    spec.tracing.encoding of the K2KReplicator";
        return Some(Finding::new(Reason::AmbiguousEncoding, target, text));
    }
    if found.records > 0 && found.with_origin == 0 {
        let detail = match &found.first_undecodable {
            Some((offset, why)) => format!("; the first, at offset {offset}: {why}"),
            None => ": the origin headers are off, or named otherwise than spec.tracing.headers of the \
                     K2KReplicator says"
                .to_owned(),
        };
        let text = format!(
            "none of its {} records carries an origin that can be read{detail}; correct spec.tracing, or have the \
             replicator write the headers and fill a new topic",
            found.records
        );
        return Some(Finding::new(Reason::HeadersMissing, target, text));
    }
    None
}

/// Records of one source partition that a reader from `position` reads again: those of the target, those that
/// are still to come, and those of a former incarnation where rule 25 or 30 moved the position down to them.
pub fn reread(
    view: &View<'_>,
    committed: SourceOffset,
    position: TargetOffset,
    to_come: &[(i64, i64)],
) -> u64 {
    let there = view.copies.count_at_or_after(committed, position);
    let coming = to_come.iter().map(|(from, to)| {
        let counted = view.copies.count_at_or_after(SourceOffset(*to), position)
            - view.copies.count_at_or_after(SourceOffset(*from), position);
        from.abs_diff(*to).saturating_sub(counted)
    });
    let everything = SourceOffset(i64::MAX);
    let all = view.seen.filter(|_| view.former.is_some());
    let former = all.map_or(0, |seen| {
        seen.copies.count_at_or_after(everything, position)
            - view.copies.count_at_or_after(everything, position)
    });
    there + coming.sum::<u64>() + former
}
