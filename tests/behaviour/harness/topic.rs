//! A topic of a case, of the same name on both clusters.

use super::{
    Case, Copies,
    copies::value,
    kafka::{Record, Side},
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
            .map(|offset| Record {
                value: value(partition, offset),
                ..Record::default()
            })
            .collect();
        Side::Source.produce(&self.name, partition, &records);
        self.case.source_settled(&self.name, partition);
        self
    }

    /// Appends copies of these offsets to the same partition of the target.
    pub fn copy(&self, partition: i32, offsets: impl IntoIterator<Item = i64>) -> &Self {
        Copies::default()
            .of(&self.name, partition, offsets)
            .write_to(&self.name, partition);
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
