//! A consumer that joins a group, with two queues: one for what happens to the group, one for records.
//!
//! With both on one queue an application that cannot take records just now would have to stop serving the
//! group too, or pause and throw away what was fetched. With two it just leaves the records where they are.

use std::time::Duration;

use rdkafka::{
    bindings as sys,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
};

use super::{
    Failure, Polled, c_string, code,
    consume::read,
    owned::{Event, PartitionList, Queue, read_list},
    rd_kafka_assign, rd_kafka_commit_queue,
};
use crate::kafka::TopicPartition;

/// What happened to the group, or a line of the client.
pub(in crate::kafka) enum GroupEvent {
    /// These partitions are this member's now; answer with [`GroupConsumer::assign`].
    Assigned(Vec<TopicPartition>),
    /// All partitions are taken back; answer with [`GroupConsumer::unassign`].
    Revoked,
    /// A commit was answered: the partitions that failed, with their codes.
    Committed(Result<(), Vec<(TopicPartition, i32)>>),
    /// Anything else.
    Other(Polled),
}

/// See the module. Dropping it leaves the group and takes 100 ms or more.
pub(in crate::kafka) struct GroupConsumer<C: ConsumerContext + 'static> {
    // Fields are dropped in this order: the queues must go before their client.
    control: Queue<'static>,
    records: Queue<'static>,
    consumer: Box<BaseConsumer<C>>,
}

// SAFETY: librdkafka's handles and queues may be used and freed on any thread; nothing here is thread-local.
unsafe impl<C: ConsumerContext + 'static> Send for GroupConsumer<C> {}
// SAFETY: as above: each of the calls here may be made by several threads at once.
unsafe impl<C: ConsumerContext + 'static> Sync for GroupConsumer<C> {}

impl<C: ConsumerContext + 'static> GroupConsumer<C> {
    /// Takes over a consumer that was made with a `group.id` and has not subscribed yet.
    pub(in crate::kafka) fn new(consumer: BaseConsumer<C>) -> Result<Self, Failure> {
        let consumer = Box::new(consumer);
        // SAFETY: the client lives in the box, which is neither moved out of nor dropped before the queues.
        let client: &'static rdkafka::client::NativeClient =
            unsafe { &*std::ptr::from_ref(consumer.client().native_client()) };
        Ok(Self { control: Queue::of_consumer(client)?, records: Queue::new(client)?, consumer })
    }

    /// Subscribes to these topics; the assignment comes as an event. To none: leaves the group.
    pub(in crate::kafka) fn subscribe(&self, topics: &[&str]) -> Result<(), Failure> {
        if topics.is_empty() {
            self.consumer.unsubscribe();
            return Ok(());
        }
        self.consumer
            .subscribe(topics)
            .map_err(|error| Failure::Call { code: code::INVALID_ARGUMENT, reason: error.to_string() })
    }

    /// What happened to the group. To be called often: the member counts as alive by it.
    pub(in crate::kafka) fn poll_group(&self, wait: Duration) -> Option<GroupEvent> {
        let event = self.control.poll(wait)?;
        Some(match event.kind() {
            sys::RD_KAFKA_EVENT_REBALANCE => match event.code() {
                code::ASSIGN_PARTITIONS => GroupEvent::Assigned(partitions(&event)),
                _ => GroupEvent::Revoked,
            },
            sys::RD_KAFKA_EVENT_OFFSET_COMMIT => GroupEvent::Committed(read_commit(&event)),
            _ => GroupEvent::Other(read(event)),
        })
    }

    /// The next record, end or error of an assigned partition.
    pub(in crate::kafka) fn poll_record(&self, wait: Duration) -> Option<Polled> {
        self.records.poll(wait).map(read)
    }

    /// Reads these partitions from their committed offsets on.
    pub(in crate::kafka) fn assign(&self, partitions: &[TopicPartition]) -> Result<(), Failure> {
        let mut list = PartitionList::new(partitions.len())?;
        for partition in partitions {
            list.push(partition, i64::from(sys::RD_KAFKA_OFFSET_INVALID), &[])?;
        }
        partitions.iter().try_for_each(|partition| self.forward(partition))?;
        // SAFETY: client and list are valid; the list is copied.
        match unsafe { rd_kafka_assign(self.client(), list.ptr()) } {
            0 => Ok(()),
            code => Err(Failure::call(code)),
        }
    }

    /// Gives all partitions back. Records of them that are still queued are not given out any more.
    pub(in crate::kafka) fn unassign(&self) -> Result<(), Failure> {
        // SAFETY: the client is valid; null empties the assignment.
        match unsafe { rd_kafka_assign(self.client(), std::ptr::null()) } {
            0 => Ok(()),
            code => Err(Failure::call(code)),
        }
    }

    /// True where the partitions being revoked may already belong to somebody else.
    pub(in crate::kafka) fn assignment_lost(&self) -> bool {
        self.consumer.assignment_lost()
    }

    /// Sends a commit, with this metadata for each; the answer comes as an event.
    pub(in crate::kafka) fn commit(
        &self,
        offsets: &[(TopicPartition, i64)],
        metadata: &[u8],
    ) -> Result<(), Failure> {
        let mut list = PartitionList::new(offsets.len())?;
        for (partition, offset) in offsets {
            list.push(partition, *offset, metadata)?;
        }
        // SAFETY: all valid; the list is copied. Without a callback the answer is an event on that queue.
        let code = unsafe {
            rd_kafka_commit_queue(self.client(), list.ptr(), self.control.ptr(), None, std::ptr::null_mut())
        };
        if code == 0 { Ok(()) } else { Err(Failure::call(code)) }
    }

    /// Lets the partition's records arrive on the record queue. An application's own forwarding outlasts the
    /// one that `rd_kafka_assign` makes (`rd_kafka_toppar_op_fetch_start`), so that it can be done before the
    /// first record is fetched. A fetcher that stops clears it, so it must be done for each assignment, and
    /// not before the fetchers of the one before have stopped, as they have when the next one comes.
    fn forward(&self, partition: &TopicPartition) -> Result<(), Failure> {
        let topic = c_string(&partition.topic)?;
        // SAFETY: the client is valid; the queue is a reference of ours, given back by `Queue`.
        unsafe {
            let queue = sys::rd_kafka_queue_get_partition(self.client(), topic.as_ptr(), partition.partition);
            let queue = Queue::adopt(queue)?;
            sys::rd_kafka_queue_forward(queue.ptr(), self.records.ptr());
        }
        Ok(())
    }

    fn client(&self) -> *mut sys::rd_kafka_t {
        self.consumer.client().native_ptr()
    }
}

fn partitions(event: &Event) -> Vec<TopicPartition> {
    // SAFETY: the list, if any, lives as long as the event; it is copied.
    let elements = unsafe { read_list(sys::rd_kafka_event_topic_partition_list(event.ptr())) };
    elements.into_iter().map(|element| element.partition).collect()
}

fn read_commit(event: &Event) -> Result<(), Vec<(TopicPartition, i32)>> {
    // SAFETY: as above.
    let elements = unsafe { read_list(sys::rd_kafka_event_topic_partition_list(event.ptr())) };
    let whole = event.code();
    let failed = elements.into_iter().filter_map(|element| {
        let code = if element.code == 0 { whole } else { element.code };
        (code != 0).then_some((element.partition, code))
    });
    let failed: Vec<_> = failed.collect();
    if failed.is_empty() && matches!(whole, 0 | code::NO_OFFSET) { Ok(()) } else { Err(failed) }
}
