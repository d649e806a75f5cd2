//! Records with any bytes in their header keys: written and read by librdkafka's C API, since the safe one
//! panics on keys that are not UTF-8.

#![allow(unsafe_code)]

use std::{
    ffi::{CStr, c_void},
    ptr::{null, null_mut},
    slice,
    time::Duration,
};

use rdkafka::{
    bindings as sys,
    consumer::BaseConsumer,
    message::Message,
    producer::{BaseProducer, Producer},
};

/// A header: key and value.
pub type Header = (Vec<u8>, Option<Vec<u8>>);

/// A record as it lies in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub partition: i32,
    pub offset: i64,
    pub timestamp: Option<i64>,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<Header>,
}

impl Record {
    /// The last header of this name, as text.
    pub fn header(&self, name: &str) -> Option<String> {
        let found = self.headers.iter().rev().find(|(key, _)| key == name.as_bytes())?;
        found.1.as_ref().map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// The origin that our headers tell: partition and offset.
    pub fn origin(&self) -> (i32, i64) {
        let number = |name: &str| self.header(name).unwrap_or_else(|| panic!("no {name}: {self:?}"));
        (number("k2k_partition").parse().unwrap(), number("k2k_offset").parse().unwrap())
    }
}

/// Sends one record with these headers; wait for it with `flush`.
pub fn send(
    producer: &BaseProducer,
    topic: &str,
    partition: i32,
    record: (Option<&[u8]>, Option<&[u8]>),
    timestamp: i64,
    headers: &[Header],
) {
    // SAFETY: all pointers are valid during the calls; the client copies what it keeps and takes over the
    // header list where the call succeeds, which is asserted.
    unsafe {
        let list = sys::rd_kafka_headers_new(headers.len());
        for (key, value) in headers {
            let (bytes, len) = value.as_ref().map_or((null(), 0), |v| (v.as_ptr().cast::<c_void>(), v.len()));
            sys::rd_kafka_header_add(
                list,
                key.as_ptr().cast(),
                key.len().cast_signed(),
                bytes,
                len.cast_signed(),
            );
        }
        let client = producer.client().native_ptr();
        let name = std::ffi::CString::new(topic).unwrap();
        let handle = sys::rd_kafka_topic_new(client, name.as_ptr(), null_mut());
        let (key, value) = record;
        let error = sys::rd_kafka_producev(
            client,
            sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_RKT,
            handle,
            sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_PARTITION,
            partition,
            sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_MSGFLAGS,
            sys::RD_KAFKA_MSG_F_COPY,
            sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_KEY,
            key.map_or(null(), <[u8]>::as_ptr),
            key.map_or(0, <[u8]>::len),
            sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_VALUE,
            value.map_or(null(), <[u8]>::as_ptr),
            value.map_or(0, <[u8]>::len),
            sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_TIMESTAMP,
            timestamp,
            sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_HEADERS,
            list,
            sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_END,
        );
        sys::rd_kafka_topic_destroy(handle);
        assert_eq!(error, sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR);
    }
}

/// The next record of an assigned consumer; none at an end or after a while.
pub fn poll(consumer: &BaseConsumer, wait: Duration) -> Option<Record> {
    let message = match consumer.poll(wait)? {
        Ok(message) => message,
        Err(rdkafka::error::KafkaError::PartitionEOF(_)) => return None,
        Err(error) => panic!("{error}"),
    };
    Some(Record {
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message.timestamp().to_millis(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: headers(message.ptr()),
    })
}

fn headers(message: *mut sys::rd_kafka_message_t) -> Vec<Header> {
    let mut found = Vec::new();
    // SAFETY: the message is valid; name and value live as long as it and are copied.
    unsafe {
        let mut list = null_mut();
        if sys::rd_kafka_message_headers(message, &raw mut list)
            != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
        {
            return found;
        }
        for index in 0..sys::rd_kafka_header_cnt(list) {
            let (mut name, mut value, mut size) = (null(), null(), 0);
            sys::rd_kafka_header_get_all(list, index, &raw mut name, &raw mut value, &raw mut size);
            let value = (!value.is_null()).then(|| slice::from_raw_parts(value.cast::<u8>(), size).to_vec());
            found.push((CStr::from_ptr(name).to_bytes().to_vec(), value));
        }
    }
    found
}
