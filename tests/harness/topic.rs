//! A topic of a case, of the same name on both clusters.

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::{
    Case, Copies,
    copies::value,
    kafka::{Record, Side},
    stack::DEADLINE,
};

/// A topic of a case. Displays as its name.
pub struct Topic<'c> {
    pub case: &'c Case,
    pub name: String,
}

impl Case {
    /// The topic `orders` of one partition: the source holds `0..end`, the target copies of `origins` in this
    /// order, and the group stands at `committed`.
    pub fn drawn(&self, end: i64, origins: impl IntoIterator<Item = i64>, committed: i64) -> Topic<'_> {
        let orders = self.topic("orders", 1);
        orders.fill(0, end).copy(0, origins);
        self.committed(&orders, &[(0, committed)]);
        orders
    }

    /// A group of the replicator's own that stands at these offsets of the topic on the source.
    pub fn replicated_to(&self, topic: &Topic<'_>, offsets: &[(i32, i64)]) -> String {
        let group = format!("{}-k2k", self.namespace);
        let offsets =
            offsets.iter().map(|(partition, offset)| ((topic.name.clone(), *partition), (*offset).into()));
        self.commit(Side::Source, &group, offsets.collect());
        group
    }
}

impl Topic<'_> {
    /// Appends `count` records to a source partition; each holds `partition:offset`.
    pub fn fill(&self, partition: i32, count: i64) -> &Self {
        let start = Side::Source.bounds(&self.name, partition).1;
        let records: Vec<Record> = (start..start + count)
            .map(|offset| Record { value: value(partition, offset), ..Record::default() })
            .collect();
        Side::Source.produce(&self.name, partition, &records);
        self.case.source_settled(&self.name, partition);
        self
    }

    /// Appends a transaction of `count` records to a source partition. Its marker takes an offset too.
    pub fn transaction(&self, partition: i32, count: i64, commit: bool) -> &Self {
        let open = self.open_transaction(partition, count);
        if commit {
            open.commit_transaction(DEADLINE).unwrap();
        } else {
            open.abort_transaction(DEADLINE).unwrap();
        }
        // The marker is in the log a moment after the call has returned.
        Side::Source.wait_until_stable(&self.name, partition);
        self.case.source_settled(&self.name, partition);
        self
    }

    /// A transaction of `count` records that is left open until the producer ends it.
    pub fn open_transaction(&self, partition: i32, count: i64) -> BaseProducer {
        let start = Side::Source.bounds(&self.name, partition).1;
        let producer = Side::Source.transaction(&format!("{}-{partition}-{start}", self.name));
        for offset in start..start + count {
            let value = value(partition, offset);
            let record = BaseRecord::<(), _>::to(&self.name).partition(partition).payload(&value);
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(DEADLINE).unwrap();
        producer
    }

    /// Appends records with these keys to a source partition, and a last one that makes the cleaner free to
    /// take those that a later one of the same key supersedes; waits until it has.
    pub fn compacted(&self, partition: i32, keys: &[&str]) -> &Self {
        let start = Side::Source.bounds(&self.name, partition).1;
        let record = |(offset, key): (i64, &&str)| Record {
            key: Some((*key).to_owned()),
            value: value(partition, offset),
            ..Record::default()
        };
        let records: Vec<Record> = (start..).zip(keys).map(record).collect();
        Side::Source.compact(&self.name, partition, &records);
        self.case.source_settled(&self.name, partition);
        self
    }

    /// Appends copies of these offsets to the same partition of the target.
    pub fn copy(&self, partition: i32, offsets: impl IntoIterator<Item = i64>) -> &Self {
        Copies::default().of(&self.name, partition, offsets).write_to(&self.name, partition);
        self
    }

    /// `orders-0`, as messages name it.
    pub fn at(&self, partition: i32) -> String {
        format!("{}-{partition}", self.name)
    }
}

impl std::fmt::Display for Topic<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}
