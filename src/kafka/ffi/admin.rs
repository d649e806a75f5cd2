//! Admin calls about topics and logs, on a consumer's handle. Blocks the calling thread.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::c_char,
    slice,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rdkafka::{
    bindings::{self as sys, rd_kafka_admin_op_t as Op},
    client::NativeClient,
};

use super::{
    Failure, c_string, code, error_of,
    owned::{Event, Options, PartitionList, Queue, read_element},
    text,
};
use crate::kafka::{TopicPartition, cluster::TopicDescription, patience::Patience};

/// How long the client itself waits: longer than any handle lives on which somebody gave a call up. A call to a
/// coordinator that runs out of time inside the client uses what it has freed once the coordinator is back
/// (librdkafka issue 4605); one whose handle is closed before that does not.
const LONGER_THAN_THE_HANDLE: Duration = Duration::from_hours(1);

/// How long a blocked call takes to notice that its caller is gone.
const SLICE: Duration = Duration::from_millis(50);

/// Which end of a log to ask for.
#[derive(Clone, Copy)]
pub(in crate::kafka) enum OffsetSpec {
    Earliest,
    Latest,
}

/// Whether "latest" is the high watermark or the last stable offset.
#[derive(Clone, Copy)]
pub(in crate::kafka) enum Isolation {
    ReadUncommitted,
    ReadCommitted,
}

impl OffsetSpec {
    fn native(self) -> sys::rd_kafka_OffsetSpec_t {
        match self {
            Self::Earliest => sys::rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_EARLIEST,
            Self::Latest => sys::rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_LATEST,
        }
    }
}

impl Isolation {
    fn native(self) -> sys::rd_kafka_IsolationLevel_t {
        use sys::rd_kafka_IsolationLevel_t as Level;
        match self {
            Self::ReadUncommitted => Level::RD_KAFKA_ISOLATION_LEVEL_READ_UNCOMMITTED,
            Self::ReadCommitted => Level::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED,
        }
    }
}

/// Sends one admin call and waits for its answer; the answer's own error is a failure.
pub(super) fn ask(
    client: &NativeClient,
    call: Op,
    patience: &Patience,
    set: impl FnOnce(&Options<'_>) -> Result<(), Failure>,
    send: impl FnOnce(*mut sys::rd_kafka_t, *const sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t),
) -> Result<Event, Failure> {
    patience.check()?;
    let options = Options::new(client, call, LONGER_THAN_THE_HANDLE)?;
    set(&options)?;
    let queue = Queue::new(client)?;
    send(client.ptr(), options.ptr(), queue.ptr());
    loop {
        if let Some(event) = queue.poll(patience.left().min(SLICE)) {
            event.check()?;
            return Ok(event);
        }
        patience.check()?;
    }
}

/// No option beyond the timeout.
#[allow(clippy::unnecessary_wraps)] // One of several setters that `ask` takes.
pub(super) fn plain(_: &Options<'_>) -> Result<(), Failure> {
    Ok(())
}

/// Ids and partition counts of topics by name; those that do not exist are left out.
pub(in crate::kafka) fn describe_topics(
    client: &NativeClient,
    names: &[String],
    patience: &Patience,
) -> Result<BTreeMap<String, TopicDescription>, Failure> {
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let topics = TopicNames::new(names)?;
    let event =
        ask(client, Op::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, patience, plain, |client, options, queue| {
            // SAFETY: all are valid; the names are copied before the call returns.
            unsafe { sys::rd_kafka_DescribeTopics(client, topics.0, options, queue) }
        })?;
    // SAFETY: the result and all that it points to live as long as the event.
    unsafe {
        let result = sys::rd_kafka_event_DescribeTopics_result(event.ptr());
        if result.is_null() {
            return Err(Failure::call(code::BAD_MSG));
        }
        let mut count = 0;
        let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        let mut described = BTreeMap::new();
        for &topic in array(topics, count) {
            if let Some((name, description)) = read_topic(topic)? {
                described.insert(name, description);
            }
        }
        Ok(described)
    }
}

/// One topic of a description; `None` where the cluster has no such topic.
///
/// # Safety
/// `topic` is valid during the call.
unsafe fn read_topic(
    topic: *const sys::rd_kafka_TopicDescription_t,
) -> Result<Option<(String, TopicDescription)>, Failure> {
    // SAFETY: valid, see above; what is read is copied.
    unsafe {
        let name = text(sys::rd_kafka_TopicDescription_name(topic));
        match error_of(sys::rd_kafka_TopicDescription_error(topic)) {
            Err(Failure::Call { code: code::UNKNOWN_TOPIC_OR_PART, .. }) => return Ok(None),
            Err(failure) => return Err(Failure::named(&name, failure.code().unwrap_or(code::BAD_MSG))),
            Ok(()) => {}
        }
        let mut partitions = 0;
        sys::rd_kafka_TopicDescription_partitions(topic, &raw mut partitions);
        let id = topic_id(sys::rd_kafka_TopicDescription_topic_id(topic));
        let partitions = u32::try_from(partitions).map_err(|_| Failure::named(&name, code::BAD_MSG))?;
        Ok(Some((name, TopicDescription { id, partitions })))
    }
}

/// The id as Kafka's tools print it: 22 characters, URL-safe. librdkafka's own text is not URL-safe.
///
/// # Safety
/// `id` is null or valid during the call.
unsafe fn topic_id(id: *const sys::rd_kafka_Uuid_t) -> String {
    if id.is_null() {
        return String::new();
    }
    // SAFETY: not null, see above.
    let (high, low) = unsafe {
        (sys::rd_kafka_Uuid_most_significant_bits(id), sys::rd_kafka_Uuid_least_significant_bits(id))
    };
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&high.to_be_bytes());
    bytes[8..].copy_from_slice(&low.to_be_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A native collection of topic names.
struct TopicNames(*mut sys::rd_kafka_TopicCollection_t);

impl TopicNames {
    fn new(names: &[String]) -> Result<Self, Failure> {
        let names = names.iter().map(|name| c_string(name)).collect::<Result<Vec<_>, _>>()?;
        let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
        // SAFETY: `names` is alive during the call, which copies them.
        let topics =
            unsafe { sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len()) };
        if topics.is_null() { Err(Failure::call(code::INVALID_ARGUMENT)) } else { Ok(Self(topics)) }
    }
}

impl Drop for TopicNames {
    fn drop(&mut self) {
        // SAFETY: ours, freed once.
        unsafe { sys::rd_kafka_TopicCollection_destroy(self.0) }
    }
}

/// One end of each log: one request per leader broker, however many partitions.
pub(in crate::kafka) fn list_offsets(
    client: &NativeClient,
    partitions: &[TopicPartition],
    spec: OffsetSpec,
    isolation: Isolation,
    patience: &Patience,
) -> Result<BTreeMap<TopicPartition, i64>, Failure> {
    if partitions.is_empty() {
        return Ok(BTreeMap::new());
    }
    // The client refuses a list that names a partition twice.
    let unique: BTreeSet<_> = partitions.iter().collect();
    let mut list = PartitionList::new(unique.len())?;
    for partition in unique {
        list.push(partition, spec.native() as i64, &[])?;
    }
    let event = ask(
        client,
        Op::RD_KAFKA_ADMIN_OP_LISTOFFSETS,
        patience,
        |options| options.isolation(isolation.native()),
        // SAFETY: all are valid; the list is copied before the call returns.
        |client, options, queue| unsafe { sys::rd_kafka_ListOffsets(client, list.ptr(), options, queue) },
    );
    let event = match event {
        Err(failure) if failure.code() == Some(code::NO_ENTRY) => {
            return Err(no_leaders(client, partitions, patience));
        }
        event => event?,
    };
    let offsets = read_offsets(&event)?;
    match partitions.iter().find(|partition| !offsets.contains_key(partition)) {
        Some(missing) => Err(Failure::named(missing, code::LEADER_NOT_AVAILABLE)),
        None => Ok(offsets),
    }
}

/// The client drops every partition's own error when no leader at all is known: asks what it was.
fn no_leaders(client: &NativeClient, partitions: &[TopicPartition], patience: &Patience) -> Failure {
    let names: BTreeSet<_> = partitions.iter().map(|partition| partition.topic.clone()).collect();
    let names: Vec<_> = names.into_iter().collect();
    let topics = match describe_topics(client, &names, patience) {
        Ok(topics) => topics,
        Err(failure) => return failure,
    };
    let exists = |at: &TopicPartition| {
        let count = topics.get(&at.topic).map_or(0, |topic| topic.partitions);
        u32::try_from(at.partition).is_ok_and(|partition| partition < count)
    };
    match partitions.iter().find(|partition| !exists(partition)) {
        Some(missing) => Failure::named(missing, code::UNKNOWN_TOPIC_OR_PART),
        None => Failure::call(code::LEADER_NOT_AVAILABLE),
    }
}

fn read_offsets(event: &Event) -> Result<BTreeMap<TopicPartition, i64>, Failure> {
    // SAFETY: the result and all that it points to live as long as the event.
    unsafe {
        let result = sys::rd_kafka_event_ListOffsets_result(event.ptr());
        if result.is_null() {
            return Err(Failure::call(code::BAD_MSG));
        }
        let mut count = 0;
        let infos = sys::rd_kafka_ListOffsets_result_infos(result, &raw mut count);
        let mut offsets = BTreeMap::new();
        for &info in array(infos, count) {
            let element = read_element(sys::rd_kafka_ListOffsetsResultInfo_topic_partition(info));
            if element.code != 0 {
                return Err(Failure::named(&element.partition, element.code));
            }
            if element.offset < 0 {
                return Err(Failure::named(&element.partition, code::BAD_MSG));
            }
            offsets.insert(element.partition, element.offset);
        }
        Ok(offsets)
    }
}

/// A C array as a slice; null is empty.
///
/// # Safety
/// `first` is null or points to `count` elements that outlive `'a`.
pub(super) unsafe fn array<'a, T>(first: *mut T, count: usize) -> &'a [T] {
    if first.is_null() {
        return &[];
    }
    // SAFETY: see above.
    unsafe { slice::from_raw_parts(first, count) }
}
