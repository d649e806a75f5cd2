//! A replicator by hand: writes exactly the target log that a test draws.

use rdkafka::{
    message::{Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer},
};

use super::{
    kafka::{Record, Side},
    stack::DEADLINE,
    v1alpha1::Encoding,
};

/// A log on the target, drawn record by record.
#[derive(Default)]
pub struct Copies(Vec<Record>);

impl Copies {
    /// Copies of these offsets of a source partition, in this order.
    #[must_use]
    pub fn of(mut self, topic: &str, partition: i32, offsets: impl IntoIterator<Item = i64>) -> Self {
        self.0.extend(offsets.into_iter().map(|offset| copy(topic, partition, offset, None)));
        self
    }

    /// `count` records that no replicator wrote.
    #[must_use]
    pub fn native(mut self, count: usize) -> Self {
        self.0.extend((0..count).map(|n| Record { value: format!("native {n}"), ..Record::default() }));
        self
    }

    /// A copy whose offset header is `offset`, which may be no number.
    #[must_use]
    pub fn with_offset_header(mut self, topic: &str, partition: i32, offset: &[u8]) -> Self {
        let mut record = copy(topic, partition, 0, None);
        record.headers[2].1 = offset.to_vec();
        self.0.push(record);
        self
    }

    /// A copy whose offset header is not there.
    #[must_use]
    pub fn without_offset_header(mut self, topic: &str, partition: i32) -> Self {
        let mut record = copy(topic, partition, 0, None);
        record.headers.truncate(2);
        self.0.push(record);
        self
    }

    /// The records so far also say which pipeline wrote them.
    #[must_use]
    pub fn by_pipeline(mut self, name: &str) -> Self {
        for record in &mut self.0 {
            if record.headers.len() == 3 {
                record.headers.push(("k2k_pipeline".into(), name.into()));
            }
        }
        self
    }

    /// The records so far came over an earlier hop, whose headers stand before those of the last.
    #[must_use]
    pub fn by_way_of(mut self, topic: &str) -> Self {
        for (n, record) in self.0.iter_mut().enumerate() {
            let earlier = copy(topic, 7, 9000 - i64::try_from(n).unwrap(), None).headers;
            record.headers.splice(0..0, earlier);
        }
        self
    }

    /// The records so far have timestamps that run backwards, two of a kind.
    #[must_use]
    pub fn backwards_in_time(mut self) -> Self {
        let now = jiff::Timestamp::now().as_millisecond();
        for (n, record) in self.0.iter_mut().enumerate() {
            record.timestamp = Some(now - i64::try_from(n / 2).unwrap() * 60_000);
        }
        self
    }

    /// The `n`-th of the records so far has this key.
    #[must_use]
    pub fn with_keys(mut self, key: impl Fn(usize) -> String) -> Self {
        for (n, record) in self.0.iter_mut().enumerate() {
            record.key = Some(key(n));
        }
        self
    }

    /// The numbers of the records so far are written that way.
    #[must_use]
    pub fn encoded(mut self, encoding: Encoding) -> Self {
        for (name, value) in self.0.iter_mut().flat_map(|record| &mut record.headers) {
            if name != "k2k_topic" && name != "k2k_pipeline" {
                *value = number(encoding, std::str::from_utf8(value).unwrap().parse().unwrap());
            }
        }
        self
    }

    /// The records so far carry the offset header alone.
    #[must_use]
    pub fn offset_only(mut self) -> Self {
        for record in &mut self.0 {
            record.headers.retain(|(name, _)| name == "k2k_offset");
        }
        self
    }

    /// The records as they would be written.
    pub fn records(self) -> Vec<Record> {
        self.0
    }

    /// Appends them to a partition of the target.
    pub fn write_to(self, target: &str, partition: i32) {
        Side::Target.produce(target, partition, &self.0);
    }

    /// Appends them in a transaction of their own. Its marker takes an offset too.
    pub fn transaction(self, target: &str, partition: i32, commit: bool) {
        let open = self.open_transaction(target, partition);
        if commit {
            open.commit_transaction(DEADLINE).unwrap();
        } else {
            open.abort_transaction(DEADLINE).unwrap();
        }
        Side::Target.wait_until_stable(target, partition);
    }

    /// Appends them in a transaction that is left open until the producer ends it.
    pub fn open_transaction(self, target: &str, partition: i32) -> BaseProducer {
        let end = Side::Target.bounds(target, partition).1;
        let producer = Side::Target.transaction(&format!("{target}-{partition}-{end}"));
        for record in &self.0 {
            let headers = record.headers.iter().fold(OwnedHeaders::new(), |all, (key, value)| {
                all.insert(Header { key, value: Some(value) })
            });
            let to_send = BaseRecord::<(), _>::to(target).partition(partition).payload(&record.value);
            producer.send(to_send.headers(headers)).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(DEADLINE).unwrap();
        producer
    }
}

fn copy(topic: &str, partition: i32, offset: i64, timestamp: Option<i64>) -> Record {
    Record {
        key: None,
        value: value(partition, offset),
        headers: vec![
            ("k2k_topic".into(), topic.into()),
            ("k2k_partition".into(), partition.to_string().into()),
            ("k2k_offset".into(), offset.to_string().into()),
        ],
        timestamp,
    }
}

fn number(encoding: Encoding, n: i64) -> Vec<u8> {
    match encoding {
        Encoding::Auto | Encoding::String => n.to_string().into_bytes(),
        Encoding::Int64BE => n.to_be_bytes().to_vec(),
        Encoding::Int64LE => n.to_le_bytes().to_vec(),
        Encoding::Int32BE => i32::try_from(n).unwrap().to_be_bytes().to_vec(),
    }
}

/// What the source record at that place holds: tells its place.
pub fn value(partition: i32, offset: i64) -> String {
    format!("{partition}:{offset}")
}
