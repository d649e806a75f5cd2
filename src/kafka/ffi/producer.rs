//! A producer that takes records as they were consumed: header keys and values byte for byte, topics by
//! handle (a look-up by name costs microseconds with many topics), delivery reports as plain numbers.

use std::{
    ffi::{c_char, c_int, c_void},
    ptr::{NonNull, addr_of, null_mut},
    time::Duration,
};

use rdkafka::{
    bindings::{self as sys, rd_kafka_vtype_t as V, rd_kafka_vu_s, rd_kafka_vu_s__bindgen_ty_1 as Union},
    producer::{BaseProducer, Producer as _, ProducerContext},
};

use super::{
    Failure, Polled, RecordEvent, c_string, code,
    consume::{bytes, read_error, read_log},
    owned::{Event, Queue, take_error},
};

/// Header lists that we own: those of a consumed record, with ours behind them.
pub(in crate::kafka) struct HeaderList(NonNull<sys::rd_kafka_headers_t>);

impl HeaderList {
    /// Takes the headers out of a consumed record, byte for byte; an empty list where it has none.
    pub(in crate::kafka) fn of(record: &mut RecordEvent, further: usize) -> Result<Self, Failure> {
        let mut headers = null_mut();
        // SAFETY: the message lives as long as the record, which we hold exclusively. What is detached is
        // ours. The result is read as a number.
        let code =
            unsafe { super::rd_kafka_message_detach_headers(record.message.cast_mut(), &raw mut headers) };
        match code {
            0 => {}
            // SAFETY: no precondition.
            code::NO_ENTRY => headers = unsafe { sys::rd_kafka_headers_new(further) },
            code => return Err(Failure::call(code)),
        }
        NonNull::new(headers).map(Self).ok_or_else(|| Failure::call(code::INVALID_ARGUMENT))
    }

    /// Appends a header.
    pub(in crate::kafka) fn push(&mut self, name: &str, value: &[u8]) {
        // SAFETY: the list is valid; name and value are copied, with their lengths. It fails only where a
        // name has no length, which a validated one has not.
        unsafe {
            sys::rd_kafka_header_add(
                self.0.as_ptr(),
                name.as_ptr().cast::<c_char>(),
                name.len().cast_signed(),
                value.as_ptr().cast::<c_void>(),
                value.len().cast_signed(),
            );
        }
    }
}

impl Drop for HeaderList {
    fn drop(&mut self) {
        // SAFETY: ours; `Producer::send` forgets the list where the client has taken it over.
        unsafe { sys::rd_kafka_headers_destroy(self.0.as_ptr()) }
    }
}

/// A record on its way to the target.
pub(in crate::kafka) struct Outgoing {
    /// Key and value are taken from here.
    pub(in crate::kafka) record: RecordEvent,
    pub(in crate::kafka) headers: HeaderList,
    /// None: by the producer's partitioner.
    pub(in crate::kafka) partition: Option<i32>,
    /// Milliseconds since the epoch; 0 means "now" to the client.
    pub(in crate::kafka) timestamp_ms: i64,
    /// Comes back with the delivery report.
    pub(in crate::kafka) ticket: usize,
}

/// A topic of a producer, looked up once.
pub(in crate::kafka) struct TopicHandle(NonNull<sys::rd_kafka_topic_t>);

// SAFETY: topic handles are reference-counted and may be used and freed on any thread.
unsafe impl Send for TopicHandle {}

impl Drop for TopicHandle {
    fn drop(&mut self) {
        // SAFETY: ours, freed once. The client keeps its own reference while messages need it.
        unsafe { sys::rd_kafka_topic_destroy(self.0.as_ptr()) }
    }
}

/// What came off a producer's queue.
pub(in crate::kafka) enum ProducerEvent {
    /// Delivery reports: tickets, and error codes (0: acknowledged).
    Delivered(Vec<(usize, i32)>),
    /// The client can send nothing any more.
    Fatal { code: i32, reason: String },
    /// Anything else.
    Other(Polled),
}

/// See the module.
pub(in crate::kafka) struct Producer<C: ProducerContext + 'static> {
    // Dropped in this order: the queue must go before its client.
    queue: Queue<'static>,
    producer: Box<BaseProducer<C>>,
}

// SAFETY: as for a consumer: handles and queues may be used and freed on any thread.
unsafe impl<C: ProducerContext + 'static> Send for Producer<C> {}

impl<C: ProducerContext + 'static> Producer<C> {
    /// Takes over a producer. Nobody else may poll it.
    pub(in crate::kafka) fn new(producer: BaseProducer<C>) -> Result<Self, Failure> {
        let producer = Box::new(producer);
        // SAFETY: the client lives in the box and is dropped after the queue; the reference is given back.
        let queue = unsafe { Queue::adopt(sys::rd_kafka_queue_get_main(producer.client().native_ptr()))? };
        Ok(Self { queue, producer })
    }

    /// A handle for `topic`. Must be dropped before the producer is.
    pub(in crate::kafka) fn topic(&self, topic: &str) -> Result<TopicHandle, Failure> {
        let name = c_string(topic)?;
        // SAFETY: the client is valid; null takes the default topic configuration.
        let handle = unsafe { sys::rd_kafka_topic_new(self.client(), name.as_ptr(), null_mut()) };
        NonNull::new(handle).map(TopicHandle).ok_or_else(|| Failure::named(topic, code::INVALID_ARGUMENT))
    }

    /// Queues a record. Gives it back where the client does not take it: `QUEUE_FULL` passes by itself.
    pub(in crate::kafka) fn send(
        &self,
        topic: &TopicHandle,
        outgoing: Outgoing,
    ) -> Result<(), Box<(Outgoing, Failure)>> {
        let message = outgoing.record.message;
        // SAFETY: the message lives as long as the record, which we hold until the call has returned.
        let (value, value_len, key, key_len) =
            unsafe { ((*message).payload, (*message).len, (*message).key, (*message).key_len) };
        let arguments = [
            argument(V::RD_KAFKA_VTYPE_RKT, Union { rkt: topic.0.as_ptr() }),
            argument(V::RD_KAFKA_VTYPE_PARTITION, Union { i32_: outgoing.partition.unwrap_or(UNASSIGNED) }),
            argument(V::RD_KAFKA_VTYPE_MSGFLAGS, Union { i: sys::RD_KAFKA_MSG_F_COPY }),
            argument(V::RD_KAFKA_VTYPE_VALUE, memory(value, value_len)),
            argument(V::RD_KAFKA_VTYPE_KEY, memory(key, key_len)),
            argument(V::RD_KAFKA_VTYPE_TIMESTAMP, Union { i64_: outgoing.timestamp_ms }),
            argument(V::RD_KAFKA_VTYPE_HEADERS, Union { headers: outgoing.headers.0.as_ptr() }),
            argument(V::RD_KAFKA_VTYPE_OPAQUE, Union { ptr: outgoing.ticket as *mut c_void }),
        ];
        // SAFETY: all pointers are valid during the call, key and value are copied. The headers become the
        // client's where it takes the record, and stay ours where it does not.
        let result = unsafe {
            take_error(sys::rd_kafka_produceva(self.client(), arguments.as_ptr(), arguments.len()))
        };
        match result {
            Ok(()) => {
                std::mem::forget(outgoing.headers);
                Ok(())
            }
            Err(failure) => Err(Box::new((outgoing, failure))),
        }
    }

    /// Throws out what was not handed to a connection yet; a report says so of each record.
    pub(in crate::kafka) fn purge_queue(&self) {
        // SAFETY: the client is valid. It fails only for flags that it does not know.
        unsafe {
            sys::rd_kafka_purge(
                self.client(),
                sys::RD_KAFKA_PURGE_F_QUEUE | sys::RD_KAFKA_PURGE_F_NON_BLOCKING,
            );
        }
    }

    /// The next event, if one comes in time.
    pub(in crate::kafka) fn poll(&self, wait: Duration) -> Option<ProducerEvent> {
        let event = self.queue.poll(wait)?;
        Some(match event.kind() {
            sys::RD_KAFKA_EVENT_DR => ProducerEvent::Delivered(delivered(&event)),
            sys::RD_KAFKA_EVENT_ERROR => self.read_error(&event),
            sys::RD_KAFKA_EVENT_LOG => ProducerEvent::Other(read_log(&event)),
            _ => ProducerEvent::Other(Polled::Other),
        })
    }

    fn read_error(&self, event: &Event) -> ProducerEvent {
        let mut reason = [0; 512];
        // SAFETY: the client is valid, the buffer is writable for the length given and NUL-terminated.
        let (code, reason) = unsafe {
            let code = super::rd_kafka_fatal_error(self.client(), reason.as_mut_ptr(), reason.len());
            (code, super::text(reason.as_ptr()))
        };
        // The event itself has the code of what is fatal, not that it is.
        if code == 0 {
            ProducerEvent::Other(read_error(event))
        } else {
            ProducerEvent::Fatal { code, reason }
        }
    }

    fn client(&self) -> *mut sys::rd_kafka_t {
        self.producer.client().native_ptr()
    }
}

/// `RD_KAFKA_PARTITION_UA`: by the partitioner.
const UNASSIGNED: i32 = -1;

fn argument(vtype: sys::rd_kafka_vtype_t, u: Union) -> rd_kafka_vu_s {
    rd_kafka_vu_s { vtype, u }
}

fn memory(ptr: *mut c_void, size: usize) -> Union {
    Union { mem: sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 { ptr, size } }
}

fn delivered(event: &Event) -> Vec<(usize, i32)> {
    // SAFETY: the event is a delivery event; each message lives as long as it. The code is read as a number.
    unsafe {
        let mut reports = Vec::with_capacity(sys::rd_kafka_event_message_count(event.ptr()));
        loop {
            let message = sys::rd_kafka_event_message_next(event.ptr());
            if message.is_null() {
                return reports;
            }
            let code: c_int = addr_of!((*message).err).cast::<c_int>().read();
            reports.push(((*message)._private as usize, code));
        }
    }
}

impl RecordEvent {
    /// The value; none for a tombstone.
    pub(in crate::kafka) fn value(&self) -> Option<&[u8]> {
        // SAFETY: the message lives as long as the event; `len` bytes at `payload`, unless null.
        unsafe { bytes((*self.message).payload.cast(), (*self.message).len) }
    }
}
