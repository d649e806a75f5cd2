//! The progress line: records and bytes a second, and how many records are still to come.

use std::{sync::atomic::Ordering, time::Instant};

use super::shared::Shared;
use crate::{TopicPartition, kafka::Cluster};

/// Measures from one line to the next.
pub struct Progress {
    since: Instant,
    records: u64,
    bytes: u64,
    was_idle: bool,
}

impl Progress {
    /// Begins to measure.
    pub fn new() -> Self {
        Self { since: Instant::now(), records: 0, bytes: 0, was_idle: false }
    }

    /// Writes the line. An instance that stands by, or has nothing to do twice in a row, says nothing.
    pub async fn report(&mut self, source: &Cluster, shared: &Shared) {
        let seconds = self.since.elapsed().as_secs_f64().max(0.001);
        let (records, bytes) = (shared.records.load(Ordering::Relaxed), shared.bytes.load(Ordering::Relaxed));
        let records_per_s = (records - self.records) as f64 / seconds;
        let mb_per_s = (bytes - self.bytes) as f64 / seconds / 1e6;
        let copied = records != self.records;
        (self.since, self.records, self.bytes) = (Instant::now(), records, bytes);

        let positions = shared.positions();
        if positions.is_empty() {
            return;
        }
        let partitions: Vec<TopicPartition> = positions.keys().cloned().collect();
        // In offsets: markers and holes count until they are passed. Unknown while a partition has no position.
        let lag = source.last_stable_offsets(&partitions).await.ok().and_then(|ends| {
            let behind = |(at, end): (&TopicPartition, &i64)| {
                let position = positions.get(at).copied().flatten();
                if *end == 0 { Some(0) } else { Some((end - position?).max(0)) }
            };
            ends.iter().map(behind).sum::<Option<i64>>()
        });
        let idle = !copied && lag == Some(0);
        if idle && self.was_idle {
            return;
        }
        self.was_idle = idle;
        tracing::info!(
            records,
            records_per_s = format_args!("{records_per_s:.0}"),
            mb_per_s = format_args!("{mb_per_s:.1}"),
            lag = lag.map_or("unknown".to_owned(), |lag| lag.to_string()),
            partitions = partitions.len(),
            "progress"
        );
    }
}
