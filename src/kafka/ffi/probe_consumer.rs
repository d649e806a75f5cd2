//! A consumer with a queue for each partition, so that a look into one log does not wait behind what was
//! fetched of the others.

use std::time::Duration;

use rdkafka::{
    Offset, TopicPartitionList, bindings as sys,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
};

use super::{Failure, Polled, c_string, code, consume::read, owned::Queue};
use crate::kafka::TopicPartition;

/// See the module. Dropping it takes 100 ms.
pub(in crate::kafka) struct ProbeConsumer<C: ConsumerContext + 'static> {
    // Fields are dropped in this order: the queues must go before their client.
    partitions: Vec<Queue<'static>>,
    control: Queue<'static>,
    consumer: Box<BaseConsumer<C>>,
}

// SAFETY: librdkafka's handles and queues may be used and freed on any thread; nothing here is thread-local.
unsafe impl<C: ConsumerContext + 'static> Send for ProbeConsumer<C> {}

impl<C: ConsumerContext + 'static> ProbeConsumer<C> {
    /// Takes over a consumer that was made with a `group.id` and is assigned to nothing.
    pub(in crate::kafka) fn new(consumer: BaseConsumer<C>) -> Result<Self, Failure> {
        let consumer = Box::new(consumer);
        // SAFETY: the client lives in the box, which is neither moved out of nor dropped before the queues.
        let client: &'static rdkafka::client::NativeClient =
            unsafe { &*std::ptr::from_ref(consumer.client().native_client()) };
        Ok(Self { partitions: Vec::new(), control: Queue::of_consumer(client)?, consumer })
    }

    pub(in crate::kafka) fn context(&self) -> &C {
        self.consumer.context()
    }

    /// Fetches these partitions, each from its offset, and nothing else any more. They are numbered from 0 on.
    pub(in crate::kafka) fn assign(&mut self, places: &[(&TopicPartition, i64)]) -> Result<(), Failure> {
        self.consumer.assign(&TopicPartitionList::new()).map_err(|error| local(&error))?;
        // One record on a queue keeps its whole batch in memory.
        for queue in self.partitions.drain(..) {
            while queue.poll(Duration::ZERO).is_some() {}
        }
        for (at, _) in places {
            let topic = c_string(&at.topic)?;
            // SAFETY: the client is valid; the queue is a reference of ours, given back by `Queue`. An
            // application's own forwarding, to nowhere here, outlasts the assignment's.
            unsafe {
                let client = self.consumer.client().native_ptr();
                let queue = sys::rd_kafka_queue_get_partition(client, topic.as_ptr(), at.partition);
                let queue = Queue::adopt(queue)?;
                sys::rd_kafka_queue_forward(queue.ptr(), std::ptr::null_mut());
                self.partitions.push(queue);
            }
        }
        self.consumer.assign(&list(places)?).map_err(|error| local(&error))
    }

    /// The next event of a partition by its number, if one comes in time.
    pub(in crate::kafka) fn poll(&self, number: usize, wait: Duration) -> Option<Polled> {
        self.partitions[number].poll(wait).map(read)
    }

    /// How many events wait on a partition's queue. While there is one, no more is fetched of it.
    pub(in crate::kafka) fn waiting(&self, number: usize) -> usize {
        self.partitions[number].len()
    }

    /// What happened to the client as a whole.
    pub(in crate::kafka) fn poll_client(&self) -> Option<Polled> {
        self.control.poll(Duration::ZERO).map(read)
    }
}

fn list(places: &[(&TopicPartition, i64)]) -> Result<TopicPartitionList, Failure> {
    let mut list = TopicPartitionList::with_capacity(places.len());
    for (at, offset) in places {
        list.add_partition_offset(&at.topic, at.partition, Offset::Offset(*offset))
            .map_err(|error| local(&error))?;
    }
    Ok(list)
}

/// A refusal of the client itself.
fn local(error: &rdkafka::error::KafkaError) -> Failure {
    let code = error.rdkafka_error_code().map_or(code::INVALID_ARGUMENT, |code| code as i32);
    Failure::Call { code, reason: error.to_string() }
}
