//! Everything that was ever committed on a cluster: its offsets topic, record by record. What a group has now
//! does not show what it had in between.

use std::{collections::BTreeMap, time::Duration};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    message::Message,
};

use super::{Side, wire::Offsets};

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
                let offset = message.payload().map(|value| Bytes(&value[2..]).i64());
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
    let mut key = Bytes(key);
    (key.i16() <= 1).then(|| (key.text(), key.text(), key.i32()))
}

struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (taken, rest) = self.0.split_at(N);
        self.0 = rest;
        taken.try_into().unwrap()
    }

    fn i16(&mut self) -> i16 {
        i16::from_be_bytes(self.take())
    }

    fn i32(&mut self) -> i32 {
        i32::from_be_bytes(self.take())
    }

    fn i64(&mut self) -> i64 {
        i64::from_be_bytes(self.take())
    }

    fn text(&mut self) -> String {
        let length = usize::try_from(self.i16()).unwrap();
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        String::from_utf8(taken.to_vec()).unwrap()
    }
}
