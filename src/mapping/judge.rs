//! The rules for one source partition *q*: is everything below the committed offset there (`completeness`), and
//! what is missing at and above it (`gaps`)? Here: what both take, and what comes before them.

use std::borrow::Cow;

use crate::{TopicPartition, api::v1alpha1::Reason};

use super::{
    Facts, SourceFacts, SourceOffset, TargetOffset,
    copies::Copies,
    digest::Seen,
    facts::TargetFacts,
    finding::Finding,
    plan::ProvenBy,
    source_log::{Question, SourceLog},
};

/// The copies of *q* on one of its target partitions, without those of a former incarnation.
pub struct View<'a> {
    /// The target partition.
    pub target: &'a TopicPartition,
    /// What is known of the target partition.
    pub facts: &'a TargetFacts,
    /// The copies that count.
    pub copies: Cow<'a, Copies>,
    /// All that was seen of *q* there; none where there is no copy.
    pub seen: Option<&'a Seen>,
    /// The last copy of a former incarnation, where one was found.
    pub former: Option<(TargetOffset, SourceOffset)>,
}

impl View<'_> {
    /// Whether an open transaction hides what lies behind the end.
    pub(super) fn is_hidden(&self) -> bool {
        self.facts.high_watermark > self.facts.end
    }
}

/// What was found out about *q*.
#[derive(Debug, Default)]
pub struct Judgement {
    /// What stands in the way.
    pub findings: Vec<Finding>,
    /// How completeness is known.
    pub proven_by: Option<ProvenBy>,
    /// Data records in `[c, U)` that no target holds.
    pub gap: u64,
    /// Where the gap lies, and how much of it is only possible.
    pub gap_at: GapAt,
    /// Missing records that were dropped on purpose.
    pub filtered: u64,
    /// Missing records whose key has a later record on a compacted target.
    pub superseded: u64,
    /// Records behind the first unread one that the source holds and the target lacks.
    pub unexplained: u64,
    /// The target holds nothing at or above the committed offset, the source does, and how far the
    /// replicator has come is not known.
    pub undecided: bool,
    /// Records below the committed offset that are still to come, as source intervals.
    pub to_come: Vec<(i64, i64)>,
}

/// Where a gap lies, on the source.
#[derive(Clone, Debug, Default)]
pub struct GapAt {
    /// The first ranges, in order; the second offset is the first behind.
    pub first: Vec<(i64, i64)>,
    /// How many more ranges there are.
    pub more: usize,
    /// Records that may never have been there: the source no longer holds that range.
    pub possible: u64,
}

/// One source partition, and where to ask about it.
pub struct Judge<'a, 'v> {
    /// The source partition.
    pub q: &'a TopicPartition,
    /// What was observed of it.
    pub facts: &'a SourceFacts,
    /// All facts: the policies, and whether records are dropped on purpose.
    pub all: &'a Facts,
    /// What is known of its records.
    pub log: Cow<'a, SourceLog>,
    /// Its copies, by target partition.
    pub views: Vec<View<'v>>,
}

/// The copies of `q` on `target` (rule 22: everything up to the last copy of an origin that the source has
/// not reached yet belongs to a former incarnation).
pub fn view<'a>(
    q: &TopicPartition,
    facts: &SourceFacts,
    target: &'a TopicPartition,
    target_facts: &'a TargetFacts,
) -> View<'a> {
    let Some(seen) = target_facts.found.sources.get(q) else {
        return View {
            target,
            facts: target_facts,
            copies: Cow::Owned(Copies::default()),
            seen: None,
            former: None,
        };
    };
    let mut view = View {
        target,
        facts: target_facts,
        copies: Cow::Borrowed(&seen.copies),
        seen: Some(seen),
        former: None,
    };
    if let Some((bound, origin)) = seen.copies.highest_last_copy_from(facts.high_watermark) {
        view.copies.to_mut().forget_up_to(bound);
        view.former = Some((bound, origin));
    }
    view
}

impl Judge<'_, '_> {
    /// Applies the rules. An error is a question to the source; ask it, then judge again.
    pub fn judge(&self) -> Result<Judgement, Question> {
        let mut judgement = Judgement::default();
        if let Some(finding) = self.out_of_range().or_else(|| self.pipelines()).or_else(|| self.recreated()) {
            judgement.findings.push(finding);
            return Ok(judgement);
        }
        self.completeness(&mut judgement)?;
        // Rule 10: what one target lacks between its copies may be on its way to another.
        if self.views.len() > 1 && !judgement.findings.is_empty() {
            return Ok(judgement);
        }
        self.gaps(&mut judgement)?;
        self.later_holes(&mut judgement)?;
        Ok(judgement)
    }

    pub(super) fn finding(&self, reason: Reason, message: String) -> Finding {
        Finding::new(reason, self.q, message)
    }

    fn ask(&self, from: SourceOffset, to: SourceOffset, first_only: bool) -> Question {
        let keys = self.views.iter().any(|v| v.facts.is_compacted());
        Question { partition: self.q.clone(), from, to, first_only, keys }
    }

    pub(super) fn source_has_any(&self, from: SourceOffset, to: SourceOffset) -> Result<bool, Question> {
        self.log.any(from, to).ok_or_else(|| self.ask(from, to, true))
    }

    pub(super) fn source_data(
        &self,
        from: SourceOffset,
        to: SourceOffset,
    ) -> Result<Vec<(i64, i64)>, Question> {
        self.log.data(from, to).ok_or_else(|| self.ask(from, to, false))
    }

    /// Rules 14 and 21.
    fn out_of_range(&self) -> Option<Finding> {
        let SourceFacts { committed: c, log_start, last_stable, high_watermark: end, .. } = self.facts;
        if c > end {
            let text = format!(
                "committed {c} lies beyond the source's end {end} (log start {log_start}): the topic was \
                 truncated or recreated; reset the group's offset on the source, or exclude the topic"
            );
            return Some(self.finding(Reason::SourceOffsetOutOfRange, text));
        }
        (c > last_stable).then(|| {
            let text = format!(
                "committed {c} lies beyond the last stable offset {last_stable} of the source (end {end}); \
                 waiting for the open transaction to end"
            );
            self.finding(Reason::SourceTransactionPending, text)
        })
    }

    /// Rule 24.
    fn pipelines(&self) -> Option<Finding> {
        self.views.iter().find_map(|view| {
            let mut names = view.seen?.pipelines.iter().map(|name| String::from_utf8_lossy(name));
            let (first, second) = (names.next()?, names.next()?);
            let text = format!(
                "pipelines `{first}` and `{second}` both write it into {}: stop one of them and start with a \
                 target topic that only the other one has written",
                view.target
            );
            Some(self.finding(Reason::DuplicatePipelines, text))
        })
    }

    /// Rule 22.
    fn recreated(&self) -> Option<Finding> {
        let c = self.facts.committed;
        let (proof, (bound, origin)) = self.views.iter().find_map(|v| Some((v.target, v.former?)))?;
        let told = format!(
            "{proof} holds a copy of source offset {origin} at offset {bound}, beyond the source's end {}: the \
             source topic was recreated",
            self.facts.high_watermark
        );
        let new_run = |v: &View<'_>| v.copies.first_origin_at_or_after(c).is_some();
        let text = if let Some(view) = self.views.iter().find(|v| v.former.is_some() && !new_run(v)) {
            format!(
                "{told} and its new records have not passed committed {c} on {} yet; where no more will come, \
                 have it replicated into a new target topic",
                view.target
            )
        } else {
            // Copies on another target without such a proof: nobody knows of which topic they are.
            let view = self.views.iter().find(|v| v.former.is_none() && !v.copies.is_empty())?;
            format!(
                "{told}, and whether the copies on {} are of the new topic cannot be told; have it replicated \
                 into a new target topic",
                view.target
            )
        };
        Some(self.finding(Reason::SourceRecreated, text))
    }

    /// R, where it is known and not void.
    pub(super) fn replicator_position(&self) -> Option<SourceOffset> {
        self.facts.replicator_position.filter(|r| *r <= self.facts.high_watermark)
    }

    /// The smallest origin at or above the committed offset on any target.
    pub(super) fn first_unread(&self) -> Option<SourceOffset> {
        self.views.iter().filter_map(|v| v.copies.first_origin_at_or_after(self.facts.committed)).min()
    }

    pub(super) fn max_origin(&self) -> Option<SourceOffset> {
        self.views.iter().filter_map(|v| v.copies.max_origin()).max()
    }
}
