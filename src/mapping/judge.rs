//! The rules for one source partition *q*: is everything below the committed offset there, and what is
//! missing at and above it. Completeness, gaps, replays, incarnations.

use std::borrow::Cow;

use crate::{
    TopicPartition,
    api::v1alpha1::{Reason, ReplicationProof},
};

use super::{
    Facts, SourceFacts, SourceOffset, TargetOffset,
    copies::Copies,
    digest::Seen,
    facts::{Compaction, TargetFacts},
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
    fn is_hidden(&self) -> bool {
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
#[derive(Clone, Copy, Debug, Default)]
pub struct GapAt {
    /// The committed offset.
    pub from: SourceOffset,
    /// The first offset behind it.
    pub to: SourceOffset,
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

    /// The origin of the most recent record on a target; none where it belongs to a former incarnation.
    fn last_origin(view: &View<'_>) -> Option<SourceOffset> {
        let last = view.seen?.last?;
        (view.copies.last_copy(last.origin) == Some(last.target)).then_some(last.origin)
    }

    fn next_of_last(view: &View<'_>) -> SourceOffset {
        Self::last_origin(view).map_or(SourceOffset(0), SourceOffset::next)
    }

    /// Whether nothing of *q* below the committed offset is still to come. Else why, and from which origin on.
    fn completeness(&self, judgement: &mut Judgement) -> Result<(), Question> {
        let (incomplete, from) = match self.incomplete()? {
            Ok(proof) => {
                judgement.proven_by = Some(proof);
                return Ok(());
            }
            Err(incomplete) => incomplete,
        };
        if self.all.policies.replication_proof == ReplicationProof::Waive {
            judgement.proven_by = Some(ProvenBy::Waived);
            let c = self.facts.committed;
            // What is hidden comes too, and what was copied since; what of it the source no longer holds is
            // counted as an upper bound.
            let lowest = self.views.iter().map(Self::next_of_last).min().unwrap_or_default();
            let from = if self.is_hidden() { from.min(lowest) } else { from };
            judgement.to_come = self.source_data(from.min(c), c)?;
            let gone = c.min(self.facts.log_start);
            let since = if self.replicator_position().is_some() { from } else { from.min(lowest) };
            let since = since.max(self.facts.log_start_before);
            let since = if self.is_hidden() { since.min(lowest) } else { since };
            if since < gone {
                judgement.to_come.push((since.0, gone.0));
            }
        } else {
            judgement.findings.push(incomplete);
        }
        Ok(())
    }

    fn incomplete(&self) -> Result<Result<ProvenBy, (Finding, SourceOffset)>, Question> {
        let c = self.facts.committed;
        let position = self.replicator_position();
        if let Some(r) = position.filter(|r| *r < c) {
            return Ok(Err((self.behind(r), r)));
        }
        if let Some(replay) = self.replay(position)? {
            return Ok(Err(replay));
        }
        // Unless an open transaction hides what the replicator has passed, or what would be the witness.
        let witness = |v: &View<'_>| v.copies.first_origin_at_or_after(c).is_some();
        let hidden = |v: &View<'_>| v.is_hidden() && !witness(v);
        if position.is_some() && !self.views.iter().any(hidden) {
            return Ok(Ok(ProvenBy::ReplicatorPosition));
        }
        if self.views.iter().all(witness) {
            return Ok(Ok(ProvenBy::Witness));
        }
        // The source is exhausted: all that it holds between the earliest of the last origins and c arrived.
        let from =
            self.views.iter().map(|v| Self::last_origin(v).map_or(self.facts.log_start, SourceOffset::next));
        let from = from.min().unwrap_or(self.facts.log_start).min(c);
        // What the source no longer holds may still be hidden on the target.
        let gone = |v: &View<'_>| v.is_hidden() && Self::next_of_last(v) < c.min(self.facts.log_start);
        let exhausted = !self.source_has_any(from, c)? || self.missing(from, c)?.is_empty();
        if exhausted && !self.views.iter().any(gone) && self.taken().is_empty() {
            return Ok(Ok(ProvenBy::SourceExhausted));
        }
        Ok(Err((
            self.open_transaction("policies.replicationProof: Waive").unwrap_or_else(|| self.behind(from)),
            from,
        )))
    }

    /// What retention has taken from the source below the committed offset since the targets' ends were read, and
    /// the targets did not hold then: it may have been copied in between.
    fn taken(&self) -> Vec<(i64, i64)> {
        let SourceFacts { committed: c, log_start, log_start_before, .. } = *self.facts;
        let lowest = self.views.iter().map(Self::next_of_last).min().unwrap_or_default();
        self.origins().holes_within(lowest.max(log_start_before).0, log_start.min(c).0)
    }

    fn behind(&self, replicated_to: SourceOffset) -> Finding {
        let c = self.facts.committed;
        let text = format!(
            "committed {c}, replicated to {replicated_to}; waiting for {} records (policies.replicationProof: \
             Waive goes on without)",
            c.0 - replicated_to.0
        );
        self.finding(Reason::ReplicationBehind, text)
    }

    /// Rule 8.
    pub(super) fn open_transaction(&self, way_out: &str) -> Option<Finding> {
        let view = self.views.iter().find(|v| v.is_hidden())?;
        let text = format!(
            "an open transaction on {} hides what lies between its last stable offset {} and its end {}; \
             waiting for it to end ({way_out} goes on without)",
            view.target, view.facts.end, view.facts.high_watermark
        );
        Some(self.finding(Reason::OpenTransaction, text))
    }

    pub(super) fn is_hidden(&self) -> bool {
        self.views.iter().any(View::is_hidden)
    }

    /// Rule 6: the most recent record repeats an older copy and more of the run is to come.
    fn replay(&self, position: Option<SourceOffset>) -> Result<Option<(Finding, SourceOffset)>, Question> {
        let Some(max) = self.max_origin().filter(|max| position.is_none_or(|r| r <= *max)) else {
            return Ok(None);
        };
        // Seen from several targets it has come as far as the earliest of them says.
        let repeated =
            |v: &View<'_>| Some((self.repeated(v).filter(|origin| *origin < max)?, v.target.clone()));
        let Some((last, target)) = self.views.iter().filter_map(repeated).min() else {
            return Ok(None);
        };
        // What retention took meanwhile may have been written meanwhile.
        let SourceFacts { log_start, log_start_before, last_stable, .. } = *self.facts;
        let rest = last.next();
        if rest.max(log_start_before) >= log_start && !self.source_has_any(rest, last_stable)? {
            return Ok(None);
        }
        let text = format!(
            "the replicator writes again what it wrote before: it is at {last} on {target}, and was at {max}; \
             waiting until it has passed that (policies.replicationProof: Waive goes on without)",
        );
        Ok(Some((self.finding(Reason::ReplayInProgress, text), rest)))
    }

    /// Whether a replay may be running that parts of the logs do not show: what the most recent record repeats may
    /// lie before the part, on any target. One that is known to begin at or above the committed offset is no
    /// matter.
    pub(super) fn may_repeat_unseen(&self) -> bool {
        let partial = self.views.iter().any(|v| v.facts.is_partial());
        let Some(max) = self.max_origin().filter(|_| partial && self.replicator_position().is_none()) else {
            return false;
        };
        let spread = self.views.len() > 1;
        self.views.iter().any(|view| match view.seen.and_then(|seen| seen.last) {
            Some(last) => {
                (spread || last.descended) && last.origin < max && last.origin < self.facts.committed
            }
            None => view.facts.is_partial(),
        })
    }

    /// The origin of the most recent record on a target, where it repeats an older copy. Retention or compaction
    /// may have taken the older copies that a run repeats: in doubt it does.
    fn repeated(&self, view: &View<'_>) -> Option<SourceOffset> {
        let last = view.seen?.last?;
        let mut others = self.views.iter().filter(|v| v.target != view.target);
        let repeats = last.repeats
            || others.any(|v| v.copies.last_copy(last.origin).is_some())
            || (last.below_all && view.facts.read_from.0 > 0)
            || (last.descended && view.facts.compaction != Compaction::Off);
        Self::last_origin(view).filter(|_| repeats)
    }
}
