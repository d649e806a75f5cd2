//! Finds where committed offsets lie on target logs in a handful of rounds, without reading the logs. Pure:
//! the logs are behind [`Log`]; `cluster` has those of a real one.
//!
//! What comes out is a guess, as a log may cross a committed offset more than once: the mapping reads the log
//! from there on and accepts it, or scans (`controller::app_migration::facts`).

mod cluster;
mod crossing;
mod landmarks;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::{
    TopicPartition,
    mapping::{
        SourceOffset, TargetOffset,
        origin::{ENCODING_SAMPLE, Implied, KeptOrigin, Numbers, Origin, OriginFormat, RawOrigin, decode},
    },
};
use crossing::Crossing;

pub use cluster::raw_origin;
pub use crossing::Copy;
pub use landmarks::Landmarks;

/// Offsets that a look is taken to bring until one has.
const FIRST_BATCH: i64 = 64;
/// Crossings that are looked for on one target partition; a log that merges more is scanned.
const MAX_CROSSINGS: usize = 64;
/// Steps beyond the logarithm of a log's length before its shape counts as unfit.
const SPARE_STEPS: u32 = 16;

/// Logs that can be looked into.
pub trait Log {
    /// What can go wrong.
    type Error;

    /// Looks into many logs at once, and gives of each the records from its probe's offset on that come with
    /// one answer, in ascending order, with the probe's place in `probes`: at least one, unless the log holds
    /// none before `to`. Returns for each probe up to where everything was given.
    fn look(
        &mut self,
        probes: &[Probe],
        on: &mut dyn FnMut(usize, TargetOffset, &RawOrigin<'_>),
    ) -> Result<Vec<TargetOffset>, Self::Error>;
}

/// A look into one log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Which log.
    pub target: TopicPartition,
    /// The first offset of interest.
    pub from: TargetOffset,
    /// The first one of no interest.
    pub to: TargetOffset,
}

/// A target partition to be searched.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The log start.
    pub start: TargetOffset,
    /// The end: nothing at or behind it is looked at.
    pub end: TargetOffset,
    /// What the route implies where a header is not written.
    pub implied: Implied,
    /// The source partitions that it can hold copies of, each with its committed offset.
    pub committed: BTreeMap<TopicPartition, SourceOffset>,
    /// Where to look for those first, as far as [`Landmarks`] tell.
    pub hints: BTreeMap<TopicPartition, TargetOffset>,
}

/// What was found on one target partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guess {
    /// The last copy below the crossing and the first above it, by source partition.
    pub around: BTreeMap<TopicPartition, (Option<Copy>, Option<Copy>)>,
    /// The first and the last copy that each look brought, for [`Landmarks`].
    pub landmarks: BTreeMap<TopicPartition, Vec<Copy>>,
    /// Looks into this log.
    pub probes: u32,
    /// Records that they brought.
    pub records: u64,
}

impl Guess {
    /// Where the group would resume, were the guess right; none where no copy is at or above the committed
    /// offsets.
    pub fn position(&self) -> Option<TargetOffset> {
        self.around.values().filter_map(|(_, above)| above.map(|(offset, _)| offset)).min()
    }

    /// The first and the last of the records on both sides of the crossings.
    pub fn extent(&self) -> Option<(TargetOffset, TargetOffset)> {
        let sides = self.around.values().flat_map(|(below, above)| [below, above]);
        let offsets = || sides.clone().flatten().map(|(offset, _)| *offset);
        Some((offsets().min()?, offsets().max()?))
    }

    /// The last copy directly below the crossings: reading from there on shows both sides of all of them.
    /// None where a source partition has copies above its committed offset only.
    pub fn last_below(&self) -> Option<TargetOffset> {
        let mut lowest = TargetOffset(i64::MAX);
        for (below, above) in self.around.values() {
            match (below, above) {
                (Some((offset, _)), _) => lowest = lowest.min(*offset),
                (None, Some(_)) => return None,
                (None, None) => {}
            }
        }
        (lowest.0 < i64::MAX).then_some(lowest)
    }
}

/// The search's answer.
#[derive(Debug, Default)]
pub struct Found {
    /// By target partition; absent where the log's shape forbids the search.
    pub guesses: BTreeMap<TopicPartition, Guess>,
    /// Why some are absent.
    pub unfit: BTreeMap<TopicPartition, &'static str>,
    /// Rounds of looks.
    pub rounds: u32,
}

/// Searches all of `wanted` together, a look into each unfinished log per round.
pub fn search<L: Log>(
    log: &mut L,
    format: &OriginFormat,
    wanted: &BTreeMap<TopicPartition, Wanted>,
) -> Result<Found, L::Error> {
    let mut found = Found::default();
    let mut searches: Vec<Search<'_>> =
        wanted.iter().map(|(t, wanted)| Search::new(t, wanted, format)).collect();
    loop {
        let open: Vec<(usize, Probe)> =
            searches.iter_mut().enumerate().filter_map(|(n, s)| Some((n, s.probe()?))).collect();
        if open.is_empty() {
            break;
        }
        let (numbers, probes): (Vec<usize>, Vec<Probe>) = open.into_iter().unzip();
        let covered = log.look(&probes, &mut |n, offset, raw| searches[numbers[n]].record(offset, raw))?;
        for ((number, probe), covered_to) in numbers.iter().zip(&probes).zip(covered) {
            searches[*number].looked(probe, covered_to);
        }
        found.rounds += 1;
    }
    for search in searches {
        match search.unfit {
            Some(why) => drop(found.unfit.insert(search.target.clone(), why)),
            None => drop(found.guesses.insert(search.target.clone(), search.guess())),
        }
    }
    Ok(found)
}

/// The search on one target partition: all its source partitions share every look.
struct Search<'a> {
    target: &'a TopicPartition,
    wanted: &'a Wanted,
    format: &'a OriginFormat,
    numbers: Option<Numbers>,
    /// Records of the present look that wait until the encoding is decided.
    undecided: Vec<(TargetOffset, KeptOrigin)>,
    /// Copies that the present look brought.
    copies: BTreeMap<&'a TopicPartition, Vec<Copy>>,
    crossings: BTreeMap<&'a TopicPartition, Crossing>,
    landmarks: BTreeMap<TopicPartition, Vec<Copy>>,
    batch: i64,
    probes: u32,
    records: u64,
    unfit: Option<&'static str>,
}

impl<'a> Search<'a> {
    fn new(target: &'a TopicPartition, wanted: &'a Wanted, format: &'a OriginFormat) -> Self {
        let crossing = |(q, c): (&'a TopicPartition, &SourceOffset)| {
            let hint = wanted.hints.get(q).copied();
            (q, Crossing::new(*c, wanted.start, wanted.end).aiming_at(hint))
        };
        Self {
            target,
            wanted,
            format,
            numbers: Numbers::fixed(format.encoding),
            undecided: Vec::new(),
            copies: BTreeMap::new(),
            crossings: wanted.committed.iter().map(crossing).collect(),
            landmarks: BTreeMap::new(),
            batch: FIRST_BATCH,
            probes: 0,
            records: 0,
            unfit: (wanted.committed.len() > MAX_CROSSINGS)
                .then_some("many source partitions are merged into it"),
        }
    }

    /// The next look, if one is needed.
    fn probe(&mut self) -> Option<Probe> {
        if self.unfit.is_some() {
            return None;
        }
        let crossing = self.crossings.values_mut().find(|c| !c.is_found())?;
        let length = (self.wanted.end.0 - self.wanted.start.0).max(1);
        if crossing.steps() > length.ilog2() + SPARE_STEPS {
            self.unfit = Some("its copies lie too far apart");
            return None;
        }
        self.probes += 1;
        let from = crossing.next(self.batch);
        Some(Probe { target: self.target.clone(), from, to: self.wanted.end })
    }

    /// Takes what a look brings.
    fn record(&mut self, offset: TargetOffset, raw: &RawOrigin<'_>) {
        self.records += 1;
        match self.numbers {
            Some(numbers) => self.note(offset, raw, numbers),
            None if raw.is_native() => {}
            None => {
                self.undecided.push((offset, raw.keep()));
                if self.undecided.len() >= ENCODING_SAMPLE {
                    self.decide();
                }
            }
        }
    }

    fn decide(&mut self) {
        if self.undecided.is_empty() || self.unfit.is_some() {
            return;
        }
        let undecided = std::mem::take(&mut self.undecided);
        self.numbers = Numbers::decide(undecided.iter().filter_map(|(_, kept)| kept.raw().offset));
        let Some(numbers) = self.numbers else {
            self.unfit = Some("the encoding of its origin headers is not told by a few records");
            return;
        };
        for (offset, kept) in &undecided {
            self.note(*offset, &kept.raw(), numbers);
        }
    }

    fn note(&mut self, offset: TargetOffset, raw: &RawOrigin<'_>, numbers: Numbers) {
        match decode(raw, self.format, &self.wanted.implied, numbers) {
            Origin::Copy(q, origin) => {
                if let Some((q, _)) = self.wanted.committed.get_key_value(&q) {
                    self.copies.entry(q).or_default().push((offset, origin));
                }
            }
            Origin::Undecodable(_) => self.unfit = Some("it holds origins that cannot be decoded"),
            Origin::Native => {}
        }
    }

    /// The look is over.
    fn looked(&mut self, probe: &Probe, covered_to: TargetOffset) {
        self.decide();
        if covered_to <= probe.from {
            self.unfit = Some("retention took records while it was searched");
        }
        if covered_to < self.wanted.end {
            self.batch = (covered_to.0 - probe.from.0).max(self.batch / 2);
        }
        let mut copies = std::mem::take(&mut self.copies);
        for (q, crossing) in &mut self.crossings {
            let copies = copies.remove(*q).unwrap_or_default();
            let ends = copies.first().into_iter().chain(copies.last()).copied();
            self.landmarks.entry((*q).clone()).or_default().extend(ends);
            crossing.take(probe.from, covered_to, copies.into_iter());
        }
    }

    fn guess(self) -> Guess {
        let around = self.crossings.into_iter().map(|(q, c)| (q.clone(), (c.below(), c.above()))).collect();
        Guess { around, landmarks: self.landmarks, probes: self.probes, records: self.records }
    }
}
