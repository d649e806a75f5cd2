//! Everything that was ever committed on a cluster: its offsets topic, record by record. What a group has now
//! does not show what it had in between.

use std::{collections::BTreeMap, time::Duration};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    message::Message,
};

use super::{
    Side,
    wire::{Answer, Offsets},
};

const OFFSETS_TOPIC: &str = "__consumer_offsets";
const TIMEOUT: Duration = Duration::from_secs(20);

/// By topic and partition, the offsets in the order in which they were committed; none for one that was deleted.
pub type Commits = BTreeMap<(String, i32), Vec<Option<i64>>>;

/// What the offsets topic tells of one group, in commits of one partition.
#[derive(Default)]
pub struct Told {
    /// Other offsets than the planned one, or none at all.
    pub wrong: usize,
    /// The planned one once more.
    pub repeated: usize,
}

impl Told {
    /// Adds what was committed for `group`, which was to have these offsets.
    pub fn add(&mut self, all: &BTreeMap<String, Commits>, group: &str, planned: &Offsets) {
        for (partition, planned) in planned {
            let there =
                all.get(group).and_then(|of_group| of_group.get(partition)).map_or(&[][..], Vec::as_slice);
            let right = there.iter().filter(|offset| **offset == Some(planned.offset)).count();
            self.wrong += there.len() - right + usize::from(right == 0);
            self.repeated += right.saturating_sub(1);
        }
    }
}

/// What every group ever committed, by group. (The cleaner leaves the active segment alone, and this topic's is
/// far larger than what tests write.)
pub fn commits(side: Side) -> BTreeMap<String, Commits> {
    let mut config = side.config();
    config
        .set("group.id", "behaviour-tests-reader")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("fetch.wait.max.ms", "20");
    let consumer: BaseConsumer = config.create().unwrap();
    let metadata = consumer.fetch_metadata(Some(OFFSETS_TOPIC), TIMEOUT).unwrap();
    let partitions = metadata.topics()[0].partitions();
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition_offset(OFFSETS_TOPIC, partition.id(), Offset::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    let mut commits: BTreeMap<String, Commits> = BTreeMap::new();
    let mut open = partitions.len();
    while open > 0 {
        match consumer.poll(TIMEOUT).expect("a record or the end") {
            Ok(message) => {
                let Some((group, topic, partition)) = message.key().and_then(key) else { continue };
                let offset = message.payload().map(|value| Answer::new(&value[2..]).i64());
                let of_group: &mut Commits = commits.entry(group).or_default();
                of_group.entry((topic, partition)).or_default().push(offset);
            }
            Err(rdkafka::error::KafkaError::PartitionEOF(_)) => open -= 1,
            Err(error) => panic!("reading {OFFSETS_TOPIC}: {error}"),
        }
    }
    commits
}

/// The group, topic and partition of an offset (`OffsetCommitKey`); the topic holds other records too.
fn key(key: &[u8]) -> Option<(String, String, i32)> {
    let mut key = Answer::new(key);
    (key.i16() <= 1).then(|| (key.text(), key.text(), key.i32()))
}
