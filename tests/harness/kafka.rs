//! The two clusters, through plain rdkafka: topics, records, ends of logs.

use std::{
    collections::BTreeSet,
    panic::catch_unwind,
    sync::OnceLock,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    message::{Header, Headers, Message, OwnedHeaders},
    producer::{BaseProducer, FutureProducer, FutureRecord, Producer},
    types::RDKafkaErrorCode,
};

use super::stack::{DEADLINE, block_on, var};

const TIMEOUT: Duration = Duration::from_secs(20);

/// Settings of a topic that the cleaner compacts within a second.
pub const COMPACTED: [(&str, &str); 3] =
    [("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0.001"), ("segment.ms", "100")];

/// One of the two clusters, or the third one, which only some tests start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    Source,
    Target,
    Trio,
}

static TRIO: OnceLock<String> = OnceLock::new();

/// A record as a consumer was given it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub value: String,
    pub headers: Vec<(String, Vec<u8>)>,
}

/// A record to write: headers by name, the value, a timestamp where it matters.
#[derive(Clone, Debug, Default)]
pub struct Record {
    pub key: Option<String>,
    pub value: String,
    pub headers: Vec<(String, Vec<u8>)>,
    pub timestamp: Option<i64>,
}

impl Side {
    /// The stack's address of a listener: `BOOTSTRAP` (plain text), `SSL`, `MTLS`, `SASL_SSL`, …
    pub fn listener(self, name: &str) -> String {
        match self {
            Self::Source => var(&format!("SOURCE_{name}")),
            Self::Target => var(&format!("TARGET_{name}")),
            Self::Trio => TRIO.get().expect("`stack trio up`").clone(),
        }
    }

    /// Where `stack trio up` says that the third cluster is.
    pub fn trio_is_at(bootstrap: &str) {
        TRIO.set(bootstrap.to_owned()).expect("one test has it");
    }

    pub fn bootstrap(self) -> String {
        self.listener("BOOTSTRAP")
    }

    /// Settings of a client without credentials, which may do anything.
    pub fn config(self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.bootstrap());
        config.set("allow.auto.create.topics", "false");
        config.set_log_level(rdkafka::config::RDKafkaLogLevel::Error);
        config
    }

    pub fn admin(self) -> AdminClient<DefaultClientContext> {
        self.config().create().unwrap()
    }

    fn producer(self) -> &'static FutureProducer {
        static PRODUCERS: [OnceLock<FutureProducer>; 3] = [const { OnceLock::new() }; 3];
        PRODUCERS[self as usize].get_or_init(|| {
            // In order, and each record once: a test draws a log record by record.
            let mut config = self.config();
            config.set("enable.idempotence", "true").set("linger.ms", "2");
            config.create().unwrap()
        })
    }

    pub fn create_topic(self, name: &str, partitions: i32, config: &[(&str, &str)]) {
        let topic = config
            .iter()
            .fold(NewTopic::new(name, partitions, TopicReplication::Fixed(-1)), |topic, (key, value)| {
                topic.set(key, value)
            });
        let options = AdminOptions::new().operation_timeout(Some(TIMEOUT));
        let start = Instant::now();
        // A broker that a loaded machine has held up is fenced for a while, and its answer may come too late.
        let mut again = false;
        loop {
            let outcome = block_on(self.admin().create_topics([&topic], &options));
            let is_there = |result: &Result<String, (String, RDKafkaErrorCode)>| match result {
                Ok(_) => true,
                Err((_, code)) => again && *code == RDKafkaErrorCode::TopicAlreadyExists,
            };
            if outcome.as_ref().is_ok_and(|results| results.iter().all(is_there)) {
                break;
            }
            assert!(start.elapsed() < DEADLINE, "{outcome:?}");
            again = true;
            std::thread::sleep(Duration::from_millis(200));
        }
        self.wait_for_partitions(name, partitions);
    }

    /// Adds partitions.
    pub fn grow(self, name: &str, partitions: i32) {
        let new = NewPartitions::new(name, usize::try_from(partitions).unwrap());
        let options = AdminOptions::new().operation_timeout(Some(TIMEOUT));
        let results = block_on(self.admin().create_partitions([&new], &options)).unwrap();
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        self.wait_for_partitions(name, partitions);
        // The producer would learn of them only after minutes.
        self.producer().client().fetch_metadata(Some(name), TIMEOUT).unwrap();
    }

    pub fn has_topic(self, name: &str) -> bool {
        let consumer: BaseConsumer = self.config().create().unwrap();
        let metadata = consumer.fetch_metadata(None, TIMEOUT).unwrap();
        metadata.topics().iter().any(|topic| topic.name() == name)
    }

    pub fn topic_config(self, name: &str, key: &str) -> Option<String> {
        let resource = [ResourceSpecifier::Topic(name)];
        let answers = block_on(self.admin().describe_configs(&resource, &AdminOptions::new())).unwrap();
        let entries = answers.into_iter().next()?.unwrap().entries;
        entries.into_iter().find(|entry| entry.name == key)?.value
    }

    pub fn delete_topic(self, name: &str) {
        let options = AdminOptions::new().operation_timeout(Some(TIMEOUT));
        let results = block_on(self.admin().delete_topics(&[name], &options)).unwrap();
        assert!(results.iter().all(Result::is_ok), "{results:?}");
    }

    /// What was acknowledged by the controller reaches the broker a moment later.
    pub fn wait_for_partitions(self, name: &str, partitions: i32) {
        let consumer: BaseConsumer = self.config().create().unwrap();
        let start = Instant::now();
        loop {
            let metadata = consumer.fetch_metadata(Some(name), TIMEOUT).unwrap();
            let ready = metadata.topics().first().is_some_and(|topic| {
                topic.partitions().len() == usize::try_from(partitions).unwrap()
                    && topic.partitions().iter().all(|p| p.leader() >= 0)
            });
            if ready {
                return;
            }
            let seen: Vec<_> = metadata.topics().iter().map(|t| (t.error(), t.partitions().len())).collect();
            assert!(start.elapsed() < DEADLINE, "{name} has no leaders on {self:?}: {seen:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Moves the log start of a partition up to `offset`, as retention does.
    pub fn delete_records(self, topic: &str, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset)).unwrap();
        block_on(self.admin().delete_records(&list, &AdminOptions::new())).unwrap();
        assert_eq!(self.bounds(topic, partition).0, offset);
    }

    /// Log start and high watermark.
    pub fn bounds(self, topic: &str, partition: i32) -> (i64, i64) {
        let mut config = self.config();
        // The client's default would make the end the last stable offset.
        config.set("isolation.level", "read_uncommitted");
        let consumer: BaseConsumer = config.create().unwrap();
        let start = std::time::Instant::now();
        loop {
            // A topic that was just created may have no leader yet.
            match consumer.fetch_watermarks(topic, partition, TIMEOUT) {
                Ok(bounds) => return bounds,
                Err(error) => assert!(start.elapsed() < DEADLINE, "{topic}-{partition}: {error}"),
            }
        }
    }

    pub fn cluster_id(self) -> String {
        let start = Instant::now();
        // A broker that was just started may not tell it yet, and a client that was not told when it connected does
        // not ask again.
        loop {
            let consumer: BaseConsumer = self.config().create().unwrap();
            if let Some(id) = consumer.client().fetch_cluster_id(Duration::from_secs(5)) {
                return id;
            }
            assert!(start.elapsed() < DEADLINE, "{self:?} has no cluster id");
        }
    }

    /// Writes records in this order.
    pub fn produce(self, topic: &str, partition: i32, records: &[Record]) {
        let producer = self.producer();
        let sent: Vec<_> = records
            .iter()
            .map(|record| {
                let headers = record.headers.iter().fold(OwnedHeaders::new(), |all, (key, value)| {
                    all.insert(Header { key, value: Some(value) })
                });
                let mut to_send = FutureRecord::<String, _>::to(topic)
                    .partition(partition)
                    .payload(&record.value)
                    .headers(headers);
                to_send.key = record.key.as_ref();
                to_send.timestamp = record.timestamp;
                producer.send_result(to_send).map_err(|(error, _)| error).unwrap()
            })
            .collect();
        for delivery in sent {
            block_on(delivery).unwrap().map_err(|(error, _)| error).unwrap();
        }
    }

    /// Writes these, and one more, to a topic of [`COMPACTED`]; waits until the cleaner has taken every record
    /// that a later one of the same key supersedes.
    pub fn compact(self, topic: &str, partition: i32, records: &[Record]) {
        self.produce(topic, partition, records);
        // The next record rolls the segment: the active one is never cleaned.
        std::thread::sleep(Duration::from_millis(300));
        let last = Record { key: Some("last".into()), value: "last".into(), ..Record::default() };
        self.produce(topic, partition, &[last]);
        let keys: BTreeSet<_> = records.iter().map(|record| &record.key).collect();
        let start = Instant::now();
        while self.read_from(topic, partition, 0).len() > keys.len() + 1 {
            assert!(start.elapsed() < TIMEOUT * 2, "{topic}-{partition} is not compacted");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Waits until retention has come to this offset.
    pub fn wait_for_start(self, topic: &str, partition: i32, offset: i64) {
        let start = Instant::now();
        while self.bounds(topic, partition).0 < offset {
            assert!(start.elapsed() < TIMEOUT, "retention has not come to {topic}-{partition}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// A topic anew under the name of one that is there: a deleted topic's name is free a moment later.
    pub fn recreate_topic(self, name: &str, partitions: i32) {
        self.delete_topic(name);
        let start = Instant::now();
        while catch_unwind(|| self.create_topic(name, partitions, &[])).is_err() {
            assert!(start.elapsed() < TIMEOUT);
        }
        // The producer would learn of it only after minutes.
        self.producer().client().fetch_metadata(Some(name), TIMEOUT).unwrap();
    }

    /// A producer with a transaction begun.
    pub fn transaction(self, id: &str) -> BaseProducer {
        let mut config = self.config();
        config.set("transactional.id", id).set("transaction.timeout.ms", "120000");
        let producer: BaseProducer = config.create().unwrap();
        producer.init_transactions(TIMEOUT).unwrap();
        producer.begin_transaction().unwrap();
        producer
    }

    /// The end of a partition as a `read_committed` reader sees it.
    pub fn last_stable(self, topic: &str, partition: i32) -> i64 {
        let mut config = self.config();
        config.set("isolation.level", "read_committed");
        let consumer: BaseConsumer = config.create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::End).unwrap();
        let answer = consumer.offsets_for_times(list, TIMEOUT).unwrap();
        match answer.elements()[0].offset() {
            Offset::Offset(offset) => offset,
            other => panic!("{other:?}"),
        }
    }

    /// Waits until no transaction is open on a partition.
    pub fn wait_until_stable(self, topic: &str, partition: i32) {
        let start = Instant::now();
        while self.last_stable(topic, partition) < self.bounds(topic, partition).1 {
            assert!(start.elapsed() < TIMEOUT, "a transaction stays open on {topic}-{partition}");
        }
    }

    /// What a `read_committed` consumer is given of a partition from `offset` to its end.
    pub fn read_from(self, topic: &str, partition: i32, offset: i64) -> Vec<Received> {
        let mut config = self.config();
        config
            .set("group.id", "behaviour-tests-reader")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "error")
            .set("fetch.wait.max.ms", "20");
        let consumer: BaseConsumer = config.create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset)).unwrap();
        consumer.assign(&list).unwrap();
        let mut records = Vec::new();
        loop {
            match consumer.poll(TIMEOUT).expect("a record or the end") {
                Ok(message) => records.push(received(&message)),
                Err(rdkafka::error::KafkaError::PartitionEOF(_)) => return records,
                Err(error) => panic!("reading {topic}-{partition} from {offset}: {error}"),
            }
        }
    }
}

/// A message, copied.
pub fn received(message: &impl Message) -> Received {
    let headers = message.headers().map(|headers| {
        headers.iter().map(|h| (h.key.to_owned(), h.value.unwrap_or_default().to_vec())).collect()
    });
    Received {
        topic: message.topic().to_owned(),
        partition: message.partition(),
        offset: message.offset(),
        value: String::from_utf8_lossy(message.payload().unwrap_or_default()).into_owned(),
        headers: headers.unwrap_or_default(),
    }
}
