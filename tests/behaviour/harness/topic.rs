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
