//! From what was observed to positions with certificates, or to what stands in the way. The heart of the
//! product: pure, and total over everything that can be observed.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
};

use crate::{
    TopicPartition,
    api::v1alpha1::{GapPolicy, Reason, Reprocessing},
};

use super::{
    Facts, SourceFacts,
    facts::{SourceLogs, Verified},
    finding::Finding,
    gaps::gap_text,
    judge::{Judge, Judgement, View, view},
    plan::{ProvenBy, RecordRef, SourceCertificate, TargetPlan},
    position::{self, Position},
    source_log::{Question, SourceLog},
};

/// Why a position in a log that was read in windows is not called exact.
pub(super) const NOT_ALL_READ: &str = "only windows around the position and before the end were read (policies.verification: Window): what a \
     second instance of the replicator may have written between them was not looked for";

/// What follows from the facts.
#[derive(Debug)]
pub enum Assessment {
    /// The source must be asked first.
    Ask(Vec<Question>),
    /// Something stands in the way; ordered by reason.
    Blocked(Vec<Finding>),
    /// Every position is known.
    Mapped(Vec<TargetPlan>),
}

/// Applies the rules to all partitions.
pub fn assess(facts: &Facts, logs: &SourceLogs) -> Assessment {
    let mut questions = Vec::new();
    let mut judged = BTreeMap::new();
    for (q, source) in &facts.sources {
        let judge = judge(q, source, facts, logs);
        match judge.judge() {
            Ok(judgement) => {
                judged.insert(q, (judgement, judge.views));
            }
            Err(question) => questions.push(question),
        }
    }
    if questions.is_empty() { conclude(facts, judged) } else { Assessment::Ask(questions) }
}

/// The rules on one source partition.
pub(super) fn judge<'a>(
    q: &'a TopicPartition,
    source: &'a SourceFacts,
    facts: &'a Facts,
    logs: &'a SourceLogs,
) -> Judge<'a, 'a> {
    let log = logs.get(q).map_or_else(|| Cow::Owned(SourceLog::new(source.log_start)), Cow::Borrowed);
    Judge { q, facts: source, all: facts, log, views: views(q, source, facts) }
}

fn views<'a>(q: &TopicPartition, source: &'a SourceFacts, facts: &'a Facts) -> Vec<View<'a>> {
    let known = source.targets.iter().filter_map(|t| Some((t, facts.targets.get(t)?)));
    known.map(|(t, target)| view(q, source, t, target)).collect()
}

type ByTarget<'a> = HashMap<&'a TopicPartition, Vec<&'a TopicPartition>>;
type Judged<'a> = BTreeMap<&'a TopicPartition, (Judgement, Vec<View<'a>>)>;

fn conclude<'a>(facts: &'a Facts, mut judged: Judged<'a>) -> Assessment {
    let by_target = facts.by_target();
    let positions = positions(facts, &judged, &by_target);
    let unusable: BTreeMap<&TopicPartition, Finding> =
        facts.targets.iter().filter_map(|(t, target)| Some((t, position::unusable(t, target)?))).collect();
    // What cannot be read tells nothing of what lies there.
    for (q, (judgement, _)) in &mut judged {
        if facts.sources[*q].targets.iter().any(|t| unusable.contains_key(t)) {
            judgement.findings.clear();
            judgement.gap = 0;
        }
    }
    let usable = |(t, _): &(&TopicPartition, &Position)| !unusable.contains_key(t);
    let mut findings: Vec<Finding> = unusable.values().cloned().collect();
    for (t, position) in positions.iter().filter(usable) {
        findings.extend(position.findings.iter().cloned());
        // Rule 30: as many missing records as undecodable ones were included are no gap.
        let mut allowance = position.undecodable_included;
        for q in by_target.get(t).into_iter().flatten() {
            let Some((judgement, _)) = judged.get_mut(q) else { continue };
            let forgiven = judgement.gap.min(allowance);
            judgement.gap -= forgiven;
            allowance -= forgiven;
        }
    }
    for (q, (judgement, _)) in &mut judged {
        findings.append(&mut judgement.findings);
        if judgement.gap > 0 && facts.policies.gap == GapPolicy::Fail {
            findings.push(Finding::new(Reason::GapOnTarget, q, gap_text(judgement.gap, &judgement.gap_at)));
        }
    }
    if findings.is_empty() {
        let plans = plans(facts, &judged, &by_target, positions);
        findings.extend(refused(facts, &plans));
        if findings.is_empty() {
            return Assessment::Mapped(plans);
        }
    }
    findings.sort_by(|a, b| (a.reason, &a.partition).cmp(&(b.reason, &b.partition)));
    Assessment::Blocked(findings)
}

fn positions(
    facts: &Facts,
    judged: &Judged<'_>,
    by_target: &ByTarget<'_>,
) -> BTreeMap<TopicPartition, Position> {
    let natives = facts.policies.native_records;
    let one = |(t, target)| {
        let views: Vec<_> = by_target
            .get(t)
            .into_iter()
            .flatten()
            .filter_map(|q| {
                let view = judged.get(q)?.1.iter().find(|v| v.target == t)?;
                Some((*q, &facts.sources[*q], view))
            })
            .collect();
        (TopicPartition::clone(t), position::find(t, target, &views, natives))
    };
    facts.targets.iter().map(one).collect()
}

/// `policies.reprocessing: Fail`.
fn refused(facts: &Facts, plans: &[TargetPlan]) -> Vec<Finding> {
    if facts.policies.reprocessing == Reprocessing::Accept {
        return Vec::new();
    }
    let rows = plans.iter().flat_map(|t| t.sources.iter().map(move |row| (t, row)));
    rows.filter(|(_, row)| row.reread > 0)
        .map(|(t, row)| {
            let text = format!(
                "{} records below committed {} lie at or after position {} of {} and would be read again \
                 (policies.reprocessing: Accept goes on)",
                row.reread,
                row.committed,
                t.position,
                t.target()
            );
            Finding::new(Reason::ReprocessingRefused, &TopicPartition::new(&row.topic, row.partition), text)
        })
        .collect()
}

fn plans(
    facts: &Facts,
    judged: &Judged<'_>,
    by_target: &ByTarget<'_>,
    positions: BTreeMap<TopicPartition, Position>,
) -> Vec<TargetPlan> {
    let plan = |(t, position): (TopicPartition, Position)| {
        let sources = by_target.get(&t).map(Vec::as_slice).unwrap_or_default();
        target_plan(facts, judged, &t, sources, position)
    };
    let mut plans: Vec<TargetPlan> = positions.into_iter().map(plan).collect();
    // A spread q is exact where all of its rows are.
    let inexact: BTreeSet<(String, i32)> = plans
        .iter()
        .flat_map(|t| &t.sources)
        .filter(|row| !row.exact)
        .map(|row| (row.topic.clone(), row.partition))
        .collect();
    for row in plans.iter_mut().flat_map(|t| &mut t.sources) {
        if row.exact && inexact.contains(&(row.topic.clone(), row.partition)) {
            row.exact = false;
            row.why.push("another target partition of this source partition is not exact".to_owned());
        }
    }
    plans
}

fn target_plan(
    facts: &Facts,
    judged: &Judged<'_>,
    t: &TopicPartition,
    sources: &[&TopicPartition],
    position: Position,
) -> TargetPlan {
    let target = &facts.targets[t];
    let rows = sources.iter().filter_map(|q| {
        let (judgement, views) = judged.get(q)?;
        let index = views.iter().position(|v| v.target == t)?;
        Some(certificate(q, &facts.sources[*q], judgement, &views[index], index == 0, &position))
    });
    let sources: Vec<SourceCertificate> = rows.collect();
    let set_by =
        position.set_by.or_else(|| sources.first().map(|row| TopicPartition::new(&row.topic, row.partition)));
    let metadata = set_by.and_then(|q| facts.sources.get(&q)).map(|q| q.metadata.clone()).unwrap_or_default();
    let found = &target.found;
    let first_undecodable = found.first_undecodable.as_ref().map(|(offset, why)| format!("{offset}: {why}"));
    TargetPlan {
        topic: t.topic.clone(),
        partition: t.partition,
        position: position.offset,
        kind: position.kind,
        log_start: target.log_start,
        last_stable_offset: target.end,
        metadata,
        counted_from: (target.read_from > target.log_start).then_some(target.read_from),
        natives_skipped: position.natives_skipped,
        undecodable: found.undecodable.count_within(i64::MIN, i64::MAX),
        first_undecodable,
        probes: target.probes.into(),
        records_read: found.records,
        sources,
        there_before: false,
        read_back: None,
        kept: None,
    }
}

fn certificate(
    q: &TopicPartition,
    source: &SourceFacts,
    judgement: &Judgement,
    view: &View<'_>,
    first_row: bool,
    position: &Position,
) -> SourceCertificate {
    let c = source.committed;
    // What is still to come cannot be told by target partition: it stands in the first row alone.
    let to_come: &[(i64, i64)] = if first_row { &judgement.to_come } else { &[] };
    let reread = position::reread(view, c, position.offset, to_come);
    let mut why = why_not_exact(judgement, view, reread);
    if view.facts.verified == Verified::Window {
        why.push(NOT_ALL_READ.to_owned());
    }
    let at_offset = |(offset, origin)| RecordRef { offset, origin };
    SourceCertificate {
        topic: q.topic.clone(),
        partition: q.partition,
        committed: c,
        assumed: source.assumed.map(str::to_owned),
        log_start: source.log_start,
        end: source.high_watermark,
        replicator_position: source.replicator_position,
        below: view.copies.highest_last_copy(c, position.offset).map(at_offset),
        at: view.copies.lowest_last_copy(c).map(at_offset),
        reread,
        gap: judgement.gap,
        filtered: judgement.filtered,
        superseded: judgement.superseded,
        exact: why.is_empty(),
        why,
        proven_by: judgement.proven_by.unwrap_or(ProvenBy::Waived),
        verified: view.facts.verified.name().to_owned(),
    }
}

fn why_not_exact(judgement: &Judgement, view: &View<'_>, reread: u64) -> Vec<String> {
    let mut why = Vec::new();
    let mut say = |holds: bool, text: String| {
        if holds {
            why.push(text);
        }
    };
    say(reread > 0, format!("{reread} records are read again"));
    say(judgement.gap > 0, format!("{} records are missing on the target", judgement.gap));
    say(judgement.superseded > 0, format!("{} missing records were superseded", judgement.superseded));
    let unexplained = judgement.unexplained;
    say(
        unexplained > 0,
        format!("{unexplained} records behind the first unread one are missing on the target"),
    );
    say(judgement.undecided, "whether records are missing on the target is not known".to_owned());
    say(judgement.proven_by == Some(ProvenBy::Waived), "completeness was waived".to_owned());
    let undecodable = view.facts.found.undecodable.count_within(i64::MIN, i64::MAX);
    say(undecodable > 0, format!("{undecodable} records carry an origin that cannot be decoded"));
    why
}
