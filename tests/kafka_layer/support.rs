//! Where the servers are, fresh names, and plain clients to set scenes with. Asserts nothing.

use std::{
    collections::BTreeMap,
    env, fs,
    ops::ControlFlow,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use appmigration::{
    TopicPartition,
    kafka::{
        ClientIdentity, Cluster, ConnectionConfig, HeaderNames, KafkaError, Sasl, SaslMechanism, ScanRange,
        ScanStats, Tls,
    },
};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    producer::{BaseProducer, BaseRecord, Producer},
};

pub const DEADLINE: Duration = Duration::from_mins(1);

/// An environment variable that the stack sets. A missing one is a failure, never a skipped test.
pub fn from_stack(name: &str) -> String {
    env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run this inside `tests/stack/stack run cargo test`"))
}

pub fn pki(file: &str) -> String {
    let path = format!("{}/{file}", from_stack("PKI_DIR"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub fn plaintext() -> ConnectionConfig {
    ConnectionConfig::plaintext(from_stack("SOURCE_BOOTSTRAP"))
}

pub fn tls(ca: &str) -> Tls {
    Tls { ca_pem: Some(pki(ca)), client: None }
}

pub fn client_identity() -> ClientIdentity {
    ClientIdentity { certificate_pem: pki("client.crt"), private_key_pem: pki("client.key") }
}

pub fn sasl_ssl(mechanism: SaslMechanism, username: &str, password: &str) -> ConnectionConfig {
    ConnectionConfig {
        bootstrap_servers: from_stack("SOURCE_SASL_SSL"),
        tls: Some(tls("ca.crt")),
        sasl: Some(Sasl { mechanism, username: username.into(), password: password.into() }),
        properties: BTreeMap::new(),
    }
}

pub async fn source() -> Cluster {
    Cluster::connect(&plaintext(), DEADLINE).await.unwrap()
}

/// A name that no other test and no earlier run has used.
pub fn fresh(what: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    format!("{what}-{now}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

pub fn at(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition::new(topic, partition)
}

pub fn client(more: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", from_stack("SOURCE_BOOTSTRAP"));
    for (name, value) in more {
        config.set(*name, *value);
    }
    config
}

pub fn admin() -> AdminClient<DefaultClientContext> {
    client(&[]).create().unwrap()
}

pub async fn create_topic(topic: &str, partitions: i32) {
    create_topic_with(topic, partitions, &[]).await;
}

pub async fn create_topic_with(topic: &str, partitions: i32, settings: &[(&str, &str)]) {
    let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    for (name, value) in settings {
        new = new.set(name, value);
    }
    let results = admin().create_topics([&new], &AdminOptions::new()).await.unwrap();
    results[0].as_ref().unwrap();
    // The controller has it; the broker shows it, with leaders, a moment later.
    let cluster = source().await;
    let all: Vec<_> = (0..partitions).map(|partition| at(topic, partition)).collect();
    eventually("the new topic's leaders", || async { cluster.log_starts(&all).await.ok() }).await;
}

/// A topic with one partition.
pub async fn fresh_topic(what: &str) -> String {
    let topic = fresh(what);
    create_topic(&topic, 1).await;
    topic
}

pub fn producer(more: &[(&str, &str)]) -> BaseProducer {
    client(more).set("linger.ms", "1").create().unwrap()
}

/// Sends keys `k{from}..k{to}` to a partition and waits until they are there.
pub fn produce(producer: &BaseProducer, to: &TopicPartition, keys: std::ops::Range<i64>) {
    for number in keys {
        let key = format!("k{number}");
        let mut record = BaseRecord::to(&to.topic).partition(to.partition).key(&key).payload("value");
        while let Err((_, back)) = producer.send(record) {
            record = back;
            producer.poll(Duration::from_millis(1));
        }
    }
    producer.flush(DEADLINE).unwrap();
}

/// Sends `count` records of 1,000 bytes.
pub fn produce_large(producer: &BaseProducer, to: &TopicPartition, count: i64) {
    let payload = [b'x'; 1_000];
    for _ in 0..count {
        let mut record = BaseRecord::<(), _>::to(&to.topic).partition(to.partition).payload(&payload[..]);
        while let Err((_, back)) = producer.send(record) {
            record = back;
            producer.poll(Duration::from_millis(1));
        }
    }
    producer.flush(DEADLINE).unwrap();
}

pub fn transactional(id: &str) -> BaseProducer {
    let producer = producer(&[("transactional.id", id)]);
    producer.init_transactions(DEADLINE).unwrap();
    producer
}

/// One transaction of `keys`, committed or aborted.
pub fn transaction(producer: &BaseProducer, to: &TopicPartition, keys: std::ops::Range<i64>, commit: bool) {
    producer.begin_transaction().unwrap();
    produce(producer, to, keys);
    if commit {
        producer.commit_transaction(DEADLINE).unwrap();
    } else {
        producer.abort_transaction(DEADLINE).unwrap();
    }
}

pub async fn delete_records(of: &TopicPartition, before: i64) {
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(&of.topic, of.partition, Offset::Offset(before)).unwrap();
    admin().delete_records(&offsets, &AdminOptions::new()).await.unwrap();
}

/// A member of a group, polled on a thread of its own until dropped.
pub struct Member {
    stop: Arc<std::sync::atomic::AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Member {
    /// Joins and waits for an assignment.
    pub fn join(group: &str, topic: &str, more: &[(&str, &str)]) -> Self {
        let consumer: BaseConsumer =
            client(more).set("group.id", group).set("enable.auto.commit", "false").create().unwrap();
        consumer.subscribe(&[topic]).unwrap();
        let started = Instant::now();
        while consumer.assignment().unwrap().count() == 0 {
            assert!(started.elapsed() < DEADLINE, "no assignment for {group}");
            let _ = consumer.poll(Duration::from_millis(50));
        }
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let _ = consumer.poll(Duration::from_millis(50));
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// What a scan gave: partition, offset, key.
pub type Given = Vec<(i32, i64, String)>;

pub async fn scan(cluster: &Cluster, ranges: Vec<ScanRange>) -> Result<(Given, ScanStats), KafkaError> {
    let given = Arc::new(Mutex::new(Given::new()));
    let sink = Arc::clone(&given);
    let stats = cluster
        .scan(ranges, HeaderNames::default(), Duration::from_secs(5), move |partition, record| {
            let key = String::from_utf8_lossy(record.key.unwrap_or_default()).into_owned();
            sink.lock().unwrap().push((partition.partition, record.offset, key));
            ControlFlow::Continue(())
        })
        .await?;
    let given = std::mem::take(&mut *given.lock().unwrap());
    Ok((given, stats))
}

pub fn range(of: &TopicPartition, from: i64, to: i64) -> ScanRange {
    ScanRange { partition: of.clone(), from, to }
}

/// Waits until `check` gives something; long, since a busy machine creates partitions slowly.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut check: impl FnMut() -> F) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = check().await {
            return found;
        }
        assert!(started.elapsed() < 3 * DEADLINE, "{what}: not within {:?}", 3 * DEADLINE);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
