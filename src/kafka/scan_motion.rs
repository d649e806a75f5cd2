//! Whether a scan still moves: pure bookkeeping, no client.

use std::{collections::HashMap, time::Instant};

use serde::Deserialize;

/// Whether a scan moves.
pub(super) struct Progress {
    /// When it was last seen to move.
    pub(super) since: Instant,
    /// It has moved at all.
    pub(super) began: bool,
    /// It has moved since the last look.
    pub(super) moved: bool,
    /// An error event came since it last moved.
    pub(super) troubled: bool,
    fetched_to: i64,
}

impl Default for Progress {
    fn default() -> Self {
        Self { since: Instant::now(), began: false, moved: false, troubled: false, fetched_to: 0 }
    }
}

impl Progress {
    /// A long stretch of aborted records gives none; the positions that the client fetches from show
    /// that it moves all the same.
    pub(super) fn statistics(&mut self, json: &[u8]) {
        let fetched = next_offsets(json);
        self.moved |= fetched > self.fetched_to;
        self.fetched_to = fetched;
    }

    /// Looks; true where trouble is over.
    pub(super) fn settle(&mut self) -> bool {
        if !std::mem::take(&mut self.moved) {
            return false;
        }
        self.since = Instant::now();
        self.began = true;
        std::mem::take(&mut self.troubled)
    }
}

/// The sum of the next offsets to fetch, out of the client's statistics; 0 where they cannot be read.
fn next_offsets(json: &[u8]) -> i64 {
    #[derive(Deserialize)]
    struct Client {
        topics: HashMap<String, Topic>,
    }
    #[derive(Deserialize)]
    struct Topic {
        partitions: HashMap<String, Partition>,
    }
    #[derive(Deserialize)]
    struct Partition {
        next_offset: i64,
    }
    serde_json::from_slice::<Client>(json).map_or(0, |client| {
        let partitions = client.topics.values().flat_map(|topic| topic.partitions.values());
        partitions.map(|partition| partition.next_offset.max(0)).sum()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_give_the_fetch_positions() {
        let json = br#"{"name":"c","topics":{"t":{"topic":"t","partitions":{"0":{"next_offset":5,"x":1},"-1":{"next_offset":-1001}}}}}"#;
        assert_eq!(next_offsets(json), 5);
        assert_eq!(next_offsets(b"{"), 0);
    }
}
