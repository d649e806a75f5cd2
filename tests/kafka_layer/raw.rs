//! Produces what the safe client refuses to: header keys that are not UTF-8. For setting scenes only.

#![allow(unsafe_code)]

use std::{ffi::CString, ptr};

use appmigration::TopicPartition;
use rdkafka::{
    bindings as sys,
    producer::{BaseProducer, Producer},
};

use crate::support::DEADLINE;

/// Sends one record with these headers, in this order, and waits until it is there.
pub fn produce(producer: &BaseProducer, to: &TopicPartition, headers: &[(&[u8], Option<&[u8]>)]) {
    let topic = CString::new(to.topic.as_str()).unwrap();
    // SAFETY: the producer outlives the calls; produceva takes the headers over when it succeeds.
    unsafe {
        let native = sys::rd_kafka_headers_new(headers.len());
        for (key, value) in headers {
            let (first, size) = value.map_or((ptr::null(), 0), |value| (value.as_ptr().cast(), value.len()));
            let added = sys::rd_kafka_header_add(
                native,
                key.as_ptr().cast(),
                key.len().cast_signed(),
                first,
                size.cast_signed(),
            );
            assert_eq!(added, sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR);
        }
        let handle = sys::rd_kafka_topic_new(producer.client().native_ptr(), topic.as_ptr(), ptr::null_mut());
        let mut parts: [sys::rd_kafka_vu_t; 3] = std::mem::zeroed();
        parts[0].vtype = sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_RKT;
        parts[0].u.rkt = handle;
        parts[1].vtype = sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_PARTITION;
        parts[1].u.i32_ = to.partition;
        parts[2].vtype = sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_HEADERS;
        parts[2].u.headers = native;
        let error = sys::rd_kafka_produceva(producer.client().native_ptr(), parts.as_ptr(), parts.len());
        assert!(error.is_null());
        sys::rd_kafka_topic_destroy(handle);
    }
    producer.flush(DEADLINE).unwrap();
}
