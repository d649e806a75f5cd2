//! How far the reading of the target's logs has come, to be told while it goes on.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// Counts of one mapping. Shared with whoever shows them.
#[derive(Debug, Default)]
pub struct Progress {
    partitions: AtomicU64,
    total: AtomicU64,
    records: AtomicU64,
}

impl Progress {
    /// So many target partitions are to be read from now on.
    pub fn begin(&self, partitions: usize) {
        self.partitions.store(0, Relaxed);
        self.total.store(partitions as u64, Relaxed);
    }

    /// A record was read; the last one of its partition, or not.
    pub fn record(&self, last: bool) {
        self.records.fetch_add(1, Relaxed);
        self.partitions.fetch_add(u64::from(last), Relaxed);
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [partitions, total, records] =
            [&self.partitions, &self.total, &self.records].map(|counter| counter.load(Relaxed));
        write!(f, "{partitions} of {total} target partitions are mapped, {records} records verified so far")
    }
}
