//! What one read of a target partition tells: fed record by record, in offset order, up to its end `E`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::TopicPartition;

use super::{
    SourceOffset, TargetOffset,
    copies::Copies,
    intervals::IntervalSet,
    origin::{ENCODING_SAMPLE, Implied, KEPT, KeptOrigin, Numbers, Origin, OriginFormat, RawOrigin, decode},
};

/// Pipeline names that are kept per source partition: two are enough to tell that they clash.
const MAX_PIPELINES: usize = 4;

/// A record's key, as a digest that stands for it (compacted topics only).
pub type KeyDigest = [u8; 16];

/// What was read of one target partition.
#[derive(Debug)]
pub struct TargetDigest {
    format: OriginFormat,
    implied: Implied,
    numbers: Option<Numbers>,
    /// Records that wait until the encoding is decided.
    undecided: Vec<(TargetOffset, KeptOrigin, Option<KeyDigest>)>,
    wanted: BTreeSet<TopicPartition>,
    /// What was found, complete after [`TargetDigest::finish`].
    found: Found,
}

/// The findings on one target partition.
#[derive(Debug, Default)]
pub struct Found {
    /// Copies by source partition; only partitions of the group.
    pub sources: BTreeMap<TopicPartition, Seen>,
    /// Target offsets of records without any origin header.
    pub natives: IntervalSet,
    /// Target offsets of records whose origin cannot be told.
    pub undecodable: IntervalSet,
    /// The first of those, and why.
    pub first_undecodable: Option<(TargetOffset, String)>,
    /// Records read.
    pub records: u64,
    /// Records that carry an origin, of whatever partition.
    pub with_origin: u64,
    /// Where a stretch was left unread first.
    pub leapt_at: Option<TargetOffset>,
    /// The encoding could not be decided.
    pub ambiguous: bool,
    /// How numbers were read; none where no record carried an origin.
    pub numbers: Option<Numbers>,
}

/// The copies of one source partition on one target partition.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The last copy of each origin.
    pub copies: Copies,
    /// The most recent record: where, its origin, and whether it repeats an older copy.
    pub last: Option<Last>,
    /// The values of the pipeline header.
    pub pipelines: BTreeSet<Vec<u8>>,
    /// On a compacted topic the greatest origin of each key.
    pub keys: HashMap<KeyDigest, SourceOffset>,
    /// Copies read, repeats included.
    pub records: u64,
    /// Origins that an unread stretch is taken to hold: those between what was read before and behind it.
    pub assumed: IntervalSet,
    /// The unread stretch that is over once a greater origin than this one comes.
    leap: Option<SourceOffset>,
    /// The smallest origin.
    lowest: Option<SourceOffset>,
}

/// The most recent copy of a source partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Last {
    /// Where it lies.
    pub target: TargetOffset,
    /// What it is a copy of.
    pub origin: SourceOffset,
    /// Whether an older copy of the same record was there.
    pub repeats: bool,
    /// Whether the ascending run that it belongs to began below the record before it.
    pub descended: bool,
    /// Whether that run began below every record before it: what it may repeat may have been deleted.
    pub below_all: bool,
}

impl TargetDigest {
    /// For a partition on which copies of `wanted` matter.
    pub fn new(format: OriginFormat, implied: Implied, wanted: BTreeSet<TopicPartition>) -> Self {
        Self::resume(format, implied, wanted, Found::default())
    }

    /// Goes on where an earlier one has finished.
    pub fn resume(
        format: OriginFormat,
        implied: Implied,
        wanted: BTreeSet<TopicPartition>,
        found: Found,
    ) -> Self {
        let numbers = Numbers::fixed(format.encoding).or(found.numbers);
        Self { format, implied, numbers, undecided: Vec::new(), wanted, found }
    }

    /// The next record. `key` is given where the topic is compacted.
    pub fn record(&mut self, offset: TargetOffset, raw: &RawOrigin<'_>, key: Option<KeyDigest>) {
        self.found.records += 1;
        if raw.is_native() {
            self.found.natives.insert(offset.0);
            return;
        }
        if let Some(numbers) = self.numbers {
            self.note(offset, raw, key, numbers);
            return;
        }
        self.undecided.push((offset, raw.keep(), key));
    }

    /// A stretch from `at` on is left unread before the next record. What was not seen before it is not taken to
    /// be in it.
    pub fn leap(&mut self, at: TargetOffset) {
        self.decide_alone();
        self.found.leapt_at.get_or_insert(at);
        for seen in self.found.sources.values_mut() {
            seen.leap = seen.copies.max_origin();
        }
    }

    /// The partition was read to its end.
    pub fn finish(mut self) -> Found {
        self.decide_alone();
        self.found.numbers = self.numbers.filter(|_| self.found.with_origin > 0);
        self.found
    }

    fn decide_alone(&mut self) {
        if self.numbers.is_none() && !self.undecided.is_empty() {
            self.decide(Numbers::decide(self.samples()));
        }
    }

    /// The offset headers of the records that wait for a decision.
    fn samples(&self) -> impl Iterator<Item = &[u8]> {
        self.undecided.iter().filter_map(|(_, kept, _)| kept.raw().offset)
    }

    /// Takes the decision on how numbers are written; none where it could not be made.
    fn decide(&mut self, decided: Option<Numbers>) {
        let undecided = std::mem::take(&mut self.undecided);
        self.found.ambiguous |= decided.is_none();
        let numbers = decided.unwrap_or(Numbers::Decimal);
        self.numbers = Some(numbers);
        for (offset, kept, key) in undecided {
            self.note(offset, &kept.raw(), key, numbers);
        }
    }

    fn note(&mut self, offset: TargetOffset, raw: &RawOrigin<'_>, key: Option<KeyDigest>, numbers: Numbers) {
        let found = &mut self.found;
        match decode(raw, &self.format, &self.implied, numbers) {
            Origin::Native => {
                found.natives.insert(offset.0);
            }
            Origin::Undecodable(why) => {
                found.undecodable.insert(offset.0);
                found.first_undecodable.get_or_insert((offset, why));
            }
            Origin::Copy(source, origin) => {
                found.with_origin += 1;
                if self.wanted.contains(&source) {
                    found.sources.entry(source).or_default().note(offset, origin, raw, key);
                }
            }
        }
    }
}

/// The digests of all target partitions that are read together: how numbers are written is decided once for
/// a whole topic.
#[derive(Debug, Default)]
pub struct Digests {
    partitions: HashMap<TopicPartition, TargetDigest>,
    /// Records that wait for a decision, by topic; absent once it is made.
    undecided: HashMap<String, usize>,
}

impl Digests {
    /// What an earlier read of the topic has decided holds for partitions that showed nothing then.
    pub fn new(partitions: HashMap<TopicPartition, TargetDigest>) -> Self {
        let mut digests = Self { partitions, undecided: HashMap::new() };
        let decided: BTreeMap<String, Numbers> =
            digests.partitions.iter().filter_map(|(t, d)| Some((t.topic.clone(), d.numbers?))).collect();
        for (t, digest) in &mut digests.partitions {
            digest.numbers = digest.numbers.or(decided.get(&t.topic).copied());
            if digest.numbers.is_none() {
                digests.undecided.insert(t.topic.clone(), 0);
            }
        }
        digests
    }

    /// The next record of `target`.
    pub fn record(
        &mut self,
        target: &TopicPartition,
        offset: TargetOffset,
        raw: &RawOrigin<'_>,
        key: Option<KeyDigest>,
    ) {
        let Some(digest) = self.partitions.get_mut(target) else { return };
        digest.record(offset, raw, key);
        if digest.numbers.is_some() || raw.is_native() {
            return;
        }
        let Some(waiting) = self.undecided.get_mut(&target.topic) else { return };
        *waiting += 1;
        if *waiting >= ENCODING_SAMPLE {
            self.decide(&target.topic);
        }
    }

    /// A stretch of `target` is left unread before its next record.
    pub fn leap(&mut self, target: &TopicPartition, at: TargetOffset) {
        self.decide(&target.topic);
        if let Some(digest) = self.partitions.get_mut(target) {
            digest.leap(at);
        }
    }

    /// All partitions were read to their ends.
    pub fn finish(mut self) -> impl Iterator<Item = (TopicPartition, Found)> {
        let undecided: Vec<String> = self.undecided.keys().cloned().collect();
        for topic in &undecided {
            self.decide(topic);
        }
        self.partitions.into_iter().map(|(t, digest)| (t, digest.finish()))
    }

    fn decide(&mut self, topic: &str) {
        let digests = || self.partitions.iter().filter(|(t, _)| t.topic == topic).map(|(_, digest)| digest);
        if digests().all(|digest| digest.undecided.is_empty()) {
            return;
        }
        let decided = Numbers::decide(digests().flat_map(TargetDigest::samples));
        self.undecided.remove(topic);
        for (_, digest) in self.partitions.iter_mut().filter(|(t, _)| t.topic == topic) {
            digest.decide(decided);
        }
    }
}

impl Seen {
    fn note(
        &mut self,
        target: TargetOffset,
        origin: SourceOffset,
        raw: &RawOrigin<'_>,
        key: Option<KeyDigest>,
    ) {
        self.records += 1;
        if let Some(before) = self.leap.filter(|before| origin > *before) {
            self.assumed.insert_range(before.0 + 1, origin.0);
            self.leap = None;
        }
        let repeats = self.copies.insert(origin, target);
        let (mut descended, mut below_all) = self.last.map_or((false, false), |l| (l.descended, l.below_all));
        if self.last.is_some_and(|last| origin <= last.origin) {
            descended = true;
            below_all = self.lowest.is_some_and(|lowest| origin < lowest);
        }
        self.last = Some(Last { target, origin, repeats, descended, below_all });
        self.lowest = Some(self.lowest.map_or(origin, |lowest| lowest.min(origin)));
        if let Some(pipeline) = raw.pipeline
            && self.pipelines.len() < MAX_PIPELINES
            && !self.pipelines.contains(&pipeline[..pipeline.len().min(KEPT)])
        {
            self.pipelines.insert(pipeline[..pipeline.len().min(KEPT)].to_vec());
        }
        if let Some(key) = key {
            let greatest = self.keys.entry(key).or_insert(origin);
            *greatest = (*greatest).max(origin);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet, HashMap};

    use super::{Digests, Found, Implied, OriginFormat, RawOrigin, TargetDigest};
    use crate::{
        TopicPartition,
        api::v1alpha1::Encoding,
        mapping::{SourceOffset, TargetOffset},
    };

    fn format() -> OriginFormat {
        let (topic, partition, pipeline) = (None, None, None);
        OriginFormat { topic, partition, offset: Some("o".into()), pipeline, encoding: Encoding::Auto }
    }

    /// What is found where partition `n` of `copy` holds these offset headers, of `orders-n`.
    fn read(partitions: &[Vec<[u8; 8]>]) -> BTreeMap<TopicPartition, Found> {
        let name = |n: usize| TopicPartition::new("copy", i32::try_from(n).unwrap());
        let digest = |n: usize| {
            let q = TopicPartition::new("orders", i32::try_from(n).unwrap());
            let implied = Implied { topic: Some(q.topic.clone()), partition: Some(q.partition) };
            (name(n), TargetDigest::new(format(), implied, BTreeSet::from([q])))
        };
        let mut digests = Digests::new((0..partitions.len()).map(digest).collect::<HashMap<_, _>>());
        for (n, headers) in partitions.iter().enumerate() {
            for (offset, header) in headers.iter().enumerate() {
                let raw = RawOrigin { offset: Some(header), ..RawOrigin::default() };
                digests.record(&name(n), TargetOffset(i64::try_from(offset).unwrap()), &raw, None);
            }
        }
        digests.finish().collect()
    }

    /// Plausible in both orders of bytes.
    const EITHER: [u8; 8] = [0, 0, 1, 0, 0, 0, 0, 0];

    #[test]
    fn numbers_are_decided_once_for_a_topic() {
        let clear = |count: i64| (1..count).map(i64::to_be_bytes).collect::<Vec<_>>();
        for count in [10, 3_000] {
            let found = read(&[clear(count), vec![EITHER]]);
            let second = &found[&TopicPartition::new("copy", 1)];
            assert!(!second.ambiguous);
            let copies = &second.sources[&TopicPartition::new("orders", 1)].copies;
            assert_eq!(copies.max_origin(), Some(SourceOffset(1 << 40)));
        }
        assert!(read(&[vec![EITHER], vec![EITHER]]).values().all(|found| found.ambiguous));
    }

    #[test]
    fn records_without_an_offset_header_do_not_wait_for_ever() {
        let target = TopicPartition::new("copy", 0);
        let digest = TargetDigest::new(format(), Implied::default(), BTreeSet::new());
        let mut digests = Digests::new(HashMap::from([(target.clone(), digest)]));
        for offset in 0..1_001 {
            let raw = RawOrigin { topic: Some(b"orders"), ..RawOrigin::default() };
            digests.record(&target, TargetOffset(offset), &raw, None);
        }
        assert!(digests.partitions[&target].undecided.is_empty() && digests.undecided.is_empty());
    }

    #[test]
    fn an_unread_stretch_is_taken_to_hold_what_lies_between() {
        // 5, 6, 7 | unread | 20, 21, and an older one again
        let q = TopicPartition::new("orders", 0);
        let implied = Implied { topic: Some(q.topic.clone()), partition: Some(0) };
        let mut digest = TargetDigest::new(format(), implied, BTreeSet::from([q.clone()]));
        for (offset, origin) in [(0, 5), (1, 6), (2, 7), (50, 3), (51, 20), (52, 21)] {
            if offset == 50 {
                digest.leap(TargetOffset(3));
            }
            let text = origin.to_string();
            let raw = RawOrigin { offset: Some(text.as_bytes()), ..RawOrigin::default() };
            digest.record(TargetOffset(offset), &raw, None);
        }
        let found = digest.finish();
        let assumed = &found.sources[&q].assumed;
        assert_eq!(
            (found.leapt_at, assumed.holes_within(0, 30)),
            (Some(TargetOffset(3)), vec![(0, 8), (20, 30)])
        );
    }
}
