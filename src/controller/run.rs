//! Runs both controllers until they are told to stop.

use std::{fmt::Debug, sync::Arc, time::Duration};

use futures::StreamExt;
use kube::{
    Api, Client, Resource,
    api::ListParams,
    runtime::{
        Controller,
        controller::{self, Action},
        reflector::ObjectRef,
        watcher,
    },
};
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, watch};

use crate::{
    api::v1alpha1::{AppMigration, K2KReplicator},
    runtime::{Health, Heartbeat, Readiness, metrics},
};

use super::{Context, KubeError, Options, app_migration, k2k_replicator, measure};

/// How often it is looked for CRDs that are not installed yet.
const CRD_POLL: Duration = Duration::from_secs(2);
/// A controller that is not polled for so long is wedged: the process is to be restarted.
const SILENT: Duration = Duration::from_secs(30);
/// Kafka clients that nobody used for so long are closed.
const IDLE: Duration = Duration::from_mins(1);

/// Why the operator ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is no usable configuration of the API server.
    #[error("no Kubernetes configuration: {0}")]
    Config(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Runs until `stop` turns true; `health` says how far it is, and whether the controllers are alive.
pub async fn run(
    client: Client,
    options: Options,
    health: Health,
    mut stop: watch::Receiver<bool>,
) -> Result<(), RunError> {
    let migrations: Api<AppMigration> = api(&client, options.namespace.as_deref());
    let replicators: Api<K2KReplicator> = api(&client, options.namespace.as_deref());
    tokio::select! {
        () = async {
            installed(&migrations, &health).await;
            installed(&replicators, &health).await;
        } => {}
        _ = stop.wait_for(|stop| *stop) => return Ok(()),
    }
    health.not_ready("caches are being filled");
    let config = controller::Config::default().concurrency(options.concurrency);
    let failed = Notify::new();
    let stopped = || {
        let mut stop = stop.clone();
        async move {
            let _ = stop.wait_for(|stop| *stop).await;
        }
    };
    let migration = Controller::new(migrations.clone(), watcher::Config::default());
    let replicator = Controller::new(replicators.clone(), watcher::Config::default());
    let context = Arc::new(Context::new(client, migration.store(), replicator.store(), options));
    let measured = Arc::clone(&context);
    metrics::at_each_scrape(move |metrics| measure::gauges(&measured, metrics));
    let (all, known) = (migration.store(), replicator.store());
    let migration = migration
        .with_config(config.clone())
        .watches(replicators.clone(), watcher::Config::default(), move |replicator: K2KReplicator| {
            users(&all, &replicator)
        })
        .graceful_shutdown_on(stopped())
        .run(
            |o, c| measure::reconcile(measure::MIGRATION, o, c, app_migration::reconcile),
            retry,
            Arc::clone(&context),
        )
        .for_each(|outcome| async { trace(outcome, &failed) });
    let replicator = replicator
        .with_config(config)
        .graceful_shutdown_on(stopped())
        .run(
            |o, c| measure::reconcile(measure::REPLICATOR, o, c, k2k_replicator::reconcile),
            retry,
            Arc::clone(&context),
        )
        .for_each(|outcome| async { trace(outcome, &failed) });
    let caches = async {
        let filled = (context.migrations.wait_until_ready().await, known.wait_until_ready().await);
        if filled.0.is_ok() && filled.1.is_ok() {
            context.set_filled();
            tracing::info!("ready");
            health.set(Readiness::Ready);
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = async {
            tokio::join!(
                alive(migration, health.register("the AppMigration controller", SILENT)),
                alive(replicator, health.register("the K2KReplicator controller", SILENT)),
            )
        } => {}
        () = caches => {}
        () = lists_again(&failed, (&migrations, &replicators), &health) => {}
        () = evict(&context) => {}
    }
    Ok(())
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

/// Runs a controller and beats in the same task: whatever keeps it from being polled is noticed. A reconcile
/// that waits does not: reconciles are tasks of their own.
async fn alive(controller: impl Future<Output = ()>, heartbeat: Heartbeat) {
    tokio::select! {
        () = controller => {}
        () = heartbeat.keep() => {}
    }
}

/// Whenever a watch has failed: waits until both kinds can be listed again, and is not ready for so long. The
/// watches themselves go on trying.
async fn lists_again(
    failed: &Notify,
    (migrations, replicators): (&Api<AppMigration>, &Api<K2KReplicator>),
    health: &Health,
) {
    loop {
        failed.notified().await;
        installed(migrations, health).await;
        installed(replicators, health).await;
    }
}

/// Waits until the kind can be listed: CRDs may be installed after the operator, or be taken away under it.
async fn installed<K>(api: &Api<K>, health: &Health)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let crd = format!("{}.{}", K::plural(&()), K::group(&()));
    // Metadata alone: an object that cannot be read is no reason to wait.
    let one = ListParams::default().limit(1);
    while let Err(error) = super::within_deadline(api.list_metadata(&one)).await {
        let why = if error.is_stale() {
            format!("the CRD {crd} is not installed")
        } else {
            format!("{crd} cannot be listed: {error}")
        };
        if health.hinder(Some(why.clone())) {
            tracing::warn!("{why}; waiting for it");
        }
        tokio::time::sleep(CRD_POLL).await;
    }
    if health.hinder(None) {
        tracing::info!("{crd} can be listed");
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

fn trace<K: Resource<DynamicType = ()>>(outcome: Outcome<K>, failed: &Notify) {
    match outcome {
        // Reconciles have told of themselves.
        Ok(_) | Err(controller::Error::ReconcilerFailed(..) | controller::Error::ObjectNotFound(_)) => {}
        Err(error) => {
            tracing::warn!(%error, "watch");
            failed.notify_one();
        }
    }
}
