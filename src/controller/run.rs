//! Runs both controllers until they are told to stop.

use std::{
    fmt::Debug,
    sync::Arc,
    time::{Duration, Instant},
};

use backon::ExponentialBuilder;
use futures::{StreamExt, channel::mpsc};
use kube::{
    Api, Client, Resource,
    api::ListParams,
    core::DeserializeGuard,
    runtime::{
        Controller,
        controller::{self, Action},
        reflector::{ObjectRef, Store},
        utils::ResetTimerBackoff,
        watcher::{self, ExponentialBackoff},
    },
};
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, watch};

use crate::{
    api::v1alpha1::{AppMigration, K2KReplicator},
    runtime::{Health, Heartbeat, Readiness, leader::Claim, metrics, pace},
};

use super::{
    Context, KubeError, Options,
    app_migration::{self, Confirmations},
    cache::{self, Cache},
    k2k_replicator, malformed, measure,
};

/// How often it is looked for CRDs that are not installed yet.
const CRD_POLL: Duration = Duration::from_secs(2);
/// A controller that is not polled for so long is wedged: the process is to be restarted.
const SILENT: Duration = Duration::from_secs(30);
/// The server ends a watch after so many seconds; one that is silent for longer has been lost.
const WATCH: u32 = 60;

/// Waits until both kinds can be listed.
pub async fn installed(client: &Client, namespace: Option<&str>, health: &Health) {
    can_be_listed(&api::<AppMigration>(client, namespace), health).await;
    can_be_listed(&api::<K2KReplicator>(client, namespace), health).await;
}

/// Runs until `stop` turns true and what is under way has come to its end; `health` says how far it is, and
/// whether the controllers are alive. How much is done at once is up to [`super::lanes`].
pub async fn run(
    client: Client,
    options: Options,
    claim: Claim,
    health: &Health,
    stop: watch::Receiver<bool>,
) {
    health.hinder(None);
    health.not_ready("caches are being filled");
    // Guarded: an object that cannot be read stops neither the list nor the watch of the others.
    let migrations: Api<DeserializeGuard<AppMigration>> = api(&client, options.namespace.as_deref());
    let replicators: Api<DeserializeGuard<K2KReplicator>> = api(&client, options.namespace.as_deref());
    let failed = Notify::new();
    let stopped = || {
        let mut stop = stop.clone();
        async move {
            let _ = stop.wait_for(|stop| *stop).await;
        }
    };
    let config = watcher::Config::default().timeout(WATCH);
    let confirmations = Arc::new(Confirmations::default());
    let seen = Arc::clone(&confirmations);
    let (of_migrations, all) = cache::watched(migrations.clone(), config.clone(), move |migration| {
        if let Ok(migration) = &migration.0 {
            seen.saw(migration, Instant::now());
        }
    });
    let (store, (told, affected)) = (all.clone(), mpsc::unbounded());
    let (of_replicators, known) = cache::watched(replicators.clone(), config, move |replicator| {
        for migration in users(&store, replicator) {
            // Nobody listens any more at the end.
            let _ = told.unbounded_send(migration);
        }
    });
    let migration = Controller::for_stream(of_migrations, all.clone());
    let replicator = Controller::for_stream(of_replicators, known.clone());
    let (cached, known) = (Cache::new(all), Cache::new(known));
    let leads = claim.clone();
    let context =
        Arc::new(Context::new(client, cached, known.clone(), options, claim, confirmations, stop.clone()));
    let measured = Arc::downgrade(&context);
    metrics::at_each_scrape(move |metrics| {
        metrics.leader.set(leads.holds().into());
        measure::gauges(measured.upgrade().as_deref(), metrics);
    });
    let migration = migration
        .trigger_backoff(watch_backoff())
        .reconcile_on(affected)
        .graceful_shutdown_on(stopped())
        .run(
            |o, c| {
                measure::reconcile(measure::MIGRATION, o, c, |o, c| {
                    malformed::reconcile(o, c, app_migration::reconcile)
                })
            },
            retry,
            Arc::clone(&context),
        )
        .for_each(|outcome| async { trace(outcome, &failed) });
    let replicator = replicator
        .trigger_backoff(watch_backoff())
        .graceful_shutdown_on(stopped())
        .run(
            |o, c| {
                measure::reconcile(measure::REPLICATOR, o, c, |o, c| {
                    malformed::reconcile(o, c, k2k_replicator::reconcile)
                })
            },
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
        () = lists_again(&failed, (&migrations, &replicators), health) => {}
        () = evict(&context) => {}
    }
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
    (migrations, replicators): (&Api<DeserializeGuard<AppMigration>>, &Api<DeserializeGuard<K2KReplicator>>),
    health: &Health,
) {
    loop {
        failed.notified().await;
        can_be_listed(migrations, health).await;
        can_be_listed(replicators, health).await;
    }
}

/// Waits until the kind can be listed: CRDs may be installed after the operator, or be taken away under it.
async fn can_be_listed<K>(api: &Api<K>, health: &Health)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let crd = format!("{}.{}", K::plural(&()), K::group(&()));
    // Metadata alone: an object that cannot be read is no reason to wait.
    let one = ListParams::default().limit(1);
    while let Err(error) = super::within_deadline("list the kind", api.list_metadata(&one)).await {
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
    migrations: &Store<DeserializeGuard<AppMigration>>,
    replicator: &DeserializeGuard<K2KReplicator>,
) -> Vec<ObjectRef<DeserializeGuard<AppMigration>>> {
    let names = |m: &DeserializeGuard<AppMigration>| {
        m.meta().namespace == replicator.meta().namespace
            && m.0
                .as_ref()
                .is_ok_and(|m| Some(&m.spec.replicator_ref.name) == replicator.meta().name.as_ref())
    };
    migrations.state().iter().filter(|m| names(m)).map(|m| ObjectRef::from_obj(m.as_ref())).collect()
}

async fn evict(context: &Context) {
    let idle = context.options.kafka_idle;
    loop {
        tokio::time::sleep(idle / 2).await;
        context.pool.evict_idle(idle);
        context.prune();
    }
}

// kube's error policy takes its arguments by value.
#[allow(clippy::needless_pass_by_value)]
/// A failed Kubernetes call: soon again, with the object's own back-off.
fn retry<K: Resource<DynamicType = ()>>(object: Arc<K>, error: &KubeError, context: Arc<Context>) -> Action {
    let uid = object.meta().uid.clone().unwrap_or_default();
    let cap = if error.is_stale() { Duration::from_secs(1) } else { context.options.backoff_max };
    let delay = context.pace(&uid, |pace| pace.back_off(cap, pace::jitter(), Instant::now()));
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
