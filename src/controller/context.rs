//! What every reconcile may use: the API server, the Kafka clusters, the caches, the clock's settings.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use kube::{
    Client, Resource, ResourceExt,
    runtime::events::{Event, EventType, Recorder, Reporter},
};

use tokio::sync::watch;

use crate::{
    api::v1alpha1::{AppMigration, ClusterSpec, K2KReplicator, Reason},
    connections,
    kafka::{Cluster, ClusterPool, ConnectionConfig, DEFAULT_DEADLINE},
    printable::printable,
    runtime::{leader::Claim, pace::Pace},
    search::Landmarks,
};

use super::{
    app_migration::{Confirmations, QuietWatch, Standstill},
    cache::Cache,
    fault::{Fault, Side},
    lanes::Lanes,
    secrets::NamespaceSecrets,
};

/// How long things may take. Short in tests.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The only namespace to watch. Default: all.
    #[arg(long, env = "APPMIGRATION_NAMESPACE")]
    pub namespace: Option<String>,
    /// Longest delay between two looks at an object that waits or failed, as `30s`.
    #[arg(long, env = "APPMIGRATION_BACKOFF_MAX", default_value = "30s", value_parser = positive)]
    pub backoff_max: Duration,
    /// How often a stalled object is looked at again though nothing changed in Kubernetes.
    #[arg(long, env = "APPMIGRATION_STALLED_RECHECK", default_value = "10m", value_parser = duration)]
    pub stalled_recheck: Duration,
    /// How often a replicator that is ready is checked again.
    #[arg(long, env = "APPMIGRATION_REPLICATOR_RECHECK", default_value = "1m", value_parser = duration)]
    pub replicator_recheck: Duration,
    /// How soon a preview is renewed first; then ever more seldom, up to an hour, while nothing changes.
    #[arg(long, env = "APPMIGRATION_PREVIEW_RECHECK", default_value = "1m", value_parser = positive)]
    pub preview_recheck: Duration,
    /// How long after its end a migration's source group is first looked at; then ever more seldom for a day.
    #[arg(long, env = "APPMIGRATION_SOURCE_WATCH", default_value = "30s", value_parser = positive)]
    pub source_watch: Duration,
    /// How often a mapping that takes long tells how far it is.
    #[arg(long, env = "APPMIGRATION_PROGRESS", default_value = "5s", value_parser = positive)]
    pub progress: Duration,
    /// How long a Kafka client that nobody uses stays open.
    #[arg(long, env = "APPMIGRATION_KAFKA_IDLE", default_value = "30s", value_parser = positive)]
    pub kafka_idle: Duration,
    /// How many mappings are computed at once, at most a quarter of them for one replicator.
    #[arg(long, env = "APPMIGRATION_CONCURRENCY", default_value = "16", value_parser = clap::value_parser!(u16).range(1..))]
    pub concurrency: u16,
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed: kube::core::Duration = text.parse().map_err(|error| format!("{error}"))?;
    if parsed.is_negative() {
        return Err("must not be negative".to_owned());
    }
    Ok(parsed.into())
}

fn positive(text: &str) -> Result<Duration, String> {
    duration(text).and_then(|d| if d.is_zero() { Err("must be more than 0".to_owned()) } else { Ok(d) })
}

/// Shared by all reconciles.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// Open Kafka clients, one per cluster and credentials.
    pub pool: ClusterPool,
    /// All migrations.
    pub migrations: Cache<AppMigration>,
    /// All replicators.
    pub replicators: Cache<K2KReplicator>,
    /// How long things may take.
    pub options: Options,
    /// The right to work; asked right before what cannot be taken back.
    pub claim: Claim,
    /// How much is done at once.
    pub lanes: Lanes,
    /// Confirmations as the watch has seen them.
    pub confirmations: Arc<Confirmations>,
    stop: watch::Receiver<bool>,
    recorder: Recorder,
    filled: watch::Sender<bool>,
    paces: Mutex<HashMap<String, Pace>>,
    quiet: Mutex<HashMap<String, QuietWatch>>,
    /// How each migration has waited for its replicator, by its uid.
    standstills: Mutex<HashMap<String, Arc<Mutex<Standstill>>>>,
    /// The target cluster's id, by replicator (namespace, name and generation).
    target_ids: Mutex<HashMap<(String, String), String>>,
    /// Records that each migration waits for, by its uid.
    lag: Mutex<HashMap<String, u64>>,
    /// What searches came across, by the target cluster's id.
    landmarks: Mutex<HashMap<String, Arc<Mutex<Landmarks>>>>,
}

impl Context {
    /// A context around these caches.
    pub fn new(
        client: Client,
        migrations: Cache<AppMigration>,
        replicators: Cache<K2KReplicator>,
        options: Options,
        claim: Claim,
        confirmations: Arc<Confirmations>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let reporter =
            Reporter { controller: "appmigration-operator".into(), instance: std::env::var("POD_NAME").ok() };
        Self {
            recorder: Recorder::new(client.clone(), reporter),
            client,
            pool: ClusterPool::new(),
            migrations,
            replicators,
            lanes: Lanes::new(options.concurrency.into()),
            options,
            claim,
            confirmations,
            stop,
            filled: watch::Sender::new(false),
            paces: Mutex::default(),
            quiet: Mutex::default(),
            standstills: Mutex::default(),
            target_ids: Mutex::default(),
            lag: Mutex::default(),
            landmarks: Mutex::default(),
        }
    }

    /// Both caches are filled.
    pub fn set_filled(&self) {
        self.filled.send_replace(true);
    }

    /// Waits until both caches are filled: by one that is not, a replicator would seem to be missing. (A
    /// store's own `wait_until_ready` wakes only the last of several that wait.)
    pub async fn filled(&self) {
        let _ = self.filled.subscribe().wait_for(|filled| *filled).await;
    }

    /// The cluster that `spec` describes, by the Secrets of `namespace`.
    pub async fn cluster(&self, namespace: &str, side: Side, spec: &ClusterSpec) -> Result<Cluster, Fault> {
        let config = self.connection(namespace, side, spec).await?;
        self.pool.get(&config).await.map_err(|error| Fault::kafka(side, &error))
    }

    /// A connection of its own to that cluster, which is closed with the last use of it.
    pub async fn connect(&self, namespace: &str, side: Side, spec: &ClusterSpec) -> Result<Cluster, Fault> {
        let config = self.connection(namespace, side, spec).await?;
        Cluster::connect(&config, DEFAULT_DEADLINE).await.map_err(|error| Fault::kafka(side, &error))
    }

    async fn connection(
        &self,
        namespace: &str,
        side: Side,
        spec: &ClusterSpec,
    ) -> Result<ConnectionConfig, Fault> {
        let secrets = NamespaceSecrets::new(self.client.clone(), namespace);
        let field = match side {
            Side::Source => "spec.source",
            Side::Target => "spec.target",
        };
        let config = connections::resolve(field, spec, &secrets).await;
        config.map_err(|error| Fault::connection(&error))
    }

    /// Works on the pace of the object `uid`.
    pub fn pace<T>(&self, uid: &str, work: impl FnOnce(&mut Pace) -> T) -> T {
        let mut paces = self.paces.lock().unwrap_or_else(PoisonError::into_inner);
        work(paces.entry(uid.to_owned()).or_default())
    }

    /// Works on the quiet period of the migration `uid`.
    pub fn quiet<T>(&self, uid: &str, work: impl FnOnce(&mut QuietWatch) -> T) -> T {
        let mut quiet = self.quiet.lock().unwrap_or_else(PoisonError::into_inner);
        work(quiet.entry(uid.to_owned()).or_default())
    }

    /// How the migration `uid` has waited for its replicator.
    pub fn standstill(&self, uid: &str) -> Arc<Mutex<Standstill>> {
        let mut standstills = self.standstills.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(standstills.entry(uid.to_owned()).or_default())
    }

    /// The operator is ending: no new step is begun.
    pub fn stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Waits until the operator is ending.
    pub async fn stopped(&self) {
        let _ = self.stop.clone().wait_for(|stop| *stop).await;
    }

    /// Forgets objects that are gone.
    pub fn prune(&self) {
        self.lanes.prune();
        let alive: HashSet<String> =
            self.migrations.uids().into_iter().chain(self.replicators.uids()).collect();
        self.paces.lock().unwrap_or_else(PoisonError::into_inner).retain(|uid, _| alive.contains(uid));
        self.quiet.lock().unwrap_or_else(PoisonError::into_inner).retain(|uid, _| alive.contains(uid));
        self.lag.lock().unwrap_or_else(PoisonError::into_inner).retain(|uid, _| alive.contains(uid));
        self.standstills.lock().unwrap_or_else(PoisonError::into_inner).retain(|uid, _| alive.contains(uid));
        let mut ids = self.target_ids.lock().unwrap_or_else(PoisonError::into_inner);
        ids.retain(|(namespace, name), _| self.replicators.get(namespace, name).is_some());
        // A broker may call its cluster something else each time that it is asked.
        let known: HashSet<&String> = ids.values().collect();
        let mut landmarks = self.landmarks.lock().unwrap_or_else(PoisonError::into_inner);
        landmarks.retain(|id, shared| Arc::strong_count(shared) > 1 || known.contains(id));
    }

    /// Forgets an object that is gone or finished.
    pub fn forget(&self, uid: &str) {
        self.park(uid);
        self.quiet.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }

    /// As [`Self::forget`], for one that may go on: what cannot be seen again is kept.
    pub fn park(&self, uid: &str) {
        self.paces.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
        let mut quiet = self.quiet.lock().unwrap_or_else(PoisonError::into_inner);
        quiet.get_mut(uid).into_iter().for_each(QuietWatch::begin_anew);
        drop(quiet);
        self.standstills.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
        self.waits_for(uid, 0);
    }

    /// Notes that the migration `uid` waits for so many records to be copied.
    pub fn waits_for(&self, uid: &str, records: u64) {
        let mut lag = self.lag.lock().unwrap_or_else(PoisonError::into_inner);
        match records {
            0 => drop(lag.remove(uid)),
            _ => drop(lag.insert(uid.to_owned(), records)),
        }
    }

    /// Records that all migrations wait for.
    pub fn lag(&self) -> u64 {
        self.lag.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }

    /// What searches came across on that cluster: groups that read the same partitions share it.
    pub fn landmarks(&self, cluster_id: &str) -> Arc<Mutex<Landmarks>> {
        let mut landmarks = self.landmarks.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(landmarks.entry(cluster_id.to_owned()).or_default())
    }

    /// The target cluster of a replicator, and its id, which is noted.
    pub async fn target(
        &self,
        namespace: &str,
        replicator: &str,
        spec: &ClusterSpec,
    ) -> Result<(Cluster, String), Fault> {
        let target = self.cluster(namespace, Side::Target, spec).await?;
        let id = target.current_id().await.map_err(|e| Fault::kafka(Side::Target, &e))?;
        self.note_target(namespace, replicator, &id);
        Ok((target, id))
    }

    /// Notes which target cluster a replicator leads to.
    fn note_target(&self, namespace: &str, replicator: &str, cluster_id: &str) {
        let mut ids = self.target_ids.lock().unwrap_or_else(PoisonError::into_inner);
        ids.insert((namespace.to_owned(), replicator.to_owned()), cluster_id.to_owned());
    }

    /// Which target cluster a replicator leads to, as far as it is known.
    pub fn target_of(&self, namespace: &str, replicator: &str) -> Option<String> {
        let ids = self.target_ids.lock().unwrap_or_else(PoisonError::into_inner);
        ids.get(&(namespace.to_owned(), replicator.to_owned())).cloned()
    }

    /// Tells of a transition. A lost event is no loss: the status says the same.
    pub async fn tell<K>(&self, object: &K, warning: bool, reason: Reason, action: &str, note: &str)
    where
        K: Resource<DynamicType = ()>,
    {
        let event = Event {
            type_: if warning { EventType::Warning } else { EventType::Normal },
            reason: reason.to_string(),
            note: Some(printable(note).chars().take(1000).collect()),
            action: action.to_owned(),
            secondary: None,
        };
        let reference = object.object_ref(&());
        let publish = self.recorder.publish(&event, &reference);
        if let Err(error) = super::within_deadline("record an event", publish).await {
            tracing::debug!(object = %object.name_any(), %error, "event not recorded");
        }
    }
}
