//! Looks at the world for `decide`. Reads only: of the API server, and of both Kafka clusters.

mod groups;
mod journal;
mod offline;
mod plan;
mod preview;
mod progress;
mod unmoved;

use std::time::Instant;

use kube::ResourceExt;

use crate::{
    api::v1alpha1::{AppMigration, ConditionType, K2KReplicator, Reason, RecordTimestamps},
    kafka::Cluster,
};

use super::{
    super::{
        Context, KubeError, conditions,
        fault::{Fault, Side},
        pipeline::{self, Loaded},
        replicator::Replicator,
    },
    facts::Clusters,
    live::Live,
    seen::ClusterIds,
    step::Look,
};

pub use groups::last_stable;
pub use journal::{Owner, owner, read as journal};
pub use offline::{Foreseen, foresee};
pub use progress::{mapping, preview};
pub use unmoved::first_records;

/// Looks at one thing and notes what is seen. A Kafka fault is something seen; only a failed call to the API
/// server is an error.
pub async fn look(what: Look, live: &mut Live, context: &Context) -> Result<(), KubeError> {
    let outcome = match what {
        Look::Replicator => {
            live.seen.replicator = Some(replicator(&live.object, context).await?);
            Ok(())
        }
        Look::Preview => {
            live.seen.preview = Some(preview::look(live, context).await);
            Ok(())
        }
        Look::Journal => {
            live.seen.journal = Some(journal::read(&live.object, context).await?);
            Ok(())
        }
        Look::Clusters => clusters(live, context).await,
        Look::Rivals => {
            live.seen.rival = Some(rival(live, context).await.map_or(Ok(()), Err));
            Ok(())
        }
        Look::Group => groups::source(live, context).await,
        Look::Quiet => {
            let period = live.object.spec.quiet_period.into();
            let uid = live.object.uid().unwrap_or_default();
            let committed = &live.seen.committed;
            live.seen.quiet =
                Some(context.quiet(&uid, |watch| watch.look(committed, period, Instant::now())));
            Ok(())
        }
        Look::Mapping => plan::mapping(live, context).await,
        Look::Target => groups::target(live).await,
        Look::Unmoved => match unmoved::unmoved(live).await {
            // The target's offsets last, so that what the commit is judged by is not older than the check.
            Ok(()) => groups::target(live).await,
            failed => failed,
        },
        Look::Topics => topics(live).await,
    };
    live.seen.fault = outcome.err().map(|fault| (what, fault));
    Ok(())
}

type Usable = Result<Box<Replicator>, (Reason, String)>;

/// The replicator, or why it cannot be used; the error is a failed call to the API server.
async fn replicator(object: &AppMigration, context: &Context) -> Result<Usable, KubeError> {
    let found = match ready(object, context) {
        Ok(found) => found,
        Err(why) => return Ok(Err(why)),
    };
    let loaded = pipeline::load(&found, &context.client).await?;
    let name = &object.spec.replicator_ref.name;
    let told =
        |fault: Fault| (Reason::ReplicatorNotReady, format!("K2KReplicator {name}: {}", fault.message));
    Ok(loaded.map_err(told).and_then(|loaded| usable(loaded.replicator, object)))
}

/// The replicator, by its own controller's word.
fn ready(object: &AppMigration, context: &Context) -> Result<K2KReplicator, (Reason, String)> {
    let name = &object.spec.replicator_ref.name;
    let namespace = object.namespace().unwrap_or_default();
    if context.replicators.is_malformed(&namespace, name) {
        let text = format!("K2KReplicator {name} does not fit its CRD and cannot be read; see its events");
        return Err((Reason::ReplicatorNotReady, text));
    }
    let Some(found) = context.replicators.get(&namespace, name) else {
        let text = format!("there is no K2KReplicator {name} in this namespace; create it");
        return Err((Reason::ReplicatorNotFound, text));
    };
    is_ready(&found)?;
    Ok(found)
}

/// Whether what the replicator writes is enough for this migration.
fn usable(replicator: Replicator, object: &AppMigration) -> Usable {
    let name = &replicator.name;
    if replicator.format.offset.is_none() {
        let text = format!(
            "K2KReplicator {name} does not write the offset header: switch it on in the replicator, then set \
             features.tracingHeaders.offset to Enabled"
        );
        return Err((Reason::TracingHeadersDisabled, text));
    }
    let kept = replicator.features.keep_record_creation_timestamp.is_enabled();
    if !kept && object.spec.policies.record_timestamps == RecordTimestamps::Require {
        let text = format!(
            "K2KReplicator {name} does not keep record timestamps (features.keepRecordCreationTimestamp); set \
             policies.recordTimestamps: Ignore if the application can live with that"
        );
        return Err((Reason::TimestampsNotKept, text));
    }
    Ok(Box::new(replicator))
}

/// Its own controller's word, and for this very generation.
fn is_ready(replicator: &K2KReplicator) -> Result<(), (Reason, String)> {
    let name = replicator.name_any();
    let status = replicator.status.as_ref();
    let ready = status.and_then(|s| conditions::find(&s.conditions, ConditionType::Ready));
    match ready {
        Some(ready) if ready.observed_generation != replicator.metadata.generation => Err((
            Reason::ReplicatorNotReady,
            format!("K2KReplicator {name} has changed and is being checked"),
        )),
        Some(ready) if ready.status == "True" => Ok(()),
        Some(ready) => Err((
            Reason::ReplicatorNotReady,
            format!("K2KReplicator {name}: {}: {}", ready.reason, ready.message),
        )),
        None => Err((Reason::ReplicatorNotReady, format!("K2KReplicator {name} has not been checked yet"))),
    }
}

async fn clusters(live: &mut Live, context: &Context) -> Result<(), Fault> {
    let Some(Ok(replicator)) = &live.seen.replicator else {
        return Ok(());
    };
    let namespace = live.object.namespace().unwrap_or_default();
    // Which target it is matters to others, whatever becomes of the source.
    let target = context.target(&namespace, &replicator.name, &replicator.target).await;
    let source = context.cluster(&namespace, Side::Source, &replicator.source.cluster).await?;
    let source_id = source.current_id().await.map_err(|e| Fault::kafka(Side::Source, &e))?;
    let target = target?;
    live.landmarks = context.landmarks(&target.1);
    connected(live, (source, source_id), target)
}

/// Takes both clusters with their ids.
fn connected(
    live: &mut Live,
    (source, source_id): (Cluster, String),
    (target, target_id): (Cluster, String),
) -> Result<(), Fault> {
    let name = &live.object.spec.replicator_ref.name;
    if source_id == target_id && live.object.spec.target_group() == live.object.spec.consumer_group {
        let text = format!(
            "source and target of K2KReplicator {name} are one cluster, {source_id}: a group cannot be moved to \
             itself; correct the addresses, or, where the routes give the copies other names, set \
             spec.targetConsumerGroup"
        );
        return Err(Fault::new(Reason::InvalidSpec, text));
    }
    live.seen.clusters = Some(ClusterIds { source: source_id, target: target_id });
    live.clusters = Some(Clusters { source, target });
    Ok(())
}

/// Whether a plan whose commit has begun can still be finished.
async fn topics(live: &mut Live) -> Result<(), Fault> {
    let (Some(clusters), Some(plan)) = (&live.clusters, live.seen.stored_plan()) else {
        return Ok(());
    };
    let moved = unmoved::unfinishable(live, clusters, plan).await?;
    live.seen.topics = Some(moved.map_or(Ok(()), Err));
    Ok(())
}

/// Among the confirmed and unfinished migrations of one target group on one target cluster, the one latched
/// first goes on, then the older, then the smaller uid.
async fn rival(live: &Live, context: &Context) -> Option<String> {
    let target = live.seen.clusters.as_ref()?.target.clone();
    let order = |m: &AppMigration| {
        let status = m.status.as_ref();
        let latched = status.and_then(|s| s.stop_confirmed_at.as_ref()).map(|t| t.0);
        let created = m.metadata.creation_timestamp.as_ref().map(|t| t.0);
        (latched, created, m.metadata.uid.clone())
    };
    let mine = order(&live.object);
    let competes = |m: &AppMigration| {
        let status = m.status.as_ref();
        m.metadata.uid != live.object.metadata.uid
            && m.metadata.deletion_timestamp.is_none()
            && status.is_some_and(|s| s.stop_confirmed_at.is_some() && s.completed_at.is_none())
            && m.spec.target_group() == live.object.spec.target_group()
    };
    let mut earlier = context.migrations.filter(|m| competes(m) && order(m) < mine);
    earlier.sort_by_key(order);
    for rival in &earlier {
        let name = format!("{}/{}", rival.namespace().unwrap_or_default(), rival.name_any());
        match target_of(rival, context).await {
            Some(Ok(theirs)) if theirs == target => return Some(name),
            // In doubt it waits; but what has begun is finished.
            Some(Err(_)) if live.seen.stored_plan().is_none_or(|plan| plan.commit_begun_at.is_none()) => {
                return Some(format!("{name} (whose target cluster does not answer now)"));
            }
            _ => {}
        }
    }
    None
}

/// The target cluster of another migration; none for one without a replicator, which cannot go on.
async fn target_of(migration: &AppMigration, context: &Context) -> Option<Result<String, Fault>> {
    let namespace = migration.namespace().unwrap_or_default();
    let name = &migration.spec.replicator_ref.name;
    if let Some(known) = context.target_of(&namespace, name) {
        return Some(Ok(known));
    }
    let found = context.replicators.get(&namespace, name)?;
    let Loaded { replicator, .. } = match pipeline::load(&found, &context.client).await {
        Ok(Ok(loaded)) => loaded,
        // A file that cannot be used now may be mended, and the migration go on.
        Ok(Err(fault)) if found.spec.pipeline_from.is_some() => return Some(Err(fault)),
        Ok(Err(_)) => return None,
        Err(error) => return Some(Err(Fault::new(Reason::TargetUnavailable, error.to_string()))),
    };
    Some(context.target(&namespace, name, &replicator.target).await.map(|(_, id)| id))
}
