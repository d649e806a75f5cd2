//! What the application makes of an answer: what it reads on the target in the end, beside what it had read
//! on the source. None of this knows the rules; it knows what is to be had by reading.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{
    clusters::{Step, Written},
    history::History,
    operator::Look,
};
use crate::{
    api::v1alpha1::NativeRecords,
    mapping::{
        SourceFacts,
        plan::{ProvenBy, SourceCertificate, TargetPlan},
        tests::world::{copy, orders},
    },
};

type Checked = Result<(), TestCaseError>;

/// Source offsets.
type Offsets = BTreeSet<usize>;

/// One source partition as the answer has it.
pub struct Group<'a> {
    pub look: &'a Look,
    pub q: usize,
}

impl<'a> Group<'a> {
    fn facts(&self) -> &'a SourceFacts {
        &self.look.facts.sources[&orders(self.q)]
    }

    pub fn committed(&self) -> usize {
        at(self.facts().committed.0)
    }

    fn origin(&self, written: &Written) -> Option<(usize, usize, usize)> {
        written.origin.filter(|(q, ..)| *q == self.q && !written.garbled)
    }

    /// The copies on a target by their target offset, without those of a former life that is plain to see
    /// (rule 22).
    fn copies(&self, t: usize) -> Vec<(usize, (usize, usize, usize))> {
        let end = self.former_to(t);
        let log = self.look.targets[t].range(end..);
        log.filter_map(|(offset, written)| Some((*offset, self.origin(written)?))).collect()
    }

    /// Where those of a former life end.
    fn former_to(&self, t: usize) -> usize {
        let end = at(self.facts().high_watermark.0);
        let beyond = |written: &Written| self.origin(written).is_some_and(|(_, s, _)| s >= end);
        let last = self.look.targets[t].iter().rev().find(|(_, written)| beyond(written));
        last.map_or(0, |(offset, _)| offset + 1)
    }

    /// What the targets hold.
    pub fn on_targets(&self) -> Offsets {
        (0..self.look.targets.len()).flat_map(|t| self.copies(t)).map(|(_, (_, s, _))| s).collect()
    }

    /// How far the replicator is known to have come at the first record that was not read yet, or without
    /// one.
    pub fn first_unread(&self) -> Option<usize> {
        self.on_targets().range(self.committed()..).next().copied().or(self.position())
    }

    fn position(&self) -> Option<usize> {
        let position = self.facts().replicator_position.map(|r| at(r.0));
        position.filter(|r| *r <= at(self.facts().high_watermark.0))
    }

    /// What a group that resumes there reads again of what the target holds, and whether it misses none of it.
    fn resumes(&self, t: usize, position: usize) -> (Offsets, bool) {
        let copies = self.copies(t);
        let read: Offsets = copies.iter().filter(|(o, _)| *o >= position).map(|(_, (_, s, _))| *s).collect();
        let c = self.committed();
        let safe = copies.iter().all(|(_, (_, s, _))| *s < c || read.contains(s));
        (read.into_iter().filter(|s| *s < c).collect(), safe)
    }

    /// What is read again there.
    pub fn again(&self, t: usize, position: usize) -> Offsets {
        self.resumes(t, position).0
    }

    /// What the target holds and a group that resumes there never reads. Where the log was read in part it may
    /// read it on another target; and what the source's cleaner took it would not have been given there.
    fn lost(&self, t: usize, plans: &[TargetPlan]) -> Offsets {
        let held = |t: usize, from: usize| {
            let copies = self.copies(t).into_iter().filter(move |(offset, _)| *offset >= from);
            copies.map(|(_, (_, s, _))| s)
        };
        let behind = |t: usize| held(t, at(plans[t].position.0));
        let source = &self.look.clusters.sources[self.q];
        let gone = |s: usize| s >= source.start && source.any(s, s + 1).next().is_none();
        let unread = held(t, 0).filter(|s| *s >= self.committed());
        let mut lost = &unread.collect::<Offsets>() - &behind(t).collect();
        if self.look.facts.targets[&copy(t)].is_partial() {
            lost.retain(|s| !gone(*s));
            lost = &lost - &(0..plans.len()).flat_map(behind).collect();
        }
        lost
    }

    /// Copies of another life that nothing tells from the current one's.
    fn is_misled(&self) -> bool {
        let mut copies = (0..self.look.targets.len()).flat_map(|t| self.copies(t));
        copies.any(|(_, origin)| self.look.clusters.is_stale(origin))
    }
}

fn at(offset: i64) -> usize {
    usize::try_from(offset).unwrap()
}

/// Whatever was planned: nothing lost, nothing read again but what was counted, exact only where it is.
pub fn check(history: &History, look: &Look, plans: &[TargetPlan]) -> Checked {
    let groups: Vec<Group<'_>> = (0..history.sources).map(|q| Group { look, q }).collect();
    for plan in plans {
        let within = plan.log_start <= plan.position && plan.position <= plan.last_stable_offset;
        prop_assert!(within, "position {} lies without the log", plan.position);
    }
    if groups.iter().any(Group::is_misled) {
        return Ok(());
    }
    for (t, plan) in plans.iter().enumerate() {
        for group in &groups {
            let lost = group.lost(t, plans);
            prop_assert!(lost.is_empty(), "copies of {lost:?} are lost at {} of copy-{t}", plan.position);
        }
        least(&groups, t, plan)?;
    }
    let reads = reads(history, look, plans);
    for group in &groups {
        let rows: Vec<&SourceCertificate> = plans.iter().map(|plan| &plan.sources[group.q]).collect();
        again(group, plans, &rows, &reads[group.q])?;
        unread(history, group, plans, rows[0], &reads[group.q])?;
    }
    Ok(())
}

/// No later position would be as safe and re-read less.
fn least(groups: &[Group<'_>], t: usize, plan: &TargetPlan) -> Checked {
    let look = groups[0].look;
    let position = at(plan.position.0);
    // Rules 25 and 30 move it down.
    let moved = look.targets[t].get(&position).is_some_and(|w| w.garbled || w.origin.is_none());
    if moved && (plan.undecodable > 0 || look.facts.policies.native_records == NativeRecords::Include) {
        return Ok(());
    }
    let at_best = |p: usize| -> Option<usize> {
        let resumed: Vec<_> = groups.iter().map(|group| group.resumes(t, p)).collect();
        resumed.iter().all(|(_, safe)| *safe).then(|| resumed.iter().map(|(again, _)| again.len()).sum())
    };
    let here = at_best(position);
    for later in position + 1..=at(plan.last_stable_offset.0) {
        let there = at_best(later);
        prop_assert!(there.is_none() || there == here, "{later} is as safe as {position} and re-reads less");
    }
    Ok(())
}

/// What the application reads by source partition, once the replicator has come to rest.
fn reads(history: &History, look: &Look, plans: &[TargetPlan]) -> Vec<Offsets> {
    let mut clusters = look.clusters.clone();
    for step in &history.after {
        let takes = matches!(step, Step::ExpireTarget(..) | Step::CompactTarget(..));
        if !takes && history.may_happen_while_looked_at(step) {
            clusters.apply(step);
        }
    }
    clusters.rest(history.habits.ends_well);
    let mut read = vec![Offsets::new(); history.sources];
    for (t, plan) in plans.iter().enumerate() {
        let from = at(plan.position.0);
        let log = &clusters.targets[t];
        // What retention or the cleaner took since is no matter of the position.
        let then = look.targets[t].range(from..).map(|(offset, written)| (*offset, *written));
        let all = then.filter(|(offset, _)| !log.is_aborted(*offset)).chain(log.committed(from, log.end()));
        for (q, s, life) in all.filter_map(|(_, written)| written.origin) {
            if !clusters.is_stale((q, s, life)) && !clusters.sources[q].is_aborted(s) {
                read[q].insert(s);
            }
        }
    }
    read
}

/// None below the committed offset is read again unless it was counted, and no more are counted.
fn again(group: &Group<'_>, plans: &[TargetPlan], rows: &[&SourceCertificate], read: &Offsets) -> Checked {
    let again = read.range(..group.committed()).count() as u64;
    let undecodable: u64 = plans.iter().map(|plan| plan.undecodable).sum();
    let counted: u64 = rows.iter().map(|row| row.reread).sum();
    prop_assert!(again <= counted + undecodable, "{again} read again, {counted} counted");
    prop_assert!(again == 0 || rows.iter().any(|row| !row.exact), "exact, but {again} are read again");
    for (t, (plan, row)) in plans.iter().zip(rows).enumerate() {
        let (there, _) = group.resumes(t, at(plan.position.0));
        let there = there.len() as u64;
        let more = row.proven_by == ProvenBy::Waived || at(plan.position.0) < group.former_to(t);
        let right = row.reread == there || (more && row.reread > there);
        prop_assert!(right, "{} counted, {there} lie behind {}", row.reread, plan.position);
    }
    Ok(())
}

/// Every data record from the committed offset on is read, or counted as missing. What the replicator will
/// leave out later cannot be foreseen.
fn unread(
    history: &History,
    group: &Group<'_>,
    plans: &[TargetPlan],
    row: &SourceCertificate,
    read: &Offsets,
) -> Checked {
    let c = group.committed();
    let max = group.on_targets().last().map(|max| max + 1);
    let seen_to = max.max(group.position()).unwrap_or(0);
    let held = group.look.clusters.sources[group.q].committed(c, seen_to);
    let unread: Offsets = held.map(|(s, _)| s).filter(|s| !read.contains(s)).collect();
    if row.exact {
        let told = if history.habits.declared { row.filtered } else { 0 };
        prop_assert!(unread.len() as u64 <= told, "exact, but {:?} are never read", unread);
    }
    let undecodable: u64 = plans.iter().map(|plan| plan.undecodable).sum();
    let told = row.gap + row.superseded + row.filtered + undecodable;
    // What an open transaction held when the source was read is not counted.
    let held: Offsets = group.look.sources[group.q].committed(c, seen_to).map(|(s, _)| s).collect();
    let unread: Offsets = unread.intersection(&held).copied().collect();
    let missing = unread.range(..group.first_unread().unwrap_or(0).max(c)).count() as u64;
    let undecided = row.why.iter().any(|why| why.contains("not known"));
    prop_assert!(undecided || missing <= told, "{:?} are never read, {told} counted", unread);
    prop_assert!(row.gap <= possibly_missing(group), "{} count as missing, but are not", row.gap);
    Ok(())
}

/// What may be missing up to the first record that was not read yet.
pub fn possibly_missing(group: &Group<'_>) -> u64 {
    let (c, there) = (group.committed(), group.on_targets());
    let start = at(group.facts().log_start.0);
    let held = group.look.sources[group.q].committed(c, group.first_unread().unwrap_or(0));
    let gone = (c..start).filter(|s| !there.contains(s)).count();
    (gone + held.filter(|(s, _)| !there.contains(s)).count()) as u64
}
