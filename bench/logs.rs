//! The logs: every source offset copied once, in order, so that a position is the committed offset itself.

use std::time::Duration;

use appmigration::kafka::{Cluster, ConnectionConfig};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    message::{Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer},
};

/// The source topic that the headers name.
pub const SOURCE: &str = "orders";

fn bootstrap() -> String {
    std::env::var("TARGET_BOOTSTRAP").expect("TARGET_BOOTSTRAP: run this by make bench")
}

pub async fn cluster() -> Cluster {
    Cluster::connect(&ConnectionConfig::plaintext(bootstrap()), Duration::from_secs(20)).await.unwrap()
}

/// A new topic: 200-byte records in 16 KiB batches, lz4, decimal headers.
pub async fn write(partitions: i32, records: i64) -> String {
    let topic = format!("bench-{partitions}-{records}");
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", bootstrap()).create().unwrap();
    let new = NewTopic::new(&topic, partitions, TopicReplication::Fixed(1));
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(20)));
    admin.create_topics([&new], &options).await.unwrap()[0].as_ref().unwrap();
    let written = topic.clone();
    tokio::task::spawn_blocking(move || fill(&written, partitions, records)).await.unwrap();
    topic
}

fn fill(topic: &str, partitions: i32, records: i64) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap())
        .set("enable.idempotence", "true")
        .set("compression.type", "lz4")
        .set("batch.size", "16384")
        .set("linger.ms", "20")
        .set("queue.buffering.max.messages", "200000")
        .create()
        .unwrap();
    let value: Vec<u8> = (0..200_u32).map(|n| (n * 7 % 251) as u8).collect();
    for offset in 0..records {
        for partition in 0..partitions {
            let (number, text) = (partition.to_string(), offset.to_string());
            let headers = OwnedHeaders::new()
                .insert(Header { key: "k2k_topic", value: Some(SOURCE) })
                .insert(Header { key: "k2k_partition", value: Some(&number) })
                .insert(Header { key: "k2k_offset", value: Some(&text) });
            let mut record =
                BaseRecord::<(), _>::to(topic).partition(partition).payload(&value).headers(headers);
            while let Err((_, back)) = producer.send(record) {
                record = back;
                producer.poll(Duration::from_millis(1));
            }
        }
        producer.poll(Duration::ZERO);
    }
    producer.flush(Duration::from_mins(2)).unwrap();
}

/// Where the group stands on each partition: spread over the logs, the same in every run.
pub fn committed(partitions: i32, records: i64) -> Vec<i64> {
    (0..i64::from(partitions)).map(|n| (n * 7_919 + records / 3) % records).collect()
}
