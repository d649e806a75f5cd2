//! Runs both controllers until they are told to stop.

use std::{fmt::Debug, sync::Arc, time::Duration};

use backon::ExponentialBuilder;
use futures::StreamExt;
use kube::{
    Api, Client, Resource,
    api::ListParams,
    runtime::{
        Controller,
        controller::{self, Action},
        reflector::ObjectRef,
        utils::ResetTimerBackoff,
        watcher::{self, ExponentialBackoff},
    },
};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::api::v1alpha1::{AppMigration, K2KReplicator};

use super::{Context, KubeError, Options, app_migration, k2k_replicator};

/// How often it is looked for CRDs that are not installed yet.
const CRD_POLL: Duration = Duration::from_secs(5);
/// Kafka clients that nobody used for so long are closed.
const IDLE: Duration = Duration::from_mins(1);

/// Why the operator ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is no usable configuration of the API server.
    #[error("no Kubernetes configuration: {0}")]
    Config(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Runs until `stop` turns true; sets `ready` once the caches are filled.
pub async fn run(
    client: Client,
    options: Options,
    ready: watch::Sender<bool>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), RunError> {
    let migrations: Api<AppMigration> = api(&client, options.namespace.as_deref());
    let replicators: Api<K2KReplicator> = api(&client, options.namespace.as_deref());
    tokio::select! {
        () = async {
            installed(&migrations).await;
            installed(&replicators).await;
        } => {}
        _ = stop.wait_for(|stop| *stop) => return Ok(()),
    }
    let config = controller::Config::default().concurrency(options.concurrency);
    let stopped = || {
        let mut stop = stop.clone();
        async move {
            let _ = stop.wait_for(|stop| *stop).await;
        }
    };
    let migration = Controller::new(migrations.clone(), watcher::Config::default());
    let replicator = Controller::new(replicators.clone(), watcher::Config::default());
    let context = Arc::new(Context::new(client, migration.store(), replicator.store(), options));
    let (all, known) = (migration.store(), replicator.store());
    let migration = migration
        .with_config(config.clone())
        .trigger_backoff(watch_backoff())
        .watches(replicators, watcher::Config::default(), move |replicator: K2KReplicator| {
            users(&all, &replicator)
        })
        .graceful_shutdown_on(stopped())
        .run(app_migration::reconcile, retry, Arc::clone(&context))
        .for_each(|outcome| async { trace(outcome) });
    let replicator = replicator
        .with_config(config)
        .trigger_backoff(watch_backoff())
        .graceful_shutdown_on(stopped())
        .run(k2k_replicator::reconcile, retry, Arc::clone(&context))
        .for_each(|outcome| async { trace(outcome) });
    let caches = async {
        let filled = (context.migrations.wait_until_ready().await, known.wait_until_ready().await);
        if filled.0.is_ok() && filled.1.is_ok() {
            context.set_filled();
            tracing::info!("ready");
            let _ = ready.send(true);
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = async { tokio::join!(migration, replicator) } => {}
        () = caches => {}
        () = evict(&context) => {}
    }
    Ok(())
}

/// How soon broken watches are begun anew. The usual 30 s are too long for all watches of a controller together:
/// an API server that restarts breaks each several times, and nothing can be written by a cache that is behind.
fn watch_backoff() -> ResetTimerBackoff<ExponentialBackoff> {
    let delays = ExponentialBuilder::new().with_min_delay(Duration::from_millis(800));
    let delays = delays.with_max_delay(Duration::from_secs(5)).with_jitter().without_max_times();
    ResetTimerBackoff::new(delays.into(), Duration::from_mins(2))
}

fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// Waits until the kind can be listed: CRDs may be installed after the operator.
async fn installed<K>(api: &Api<K>)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    while let Err(error) =
        super::within_deadline("list the kind", api.list(&ListParams::default().limit(1))).await
    {
        tracing::warn!(kind = %K::kind(&()), %error, "the kind cannot be listed yet; is its CRD installed?");
        tokio::time::sleep(CRD_POLL).await;
    }
}

/// The migrations that name `replicator`.
fn users(
    migrations: &kube::runtime::reflector::Store<AppMigration>,
    replicator: &K2KReplicator,
) -> Vec<ObjectRef<AppMigration>> {
    let names = |m: &AppMigration| {
        m.metadata.namespace == replicator.metadata.namespace
            && Some(&m.spec.replicator_ref.name) == replicator.metadata.name.as_ref()
    };
    migrations.state().iter().filter(|m| names(m)).map(|m| ObjectRef::from_obj(m.as_ref())).collect()
}

async fn evict(context: &Context) {
    loop {
        tokio::time::sleep(IDLE / 2).await;
        context.pool.evict_idle(IDLE);
        context.prune();
    }
}

// kube's error policy takes its arguments by value.
#[allow(clippy::needless_pass_by_value)]
/// A failed Kubernetes call: soon again, with the object's own back-off.
fn retry<K: Resource<DynamicType = ()>>(object: Arc<K>, error: &KubeError, context: Arc<Context>) -> Action {
    let uid = object.meta().uid.clone().unwrap_or_default();
    let cap = if error.is_stale() { Duration::from_secs(1) } else { context.options.backoff_max };
    let delay =
        context.pace(&uid, |pace| pace.back_off(cap, super::pace::jitter(), std::time::Instant::now()));
    Action::requeue(delay)
}

type Outcome<K> = Result<(ObjectRef<K>, Action), controller::Error<KubeError, watcher::Error>>;

fn trace<K: Resource<DynamicType = ()>>(outcome: Outcome<K>) {
    match outcome {
        Ok((object, _)) => tracing::trace!(%object, "reconciled"),
        Err(controller::Error::ReconcilerFailed(error, object)) if error.is_stale() => {
            tracing::debug!(%object, %error, "read again");
        }
        Err(controller::Error::ReconcilerFailed(error, object)) => {
            tracing::warn!(%object, %error, "will retry");
        }
        Err(controller::Error::ObjectNotFound(_)) => {}
        Err(error) => tracing::warn!(%error, "watch"),
    }
}
