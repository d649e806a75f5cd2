//! A consumer's queue read event by event, and the bytes of one record. The safe API gives neither the
//! topic of an end-of-partition event nor header keys that are not UTF-8 (it panics on those).

use std::{ffi::CStr, marker::PhantomData, ptr::null_mut, slice, time::Duration};

use rdkafka::{bindings as sys, client::NativeClient};

use super::{
    Failure, code,
    owned::{Event, Queue, read_element},
    text,
};
use crate::kafka::TopicPartition;

/// What came off a consumer's queue.
pub(in crate::kafka) enum Polled {
    /// A record.
    Record(RecordEvent),
    /// The end of a partition, as a `read_committed` reader sees it; `offset` is the position there.
    End { partition: TopicPartition, offset: i64 },
    /// A partition failed at `offset`.
    Partition { partition: TopicPartition, offset: i64, code: i32, reason: String },
    /// Something about a broker or the group.
    Client { code: i32, reason: String },
    /// A log line.
    Log { level: i32, facility: String, line: String },
    /// The client's own statistics, as JSON.
    Statistics(Vec<u8>),
    /// Of no interest here.
    Other,
}

/// The queue on which a consumer's records, ends, errors and logs arrive.
pub(in crate::kafka) struct ConsumerQueue<'a>(Queue<'a>);

impl<'a> ConsumerQueue<'a> {
    /// The queue of a client that was made as a consumer with a `group.id`.
    pub(in crate::kafka) fn new(client: &'a NativeClient) -> Result<Self, Failure> {
        Queue::of_consumer(client).map(Self)
    }

    /// The next event, if one comes in time.
    pub(in crate::kafka) fn poll(&self, wait: Duration) -> Option<Polled> {
        self.0.poll(wait).map(read)
    }
}

/// Whatever came, but for what happens to a group.
pub(super) fn read(event: Event) -> Polled {
    match event.kind() {
        sys::RD_KAFKA_EVENT_FETCH => read_fetch(event),
        sys::RD_KAFKA_EVENT_ERROR => read_error(&event),
        sys::RD_KAFKA_EVENT_LOG => read_log(&event),
        sys::RD_KAFKA_EVENT_STATS => {
            // SAFETY: a NUL-terminated string that lives as long as the event; copied.
            let json = unsafe { CStr::from_ptr(sys::rd_kafka_event_stats(event.ptr())) };
            Polled::Statistics(json.to_bytes().to_vec())
        }
        _ => Polled::Other,
    }
}

fn read_fetch(event: Event) -> Polled {
    // SAFETY: the event is a fetch event: it holds one message, which lives as long as the event.
    let message = unsafe { sys::rd_kafka_event_message_next(event.ptr()) };
    if message.is_null() {
        return Polled::Other;
    }
    Polled::Record(RecordEvent { message, _event: event })
}

pub(super) fn read_error(event: &Event) -> Polled {
    let (code, reason) = (event.code(), event.reason());
    // SAFETY: the event is an error event; the element, if any, is ours to free, after it was copied.
    let place = unsafe {
        let element = sys::rd_kafka_event_topic_partition(event.ptr());
        if element.is_null() {
            None
        } else {
            let copy = read_element(element);
            sys::rd_kafka_topic_partition_destroy(element);
            Some(copy)
        }
    };
    match place {
        Some(at) if code == code::PARTITION_EOF => Polled::End { partition: at.partition, offset: at.offset },
        Some(at) => Polled::Partition { partition: at.partition, offset: at.offset, code, reason },
        None => Polled::Client { code, reason },
    }
}

pub(super) fn read_log(event: &Event) -> Polled {
    let (mut facility, mut line, mut level) = (std::ptr::null(), std::ptr::null(), 0);
    // SAFETY: the event is a log event; the strings live as long as it and are copied.
    unsafe {
        if sys::rd_kafka_event_log(event.ptr(), &raw mut facility, &raw mut line, &raw mut level) != 0 {
            return Polled::Other;
        }
        Polled::Log { level, facility: text(facility), line: text(line) }
    }
}

/// A record, still in the client's memory.
pub(in crate::kafka) struct RecordEvent {
    pub(super) message: *const sys::rd_kafka_message_t,
    _event: Event,
}

impl RecordEvent {
    pub(in crate::kafka) fn offset(&self) -> i64 {
        // SAFETY: the message lives as long as the event that we hold.
        unsafe { (*self.message).offset }
    }

    pub(in crate::kafka) fn partition(&self) -> i32 {
        // SAFETY: as above.
        unsafe { (*self.message).partition }
    }

    /// Tells topics apart cheaply, while the consumer is assigned to them. Never dereferenced.
    pub(in crate::kafka) fn topic_address(&self) -> usize {
        // SAFETY: as above.
        unsafe { (*self.message).rkt as usize }
    }

    pub(in crate::kafka) fn topic(&self) -> String {
        // SAFETY: as above; the topic handle lives as long as the message.
        unsafe { text(sys::rd_kafka_topic_name((*self.message).rkt)) }
    }

    /// Milliseconds since the epoch, where the record has a timestamp.
    pub(in crate::kafka) fn timestamp_ms(&self) -> Option<i64> {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: as above; the kind is one of the client's own three values.
        let timestamp = unsafe { sys::rd_kafka_message_timestamp(self.message, &raw mut kind) };
        (kind != sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE).then_some(timestamp)
    }

    pub(in crate::kafka) fn key(&self) -> Option<&[u8]> {
        // SAFETY: as above; `key_len` bytes at `key`, unless null.
        unsafe { bytes((*self.message).key.cast(), (*self.message).key_len) }
    }

    pub(in crate::kafka) fn value_len(&self) -> Option<usize> {
        // SAFETY: as above.
        unsafe { (!(*self.message).payload.is_null()).then_some((*self.message).len) }
    }

    pub(in crate::kafka) fn headers(&self) -> RawHeaders<'_> {
        let mut headers = null_mut();
        // SAFETY: as above. The client parses the headers on the first call and keeps them with the
        // message; it takes the message as const for that reason. An error leaves null: no headers.
        let count = unsafe {
            if sys::rd_kafka_message_headers(self.message, &raw mut headers)
                == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
                && !headers.is_null()
            {
                sys::rd_kafka_header_cnt(headers)
            } else {
                0
            }
        };
        RawHeaders { headers, count, record: PhantomData }
    }
}

/// The headers of a record, in their order, keys and values as bytes.
#[derive(Clone, Copy)]
pub(in crate::kafka) struct RawHeaders<'a> {
    headers: *const sys::rd_kafka_headers_t,
    count: usize,
    record: PhantomData<&'a RecordEvent>,
}

impl<'a> RawHeaders<'a> {
    /// Key and value of each header, **last first**: the last instance of a key is the one that counts. A
    /// key with a NUL in it ends there: the client's API gives no length.
    pub(in crate::kafka) fn last_first(self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> {
        (0..self.count).rev().filter_map(move |index| self.get(index))
    }

    fn get(self, index: usize) -> Option<(&'a [u8], Option<&'a [u8]>)> {
        let (mut name, mut value, mut size) = (std::ptr::null(), std::ptr::null(), 0);
        // SAFETY: `headers` is not null (`count` would be 0) and lives as long as the record; name and
        // value point into it.
        unsafe {
            let found = sys::rd_kafka_header_get_all(
                self.headers,
                index,
                &raw mut name,
                &raw mut value,
                &raw mut size,
            );
            if found != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR || name.is_null() {
                return None;
            }
            Some((CStr::from_ptr(name).to_bytes(), bytes(value.cast(), size)))
        }
    }
}

/// # Safety
/// `first` is null or points to `len` bytes that outlive `'a`.
pub(super) unsafe fn bytes<'a>(first: *const u8, len: usize) -> Option<&'a [u8]> {
    // SAFETY: see above.
    (!first.is_null()).then(|| unsafe { slice::from_raw_parts(first, len) })
}
