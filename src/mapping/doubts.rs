//! Whether what follows from the ends of the target logs alone would follow from the whole logs too.
//!
//! A log may cross a committed offset more than once, so a part of it says less than it seems to: records at
//! or above the committed offset may lie before the part, where nothing but a part that holds *all* of them
//! can tell. The source's end, read **after** the offset at which the part begins was on the target, bounds
//! what the log before it can hold. Where the part has a copy of every data record that the source holds from
//! the committed offset up to that bound, the rest of the log has nothing to add.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    TopicPartition,
    api::v1alpha1::{Reason, Verification},
};

use super::{
    Assessment, Facts, Finding, SourceOffset, TargetFacts,
    assess::{NOT_ALL_READ, judge},
    facts::SourceLogs,
    plan::{Kind, TargetPlan},
    source_log::Question,
};

/// The source's end by source partition, read when every part that is looked at had begun already.
pub type Bounds = BTreeMap<TopicPartition, SourceOffset>;

/// What keeps an assessment from being final.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Doubts {
    /// Target partitions that must be read whole.
    pub unread: BTreeSet<TopicPartition>,
    /// Source partitions whose records up to their bound have not arrived yet: a moment later there may be no
    /// doubt.
    pub behind: BTreeSet<TopicPartition>,
}

impl Doubts {
    /// Whether the assessment is final.
    pub fn none(&self) -> bool {
        self.unread.is_empty() && self.behind.is_empty()
    }
}

/// What speaks against an assessment of facts of which some targets were read in part. Questions are to be
/// asked first.
pub fn doubts(
    facts: &Facts,
    logs: &SourceLogs,
    bounds: &Bounds,
    assessment: &Assessment,
) -> Result<Doubts, Vec<Question>> {
    let mut doubts = Doubts::default();
    match assessment {
        Assessment::Ask(questions) => return Err(questions.clone()),
        Assessment::Blocked(findings) => {
            for finding in findings {
                doubts.finding(facts, finding);
            }
        }
        Assessment::Mapped(plans) => {
            for plan in plans {
                doubts.plan(facts, plan);
            }
            doubts.bounded(facts, logs, bounds)?;
        }
    }
    Ok(doubts)
}

impl Doubts {
    /// Only what the whole log could not say otherwise is final: the replicator has not come to the committed
    /// offset.
    fn finding(&mut self, facts: &Facts, finding: &Finding) {
        let at = &finding.partition;
        let Some(source) = facts.sources.get(at) else {
            // It concerns a target.
            return self.read(facts, std::slice::from_ref(at));
        };
        // Known from the source alone.
        if matches!(finding.reason, Reason::SourceOffsetOutOfRange | Reason::SourceTransactionPending) {
            return;
        }
        let behind = finding.reason == Reason::ReplicationBehind;
        let known = source.replicator_position.is_some_and(|r| r < source.committed);
        if !(behind && (known || source.targets.len() == 1)) {
            self.read(facts, &source.targets);
        }
    }

    /// Everything that is not clear-cut.
    fn plan(&mut self, facts: &Facts, plan: &TargetPlan) {
        let windows = facts.policies.verification == Verification::Window;
        // Nothing of the group below the position: what lies before the part may bear on it.
        let lower = !windows && !matches!(plan.kind, Kind::Boundary | Kind::End);
        // Copies at or above the committed offset may lie in what was left unread below the position.
        let leapt_at = facts.targets.get(&plan.target()).and_then(|t| t.found.leapt_at);
        if lower || leapt_at.is_some_and(|at| plan.position >= at) {
            self.read(facts, &[plan.target()]);
        }
        for row in &plan.sources {
            // What windows leave open is stated; what they show is looked into.
            if row.why.iter().all(|why| windows && why == NOT_ALL_READ) && row.filtered == 0 {
                continue;
            }
            if let Some(source) = facts.sources.get(&TopicPartition::new(&row.topic, row.partition)) {
                self.read(facts, &source.targets);
            }
        }
    }

    /// See the module.
    fn bounded(&mut self, facts: &Facts, logs: &SourceLogs, bounds: &Bounds) -> Result<(), Vec<Question>> {
        let mut questions = Vec::new();
        for (q, source) in &facts.sources {
            if !source.targets.iter().any(|t| is_partial(facts, t)) {
                continue;
            }
            let judge = judge(q, source, facts, logs);
            if judge.may_repeat_unseen() {
                self.read(facts, &source.targets);
                continue;
            }
            let from = source.committed.max(source.log_start);
            let bound = bounds.get(q).copied().unwrap_or(source.high_watermark);
            // What an open transaction holds may have been copied by a replicator that does not wait for its end.
            if bound > source.last_stable {
                self.behind.insert(q.clone());
                continue;
            }
            // Within what was read, and behind it.
            let seen_to = judge.max_origin().map_or(from, SourceOffset::next).max(from);
            let missing = judge.missing(from, bound.min(seen_to));
            match missing.and_then(|missing| Ok((missing, judge.source_has_any(seen_to, bound)?))) {
                Err(question) => questions.push(question),
                Ok((missing, _)) if !missing.is_empty() => self.read(facts, &source.targets),
                Ok((_, true)) => drop(self.behind.insert(q.clone())),
                Ok((_, false)) => {}
            }
        }
        if questions.is_empty() { Ok(()) } else { Err(questions) }
    }

    fn read(&mut self, facts: &Facts, targets: &[TopicPartition]) {
        self.unread.extend(targets.iter().filter(|t| is_partial(facts, t)).cloned());
    }
}

fn is_partial(facts: &Facts, target: &TopicPartition) -> bool {
    facts.targets.get(target).is_some_and(TargetFacts::is_partial)
}
