//! What would happen if the application were stopped now: looked at while it still runs. Reads only, keeps
//! nothing, and stands in no condition.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::{
    TopicPartition,
    api::v1alpha1::{GapPolicy, NativeRecords, Preview, Reason, ReplicationProof, Reprocessing},
    kafka::KafkaError,
    mapping::{
        Finding, MappingPolicies, Plan,
        plan::{ProvenBy, SourceCertificate},
    },
};

use super::{
    super::{
        super::{
            Context,
            fault::{Fault, Side},
        },
        existing::Existing,
        facts::Effort,
        journal::Snapshot,
        live::{self, Live},
        report,
        scope::Selection,
        seen::Mapping,
    },
    groups, plan,
};

/// A preview that takes longer is given up: the confirmation may come meanwhile.
const DEADLINE: Duration = Duration::from_secs(20);
/// Blocks that are listed.
const LISTED: usize = 20;

/// The preview. A cluster that does not answer is a block like any other.
pub async fn look(live: &mut Live, context: &Context) -> Preview {
    let before = live.object.status.as_ref().and_then(|s| s.preview.clone());
    let look = async {
        super::clusters(live, context).await?;
        let (lane, work) = live::lane(&live.object);
        let _place = context.lanes.mapping(&lane, work).await;
        foresee(live, Effort::Glance, Some(context)).await
    };
    let preview = match tokio::time::timeout(DEADLINE, look).await {
        Ok(Ok(preview)) => preview,
        Ok(Err(fault)) => {
            Preview { blocks: vec![format!("{}: {}", fault.reason, fault.message)], ..nothing() }
        }
        Err(_) => before.unwrap_or_else(|| {
            let text = format!("not known yet: a look takes longer than {} s", DEADLINE.as_secs());
            Preview { blocks: vec![text], ..nothing() }
        }),
    };
    // What was seen on the way is no part of a reconcile that goes on.
    (live.seen.committed, live.seen.mapping, live.seen.target) = (BTreeMap::new(), None, None);
    preview
}

fn nothing() -> Preview {
    let observed_at = Time(Timestamp::now());
    Preview { observed_at, partitions: 0, exact: 0, reread: 0, lag: 0, blocks: Vec::new() }
}

/// The same with the clusters at hand, and the plan left in what was seen: the one that would be committed, or
/// what it would be if everything were accepted that can be. The context remembers what the group was seen to read.
pub async fn foresee(live: &mut Live, effort: Effort, context: Option<&Context>) -> Result<Preview, Fault> {
    let Some(clusters) = live.clusters.clone() else { return Ok(nothing()) };
    let group = &live.object.spec.consumer_group.clone();
    let committed = clusters.source.committed(group).await;
    live.seen.committed = committed.map_err(|error: KafkaError| Fault::kafka(Side::Source, &error))?;
    let mut blocks = Vec::from_iter(groups::obstacle(live, context).await?);
    if live.seen.committed.is_empty() {
        if !blocks.is_empty() {
            return Ok(Preview { blocks, ..nothing() });
        }
        return Err(Fault::new(Reason::GroupNotFound, groups::not_found(live)));
    }
    let stable = groups::last_stable(live).await?;
    let taken_at = Timestamp::now().to_string();
    let snapshot = Snapshot::new(&live.object.spec, &live.seen.committed, &stable, taken_at);
    let policies = MappingPolicies::from(&live.object.spec.policies);
    let mut mapping = match plan::compute(live, &snapshot, policies, effort).await {
        Err(fault) if !blocks.is_empty() => {
            blocks.push(format!("{}: {}", fault.reason, fault.message));
            return Ok(Preview { blocks, ..nothing() });
        }
        mapping => mapping?,
    };
    if let Mapping::Blocked(findings) = &mapping {
        blocks.extend(findings.iter().map(block));
        // How the others would fare: as if everything were accepted that can be.
        let accepting = MappingPolicies {
            gap: GapPolicy::Accept,
            reprocessing: Reprocessing::Accept,
            native_records: NativeRecords::Report,
            replication_proof: ReplicationProof::Waive,
            verification: policies.verification,
        };
        mapping = plan::compute(live, &snapshot, accepting, effort).await?;
    }
    let Mapping::Mapped(plan) = mapping else {
        let partitions = taking_part(live);
        return Ok(Preview { partitions, blocks: listed(blocks), ..nothing() });
    };
    let summary = report::foreseen(&plan);
    let lag = lag(&plan);
    live.seen.mapping = Some(Mapping::Mapped(plan));
    groups::target(live).await?;
    if let (Some(target), Some(plan)) = (&live.seen.target, live.seen.plan()) {
        let active = target.active.iter().map(|text| format!("{}: {text}", Reason::TargetGroupActive));
        let conflict = Existing::judge(&live.object, plan, target).conflict();
        let conflict = conflict.map(|text| format!("{}: {text}", Reason::TargetOffsetsExist));
        blocks.extend(active.chain(conflict));
    }
    Ok(Preview {
        partitions: summary.partitions,
        exact: summary.exact,
        reread: summary.reread,
        lag,
        blocks: listed(blocks),
        ..nothing()
    })
}

fn block(finding: &Finding) -> String {
    format!("{} {}: {}", finding.reason, finding.partition, finding.message)
}

/// What waiting does not end comes first: it is never among the rest that is only counted.
fn listed(mut blocks: Vec<String>) -> Vec<String> {
    blocks.sort_by_key(|block| !Preview::reason(block).is_some_and(Reason::needs_somebody));
    let more = blocks.len().saturating_sub(LISTED);
    if more > 0 {
        blocks.truncate(LISTED - 1);
        blocks.push(format!("and {} more", more + 1));
    }
    blocks
}

fn taking_part(live: &Live) -> u32 {
    let Ok(selection) = Selection::new(&live.object.spec) else { return 0 };
    let count = live.seen.committed.keys().filter(|q| selection.takes(&q.topic)).count();
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Source offsets below the committed ones that the replicator has not come to, as far as the target tells.
fn lag(plan: &Plan) -> u64 {
    let rows = plan.targets.iter().flat_map(|t| &t.sources).filter(|row| row.proven_by == ProvenBy::Waived);
    let mut by_source: BTreeMap<TopicPartition, u64> = BTreeMap::new();
    for row in rows {
        let behind = by_source.entry(TopicPartition::new(&row.topic, row.partition)).or_insert(u64::MAX);
        *behind = (*behind).min(missing(row));
    }
    by_source.values().sum()
}

fn missing(row: &SourceCertificate) -> u64 {
    let copied = row.below.map_or(row.log_start, |r| r.origin.next());
    let reached = row.replicator_position.unwrap_or(copied);
    (row.committed.0 - reached.0).max(0).unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_a_person_ends_is_listed_first() {
        let waits = (0..40).map(|n| format!("{} orders-{n}: it is behind", Reason::ReplicationBehind));
        let gap = format!("{} orders-40: 1 record", Reason::GapOnTarget);
        let blocks = listed(waits.chain([gap.clone()]).collect());
        assert_eq!((&blocks[0], blocks.len()), (&gap, LISTED));
        assert_eq!(blocks[LISTED - 1], "and 22 more");
        assert!(Preview { blocks, ..nothing() }.needs_somebody());
    }
}
