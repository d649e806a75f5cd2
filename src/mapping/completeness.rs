//! The rules for whether nothing of one source partition below its committed offset is still to come: witnesses,
//! the replicator's position, an exhausted source, replays.

use crate::api::v1alpha1::{Reason, ReplicationProof};

use super::{
    SourceFacts, SourceOffset,
    facts::Compaction,
    finding::Finding,
    judge::{Judge, Judgement, View},
    plan::ProvenBy,
    source_log::Question,
};

impl Judge<'_, '_> {
    /// The origin of the most recent record on a target; none where it belongs to a former incarnation.
    fn last_origin(view: &View<'_>) -> Option<SourceOffset> {
        let last = view.seen?.last?;
        (view.copies.last_copy(last.origin) == Some(last.target)).then_some(last.origin)
    }

    fn next_of_last(view: &View<'_>) -> SourceOffset {
        Self::last_origin(view).map_or(SourceOffset(0), SourceOffset::next)
    }

    /// Whether nothing of *q* below the committed offset is still to come. Else why, and from which origin on.
    pub(super) fn completeness(&self, judgement: &mut Judgement) -> Result<(), Question> {
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
             Waive goes on without; what comes later is then read again)",
            c.0 - replicated_to.0
        );
        let lag = (c.0 - replicated_to.0).max(0).unsigned_abs();
        Finding { lag, ..self.finding(Reason::ReplicationBehind, text) }
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
