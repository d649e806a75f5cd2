//! How far each source partition is copied. Pure: the invariant that no record is lost hangs here.
//!
//! **Invariant**: [`Position::safe`] is never beyond a record that was read and not yet acknowledged by the
//! target. Whatever is committed is taken from it, so a restart reads again what was not acknowledged.

use std::collections::VecDeque;

/// How far one source partition is copied, for one assignment of it to this instance.
///
/// Acknowledgements may come in any order (a source partition can be spread over several target partitions);
/// the position moves over the longest prefix that is acknowledged.
#[derive(Debug, Default)]
pub struct Position {
    /// Records that were sent, in the order in which they were read, from the first one on that is not
    /// acknowledged.
    sent: VecDeque<Sent>,
    /// How many of them still have no report.
    in_flight: usize,
    /// The sequence number of the front one.
    first: u64,
    /// Where reading goes on once nothing is in flight: one beyond the last record read, or further where
    /// the end of the log lies behind transaction markers. None until something was read.
    next: Option<i64>,
    /// What was handed out for committing last.
    committed: Option<i64>,
}

#[derive(Debug)]
struct Sent {
    offset: i64,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    InFlight,
    Acknowledged,
    /// It was not, or perhaps not, written: the position never passes it.
    Dropped,
}

impl Position {
    /// The record at `offset` goes to the target. Returns its sequence number, to be given to
    /// [`acknowledge`](Self::acknowledge).
    pub fn send(&mut self, offset: i64) -> u64 {
        let sequence = self.first.wrapping_add(self.sent.len() as u64);
        self.sent.push_back(Sent { offset, state: State::InFlight });
        self.in_flight += 1;
        self.next = Some(offset + 1);
        sequence
    }

    /// The target has acknowledged the record with this sequence number. False where it is not in flight.
    pub fn acknowledge(&mut self, sequence: u64) -> bool {
        let known = self.settle(sequence, State::Acknowledged);
        while self.sent.front().is_some_and(|record| record.state == State::Acknowledged) {
            self.sent.pop_front();
            self.first = self.first.wrapping_add(1);
        }
        known
    }

    /// The record will not be written by this client: it is read again by the next one.
    pub fn drop_record(&mut self, sequence: u64) -> bool {
        self.settle(sequence, State::Dropped)
    }

    fn settle(&mut self, sequence: u64, state: State) -> bool {
        match self.place(sequence).and_then(|index| self.sent.get_mut(index)) {
            Some(record) if record.state == State::InFlight => {
                record.state = state;
                self.in_flight -= 1;
                true
            }
            _ => false,
        }
    }

    fn place(&self, sequence: u64) -> Option<usize> {
        usize::try_from(sequence.wrapping_sub(self.first)).ok()
    }

    /// The end of the log was reached at `offset`: nothing that a reader would be given lies between the last
    /// record and it. What a transaction leaves behind at the end of a log is passed in this way only.
    pub fn reached_end(&mut self, offset: i64) {
        self.next = Some(self.next.map_or(offset, |next| next.max(offset)));
    }

    /// The first offset that is not safely on the target; what to commit. None before anything was read.
    pub fn safe(&self) -> Option<i64> {
        self.sent.front().map(|record| record.offset).or(self.next)
    }

    /// The safe position, where it is another than was last taken.
    pub fn take_uncommitted(&mut self) -> Option<i64> {
        let safe = self.safe()?;
        if self.committed == Some(safe) {
            return None;
        }
        self.committed = Some(safe);
        Some(safe)
    }

    /// The last commit did not arrive: the next [`take_uncommitted`](Self::take_uncommitted) gives it again.
    pub fn commit_failed(&mut self) {
        self.committed = None;
    }

    /// The offset after the last record read, or of the end that was reached.
    pub fn next(&self) -> Option<i64> {
        self.next
    }

    /// The source offset of a record in flight.
    pub fn offset_of(&self, sequence: u64) -> Option<i64> {
        self.sent.get(self.place(sequence)?).map(|record| record.offset)
    }

    /// The sequence number in flight whose lowest bits, those of `mask`, are `low`.
    pub fn widen(&self, low: u64, mask: u64) -> u64 {
        self.first.wrapping_add(low.wrapping_sub(self.first) & mask)
    }

    /// How many records still have no report.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::Position;

    #[test]
    fn nothing_read_nothing_to_commit() {
        assert_eq!(Position::default().take_uncommitted(), None);
    }

    #[test]
    fn only_an_acknowledged_prefix_counts() {
        // Source: 5 6 9 (a hole at 7 and 8); the target acknowledges 6 first.
        let mut position = Position::default();
        let [five, six, nine] = [5, 6, 9].map(|offset| position.send(offset));
        assert_eq!(position.safe(), Some(5));
        assert!(position.acknowledge(six));
        assert_eq!(position.safe(), Some(5));
        assert!(position.acknowledge(five));
        assert_eq!(position.safe(), Some(9));
        assert!(position.acknowledge(nine));
        assert_eq!(position.safe(), Some(10));
    }

    #[test]
    fn the_end_counts_only_when_nothing_is_in_flight() {
        // Source: 5, then a commit marker at 6; the log ends at 7.
        let mut position = Position::default();
        let five = position.send(5);
        position.reached_end(7);
        assert_eq!(position.safe(), Some(5));
        position.acknowledge(five);
        assert_eq!(position.safe(), Some(7));
    }

    #[test]
    fn an_empty_partition_is_committed_at_its_end() {
        let mut position = Position::default();
        position.reached_end(0);
        assert_eq!(position.take_uncommitted(), Some(0));
        assert_eq!(position.take_uncommitted(), None);
        position.commit_failed();
        assert_eq!(position.take_uncommitted(), Some(0));
    }

    #[test]
    fn a_dropped_record_is_never_passed() {
        // 5 6 7: 6 was thrown out of the queue, the others arrived.
        let mut position = Position::default();
        let [five, six, seven] = [5, 6, 7].map(|offset| position.send(offset));
        assert!(position.drop_record(six));
        assert!(position.acknowledge(five) && position.acknowledge(seven));
        position.reached_end(8);
        assert_eq!((position.safe(), position.in_flight()), (Some(6), 0));
    }

    #[test]
    fn an_acknowledgement_counts_once() {
        let mut position = Position::default();
        let first = position.send(0);
        assert!(position.acknowledge(first));
        assert!(!position.acknowledge(first));
        assert!(!position.acknowledge(first + 9));
    }

    #[test]
    fn a_log_that_starts_again_is_followed_back() {
        // The topic was recreated: what was read as 100 comes again as 0.
        let mut position = Position::default();
        let old = position.send(100);
        position.acknowledge(old);
        let new = position.send(0);
        assert_eq!(position.safe(), Some(0));
        position.acknowledge(new);
        assert_eq!(position.safe(), Some(1));
    }

    #[test]
    fn a_sequence_number_is_found_by_its_lowest_bits() {
        let mut position = Position { first: 0xfe, ..Position::default() };
        let sent = [1, 2, 3, 4].map(|offset| position.send(offset));
        assert_eq!(sent.map(|sequence| position.widen(sequence & 0xff, 0xff)), sent);
    }

    proptest! {
        /// Whatever is acknowledged in whatever order, every record below the safe position is acknowledged.
        #[test]
        fn the_safe_position_never_passes_an_unacknowledged_record(
            steps in prop::collection::vec(1i64..4, 1..60),
            order in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
        ) {
            let mut position = Position::default();
            let mut offset = 0;
            let mut records: Vec<(i64, u64, bool)> = Vec::new();
            for step in steps {
                offset += step;
                records.push((offset, position.send(offset), false));
            }
            for index in order {
                let index = index.index(records.len());
                position.acknowledge(records[index].1);
                records[index].2 = true;
                let unacknowledged = records.iter().find(|(_, _, acknowledged)| !acknowledged);
                let expected = unacknowledged.map_or(offset + 1, |(offset, _, _)| *offset);
                prop_assert_eq!(position.safe(), Some(expected));
            }
        }
    }
}
