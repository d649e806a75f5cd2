//! Owners of librdkafka objects, each freed exactly once. Nothing here sends anything.

use std::{ffi::c_int, marker::PhantomData, ptr::NonNull, slice, time::Duration};

use rdkafka::{bindings as sys, client::NativeClient};

use super::{Failure, code, element_error, error_of, rd_kafka_event_error, text};
use crate::kafka::TopicPartition;

/// Milliseconds for a C timeout: never negative (that would mean "for ever").
pub(super) fn millis(duration: Duration) -> c_int {
    c_int::try_from(duration.as_millis()).unwrap_or(c_int::MAX)
}

/// A queue for the answer of one call.
pub(super) struct Queue<'a> {
    queue: NonNull<sys::rd_kafka_queue_t>,
    client: PhantomData<&'a NativeClient>,
}

impl<'a> Queue<'a> {
    pub(super) fn new(client: &'a NativeClient) -> Result<Self, Failure> {
        // SAFETY: the client outlives the queue, by the lifetime.
        Self::adopt(unsafe { sys::rd_kafka_queue_new(client.ptr()) })
    }

    /// A further reference to the queue that a consumer's records, ends and errors arrive on.
    pub(super) fn of_consumer(client: &'a NativeClient) -> Result<Self, Failure> {
        // SAFETY: as above; the reference is given back by `drop`.
        Self::adopt(unsafe { sys::rd_kafka_queue_get_consumer(client.ptr()) })
    }

    pub(super) fn adopt(queue: *mut sys::rd_kafka_queue_t) -> Result<Self, Failure> {
        let queue = NonNull::new(queue).ok_or_else(|| Failure::call(code::INVALID_ARGUMENT))?;
        Ok(Self { queue, client: PhantomData })
    }

    pub(super) fn ptr(&self) -> *mut sys::rd_kafka_queue_t {
        self.queue.as_ptr()
    }

    /// How many events wait on it.
    pub(super) fn len(&self) -> usize {
        // SAFETY: the queue is valid.
        unsafe { sys::rd_kafka_queue_length(self.ptr()) }
    }

    pub(super) fn poll(&self, wait: Duration) -> Option<Event> {
        // SAFETY: the queue is valid; the event, if any, is ours.
        NonNull::new(unsafe { sys::rd_kafka_queue_poll(self.ptr(), millis(wait)) }).map(Event)
    }
}

impl Drop for Queue<'_> {
    fn drop(&mut self) {
        // SAFETY: ours, freed once. A late answer to a destroyed queue is dropped by the client.
        unsafe { sys::rd_kafka_queue_destroy(self.ptr()) }
    }
}

/// An event taken off a queue.
pub(super) struct Event(NonNull<sys::rd_kafka_event_t>);

impl Event {
    pub(super) fn ptr(&self) -> *mut sys::rd_kafka_event_t {
        self.0.as_ptr()
    }

    pub(super) fn kind(&self) -> c_int {
        // SAFETY: the event is valid.
        unsafe { sys::rd_kafka_event_type(self.ptr()) }
    }

    pub(super) fn code(&self) -> i32 {
        // SAFETY: the event is valid.
        unsafe { rd_kafka_event_error(self.ptr()) }
    }

    pub(super) fn reason(&self) -> String {
        // SAFETY: the event is valid; the string lives as long as it.
        unsafe { text(sys::rd_kafka_event_error_string(self.ptr())) }
    }

    /// The event's own error, as a failure of the whole call.
    pub(super) fn check(&self) -> Result<(), Failure> {
        match self.code() {
            0 => Ok(()),
            code => Err(Failure::Call { code, reason: self.reason() }),
        }
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: ours, freed once.
        unsafe { sys::rd_kafka_event_destroy(self.ptr()) }
    }
}

/// The options of an admin call.
pub(super) struct Options<'a> {
    options: NonNull<sys::rd_kafka_AdminOptions_t>,
    client: PhantomData<&'a NativeClient>,
}

impl<'a> Options<'a> {
    pub(super) fn new(
        client: &'a NativeClient,
        call: sys::rd_kafka_admin_op_t,
        timeout: Duration,
    ) -> Result<Self, Failure> {
        // SAFETY: the client is valid.
        let options = NonNull::new(unsafe { sys::rd_kafka_AdminOptions_new(client.ptr(), call) })
            .ok_or_else(|| Failure::call(code::INVALID_ARGUMENT))?;
        let options = Self { options, client: PhantomData };
        let mut reason = [0; 256];
        // SAFETY: the buffer is writable for the length given. At most an hour, at least 1 ms.
        unsafe {
            sys::rd_kafka_AdminOptions_set_request_timeout(
                options.ptr(),
                millis(timeout).clamp(1, 3_600_000),
                reason.as_mut_ptr(),
                reason.len(),
            );
        }
        Ok(options)
    }

    pub(super) fn ptr(&self) -> *mut sys::rd_kafka_AdminOptions_t {
        self.options.as_ptr()
    }

    pub(super) fn require_stable_offsets(&self) -> Result<(), Failure> {
        // SAFETY: the options are valid; the error, if any, is ours.
        unsafe { take_error(sys::rd_kafka_AdminOptions_set_require_stable_offsets(self.ptr(), 1)) }
    }

    pub(super) fn isolation(&self, level: sys::rd_kafka_IsolationLevel_t) -> Result<(), Failure> {
        // SAFETY: the options are valid; the error, if any, is ours.
        unsafe { take_error(sys::rd_kafka_AdminOptions_set_isolation_level(self.ptr(), level)) }
    }
}

impl Drop for Options<'_> {
    fn drop(&mut self) {
        // SAFETY: ours, freed once.
        unsafe { sys::rd_kafka_AdminOptions_destroy(self.ptr()) }
    }
}

/// Reads an error object and frees it.
///
/// # Safety
/// `error` is null or ours to free.
pub(super) unsafe fn take_error(error: *mut sys::rd_kafka_error_t) -> Result<(), Failure> {
    // SAFETY: null or valid, see above.
    let result = unsafe { error_of(error) };
    if !error.is_null() {
        // SAFETY: ours, freed once, not used after.
        unsafe { sys::rd_kafka_error_destroy(error) };
    }
    result
}

/// A list of partitions that we own.
pub(super) struct PartitionList(NonNull<sys::rd_kafka_topic_partition_list_t>);

impl PartitionList {
    pub(super) fn new(capacity: usize) -> Result<Self, Failure> {
        let capacity = c_int::try_from(capacity).map_err(|_| Failure::call(code::INVALID_ARGUMENT))?;
        // SAFETY: no precondition.
        NonNull::new(unsafe { sys::rd_kafka_topic_partition_list_new(capacity) })
            .map(Self)
            .ok_or_else(|| Failure::call(code::INVALID_ARGUMENT))
    }

    pub(super) fn ptr(&self) -> *mut sys::rd_kafka_topic_partition_list_t {
        self.0.as_ptr()
    }

    /// Appends a partition; metadata goes in byte for byte, the leader epoch stays -1.
    pub(super) fn push(
        &mut self,
        partition: &TopicPartition,
        offset: i64,
        metadata: &[u8],
    ) -> Result<(), Failure> {
        let topic = super::c_string(&partition.topic)?;
        // SAFETY: the list is valid and copies the name; the element stays valid until the next append.
        unsafe {
            let element =
                sys::rd_kafka_topic_partition_list_add(self.ptr(), topic.as_ptr(), partition.partition);
            (*element).offset = offset;
            if !metadata.is_empty() {
                // The client frees it together with the list, so it must come from the client's malloc.
                let copy = sys::rd_kafka_mem_malloc(std::ptr::null_mut(), metadata.len());
                if copy.is_null() {
                    return Err(Failure::call(code::INVALID_ARGUMENT));
                }
                std::ptr::copy_nonoverlapping(metadata.as_ptr(), copy.cast(), metadata.len());
                (*element).metadata = copy;
                (*element).metadata_size = metadata.len();
            }
        }
        Ok(())
    }
}

impl Drop for PartitionList {
    fn drop(&mut self) {
        // SAFETY: ours, freed once, with the metadata in it.
        unsafe { sys::rd_kafka_topic_partition_list_destroy(self.ptr()) }
    }
}

/// One element of a list that came back.
pub(super) struct Element {
    pub(super) partition: TopicPartition,
    pub(super) offset: i64,
    pub(super) metadata: Vec<u8>,
    pub(super) code: i32,
}

/// Copies one element.
///
/// # Safety
/// `element` is valid during the call.
pub(super) unsafe fn read_element(element: *const sys::rd_kafka_topic_partition_t) -> Element {
    // SAFETY: valid, see above; fields are read one by one, `err` as a number. Metadata is `size` bytes.
    unsafe {
        let metadata = (*element).metadata.cast::<u8>();
        let metadata = if metadata.is_null() {
            Vec::new()
        } else {
            slice::from_raw_parts(metadata, (*element).metadata_size).to_vec()
        };
        Element {
            partition: TopicPartition::new(text((*element).topic), (*element).partition),
            offset: (*element).offset,
            metadata,
            code: element_error(element),
        }
    }
}

/// Copies a list that something else owns; null is an empty one.
///
/// # Safety
/// `list` is null or valid during the call.
pub(super) unsafe fn read_list(list: *const sys::rd_kafka_topic_partition_list_t) -> Vec<Element> {
    if list.is_null() {
        return Vec::new();
    }
    // SAFETY: `elems` holds `cnt` elements.
    unsafe {
        let count = usize::try_from((*list).cnt).unwrap_or(0);
        (0..count).map(|i| read_element((*list).elems.add(i))).collect()
    }
}
