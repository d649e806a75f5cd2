//! The logs: every source offset copied once, in order, so that a position is the committed offset itself.

use std::time::Duration;

use appmigration::kafka::{Cluster, ConnectionConfig};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    message::{Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer},
};

use super::{cases::Log, measure::block_on};

/// The source topic that the headers name.
pub const SOURCE: &str = "orders";

/// Where the brokers are.
pub fn address(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable}: run this by make bench"))
}

pub async fn cluster(bootstrap: &str) -> Cluster {
    Cluster::connect(&ConnectionConfig::plaintext(bootstrap), Duration::from_secs(20)).await.unwrap()
}

fn admin() -> (AdminClient<DefaultClientContext>, AdminOptions) {
    let mut config = ClientConfig::new();
    let admin = config.set("bootstrap.servers", address("TARGET_BOOTSTRAP")).create().unwrap();
    (admin, AdminOptions::new().operation_timeout(Some(Duration::from_mins(1))))
}

/// Makes the topic and fills it: lz4, decimal headers, values that shrink to about a half.
pub fn write(log: &Log) {
    let (admin, options) = admin();
    let new = NewTopic::new(log.topic, log.partitions, TopicReplication::Fixed(1))
        .set("max.message.bytes", "2097152");
    block_on(async { admin.create_topics([&new], &options).await.unwrap()[0].as_ref().unwrap().clone() });
    fill(log);
}

/// Gives its room on the disk back.
pub fn delete(log: &Log) {
    let (admin, options) = admin();
    block_on(async {
        admin.delete_topics(&[log.topic], &options).await.unwrap()[0].as_ref().unwrap().clone()
    });
}

fn fill(log: &Log) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", address("TARGET_BOOTSTRAP"))
        .set("enable.idempotence", "true")
        .set("compression.type", "lz4")
        .set("batch.size", log.batch.to_string())
        .set("batch.num.messages", "100000")
        .set("message.max.bytes", "2000000")
        .set("linger.ms", if log.batch > 100_000 { "1000" } else { "50" })
        .set("queue.buffering.max.messages", "1000000")
        .set("queue.buffering.max.kbytes", "1000000")
        .create()
        .unwrap();
    let mut random = StdRng::seed_from_u64(4);
    let noise: Vec<u8> = (0..1_000_000).map(|_| random.random()).collect();
    // Partition by partition in stretches, so that many batches fill up at the same time, but not all.
    let stretch = log.records.min(1_000);
    for start in (0..log.records).step_by(usize::try_from(stretch).unwrap()) {
        for partition in 0..log.partitions {
            for offset in start..(start + stretch).min(log.records) {
                let mut value = vec![7_u8; log.value];
                let from = random.random_range(0..noise.len() - log.value);
                value[..log.value / 2].copy_from_slice(&noise[from..from + log.value / 2]);
                send(&producer, log.topic, partition, offset, &value);
            }
            producer.poll(Duration::ZERO);
        }
    }
    producer.flush(Duration::from_mins(2)).unwrap();
}

fn send(producer: &BaseProducer, topic: &str, partition: i32, offset: i64, value: &[u8]) {
    let (number, text) = (partition.to_string(), offset.to_string());
    let headers = OwnedHeaders::new()
        .insert(Header { key: "k2k_topic", value: Some(SOURCE) })
        .insert(Header { key: "k2k_partition", value: Some(&number) })
        .insert(Header { key: "k2k_offset", value: Some(&text) });
    let mut record = BaseRecord::<(), _>::to(topic).partition(partition).payload(value).headers(headers);
    while let Err((_, back)) = producer.send(record) {
        record = back;
        producer.poll(Duration::from_millis(1));
    }
}

/// Where the group stands on each partition: anywhere, the same in every run.
pub fn committed(partitions: i32, records: i64) -> Vec<i64> {
    let mut random = StdRng::seed_from_u64(records.unsigned_abs());
    (0..partitions).map(|_| random.random_range(1..records)).collect()
}
