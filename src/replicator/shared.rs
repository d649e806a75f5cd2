//! What the copy loop and the look-out tell each other. No decisions.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{ReplicateError, table::Table};
use crate::TopicPartition;

/// News for the copy loop.
#[derive(Debug)]
pub enum News {
    /// What is to be copied has changed.
    Table(Arc<Table>),
    /// The group has members that are no replicators: who.
    Strangers(String),
    /// Nothing can be done any more.
    Failed(ReplicateError),
}

/// What the copy loop shows, and whether it is to stop.
#[derive(Debug, Default)]
pub struct Shared {
    stop: AtomicBool,
    /// Records that the target has acknowledged.
    pub records: AtomicU64,
    /// Bytes of keys and values sent.
    pub bytes: AtomicU64,
    /// Wakes the look-out: the group has changed, so perhaps somebody sees other topics.
    pub nudge: tokio::sync::Notify,
    positions: Mutex<BTreeMap<TopicPartition, Option<i64>>>,
}

impl Shared {
    /// Asks the copy loop to stop.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// Whether to stop.
    pub fn stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Waits, unless asked to stop.
    pub fn sleep(&self, pause: Duration) {
        let start = Instant::now();
        while start.elapsed() < pause && !self.stopping() {
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// The safe position of each partition held.
    pub fn positions(&self) -> BTreeMap<TopicPartition, Option<i64>> {
        lock(&self.positions).clone()
    }

    /// Sets the positions.
    pub fn set_positions(&self, positions: BTreeMap<TopicPartition, Option<i64>>) {
        *lock(&self.positions) = positions;
    }

    /// Counts.
    pub fn count(counter: &AtomicU64, by: usize) {
        counter.fetch_add(by as u64, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
