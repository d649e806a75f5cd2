//! How far a scan has come in each range: pure bookkeeping, no client.

use std::collections::HashMap;

use super::{ScanRange, TopicPartition, ffi::RecordEvent};

/// What to do with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Give it.
    Give,
    /// Give it; the range ends behind it.
    GiveLast,
    /// Not for us: given before, or the range is done.
    Skip,
    /// It lies at or behind the range's end: the range is done.
    Past,
}

/// What an end of partition means.
pub(super) struct End {
    /// The range is done (now, for the first time).
    pub(super) reached: bool,
    /// The position moved.
    pub(super) moved: bool,
}

/// One range and the reader's place in it.
struct Place {
    range: ScanRange,
    /// The next offset that may be given.
    next: i64,
    done: bool,
    /// The log ended here, below the range's end, when last seen.
    short: bool,
}

/// All ranges of a scan.
pub(super) struct Ranges {
    places: Vec<Place>,
    open: usize,
    by_name: HashMap<String, HashMap<i32, usize>>,
    /// Consecutive records mostly come from one partition: topic handle, partition, index.
    last: Option<(usize, i32, usize)>,
}

impl Ranges {
    /// Leaves empty ranges out; of two ranges of one partition only the hull would be read, so they are
    /// joined into it.
    pub(super) fn new(ranges: Vec<ScanRange>) -> Self {
        let mut new =
            Self { places: Vec::with_capacity(ranges.len()), open: 0, by_name: HashMap::new(), last: None };
        for mut range in ranges {
            range.from = range.from.max(0);
            if range.from < range.to {
                new.insert(range);
            }
        }
        new.open = new.places.len();
        new
    }

    fn insert(&mut self, range: ScanRange) {
        let TopicPartition { topic, partition } = &range.partition;
        let partitions = self.by_name.entry(topic.clone()).or_default();
        if let Some(&index) = partitions.get(partition) {
            let place = &mut self.places[index];
            place.range.from = place.range.from.min(range.from);
            place.range.to = place.range.to.max(range.to);
            place.next = place.range.from;
        } else {
            partitions.insert(*partition, self.places.len());
            self.places.push(Place { next: range.from, range, done: false, short: false });
        }
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn all_done(&self) -> bool {
        self.open == 0
    }

    /// The ranges that are not done, and where to go on reading.
    pub(super) fn open_places(&self) -> Vec<(TopicPartition, i64)> {
        let open = self.places.iter().filter(|place| !place.done);
        open.map(|place| (place.range.partition.clone(), place.next)).collect()
    }

    pub(super) fn range(&self, index: usize) -> &ScanRange {
        &self.places[index].range
    }

    /// Which range a record belongs to.
    pub(super) fn index_of(&mut self, event: &RecordEvent) -> Option<usize> {
        let (address, partition) = (event.topic_address(), event.partition());
        match self.last {
            Some((last, number, index)) if last == address && number == partition => Some(index),
            _ => {
                let index = *self.by_name.get(&event.topic())?.get(&partition)?;
                self.last = Some((address, partition, index));
                Some(index)
            }
        }
    }

    /// Takes a record at `offset` of the range at `index`.
    pub(super) fn record(&mut self, index: usize, offset: i64) -> (Step, &ScanRange) {
        let place = &mut self.places[index];
        let step = if place.done || offset < place.next {
            Step::Skip
        } else if offset >= place.range.to {
            Step::Past
        } else if offset + 1 == place.range.to {
            Step::GiveLast
        } else {
            Step::Give
        };
        if step != Step::Skip {
            place.next = offset + 1;
            place.short = false;
        }
        if matches!(step, Step::GiveLast | Step::Past) {
            place.done = true;
            self.open -= 1;
        }
        (step, &self.places[index].range)
    }

    /// Takes the news that nothing below `offset` is still to come.
    pub(super) fn skip_to(&mut self, partition: &TopicPartition, offset: i64) -> End {
        let index = self.by_name.get(&partition.topic).and_then(|topic| topic.get(&partition.partition));
        let Some(place) = index.map(|&index| &mut self.places[index]) else {
            return End { reached: false, moved: false };
        };
        let moved = offset > place.next;
        place.next = place.next.max(offset);
        let reached = !place.done && place.next >= place.range.to;
        place.done |= reached;
        place.short = false;
        self.open -= usize::from(reached);
        End { reached, moved }
    }

    /// Takes the end of a partition: nothing below `offset` is still to come, and for now nothing above.
    pub(super) fn end(&mut self, partition: &TopicPartition, offset: i64) -> End {
        let end = self.skip_to(partition, offset);
        let index = self.by_name.get(&partition.topic).and_then(|topic| topic.get(&partition.partition));
        if let Some(place) = index.map(|&index| &mut self.places[index]) {
            place.short = !place.done;
        }
        end
    }

    /// A range whose log ended below the range's end, and where.
    pub(super) fn short(&self) -> Option<(&ScanRange, i64)> {
        self.places.iter().find(|place| place.short && !place.done).map(|place| (&place.range, place.next))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(from: i64, to: i64) -> ScanRange {
        ScanRange { partition: TopicPartition::new("t", 0), from, to }
    }

    #[test]
    fn gives_from_up_to_but_not_to() {
        // log: 3 4 . 6 | to = 7
        let mut ranges = Ranges::new(vec![at(3, 7)]);
        let steps: Vec<_> = [3, 4, 4, 6].map(|offset| ranges.record(0, offset).0).into();
        assert_eq!(steps, [Step::Give, Step::Give, Step::Skip, Step::GiveLast]);
        assert!(ranges.all_done());
        assert_eq!(ranges.record(0, 7).0, Step::Skip);
    }

    #[test]
    fn a_record_behind_the_end_ends_the_range_unseen() {
        let mut ranges = Ranges::new(vec![at(3, 7)]);
        assert_eq!(ranges.record(0, 9).0, Step::Past);
        assert!(ranges.all_done());
    }

    #[test]
    fn a_marker_at_the_end_is_reached_by_the_end_event() {
        let mut ranges = Ranges::new(vec![at(3, 7)]);
        ranges.record(0, 3);
        let end = ranges.end(&TopicPartition::new("t", 0), 5);
        assert!(!end.reached && end.moved && !ranges.all_done());
        assert_eq!(ranges.short().unwrap().1, 5);
        assert!(ranges.end(&TopicPartition::new("t", 0), 7).reached);
        assert!(ranges.all_done() && ranges.short().is_none());
        assert!(!ranges.end(&TopicPartition::new("t", 0), 8).reached);
    }

    #[test]
    fn empty_ranges_are_nothing_and_two_of_one_partition_are_one() {
        assert!(Ranges::new(vec![at(5, 5), at(6, 5)]).all_done());
        let ranges = Ranges::new(vec![at(5, 8), at(2, 6)]);
        assert_eq!(ranges.open_places(), [(TopicPartition::new("t", 0), 2)]);
        assert_eq!(ranges.len(), 1);
    }
}
