//! A partition's log, of either cluster.

/// What an offset holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot<T> {
    /// A record that every reader is given.
    Record(T),
    /// A record of a transaction that has not ended.
    Open(T),
    /// A record of a transaction that was aborted: nobody was ever given it.
    Aborted,
    /// A marker, or a record that was compacted away.
    Nothing,
}

/// Records by offset.
#[derive(Clone, Debug)]
pub struct Log<T> {
    /// The log start.
    pub start: usize,
    slots: Vec<Slot<T>>,
}

impl<T> Default for Log<T> {
    fn default() -> Self {
        Self { start: 0, slots: Vec::new() }
    }
}

impl<T: Copy> Log<T> {
    /// The high watermark.
    pub fn end(&self) -> usize {
        self.slots.len()
    }

    /// The last stable offset.
    pub fn last_stable(&self) -> usize {
        self.slots.iter().position(|slot| matches!(slot, Slot::Open(_))).unwrap_or(self.end())
    }

    /// What a `read_committed` reader is given of `[from, to)`.
    pub fn committed(&self, from: usize, to: usize) -> impl Iterator<Item = (usize, T)> {
        self.any(from, to.min(self.last_stable()))
    }

    /// The same, with the records of open transactions.
    pub fn any(&self, from: usize, to: usize) -> impl Iterator<Item = (usize, T)> {
        (from.max(self.start)..to.min(self.end())).filter_map(|offset| match self.slots[offset] {
            Slot::Record(record) | Slot::Open(record) => Some((offset, record)),
            Slot::Aborted | Slot::Nothing => None,
        })
    }

    pub fn write(&mut self, record: T, in_transaction: bool) {
        self.slots.push(if in_transaction { Slot::Open(record) } else { Slot::Record(record) });
    }

    pub fn is_aborted(&self, offset: usize) -> bool {
        matches!(self.slots.get(offset), Some(Slot::Aborted))
    }

    /// A producer's transaction ends; its marker takes an offset.
    pub fn end_transaction(&mut self, is_its: impl Fn(&T) -> bool, commit: bool) {
        let mut any = false;
        for slot in &mut self.slots {
            if let Slot::Open(record) = *slot
                && is_its(&record)
            {
                *slot = if commit { Slot::Record(record) } else { Slot::Aborted };
                any = true;
            }
        }
        if any {
            self.slots.push(Slot::Nothing);
        }
    }

    /// Retention takes so many offsets; none that an open transaction holds back.
    pub fn expire(&mut self, offsets: usize) {
        self.start = (self.start + offsets).min(self.last_stable()).max(self.start);
    }

    /// The cleaner passes over the first offsets: of each key the last record stays.
    pub fn compact(&mut self, to: usize, key: impl Fn(&T) -> Option<u8>) {
        let mut later = std::collections::BTreeSet::new();
        let to = to.min(self.last_stable());
        for slot in self.slots[..to].iter_mut().rev() {
            if let Slot::Record(record) = slot
                && let Some(key) = key(record)
                && !later.insert(key)
            {
                *slot = Slot::Nothing;
            }
        }
    }

    /// As a line: what lies before the log start, `|`, the rest. Open transactions are in parentheses.
    pub fn draw(&self, record: impl Fn(&T) -> String) -> String {
        let slots = self.slots.iter().enumerate().map(|(offset, slot)| {
            let start = if offset == self.start { "| " } else { "" };
            match slot {
                Slot::Record(r) => format!("{start}{}", record(r)),
                Slot::Open(r) => format!("{start}({})", record(r)),
                Slot::Aborted | Slot::Nothing => format!("{start}-"),
            }
        });
        slots.collect::<Vec<_>>().join(" ")
    }

    /// What lies at or behind an offset is lost.
    pub fn cut(&mut self, to: usize) {
        self.slots.truncate(to);
        self.start = self.start.min(to);
    }
}
