//! The target side: an idempotent producer. What it acknowledges is on all in-sync replicas, in the order in
//! which it was sent, for each target partition. It retries for ever; a record fails only where trying again
//! cannot help.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig,
    config::FromClientConfigAndContext,
    message::DeliveryResult,
    producer::{BaseProducer, ProducerContext},
};

use super::{SourceRecord, Trouble, default, refused, trouble};
use crate::kafka::{
    ConnectionConfig, KafkaError, Purpose,
    call::Asked,
    ffi::{self, Failure, GroupConsumer, HeaderList, Outgoing, Producer, ProducerEvent, TopicHandle, code},
    signals::Context,
};

/// The largest record, in bytes, that the client takes: 100 MiB, as much as the properties allow.
const LARGEST_RECORD: &str = "104857600";

/// Reports are read by [`Producer::poll`], not by rdkafka; this serves what is left when the client closes.
impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

/// How the producer packs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SinkSettings {
    /// The largest batch, in bytes before compression: no more than any target topic takes. A record that is
    /// larger by itself goes alone.
    pub batch_size: u64,
}

/// The producer on the target.
pub struct Sink {
    // Dropped in this order: topic handles must go before their client.
    topics: Vec<(String, TopicHandle)>,
    producer: Producer<Context>,
    servers: String,
}

/// A topic of one sink, looked up once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TargetTopic(usize);

/// A record with its headers, ready to be sent.
pub struct Parcel {
    // Dropped in this order: the record lies in the memory of the client that it came from.
    outgoing: Outgoing,
    client: Arc<GroupConsumer<Context>>,
}

/// A record that was not taken.
pub enum Rejected {
    /// There is no room just now; it is given back.
    Full(Box<Parcel>),
    /// It never will be.
    Refused {
        /// The Kafka error code.
        code: i32,
        /// The client's word.
        reason: String,
    },
}

/// What the target said.
pub enum Delivery {
    /// Reports, by ticket; the code is 0 where the record is acknowledged.
    Reports(Vec<(usize, i32)>),
    /// The client reports trouble. Where it [is fatal](Trouble::is_fatal) a new sink is needed.
    Trouble(Trouble),
    /// Nothing of interest.
    Nothing,
}

impl Parcel {
    /// The ticket that it was given.
    pub fn ticket(&self) -> usize {
        self.outgoing.ticket
    }

    /// Wraps a record: its own headers stay in front, byte for byte, `origin` appends to them. `partition`
    /// none: by the partitioner. `timestamp_ms` 0: the time of sending.
    pub fn new(
        mut record: SourceRecord,
        further_headers: usize,
        partition: Option<i32>,
        timestamp_ms: i64,
        ticket: usize,
        origin: impl FnOnce(&mut dyn FnMut(&str, &[u8])),
    ) -> Result<Self, String> {
        let mut headers: HeaderList = record
            .take_headers(further_headers)
            .map_err(|failure| ffi::describe(failure.code().unwrap_or_default()))?;
        origin(&mut |name, value| headers.push(name, value));
        let SourceRecord { event: record, client } = record;
        Ok(Self { outgoing: Outgoing { record, headers, partition, timestamp_ms, ticket }, client })
    }
}

impl Sink {
    /// Makes the client; it connects by itself.
    pub fn open(connection: &ConnectionConfig, settings: SinkSettings) -> Result<Self, KafkaError> {
        let config = client_config(connection, settings);
        let producer = BaseProducer::<Context>::from_config_and_context(&config, Context::default());
        let servers = connection.bootstrap_servers.clone();
        let producer = Producer::new(producer.map_err(refused)?)
            .map_err(|failure| explain(&servers, "open a producer", failure))?;
        Ok(Self { topics: Vec::new(), producer, servers })
    }

    /// Looks a topic up. The same name always gives the same answer.
    pub fn topic(&mut self, name: &str) -> Result<TargetTopic, KafkaError> {
        if let Some(index) = self.topics.iter().position(|(known, _)| known == name) {
            return Ok(TargetTopic(index));
        }
        let handle =
            self.producer.topic(name).map_err(|failure| explain(&self.servers, "use a topic", failure))?;
        self.topics.push((name.to_owned(), handle));
        Ok(TargetTopic(self.topics.len() - 1))
    }

    /// The topic's name.
    pub fn name(&self, topic: TargetTopic) -> &str {
        self.topics.get(topic.0).map_or("?", |(name, _)| name)
    }

    /// Queues a record.
    pub fn send(&self, topic: TargetTopic, parcel: Parcel) -> Result<(), Rejected> {
        let Parcel { outgoing, client } = parcel;
        self.producer.send(&self.topics[topic.0].1, outgoing).map_err(|rejected| {
            let (outgoing, failure) = *rejected;
            match failure {
                failure if failure.code() == Some(code::QUEUE_FULL) => {
                    Rejected::Full(Box::new(Parcel { outgoing, client }))
                }
                Failure::Call { code, reason } => Rejected::Refused { code, reason },
                other => Rejected::Refused { code: other.code().unwrap_or_default(), reason: String::new() },
            }
        })
    }

    /// Throws out what was not sent yet. A report says so of each record ([`Failed::Dropped`]). The sink is of
    /// no use afterwards: the sequence of an idempotent producer must not have holes.
    pub fn purge_queue(&self) {
        self.producer.purge_queue();
    }

    /// What the target said, without waiting: the client's poll with a timeout would spin.
    pub fn poll(&self) -> Option<Delivery> {
        Some(match self.producer.poll(Duration::ZERO)? {
            ProducerEvent::Delivered(reports) => Delivery::Reports(reports),
            ProducerEvent::Fatal { code: cause, reason } => {
                let reason = lost(cause, &format!("{} ({reason})", ffi::describe(cause)));
                Delivery::Trouble(Trouble { code: code::FATAL, place: None, offset: -1, reason })
            }
            ProducerEvent::Other(polled) => trouble(polled).map_or(Delivery::Nothing, Delivery::Trouble),
        })
    }
}

/// What an error code of a delivery report means for the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// It is larger than the target topic takes.
    TooLarge,
    /// The principal may not write there.
    NotAllowed,
    /// The target topic, or the partition in it, is gone.
    NoSuchPlace,
    /// The target does not take its timestamp.
    Timestamp,
    /// It was thrown out of the queue.
    Dropped,
    /// The producer's session with the target is broken, or was denied as the principal might write nowhere then; a
    /// new one sends the record again.
    Session,
    /// Something else.
    Other,
}

impl Failed {
    /// Sorts a code.
    pub fn new(code: i32) -> Self {
        match code {
            code::MSG_SIZE_TOO_LARGE => Self::TooLarge,
            code::TOPIC_AUTHORIZATION => Self::NotAllowed,
            code::UNKNOWN_TOPIC | code::UNKNOWN_PARTITION | code::UNKNOWN_TOPIC_OR_PART => Self::NoSuchPlace,
            code::INVALID_TIMESTAMP => Self::Timestamp,
            code::FATAL
            | code::CLUSTER_AUTHORIZATION
            | code::OUT_OF_ORDER_SEQUENCE
            | code::UNKNOWN_PRODUCER_ID
            | code::INVALID_PRODUCER_EPOCH => Self::Session,
            code::PURGE_QUEUE | code::PURGE_IN_FLIGHT => Self::Dropped,
            _ => Self::Other,
        }
    }
}

/// Why a new sink is needed, and what would help.
pub fn lost(code: i32, reason: &str) -> String {
    let denied = code == code::CLUSTER_AUTHORIZATION;
    format!("{reason}{}", if denied { "; allow the principal Write on the target topics" } else { "" })
}

/// The client's text for an error code.
pub fn describe(code: i32) -> String {
    ffi::describe(code)
}

fn client_config(connection: &ConnectionConfig, settings: SinkSettings) -> ClientConfig {
    let mut config = connection.client_config(Purpose::Replicator);
    // A record that was compressed on the source may be too large for the target if it were not here.
    default(&mut config, "compression.type", "lz4");
    default(&mut config, "linger.ms", "5");
    default(&mut config, "message.max.bytes", LARGEST_RECORD);
    let batch_size = config.get("batch.size").and_then(|size| size.parse().ok()).unwrap_or(u64::MAX);
    config
        .set("batch.size", batch_size.min(settings.batch_size).to_string())
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("max.in.flight.requests.per.connection", "5")
        // For ever: an outage of the target is waited out.
        .set("message.timeout.ms", "0")
        // The same partitioner as Java's default, so that keys stay where their producers put them.
        .set("partitioner", "murmur2_random")
        // Together with `queued.max.messages.kbytes` on the source this bounds the memory. Above the largest
        // record, which else would never find room.
        .set("queue.buffering.max.kbytes", "131072")
        .set("queue.buffering.max.messages", "100000")
        // Names that were not found are asked for again at once.
        .set("topic.metadata.refresh.interval.ms", "60000");
    config
}

fn explain(servers: &str, what: &str, failure: Failure) -> KafkaError {
    Asked { servers: servers.to_owned(), what: what.to_owned(), start: Instant::now() }.explain(failure, None)
}
