//! A mapping that waits for the replicator is not made again while nothing moves that could end the wait: its
//! logs need not be read to know that. Nothing is ever committed by this: where anything has moved, and every tenth
//! time in any case, the logs are read.

use std::collections::BTreeMap;

use crate::{
    TopicPartition,
    api::v1alpha1::{ConditionType, UncommittedPartitions},
    mapping::{Assessment, Bounds, Finding, MappingPolicies, TargetFacts, plan::MadeFor},
};

use super::{super::scope::Chosen, Effort, Request};

/// What the end of a wait shows in: the target's logs, what the replicator says of itself, what retention takes
/// from the source, and what is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearings {
    made_for: MadeFor,
    policies: MappingPolicies,
    uncommitted: UncommittedPartitions,
    sources: BTreeMap<TopicPartition, Chosen>,
    snapshot_taken_at: String,
    positions: Bounds,
    log_starts: Bounds,
    targets: BTreeMap<TopicPartition, [i64; 3]>,
}

impl Bearings {
    /// Of this request: the replicator's positions and the source's log starts, and the targets' bounds.
    pub fn new(
        request: &Request<'_>,
        positions: Bounds,
        log_starts: Bounds,
        targets: &BTreeMap<TopicPartition, TargetFacts>,
    ) -> Self {
        let bounds = |(t, facts): (&TopicPartition, &TargetFacts)| {
            (t.clone(), [facts.log_start.0, facts.end.0, facts.high_watermark.0])
        };
        Self {
            made_for: request.made_for.clone(),
            policies: request.policies,
            uncommitted: request.uncommitted,
            sources: request.scope.sources.clone(),
            snapshot_taken_at: request.snapshot.taken_at.clone(),
            positions,
            log_starts,
            targets: targets.iter().map(bounds).collect(),
        }
    }
}

/// How a migration has waited so far.
#[derive(Debug, Default)]
pub struct Standstill {
    mappings: u32,
    waits: bool,
    /// Where everything stood right before the last mapping, and what that mapping waits for.
    at: Option<(Bearings, Vec<Finding>)>,
}

impl Standstill {
    /// How much the next mapping reads. While it waits for the replicator the ends of the logs are looked at; a
    /// replicator in disorder may have brought long ago what is waited for: one in ten reads everything.
    pub fn effort(&mut self) -> Effort {
        self.mappings += 1;
        if self.mappings.is_multiple_of(10) { Effort::Whole } else { Effort::Usual }
    }

    /// Whether the last mapping was left waiting: the first one is not delayed by asking for bearings.
    pub fn waits(&self) -> bool {
        self.waits
    }

    /// What it still waits for, where nothing has moved since.
    pub fn still(&self, bearings: &Bearings) -> Option<Vec<Finding>> {
        self.at.as_ref().filter(|(before, _)| before == bearings).map(|(_, findings)| findings.clone())
    }

    /// A mapping from there came to this.
    pub fn came_to(&mut self, bearings: Option<Bearings>, assessment: &Assessment) {
        let of_replication = ConditionType::ReplicationCaughtUp.reasons();
        let waits_for = match assessment {
            Assessment::Blocked(all) if all.iter().all(|f| of_replication.contains(&f.reason)) => Some(all),
            _ => None,
        };
        self.waits = waits_for.is_some();
        self.at = bearings.zip(waits_for.cloned());
    }
}
