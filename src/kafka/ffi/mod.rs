//! The only `unsafe` code of the crate: small safe wrappers over librdkafka where the safe API lacks a
//! call or would panic on other people's bytes. Holds no policy: no retries, no messages for people.

#![allow(unsafe_code)]

mod admin;
mod consume;
mod group_consumer;
mod groups;
mod metadata;
mod owned;
mod probe_consumer;
mod producer;

use std::{
    ffi::{CStr, CString, c_char, c_int},
    ptr::addr_of,
};

pub(super) use admin::{Isolation, OffsetSpec, describe_topics, list_offsets};
pub(super) use consume::{ConsumerQueue, Polled, RawHeaders, RecordEvent};
pub(super) use group_consumer::{GroupConsumer, GroupEvent};
pub(super) use groups::{alter_offsets, committed, describe_group, list_groups};
pub(super) use metadata::{cluster_id, list_topics};
pub(super) use probe_consumer::ProbeConsumer;
pub(super) use producer::{HeaderList, Outgoing, Producer, ProducerEvent, TopicHandle};
use rdkafka::bindings as sys;

use super::TopicPartition;

/// Error codes as numbers. The bindings' enum must not be used for what comes off the wire: a newer
/// broker's code that it does not list would be undefined behaviour in Rust.
pub(super) mod code {
    use rdkafka::bindings::rd_kafka_resp_err_t as E;

    pub const DESTROY: i32 = E::RD_KAFKA_RESP_ERR__DESTROY as i32;
    pub const TRANSPORT: i32 = E::RD_KAFKA_RESP_ERR__TRANSPORT as i32;
    pub const RESOLVE: i32 = E::RD_KAFKA_RESP_ERR__RESOLVE as i32;
    pub const PARTITION_EOF: i32 = E::RD_KAFKA_RESP_ERR__PARTITION_EOF as i32;
    pub const UNKNOWN_PARTITION: i32 = E::RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION as i32;
    pub const UNKNOWN_TOPIC: i32 = E::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC as i32;
    pub const ALL_BROKERS_DOWN: i32 = E::RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN as i32;
    pub const TIMED_OUT: i32 = E::RD_KAFKA_RESP_ERR__TIMED_OUT as i32;
    pub const TIMED_OUT_QUEUE: i32 = E::RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE as i32;
    pub const SSL: i32 = E::RD_KAFKA_RESP_ERR__SSL as i32;
    pub const AUTHENTICATION: i32 = E::RD_KAFKA_RESP_ERR__AUTHENTICATION as i32;
    pub const AUTO_OFFSET_RESET: i32 = E::RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET as i32;
    pub const NO_ENTRY: i32 = E::RD_KAFKA_RESP_ERR__NOENT as i32;
    pub const LOG_TRUNCATION: i32 = E::RD_KAFKA_RESP_ERR__LOG_TRUNCATION as i32;
    pub const DESTROY_BROKER: i32 = E::RD_KAFKA_RESP_ERR__DESTROY_BROKER as i32;
    pub const BAD_MSG: i32 = E::RD_KAFKA_RESP_ERR__BAD_MSG as i32;
    pub const OFFSET_OUT_OF_RANGE: i32 = E::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE as i32;
    pub const UNKNOWN_TOPIC_OR_PART: i32 = E::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART as i32;
    pub const LEADER_NOT_AVAILABLE: i32 = E::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE as i32;
    pub const NOT_LEADER: i32 = E::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION as i32;
    pub const OFFSET_METADATA_TOO_LARGE: i32 = E::RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE as i32;
    pub const COORDINATOR_LOADING: i32 = E::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS as i32;
    pub const COORDINATOR_NOT_AVAILABLE: i32 = E::RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE as i32;
    pub const NOT_COORDINATOR: i32 = E::RD_KAFKA_RESP_ERR_NOT_COORDINATOR as i32;
    pub const ILLEGAL_GENERATION: i32 = E::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION as i32;
    pub const UNKNOWN_MEMBER_ID: i32 = E::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID as i32;
    pub const REBALANCE_IN_PROGRESS: i32 = E::RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS as i32;
    pub const TOPIC_AUTHORIZATION: i32 = E::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED as i32;
    pub const GROUP_AUTHORIZATION: i32 = E::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED as i32;
    pub const CLUSTER_AUTHORIZATION: i32 = E::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED as i32;
    pub const SASL_AUTHENTICATION: i32 = E::RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED as i32;
    pub const GROUP_ID_NOT_FOUND: i32 = E::RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND as i32;
    pub const UNSTABLE_OFFSET_COMMIT: i32 = E::RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT as i32;
    pub const ASSIGN_PARTITIONS: i32 = E::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS as i32;
    pub const NO_OFFSET: i32 = E::RD_KAFKA_RESP_ERR__NO_OFFSET as i32;
    pub const TOPIC_EXCEPTION: i32 = E::RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION as i32;
    pub const MSG_SIZE_TOO_LARGE: i32 = E::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE as i32;
    pub const INVALID_TIMESTAMP: i32 = E::RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP as i32;
    pub const OUT_OF_ORDER_SEQUENCE: i32 = E::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER as i32;
    pub const UNKNOWN_PRODUCER_ID: i32 = E::RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID as i32;
    pub const INVALID_PRODUCER_EPOCH: i32 = E::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH as i32;
    pub const PURGE_QUEUE: i32 = E::RD_KAFKA_RESP_ERR__PURGE_QUEUE as i32;
    pub const PURGE_IN_FLIGHT: i32 = E::RD_KAFKA_RESP_ERR__PURGE_INFLIGHT as i32;
    pub const BAD_COMPRESSION: i32 = E::RD_KAFKA_RESP_ERR__BAD_COMPRESSION as i32;
    pub const NOT_IMPLEMENTED: i32 = E::RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED as i32;
    pub const CRITICAL_RESOURCE: i32 = E::RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE as i32;
    pub const FATAL: i32 = E::RD_KAFKA_RESP_ERR__FATAL as i32;
    pub const QUEUE_FULL: i32 = E::RD_KAFKA_RESP_ERR__QUEUE_FULL as i32;
    pub const STALE_MEMBER_EPOCH: i32 = E::RD_KAFKA_RESP_ERR_STALE_MEMBER_EPOCH as i32;
    /// Not the client's: our own code for a name that cannot be sent (a NUL in it).
    pub const INVALID_ARGUMENT: i32 = E::RD_KAFKA_RESP_ERR__INVALID_ARG as i32;
}

// The same symbols as in the bindings, with the error as a plain number, see `code`.
unsafe extern "C" {
    fn rd_kafka_event_error(event: *mut sys::rd_kafka_event_t) -> c_int;
    fn rd_kafka_error_code(error: *const sys::rd_kafka_error_t) -> c_int;
    fn rd_kafka_err2str(error: c_int) -> *const c_char;
    fn rd_kafka_assign(
        client: *mut sys::rd_kafka_t,
        list: *const sys::rd_kafka_topic_partition_list_t,
    ) -> c_int;
    fn rd_kafka_commit_queue(
        client: *mut sys::rd_kafka_t,
        offsets: *const sys::rd_kafka_topic_partition_list_t,
        queue: *mut sys::rd_kafka_queue_t,
        callback: Option<unsafe extern "C" fn()>,
        opaque: *mut std::ffi::c_void,
    ) -> c_int;
    fn rd_kafka_message_detach_headers(
        message: *mut sys::rd_kafka_message_t,
        headers: *mut *mut sys::rd_kafka_headers_t,
    ) -> c_int;
    fn rd_kafka_fatal_error(client: *mut sys::rd_kafka_t, reason: *mut c_char, size: usize) -> c_int;
}

/// Why a call gave no answer, in the client's terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The call as a whole failed.
    Call { code: i32, reason: String },
    /// It failed for one topic-partition (or topic), which stands for the rest.
    Named { name: String, code: i32, reason: String },
    /// Transactions hold the offsets of these partitions.
    Unstable(Vec<TopicPartition>),
    /// A log does not hold, or never reaches, this offset.
    OutOfRange { partition: TopicPartition, offset: i64, reason: String },
    /// The deadline passed.
    Expired,
    /// The caller is gone.
    Cancelled,
}

impl Failure {
    pub(super) fn call(code: i32) -> Self {
        Self::Call { code, reason: describe(code) }
    }

    pub(super) fn named(name: &(impl ToString + ?Sized), code: i32) -> Self {
        Self::Named { name: name.to_string(), code, reason: describe(code) }
    }

    /// The Kafka error code, where there is one.
    pub(super) fn code(&self) -> Option<i32> {
        match self {
            Self::Call { code, .. } | Self::Named { code, .. } => Some(*code),
            Self::Unstable(_) => Some(code::UNSTABLE_OFFSET_COMMIT),
            Self::OutOfRange { .. } => Some(code::OFFSET_OUT_OF_RANGE),
            Self::Expired | Self::Cancelled => None,
        }
    }
}

/// The client's text for an error code, known or not.
pub(super) fn describe(code: i32) -> String {
    // SAFETY: takes any number and returns a static or thread-local NUL-terminated string.
    unsafe { text(rd_kafka_err2str(code)) }
}

/// Copies a C string; null gives an empty one, bytes that are not UTF-8 are replaced.
///
/// # Safety
/// `string` is null or points to a NUL-terminated string that is valid during the call.
unsafe fn text(string: *const c_char) -> String {
    if string.is_null() {
        return String::new();
    }
    // SAFETY: see above.
    unsafe { CStr::from_ptr(string) }.to_string_lossy().into_owned()
}

/// The code of an error object; null means none.
///
/// # Safety
/// `error` is null or valid during the call.
unsafe fn error_of(error: *const sys::rd_kafka_error_t) -> Result<(), Failure> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: not null, see above.
    let code = unsafe { rd_kafka_error_code(error) };
    if code == 0 {
        return Ok(());
    }
    // SAFETY: not null, see above; the string lives as long as the error.
    Err(Failure::Call { code, reason: unsafe { text(sys::rd_kafka_error_string(error)) } })
}

/// The `err` field of a list's element, read as a number.
///
/// # Safety
/// `element` is valid during the call.
unsafe fn element_error(element: *const sys::rd_kafka_topic_partition_t) -> i32 {
    // SAFETY: the field is a C enum of the size of an int; no reference to the Rust enum is made.
    unsafe { addr_of!((*element).err).cast::<i32>().read() }
}

fn c_string(name: &str) -> Result<CString, Failure> {
    CString::new(name).map_err(|_| Failure::named(&name.replace('\0', "\u{fffd}"), code::INVALID_ARGUMENT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_code_of_a_newer_broker_is_just_a_number() {
        assert!(describe(code::TRANSPORT).contains("transport"));
        assert!(!describe(29_999).is_empty());
    }
}
