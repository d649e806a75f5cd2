//! The source partitions that this instance copies, and where each is going. Pure bookkeeping.

use std::collections::HashMap;

use super::position::Position;
use crate::{TopicPartition, kafka::replication::TargetTopic};

/// Bits of a ticket that count records; the others tell the slot.
const SEQUENCE_BITS: u32 = 40;
const SEQUENCE_MASK: u64 = (1 << SEQUENCE_BITS) - 1;

/// Which slot a partition has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotId(usize);

/// One source partition that is, or was until a moment ago, this instance's.
#[derive(Debug)]
pub struct Slot {
    /// The source partition.
    pub partition: TopicPartition,
    /// Where its records go.
    pub topic: TargetTopic,
    /// To which partition there; none: by the partitioner.
    pub target_partition: Option<i32>,
    /// How far it is copied.
    pub position: Position,
    /// False once it was let go: only reports of records in flight are waited for.
    held: bool,
}

/// All slots.
#[derive(Debug, Default)]
pub struct Partitions {
    slots: Vec<Option<Slot>>,
    by_name: HashMap<TopicPartition, SlotId>,
    /// A short cut, valid for one assignment: the client's topic address tells topics apart.
    by_address: HashMap<(usize, i32), SlotId>,
}

impl Partitions {
    /// Begins with a partition.
    pub fn hold(&mut self, partition: TopicPartition, topic: TargetTopic, target_partition: Option<i32>) {
        let slot = Slot {
            partition: partition.clone(),
            topic,
            target_partition,
            position: Position::default(),
            held: true,
        };
        let free = self.slots.iter().position(Option::is_none);
        let index = free.unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[index] = Some(slot);
        self.by_name.insert(partition, SlotId(index));
    }

    /// Lets all partitions go. Those with records in flight stay known until the reports have come.
    pub fn release_all(&mut self) {
        self.by_name.clear();
        self.by_address.clear();
        for slot in &mut self.slots {
            match slot {
                Some(one) if one.position.in_flight() > 0 => one.held = false,
                _ => *slot = None,
            }
        }
    }

    /// The slot of a record; `name` is asked only once for each topic address and partition.
    pub fn find(&mut self, address: usize, partition: i32, name: impl FnOnce() -> String) -> Option<SlotId> {
        if let Some(found) = self.by_address.get(&(address, partition)) {
            return Some(*found);
        }
        let found = self.named(&TopicPartition::new(name(), partition))?;
        self.by_address.insert((address, partition), found);
        Some(found)
    }

    /// The slot of a partition.
    pub fn named(&self, partition: &TopicPartition) -> Option<SlotId> {
        self.by_name.get(partition).copied()
    }

    /// A slot that was given out since the last [`release_all`](Self::release_all).
    pub fn slot(&mut self, id: SlotId) -> Option<&mut Slot> {
        self.slots.get_mut(id.0)?.as_mut()
    }

    /// The record at `offset` is being sent: the ticket for its report.
    pub fn ticket(&mut self, id: SlotId, offset: i64) -> Option<usize> {
        let sequence = self.slot(id)?.position.send(offset) & SEQUENCE_MASK;
        usize::try_from(((id.0 as u64) << SEQUENCE_BITS) | sequence).ok()
    }

    /// Which record a ticket stands for, if it is in flight.
    pub fn record(&self, ticket: usize) -> Option<(&Slot, i64)> {
        let (index, sequence) = split(ticket);
        let slot = self.slots.get(index)?.as_ref()?;
        Some((slot, slot.position.offset_of(slot.position.widen(sequence, SEQUENCE_MASK))?))
    }

    /// The target has the record. False where it was not in flight.
    pub fn acknowledge(&mut self, ticket: usize) -> bool {
        self.settle(ticket, Position::acknowledge)
    }

    /// The record will not be written.
    pub fn drop_record(&mut self, ticket: usize) -> bool {
        self.settle(ticket, Position::drop_record)
    }

    fn settle(&mut self, ticket: usize, how: impl FnOnce(&mut Position, u64) -> bool) -> bool {
        let (index, sequence) = split(ticket);
        let Some(place) = self.slots.get_mut(index) else {
            return false;
        };
        let Some(slot) = place else { return false };
        let sequence = slot.position.widen(sequence, SEQUENCE_MASK);
        let known = how(&mut slot.position, sequence);
        if !slot.held && slot.position.in_flight() == 0 {
            *place = None;
        }
        known
    }

    /// Records without a report.
    pub fn in_flight(&self) -> usize {
        self.slots.iter().flatten().map(|slot| slot.position.in_flight()).sum()
    }

    /// The partitions held now.
    pub fn held(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.slots.iter_mut().flatten().filter(|slot| slot.held)
    }

    /// How many partitions are held now.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}

#[allow(clippy::cast_possible_truncation)] // The slot's part has 24 bits.
fn split(ticket: usize) -> (usize, u64) {
    let ticket = ticket as u64;
    ((ticket >> SEQUENCE_BITS) as usize, ticket & SEQUENCE_MASK)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn held(of: &[&str]) -> Partitions {
        let mut partitions = Partitions::default();
        for name in of {
            partitions.hold(TopicPartition::new(*name, 0), TargetTopic::default(), Some(0));
        }
        partitions
    }

    #[test]
    fn a_report_finds_its_record() {
        let mut partitions = held(&["a", "b"]);
        let b = partitions.find(7, 0, || "b".into()).unwrap();
        let ticket = partitions.ticket(b, 41).unwrap();
        let (slot, offset) = partitions.record(ticket).unwrap();
        assert_eq!((slot.partition.topic.as_str(), offset), ("b", 41));
        assert!(partitions.acknowledge(ticket));
        assert_eq!(partitions.in_flight(), 0);
        assert_eq!(partitions.slot(b).unwrap().position.safe(), Some(42));
    }

    #[test]
    fn what_is_let_go_keeps_its_slot_until_the_reports_have_come() {
        // Else a late report would acknowledge a record of another partition, which was never written.
        let mut partitions = held(&["a"]);
        let a = partitions.find(7, 0, || "a".into()).unwrap();
        let late = partitions.ticket(a, 5).unwrap();
        partitions.release_all();
        assert!(partitions.is_empty());
        partitions.hold(TopicPartition::new("b", 0), TargetTopic::default(), None);
        let b = partitions.find(7, 0, || "b".into()).unwrap();
        assert_ne!(a, b);
        let sent = partitions.ticket(b, 9).unwrap();
        assert!(partitions.acknowledge(late));
        assert_eq!(partitions.slot(b).unwrap().position.safe(), Some(9));
        assert!(partitions.acknowledge(sent));
        assert_eq!(partitions.held().count(), 1);
    }
}
