//! What a scan asks for and gives: ranges, records, headers. Values only; the reading is in `scan`.

use std::collections::BTreeMap;

use super::{
    TopicPartition,
    ffi::{RawHeaders, RecordEvent},
};

/// A stretch of one partition's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanRange {
    /// Which log.
    pub partition: TopicPartition,
    /// The first offset to give.
    pub from: i64,
    /// The first offset not to give.
    pub to: i64,
}

/// Under which keys a replicator writes a record's origin. `None`: that one is not looked for. Several
/// may be the same key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderNames {
    /// The source topic.
    pub topic: Option<String>,
    /// The source partition.
    pub partition: Option<String>,
    /// The source offset.
    pub offset: Option<String>,
    /// Which pipeline wrote it.
    pub pipeline: Option<String>,
}

/// The last instance of each origin header: `None` absent, `Some(None)` there with a null value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OriginHeaders<'a> {
    /// The source topic, undecoded.
    pub topic: Option<Option<&'a [u8]>>,
    /// The source partition, undecoded.
    pub partition: Option<Option<&'a [u8]>>,
    /// The source offset, undecoded.
    pub offset: Option<Option<&'a [u8]>>,
    /// The pipeline, undecoded.
    pub pipeline: Option<Option<&'a [u8]>>,
}

/// One record, as a `read_committed` consumer is given it. Borrowed: copy what is to stay.
pub struct LogRecord<'a> {
    /// Its offset.
    pub offset: i64,
    /// Milliseconds since the epoch, where the record has a timestamp.
    pub timestamp_ms: Option<i64>,
    /// Its key; `None` for a null key.
    pub key: Option<&'a [u8]>,
    /// The size of its value in bytes; `None` for a null value (a tombstone).
    pub value_len: Option<usize>,
    event: &'a RecordEvent,
    names: &'a HeaderNames,
}

impl<'a> LogRecord<'a> {
    pub(super) fn new(event: &'a RecordEvent, names: &'a HeaderNames) -> Self {
        Self {
            offset: event.offset(),
            timestamp_ms: event.timestamp_ms(),
            key: event.key(),
            value_len: event.value_len(),
            event,
            names,
        }
    }

    /// The value of the **last** header with this key: `None` absent, `Some(None)` a null value. Keys are
    /// bytes, UTF-8 or not. (A key with a NUL in it is seen only up to the NUL.)
    pub fn header(&self, name: &[u8]) -> Option<Option<&'a [u8]>> {
        self.raw_headers().last_first().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// All headers, last first, keys and values as bytes.
    pub fn headers(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        self.raw_headers().last_first()
    }

    /// The origin headers that the scan was told to look for, in one pass.
    pub fn origin(&self) -> OriginHeaders<'a> {
        let mut origin = OriginHeaders::default();
        for (key, value) in self.raw_headers().last_first() {
            take(&mut origin.topic, self.names.topic.as_ref(), key, value);
            take(&mut origin.partition, self.names.partition.as_ref(), key, value);
            take(&mut origin.offset, self.names.offset.as_ref(), key, value);
            take(&mut origin.pipeline, self.names.pipeline.as_ref(), key, value);
        }
        origin
    }

    fn raw_headers(&self) -> RawHeaders<'a> {
        self.event.headers()
    }
}

#[allow(clippy::option_option)] // Absent, null and a value are three things.
/// Fills a slot once: headers come last first, so the first match is the last instance.
fn take<'a>(slot: &mut Option<Option<&'a [u8]>>, name: Option<&String>, key: &[u8], value: Option<&'a [u8]>) {
    if slot.is_none() && name.is_some_and(|name| name.as_bytes() == key) {
        *slot = Some(value);
    }
}

/// What a scan read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScanStats {
    /// Records given.
    pub records: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// True when the receiver ended the scan before the ranges' ends.
    pub stopped: bool,
    /// Partitions whose log began above `from` by the time it was read (retention, `DeleteRecords`): what
    /// lay below was not there to be given. The log start, by partition.
    pub truncated: BTreeMap<TopicPartition, i64>,
}
