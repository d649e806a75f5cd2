//! What a migration would do, from manifests alone: without an API server. Reads only.

use std::time::Duration;

use kube::ResourceExt;

use crate::{
    api::v1alpha1::{AppMigration, ClusterSpec, K2KReplicator, Preview, Reason},
    connections,
    kafka::{Cluster, KafkaError},
    mapping::Plan,
    secrets::SecretSource,
};

use super::{
    super::{
        super::{
            fault::{Fault, Side},
            replicator::Replicator,
        },
        decide::invalid,
        facts::Effort,
        live::Live,
        seen::Mapping,
    },
    connected, groups, preview, usable,
};

/// Each Kafka call has this deadline.
const DEADLINE: Duration = Duration::from_secs(20);

/// What would happen.
pub struct Foreseen {
    /// The counts, and what stands in the way.
    pub preview: Preview,
    /// The plan; where something stands in the way, what it would be if all were accepted that can be.
    pub plan: Option<Box<Plan>>,
    /// The group on the source, in words.
    pub group: String,
}

/// Computes the plan of `migration`. The error names what is wrong.
pub async fn foresee(
    migration: AppMigration,
    replicator: &K2KReplicator,
    secrets: &impl SecretSource,
) -> Result<Foreseen, String> {
    let told = |fault: Fault| format!("{}: {}", fault.reason, fault.message);
    let name = replicator.name_any();
    if let Some(problem) = invalid(&migration) {
        return Err(format!("AppMigration {}: {problem}", migration.name_any()));
    }
    let validated = Replicator::new(replicator);
    let validated =
        validated.map_err(|why| format!("K2KReplicator {name}: {}: {why}", Reason::ReplicatorNotReady))?;
    let usable = usable(validated, &migration);
    let usable = usable.map_err(|(reason, why)| format!("K2KReplicator {name}: {reason}: {why}"))?;
    let mut live = Live::new(migration);
    let field = |side| format!("K2KReplicator {name}: {side}");
    let source = connect(&field("spec.source"), Side::Source, &usable.source.cluster, secrets).await;
    let target = connect(&field("spec.target"), Side::Target, &usable.target, secrets).await;
    live.seen.replicator = Some(Ok(usable));
    connected(&mut live, source.map_err(told)?, target.map_err(told)?).map_err(told)?;
    let group = group(&live).await.map_err(told)?;
    let preview = preview::foresee(&mut live, Effort::Usual, None).await.map_err(told)?;
    let plan = match live.seen.mapping {
        Some(Mapping::Mapped(plan)) => Some(plan),
        _ => None,
    };
    Ok(Foreseen { preview, plan, group })
}

async fn connect(
    field: &str,
    side: Side,
    spec: &ClusterSpec,
    secrets: &impl SecretSource,
) -> Result<(Cluster, String), Fault> {
    let config = connections::resolve(field, spec, secrets).await.map_err(|e| Fault::connection(&e))?;
    let on_side = |error: KafkaError| Fault::kafka(side, &error);
    let cluster = Cluster::connect(&config, DEADLINE).await.map_err(on_side)?;
    let id = cluster.current_id().await.map_err(on_side)?;
    Ok((cluster, id))
}

async fn group(live: &Live) -> Result<String, Fault> {
    let (Some(clusters), name) = (&live.clusters, &live.object.spec.consumer_group) else {
        return Ok(String::new());
    };
    let group = clusters.source.group(name).await.map_err(|e: KafkaError| Fault::kafka(Side::Source, &e))?;
    Ok(if group.is_active() { groups::members(name, &group) } else { format!("group {name} has no members") })
}
