//! The source side: a member of the replicator's group. Writes nothing but this group's offsets.

use std::{
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use rdkafka::config::FromClientConfigAndContext;

use super::{Trouble, default, refused, trouble};
use crate::kafka::{
    ConnectionConfig, KafkaError, Purpose, TopicPartition,
    call::Asked,
    ffi::{Failure, GroupConsumer, GroupEvent, HeaderList, Polled, RecordEvent},
    signals::Context,
};

/// The member's session, in milliseconds. A dead instance holds its partitions for so long. The heart beats
/// on the client's own thread: a slow target does not end the session.
const SESSION_TIMEOUT_MS: &str = "10000";

/// The most to fetch from one broker at once, in bytes, where no batch is larger.
const FETCH_MAX: u64 = 16 << 20;

/// The commit metadata of a replicator's position: no application's offset has it.
pub const POSITION: &[u8] = b"appmigration replicate";

/// A member of the replicator's group on the source.
pub struct Source {
    consumer: Arc<GroupConsumer<Context>>,
    servers: String,
    group: String,
}

/// What happened to the group.
#[derive(Debug)]
pub enum GroupChange {
    /// These partitions are ours now.
    Assigned(Vec<TopicPartition>),
    /// All partitions are taken back. `lost`: somebody else may have them already.
    Revoked {
        /// Whether it is too late to commit.
        lost: bool,
    },
    /// A commit was answered; these partitions failed, with the broker's code.
    Committed(Result<(), Vec<(TopicPartition, i32)>>),
    /// The client reports trouble.
    Trouble(Trouble),
    /// Nothing of interest.
    Nothing,
}

/// What arrived from the partitions.
pub enum Arrival {
    /// A record.
    Record(SourceRecord),
    /// The end of a partition as a `read_committed` reader sees it, beyond trailing transaction markers.
    End {
        /// Which one.
        partition: TopicPartition,
        /// Where the next record will be read.
        offset: i64,
    },
    /// Trouble with one partition.
    Trouble(Trouble),
}

/// A record, still in the client's memory, which therefore lives as long as it.
pub struct SourceRecord {
    // Dropped in this order.
    pub(super) event: RecordEvent,
    pub(super) client: Arc<GroupConsumer<Context>>,
}

impl SourceRecord {
    /// The topic's name.
    pub fn topic(&self) -> String {
        self.event.topic()
    }

    /// Tells topics apart cheaply, while the consumer is assigned to them.
    pub fn topic_address(&self) -> usize {
        self.event.topic_address()
    }

    /// The partition.
    pub fn partition(&self) -> i32 {
        self.event.partition()
    }

    /// The offset.
    pub fn offset(&self) -> i64 {
        self.event.offset()
    }

    /// Milliseconds since the epoch, where the record has a timestamp.
    pub fn timestamp_ms(&self) -> Option<i64> {
        self.event.timestamp_ms()
    }

    /// Bytes of key and value.
    pub fn size(&self) -> usize {
        self.event.key().map_or(0, <[u8]>::len) + self.event.value().map_or(0, <[u8]>::len)
    }

    /// Takes the headers out, with room for `further` ones.
    pub(super) fn take_headers(&mut self, further: usize) -> Result<HeaderList, Failure> {
        HeaderList::of(&mut self.event, further)
    }
}

impl Source {
    /// Makes the client; it connects by itself. `largest_batch` in bytes: a batch that does not fit into one
    /// fetch would keep the broker from sending anything of the other partitions beside it.
    pub fn open(connection: &ConnectionConfig, group: &str, largest_batch: u64) -> Result<Self, KafkaError> {
        let mut config = connection.client_config(Purpose::Replicator);
        default(&mut config, "fetch.message.max.bytes", &largest_batch.to_string());
        // Memory: one answer of each broker is held beside what is queued.
        default(&mut config, "fetch.max.bytes", &largest_batch.max(FETCH_MAX).to_string());
        // The default of a second rules every read; 0 would be a busy loop.
        default(&mut config, "fetch.queue.backoff.ms", "5");
        default(&mut config, "fetch.error.backoff.ms", "100");
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // Copying begins at the log's start; also where retention has passed the position.
            .set("auto.offset.reset", "earliest")
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true")
            .set("check.crcs", "true")
            .set("partition.assignment.strategy", "range,roundrobin")
            .set("session.timeout.ms", SESSION_TIMEOUT_MS)
            .set("heartbeat.interval.ms", "2000");
        let consumer = FromClientConfigAndContext::from_config_and_context(&config, Context::default());
        let servers = connection.bootstrap_servers.clone();
        let consumer = GroupConsumer::new(consumer.map_err(refused)?)
            .map_err(|failure| explain(&servers, "open a consumer", failure))?;
        Ok(Self { consumer: Arc::new(consumer), servers, group: group.to_owned() })
    }

    /// Subscribes to these topics; to none: leaves the group.
    pub fn subscribe<'t>(&self, topics: impl IntoIterator<Item = &'t str>) -> Result<(), KafkaError> {
        let topics: Vec<&str> = topics.into_iter().collect();
        self.consumer.subscribe(&topics).map_err(|failure| self.explain("subscribe", failure))
    }

    /// What happened to the group. To be called often: the member counts as alive by it.
    pub fn poll_group(&self, wait: Duration) -> Option<GroupChange> {
        Some(match self.consumer.poll_group(wait)? {
            GroupEvent::Assigned(partitions) => GroupChange::Assigned(partitions),
            GroupEvent::Revoked => GroupChange::Revoked { lost: self.consumer.assignment_lost() },
            GroupEvent::Committed(result) => GroupChange::Committed(result),
            GroupEvent::Other(polled) => trouble(polled).map_or(GroupChange::Nothing, GroupChange::Trouble),
        })
    }

    /// The next record or end, if one comes in time. Not calling it is how to stop reading for a while.
    pub fn poll_record(&self, wait: Duration) -> Option<Arrival> {
        match self.consumer.poll_record(wait)? {
            Polled::Record(event) => {
                let client = Arc::clone(&self.consumer);
                Some(Arrival::Record(SourceRecord { event, client }))
            }
            Polled::End { partition, offset } => Some(Arrival::End { partition, offset }),
            other => trouble(other).map(Arrival::Trouble),
        }
    }

    /// Reads these partitions, whichever the group's protocol gave, from their committed offsets on. Only in
    /// answer to [`GroupChange::Assigned`].
    pub fn assign(&self, partitions: &[TopicPartition]) -> Result<(), KafkaError> {
        self.consumer.assign(partitions).map_err(|failure| self.explain("take over partitions", failure))
    }

    /// Gives all partitions back.
    pub fn unassign(&self) -> Result<(), KafkaError> {
        self.consumer.unassign().map_err(|failure| self.explain("give partitions back", failure))
    }

    /// Sends a commit of positions, each with [`POSITION`] beside it; the answer comes as a [`GroupChange::Committed`].
    pub fn commit(&self, positions: &[(TopicPartition, i64)]) -> Result<(), KafkaError> {
        let what = || format!("commit the positions of group {}", self.group);
        self.consumer.commit(positions, POSITION).map_err(|failure| explain(&self.servers, &what(), failure))
    }

    /// Leaves the group and closes the client. Gives up waiting at the deadline: a source that does not
    /// answer must not hold up the end of the process; the session then times out by itself.
    pub fn close(self, deadline: Duration) {
        let (done, closed) = mpsc::channel();
        let closing = thread::Builder::new().name("source-close".into()).spawn(move || {
            drop(self.consumer);
            let _ = done.send(());
        });
        if closing.is_ok() && closed.recv_timeout(deadline).is_err() {
            tracing::warn!("the source did not answer in time while leaving the group");
        }
    }

    fn explain(&self, what: &str, failure: Failure) -> KafkaError {
        explain(&self.servers, what, failure)
    }
}

fn explain(servers: &str, what: &str, failure: Failure) -> KafkaError {
    Asked { servers: servers.to_owned(), what: what.to_owned(), start: std::time::Instant::now() }
        .explain(failure, None)
}
