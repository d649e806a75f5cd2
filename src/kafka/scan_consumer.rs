//! The consumer that a scan reads with: its settings, and moving it about. Knows nothing of ranges.

use std::time::Duration;

use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
};

use super::{
    ConnectionConfig, KafkaError, Purpose, TopicPartition,
    ffi::{ConsumerQueue, Failure, code},
    handle,
    signals::{Context, Signals},
};

/// A consumer of its own for one scan. Dropping it takes 100 ms and blocks.
pub(super) struct ScanConsumer(BaseConsumer<Context>);

impl ScanConsumer {
    /// Makes the client; `stall` is how long the scan may be without progress.
    pub(super) fn new(config: &ConnectionConfig, stall: Duration) -> Result<Self, KafkaError> {
        handle::consumer(&mut settings(config, stall)).map(Self)
    }

    pub(super) fn signals(&self) -> &Signals {
        &self.0.context().signals
    }

    pub(super) fn queue(&self) -> Result<ConsumerQueue<'_>, Failure> {
        ConsumerQueue::new(self.0.client().native_client())
    }

    /// Starts reading these partitions, each at its offset.
    pub(super) fn assign(&self, places: &[(TopicPartition, i64)]) -> Result<(), Failure> {
        self.0.incremental_assign(&list(places)?).map_err(|error| local("assign", &error))
    }

    /// Fetches no more of a partition.
    pub(super) fn pause(&self, partition: &TopicPartition) -> Result<(), Failure> {
        let place = list(&[(partition.clone(), 0)])?;
        self.0.pause(&place).map_err(|error| local(partition, &error))
    }

    /// Starts a partition that has failed anew, at another offset.
    pub(super) fn restart(&self, partition: &TopicPartition, offset: i64) -> Result<(), Failure> {
        let place = list(&[(partition.clone(), offset)])?;
        self.0
            .incremental_unassign(&place)
            .and_then(|()| self.0.incremental_assign(&place))
            .map_err(|error| local(partition, &error))
    }
}

/// Settings for reading much, quickly, in bounded memory.
fn settings(config: &ConnectionConfig, stall: Duration) -> ClientConfig {
    let mut settings = config.client_config(Purpose::Operator);
    let statistics = (stall.as_millis() / 3).clamp(1_000, 60_000);
    settings
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        // An offset that is not there must be an error, never a jump.
        .set("auto.offset.reset", "error")
        .set("check.crcs", "true")
        // The default, 1000, rules the speed of every read; 0 is a busy loop.
        .set("fetch.queue.backoff.ms", "2")
        // How long the broker holds a fetch at the end of a log back: the end event waits for it.
        .set("fetch.wait.max.ms", "10")
        .set("fetch.error.backoff.ms", "20")
        // Below a topic's largest batch the broker would answer for one partition at a time only.
        .set("fetch.message.max.bytes", "2097152")
        .set("queued.min.messages", "20000")
        .set("topic.metadata.propagation.max.ms", "5000")
        .set("statistics.interval.ms", statistics.to_string());
    settings
}

fn list(places: &[(TopicPartition, i64)]) -> Result<TopicPartitionList, Failure> {
    let mut list = TopicPartitionList::with_capacity(places.len());
    for (at, offset) in places {
        list.add_partition_offset(&at.topic, at.partition, Offset::Offset(*offset))
            .map_err(|error| local(at, &error))?;
    }
    Ok(list)
}

/// A refusal of the client itself.
fn local(name: &(impl ToString + ?Sized), error: &rdkafka::error::KafkaError) -> Failure {
    let code = error.rdkafka_error_code().map_or(code::INVALID_ARGUMENT, |code| code as i32);
    Failure::Named { name: name.to_string(), code, reason: error.to_string() }
}
