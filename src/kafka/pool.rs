//! One client per connection, shared. Knows nothing of what is asked on it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};

use tracing::Instrument as _;

use super::{Cluster, ConnectionConfig, DEFAULT_DEADLINE, KafkaError};
use crate::crash;

type Connecting = Shared<BoxFuture<'static, Result<Cluster, KafkaError>>>;

enum Entry {
    /// Somebody is connecting; the number tells this attempt from a later one.
    Connecting(u64, Connecting),
    Ready(Cluster),
}

#[derive(Default)]
struct Entries {
    by_config: HashMap<ConnectionConfig, Entry>,
    attempts: u64,
}

/// Clusters by connection. Clones share.
#[derive(Clone, Default)]
pub struct ClusterPool {
    entries: Arc<Mutex<Entries>>,
}

impl ClusterPool {
    /// An empty pool.
    pub fn new() -> Self {
        Self::default()
    }

    /// The cluster of this connection: an open one, or a new one. However many ask at once, one connects
    /// and all get its outcome; a failure is not kept.
    pub async fn get(&self, config: &ConnectionConfig) -> Result<Cluster, KafkaError> {
        let (attempt, connecting) = match self.entry(config) {
            Entry::Ready(cluster) => return Ok(cluster),
            Entry::Connecting(attempt, connecting) => (attempt, connecting),
        };
        crash::before_call(|| format!("connect to {}", config.bootstrap_servers)).await;
        let result = connecting.await;
        self.settle(config, attempt, &result);
        result
    }

    /// The entry as it is now, made if need be.
    fn entry(&self, config: &ConnectionConfig) -> Entry {
        let mut entries = self.lock();
        match entries.by_config.get(config) {
            Some(Entry::Ready(cluster)) => {
                cluster.inner.touch();
                return Entry::Ready(cluster.clone());
            }
            // One that failed while nobody was left to see it is old news.
            Some(Entry::Connecting(attempt, connecting)) if !matches!(connecting.peek(), Some(Err(_))) => {
                return Entry::Connecting(*attempt, connecting.clone());
            }
            _ => {}
        }
        entries.attempts += 1;
        let (attempt, owned) = (entries.attempts, config.clone());
        // A task of its own: it goes on, and keeps its deadline, when the first who asked gives up.
        let connect = async move { Cluster::connect(&owned, DEFAULT_DEADLINE).await };
        let task = tokio::spawn(connect.in_current_span());
        let gone = |_| Err(KafkaError::Cancelled { what: "connect".into() });
        let connecting = task.map(move |done| done.unwrap_or_else(gone)).boxed().shared();
        entries.by_config.insert(config.clone(), Entry::Connecting(attempt, connecting.clone()));
        Entry::Connecting(attempt, connecting)
    }

    /// Records the outcome, unless the entry was invalidated or settled meanwhile.
    fn settle(&self, config: &ConnectionConfig, attempt: u64, result: &Result<Cluster, KafkaError>) {
        let mut entries = self.lock();
        if !matches!(entries.by_config.get(config), Some(Entry::Connecting(now, _)) if *now == attempt) {
            return;
        }
        match result {
            Ok(cluster) => {
                entries.by_config.insert(config.clone(), Entry::Ready(cluster.clone()));
            }
            Err(_) => {
                entries.by_config.remove(config);
            }
        }
    }

    /// Closes the clusters that nobody holds and on which nothing was asked for so long. Returns how many.
    pub fn evict_idle(&self, older_than: Duration) -> usize {
        let mut entries = self.lock();
        let before = entries.by_config.len();
        entries.by_config.retain(|_, entry| match entry {
            Entry::Ready(cluster) => {
                Arc::strong_count(&cluster.inner) > 1 || cluster.inner.idle() < older_than
            }
            // Nobody waits for it any more; whoever asks next starts anew.
            Entry::Connecting(_, connecting) => connecting.peek().is_none(),
        });
        before - entries.by_config.len()
    }

    /// Forgets this connection: the next who asks gets a new client. Those who hold the old one keep it.
    pub fn invalidate(&self, config: &ConnectionConfig) {
        self.lock().by_config.remove(config);
    }

    /// How many connections are open or being opened.
    pub fn len(&self) -> usize {
        self.lock().by_config.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
