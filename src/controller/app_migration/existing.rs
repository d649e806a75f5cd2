//! Offsets that the target group has already, against the plan and the policy. Pure.

use std::collections::BTreeMap;

use kube::ResourceExt;

use crate::{
    TopicPartition,
    api::v1alpha1::{ALLOW_REWIND_ANNOTATION, AppMigration, ExistingTargetOffsets},
    kafka::Committed,
    mapping::{Plan, TargetOffset, plan::TargetPlan},
};

use super::seen::Target;

/// Existing offsets that are listed in a message.
const LISTED: usize = 10;

/// What is to become of each target partition of a plan.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Existing {
    /// Partitions that `Forward` leaves ahead, with their own offset.
    pub kept: BTreeMap<TopicPartition, TargetOffset>,
    /// Partitions whose offset the policy protects: offset and position.
    pub conflicts: Vec<(TopicPartition, i64, TargetOffset)>,
    /// Of those, whether only the annotation is missing.
    pub rewinds: bool,
    policy: ExistingTargetOffsets,
    uid: String,
}

impl Existing {
    /// Judges the group's offsets on the target.
    pub fn judge(object: &AppMigration, plan: &Plan, group: &Target) -> Self {
        let policy = object.spec.policies.existing_target_offsets;
        let uid = object.uid().unwrap_or_default();
        let may_rewind = object.annotations().get(ALLOW_REWIND_ANNOTATION) == Some(&uid);
        let mut judged = Self { policy, uid, ..Self::default() };
        for t in &plan.targets {
            let target = t.target();
            let Some(existing) = group.committed.get(&target).map(|c| c.offset) else {
                continue;
            };
            // Equal offsets are as good as our own: a second run after a crash is harmless.
            if existing == t.position.0 {
                continue;
            }
            let ahead = existing > t.position.0;
            match policy {
                // Not even Forward leaves a group where no record is.
                ExistingTargetOffsets::Forward
                    if group.ends.get(&target).is_some_and(|end| existing > *end) =>
                {
                    judged.conflicts.push((target, existing, t.position));
                }
                ExistingTargetOffsets::Forward if ahead => {
                    judged.kept.insert(target, TargetOffset(existing));
                }
                ExistingTargetOffsets::Overwrite if ahead && !may_rewind => {
                    judged.rewinds = true;
                    judged.conflicts.push((target, existing, t.position));
                }
                ExistingTargetOffsets::Fail => judged.conflicts.push((target, existing, t.position)),
                ExistingTargetOffsets::Forward | ExistingTargetOffsets::Overwrite => {}
            }
        }
        judged
    }

    /// What the policy forbids, for the user.
    pub fn conflict(&self) -> Option<String> {
        if self.conflicts.is_empty() {
            return None;
        }
        let listed: Vec<String> = self
            .conflicts
            .iter()
            .take(LISTED)
            .map(|(t, existing, position)| format!("{t} has {existing}, the plan {position}"))
            .collect();
        let more = self.conflicts.len().saturating_sub(LISTED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let way_out = match self.policy {
            ExistingTargetOffsets::Overwrite => format!(
                "Overwrite would move the group back; annotate the object with {ALLOW_REWIND_ANNOTATION}={} if that \
                 is meant",
                self.uid
            ),
            ExistingTargetOffsets::Forward => {
                "that lies beyond the end of the log, where Forward cannot leave it; delete the group's offsets on \
                 the target"
                    .to_owned()
            }
            ExistingTargetOffsets::Fail => {
                "delete the group's offsets on the target, or set policies.existingTargetOffsets to Overwrite (the \
                 plan's are taken) or Forward (what is ahead stays: right only if the group has read what lies \
                 between)"
                    .to_owned()
            }
        };
        Some(format!("the target group has offsets already: {}{more}; {way_out}", listed.join(", ")))
    }
}

/// Whether the commit of `plan` has begun: it was announced in the journal, and the target shows some of it.
/// Announced alone it may have died with the operator, or have been refused, before anything was committed.
///
/// Only the planned offset itself shows it. One ahead of it may be that of an application that was started too
/// early, with `auto.offset.reset=latest`: it tells nothing of what lies between. Nor does one that was there
/// when the commit was announced.
pub fn begun(plan: &Plan, committed: &BTreeMap<TopicPartition, Committed>) -> bool {
    let arrived = |t: &TargetPlan| committed.get(&t.target()).is_some_and(|c| c.offset == t.position.0);
    plan.commit_begun_at.is_some()
        && plan.targets.iter().filter(|t| t.kept.is_none() && !t.there_before).any(arrived)
}

#[cfg(test)]
mod tests;
