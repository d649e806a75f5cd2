//! Metadata requests: the cluster's id and its topics. Blocks the calling thread.
//!
//! Any broker answers these. The admin calls that give the same (`DescribeCluster`) wait for the one that
//! is the controller, also when it is the one that is down.

use std::{
    collections::BTreeMap,
    ffi::{c_int, c_void},
    ptr::{NonNull, addr_of, null_mut},
    time::Duration,
};

use rdkafka::{bindings as sys, client::NativeClient};

use super::{Failure, code, owned::millis, text};
use crate::kafka::patience::Patience;

/// How long one request waits before the patience is looked at again.
const SLICE: Duration = Duration::from_millis(500);

unsafe extern "C" {
    // As in the bindings, with the error as a plain number, see `code`.
    fn rd_kafka_metadata(
        client: *mut sys::rd_kafka_t,
        all_topics: c_int,
        only: *mut sys::rd_kafka_topic_t,
        metadata: *mut *const sys::rd_kafka_metadata,
        timeout_ms: c_int,
    ) -> c_int;
}

/// The cluster's id, asked anew.
pub(in crate::kafka) fn cluster_id(client: &NativeClient, patience: &Patience) -> Result<String, Failure> {
    // The answer updates the id that the client holds.
    Metadata::ask(client, false, patience)?;
    // SAFETY: the client is valid; the string is ours to free, with the client's free, after the copy.
    let id = unsafe {
        let id = sys::rd_kafka_clusterid(client.ptr(), 0);
        let copy = text(id);
        sys::rd_kafka_mem_free(client.ptr(), id.cast::<c_void>());
        copy
    };
    if id.is_empty() {
        let reason = "the broker gives no cluster id (it is older than 0.10.1)".to_owned();
        return Err(Failure::Call { code: code::BAD_MSG, reason });
    }
    Ok(id)
}

/// All topics that the principal may see, with their partition counts. Those being deleted are left out.
pub(in crate::kafka) fn list_topics(
    client: &NativeClient,
    patience: &Patience,
) -> Result<BTreeMap<String, u32>, Failure> {
    let metadata = Metadata::ask(client, true, patience)?;
    Ok(metadata.topics().filter(|(_, partitions)| *partitions > 0).collect())
}

/// An answer that we own.
struct Metadata(NonNull<sys::rd_kafka_metadata>);

impl Metadata {
    /// Asks any broker that is up, waiting for one. In slices, since a single call cannot be given up;
    /// longer ones when a slice was too short for a slow answer.
    fn ask(client: &NativeClient, all_topics: bool, patience: &Patience) -> Result<Self, Failure> {
        let mut slice = SLICE;
        loop {
            patience.check()?;
            let wait = millis(patience.left().min(slice));
            let mut metadata = std::ptr::null();
            // SAFETY: the client is valid; the answer, if any, is ours.
            let error = unsafe {
                rd_kafka_metadata(client.ptr(), c_int::from(all_topics), null_mut(), &raw mut metadata, wait)
            };
            match error {
                0 => {
                    let owned =
                        NonNull::new(metadata.cast_mut()).ok_or_else(|| Failure::call(code::BAD_MSG))?;
                    return Ok(Self(owned));
                }
                // No broker is up.
                code::TRANSPORT => {}
                code::TIMED_OUT => slice = slice.saturating_mul(2),
                code => return Err(Failure::call(code)),
            }
        }
    }

    fn topics(&self) -> impl Iterator<Item = (String, u32)> {
        // SAFETY: the answer is valid while `self` is.
        let (first, count) =
            unsafe { (addr_of!((*self.0.as_ptr()).topics).read(), (*self.0.as_ptr()).topic_cnt) };
        (0..usize::try_from(count).unwrap_or(0)).map(move |index| {
            // SAFETY: `first` has `count` elements; fields are read one by one, the error enum is not.
            unsafe {
                let topic = first.add(index);
                (text((*topic).topic), u32::try_from((*topic).partition_cnt).unwrap_or(0))
            }
        })
    }
}

impl Drop for Metadata {
    fn drop(&mut self) {
        // SAFETY: ours, freed once.
        unsafe { sys::rd_kafka_metadata_destroy(self.0.as_ptr()) }
    }
}
