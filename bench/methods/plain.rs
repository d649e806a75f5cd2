//! As one would write it with the client alone.

use std::time::Duration;

use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    message::{BorrowedMessage, Headers},
};

use super::{Answer, Method};
use crate::measure::Job;

const WAIT: Duration = Duration::from_secs(30);

fn consumer(job: &Job, quick: &[(&str, &str)]) -> BaseConsumer {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &job.bootstrap)
        .set("group.id", "bench")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "error");
    if !matches!(job.method, Method::DefaultBinary | Method::DefaultScan) {
        config.set("fetch.queue.backoff.ms", "1").set("fetch.wait.max.ms", "10");
        for (name, value) in quick {
            config.set(*name, *value);
        }
    }
    config.create().unwrap()
}

fn list(job: &Job, places: impl Iterator<Item = (usize, i64)>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in places {
        let partition = i32::try_from(partition).unwrap();
        list.add_partition_offset(&job.topic, partition, Offset::Offset(offset)).unwrap();
    }
    list
}

fn origin(record: &BorrowedMessage<'_>) -> i64 {
    let headers = record.headers().unwrap();
    let header = headers.iter().find(|header| header.key == "k2k_offset").unwrap();
    std::str::from_utf8(header.value.unwrap()).unwrap().parse().unwrap()
}

/// One partition after another, one record at a time.
pub fn binary(job: &Job, committed: &[i64]) -> Answer {
    let consumer = consumer(job, &[("fetch.message.max.bytes", "65536"), ("queued.min.messages", "1")]);
    let mut probes = 0;
    for (n, c) in committed.iter().enumerate() {
        let (mut low, mut high) = (0, job.records);
        while low < high {
            let middle = low + (high - low) / 2;
            consumer.assign(&list(job, std::iter::once((n, middle)))).unwrap();
            let record = consumer.poll(WAIT).unwrap().unwrap();
            assert_eq!(record.offset(), middle);
            probes += 1;
            if origin(&record) >= *c { high = middle } else { low = middle + 1 }
        }
        assert_eq!(low, *c, "partition {n}");
    }
    Answer { rounds: u32::try_from(probes).unwrap(), probes, records: probes }
}

/// Every header.
pub fn scan(job: &Job, committed: &[i64]) -> Answer {
    let mut found = vec![None; committed.len()];
    let records = read(job, &vec![0; committed.len()], |record| {
        let n = usize::try_from(record.partition()).unwrap();
        if origin(record) >= committed[n] {
            found[n].get_or_insert(record.offset());
        }
    });
    assert!(found.iter().zip(committed).all(|(found, c)| *found == Some(*c)));
    Answer { records, ..Answer::default() }
}

/// Every record, unseen.
pub fn consume(job: &Job, from: &[i64]) -> Answer {
    Answer { records: read(job, from, |_| {}), ..Answer::default() }
}

fn read(job: &Job, from: &[i64], mut on: impl FnMut(&BorrowedMessage<'_>)) -> u64 {
    let quick = [("fetch.message.max.bytes", "2097152"), ("queued.max.messages.kbytes", "16384")];
    let consumer = consumer(job, &quick);
    consumer.assign(&list(job, from.iter().copied().enumerate())).unwrap();
    let mut open = from.len();
    let mut records = 0;
    while open > 0 {
        let record = consumer.poll(WAIT).unwrap().unwrap();
        // Reading may go on behind the part that a case is about.
        if record.offset() < job.records {
            records += 1;
            on(&record);
        }
        open -= usize::from(record.offset() + 1 == job.records);
    }
    records
}
