//! The search on logs in memory.

use std::{collections::BTreeMap, convert::Infallible};

use proptest::prelude::*;

use super::{Copy, Guess, Landmarks, Log, Probe, Wanted, search};
use crate::{
    TopicPartition,
    api::v1alpha1::Encoding,
    mapping::{
        SourceOffset, TargetOffset,
        origin::{Implied, OriginFormat, RawOrigin},
    },
};

/// What a log holds: at an offset a copy of `(source partition, origin)`, or a record without an origin.
type Records = BTreeMap<i64, Option<(i32, i64)>>;

/// A log that gives so many records with each look.
struct Memory {
    records: Records,
    batch: usize,
    looks: usize,
}

impl Log for Memory {
    type Error = Infallible;

    fn look(
        &mut self,
        probes: &[Probe],
        on: &mut dyn FnMut(usize, TargetOffset, &RawOrigin<'_>),
    ) -> Result<Vec<TargetOffset>, Infallible> {
        self.looks += probes.len();
        let look = |(n, probe): (usize, &Probe)| self.answer(probe, |offset, raw| on(n, offset, raw));
        Ok(probes.iter().enumerate().map(look).collect())
    }
}

impl Memory {
    fn answer(&self, probe: &Probe, mut on: impl FnMut(TargetOffset, &RawOrigin<'_>)) -> TargetOffset {
        assert!(probe.from < probe.to, "{probe:?}");
        let within: Vec<_> = self.records.range(probe.from.0..probe.to.0).take(self.batch).collect();
        for (offset, copy) in &within {
            let (partition, origin) = copy.unwrap_or_default();
            let (partition, origin) = (partition.to_string(), origin.to_string());
            let copied = RawOrigin {
                topic: Some(b"orders"),
                partition: Some(partition.as_bytes()),
                offset: Some(origin.as_bytes()),
                pipeline: None,
            };
            on(TargetOffset(**offset), &if copy.is_some() { copied } else { RawOrigin::default() });
        }
        match within.last() {
            Some((offset, _)) if within.len() == self.batch => TargetOffset(**offset).next(),
            _ => probe.to,
        }
    }
}

fn format() -> OriginFormat {
    OriginFormat {
        topic: Some("topic".into()),
        partition: Some("partition".into()),
        offset: Some("offset".into()),
        pipeline: None,
        encoding: Encoding::Auto,
    }
}

/// The guess for the only log, and the rounds it took.
fn run(records: &Records, batch: usize, start: i64, end: i64, committed: &[(i32, i64)]) -> (Guess, u32) {
    let mut log = Memory { records: records.clone(), batch, looks: 0 };
    let committed =
        committed.iter().map(|(n, c)| (TopicPartition::new("orders", *n), SourceOffset(*c))).collect();
    let t = TopicPartition::new("copy", 0);
    let wanted = Wanted {
        start: TargetOffset(start),
        end: TargetOffset(end),
        implied: Implied::default(),
        committed,
        hints: BTreeMap::new(),
    };
    let Ok(mut found) = search(&mut log, &format(), &BTreeMap::from([(t.clone(), wanted)]));
    assert_eq!(found.unfit, BTreeMap::new());
    (found.guesses.remove(&t).unwrap(), found.rounds)
}

fn copy(offset: i64, origin: i64) -> Copy {
    (TargetOffset(offset), SourceOffset(origin))
}

fn around(guess: &Guess) -> (Option<Copy>, Option<Copy>) {
    guess.around[&TopicPartition::new("orders", 0)]
}

#[test]
fn a_plain_log_takes_three_rounds_whatever_its_length() {
    for length in [1_000, 100_000] {
        let log = (0..length).map(|o| (o, Some((0, o + 500)))).collect();
        let c = length / 3 + 500;
        let (guess, rounds) = run(&log, 80, 0, length, &[(0, c)]);
        assert_eq!(around(&guess), (Some(copy(c - 501, c - 1)), Some(copy(c - 500, c))));
        assert_eq!(
            (guess.position(), guess.last_below()),
            (Some(TargetOffset(c - 500)), Some(TargetOffset(c - 501)))
        );
        assert!(rounds <= 3, "{rounds} rounds");
    }
}

#[test]
fn another_group_on_the_same_log_takes_one_round() {
    let records: Records = (0..100_000).map(|o| (o, Some((0, 2 * o)))).collect();
    let (q, t) = (TopicPartition::new("orders", 0), TopicPartition::new("copy", 0));
    let mut landmarks = Landmarks::default();
    let mut rounds = Vec::new();
    for c in [60_000, 61_001, 199_990, 3] {
        let mut log = Memory { records: records.clone(), batch: 80, looks: 0 };
        let hint = landmarks.hint(&t, &q, SourceOffset(c)).map(|hint| (q.clone(), hint));
        let wanted = Wanted {
            start: TargetOffset(0),
            end: TargetOffset(100_000),
            implied: Implied::default(),
            committed: BTreeMap::from([(q.clone(), SourceOffset(c))]),
            hints: hint.into_iter().collect(),
        };
        let Ok(mut found) = search(&mut log, &format(), &BTreeMap::from([(t.clone(), wanted)]));
        let guess = found.guesses.remove(&t).unwrap();
        assert_eq!(guess.position(), Some(TargetOffset((c + 1) / 2)));
        landmarks.note(&t, &q, guess.landmarks[&q].iter().copied());
        rounds.push(found.rounds);
    }
    // The last one lies far before all that was seen.
    assert!(rounds[0] >= 2 && rounds[1..3] == [1, 1] && rounds[3] <= rounds[0] + 1, "{rounds:?}");
}

#[test]
fn a_group_that_has_read_everything_takes_one_round() {
    let log = (0..5_000).map(|o| (o, Some((0, o)))).collect();
    let (guess, rounds) = run(&log, 80, 0, 5_001, &[(0, 5_000)]);
    assert_eq!(around(&guess), (Some(copy(4_999, 4_999)), None));
    assert_eq!((guess.position(), rounds), (None, 1));
}

#[test]
fn a_group_that_has_read_nothing_comes_to_the_start() {
    let log = (100..5_000).map(|o| (o, Some((0, o)))).collect();
    let (guess, _) = run(&log, 80, 100, 5_000, &[(0, 0)]);
    assert_eq!((around(&guess), guess.last_below()), ((None, Some(copy(100, 100))), None));
}

#[test]
fn an_empty_log_and_one_without_copies() {
    assert_eq!(around(&run(&Records::new(), 8, 7, 7, &[(0, 3)]).0), (None, None));
    let natives = (0..100).map(|o| (o, None)).collect();
    assert_eq!(around(&run(&natives, 8, 0, 100, &[(0, 3)]).0), (None, None));
}

#[test]
fn where_only_a_scan_would_find_out_it_says_so() {
    let natives = (0..3_000).map(|o| (o, None)).collect();
    let mut log = Memory { records: natives, batch: 8, looks: 0 };
    let t = TopicPartition::new("copy", 0);
    let committed = BTreeMap::from([(TopicPartition::new("orders", 0), SourceOffset(3))]);
    let (start, end) = (TargetOffset(0), TargetOffset(3_000));
    let wanted = Wanted { start, end, implied: Implied::default(), committed, hints: BTreeMap::new() };
    let Ok(found) = search(&mut log, &format(), &BTreeMap::from([(t.clone(), wanted)]));
    assert!(found.guesses.is_empty() && found.unfit.contains_key(&t) && log.looks < 40);
}

/// A log in order: holes of compaction in it, records of others between.
fn in_order() -> impl Strategy<Value = (Records, i64)> {
    (prop::collection::vec((1i64..4, 1i64..6, 0..4), 1..600)).prop_map(|steps| {
        let (mut log, mut target, mut origin) = (Records::new(), 0, 0);
        for (hole, skip, kind) in steps {
            target += hole;
            if kind == 0 {
                log.insert(target, None);
            } else {
                origin += skip;
                log.insert(target, Some((0, origin)));
            }
        }
        (log, target + 1)
    })
}

proptest! {
    /// Against the plain walk along the log.
    #[test]
    fn a_log_in_order_has_one_crossing((log, end) in in_order(), c in 0i64..2_000, batch in 1usize..40) {
        let (guess, rounds) = run(&log, batch, 0, end, &[(0, c)]);
        let copies = || log.iter().filter_map(|(o, r)| r.map(|(_, s)| copy(*o, s)));
        let below = copies().rfind(|(_, s)| s.0 < c);
        let above = copies().find(|(_, s)| s.0 >= c);
        prop_assert_eq!(around(&guess), (below, above));
        prop_assert!(rounds <= end.max(2).ilog2() + super::SPARE_STEPS, "{} rounds of {}", rounds, end);
    }

    /// Whatever the log holds: what is found are two copies next to each other, below and above.
    #[test]
    fn any_log_gives_a_crossing(
        log in prop::collection::vec(prop::option::of((0..2, 0i64..60)), 1..300),
        committed in prop::array::uniform2(0i64..70),
        batch in 1usize..20,
    ) {
        let log: Records = log.into_iter().enumerate().map(|(o, r)| (i64::try_from(o).unwrap(), r)).collect();
        let end = i64::try_from(log.len()).unwrap();
        let mut memory = Memory { records: log.clone(), batch, looks: 0 };
        let committed: BTreeMap<_, _> =
            committed.iter().zip(0..).map(|(c, n)| (TopicPartition::new("orders", n), SourceOffset(*c))).collect();
        let t = TopicPartition::new("copy", 0);
        let wanted = Wanted { start: TargetOffset(0), end: TargetOffset(end), implied: Implied::default(), committed, hints: BTreeMap::new() };
        let Ok(found) = search(&mut memory, &format(), &BTreeMap::from([(t.clone(), wanted.clone())]));
        let Some(guess) = found.guesses.get(&t) else { return Ok(()) };
        for (q, c) in &wanted.committed {
            let copies: Vec<Copy> = log.iter()
                .filter_map(|(o, r)| r.filter(|(n, _)| *n == q.partition).map(|(_, s)| copy(*o, s)))
                .collect();
            let (below, above) = guess.around[q];
            prop_assert!(below.is_none_or(|(_, s)| s < *c) && above.is_none_or(|(_, s)| s >= *c));
            let place = |x: Option<Copy>| x.map(|x| copies.iter().position(|copy| *copy == x).unwrap());
            match (place(below), place(above)) {
                (Some(lo), Some(hi)) => prop_assert_eq!(lo + 1, hi),
                (Some(lo), None) => prop_assert_eq!(lo + 1, copies.len()),
                (None, Some(hi)) => prop_assert_eq!(hi, 0),
                (None, None) => prop_assert!(copies.is_empty()),
            }
        }
    }
}
