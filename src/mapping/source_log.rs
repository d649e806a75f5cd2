//! What is known of a source partition's data records, and what is still to be asked. The rules ask; the
//! Kafka layer reads the few records that decide.

use std::collections::HashMap;

use super::{SourceOffset, digest::KeyDigest, intervals::IntervalSet};
use crate::TopicPartition;

/// A range of a source partition that must be read, `read_committed`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The source partition.
    pub partition: TopicPartition,
    /// First offset of the range.
    pub from: SourceOffset,
    /// End of the range, exclusive.
    pub to: SourceOffset,
    /// The first data record decides: the reader may stop there.
    pub first_only: bool,
    /// Whether the records' keys are needed.
    pub keys: bool,
}

/// What has been read of a source partition so far.
#[derive(Clone, Debug, Default)]
pub struct SourceLog {
    /// Offsets of which it is known whether they hold a data record.
    covered: IntervalSet,
    /// Offsets that hold one.
    data: IntervalSet,
    /// Keys, where they were asked for.
    keys: HashMap<i64, KeyDigest>,
}

impl SourceLog {
    /// Nothing is known yet, but that the source holds nothing below its log start.
    pub fn new(log_start: SourceOffset) -> Self {
        let mut log = Self::default();
        log.covered.insert_range(0, log_start.0);
        log
    }

    /// A data record was read.
    pub fn record(&mut self, offset: SourceOffset, key: Option<KeyDigest>) {
        self.data.insert(offset.0);
        if let Some(key) = key {
            self.keys.insert(offset.0, key);
        }
    }

    /// `[from, to)` was read whole.
    pub fn cover(&mut self, from: SourceOffset, to: SourceOffset) {
        self.covered.insert_range(from.0, to.0);
    }

    /// The first offset of `[from, to)` of which nothing is known yet.
    pub fn first_unknown(&self, from: SourceOffset, to: SourceOffset) -> Option<SourceOffset> {
        self.covered.holes_within(from.0, to.0).first().map(|(start, _)| SourceOffset(*start))
    }

    /// The key of a record that was read with keys.
    pub fn key(&self, offset: i64) -> Option<&KeyDigest> {
        self.keys.get(&offset)
    }

    /// Whether `[from, to)` holds a data record; none where that is not known yet.
    pub fn any(&self, from: SourceOffset, to: SourceOffset) -> Option<bool> {
        if self.data.count_within(from.0, to.0) > 0 {
            return Some(true);
        }
        self.covers(from, to).then_some(false)
    }

    /// The data records of `[from, to)` as intervals; none where not all of it is known yet.
    pub fn data(&self, from: SourceOffset, to: SourceOffset) -> Option<Vec<(i64, i64)>> {
        self.covers(from, to).then(|| self.data.within(from.0, to.0).collect())
    }

    fn covers(&self, from: SourceOffset, to: SourceOffset) -> bool {
        self.covered.count_within(from.0, to.0) == (to.0 - from.0).max(0).unsigned_abs()
    }
}
