//! The rules against an application: whatever is answered, it is simulated what the application reads on the
//! target from there on, after the replicator has caught up, and compared with what it had read before.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::world::{Record, Source, World, orders};
use crate::{
    api::v1alpha1::{GapPolicy, Reason, ReplicationProof},
    mapping::{
        Assessment, Bounds, MappingPolicies, SourceOffset,
        plan::{SourceCertificate, TargetPlan},
    },
};

/// What happens to the two clusters, step by step.
#[derive(Clone, Debug)]
enum Step {
    /// The source gets records; false is a marker or a record that compaction takes.
    Produce(usize, Vec<bool>),
    /// The replicator copies so many of what is next.
    Copy(usize, usize),
    /// The replicator restarts and goes back so far.
    Rewind(usize, usize),
    /// The replicator loses sight of so many records (a bug, a filter, a late start).
    Skip(usize, usize),
    /// A fenced instance writes a range again.
    Zombie(usize, usize, usize),
    Native,
    Undecodable,
    Hidden,
    /// Retention on the source, on the target.
    ExpireSource(usize, usize),
    ExpireTarget(usize),
}

fn step(sources: usize) -> impl Strategy<Value = Step> {
    let q = 0..sources;
    prop_oneof![
        4 => (q.clone(), prop::collection::vec(prop::bool::weighted(0.8), 1..8)).prop_map(|(q, r)| Step::Produce(q, r)),
        6 => (q.clone(), 1usize..8).prop_map(|(q, n)| Step::Copy(q, n)),
        1 => (q.clone(), 1usize..6).prop_map(|(q, n)| Step::Rewind(q, n)),
        1 => (q.clone(), 1usize..4).prop_map(|(q, n)| Step::Skip(q, n)),
        1 => (q.clone(), 0usize..20, 1usize..6).prop_map(|(q, s, n)| Step::Zombie(q, s, n)),
        1 => Just(Step::Native),
        1 => Just(Step::Undecodable),
        1 => Just(Step::Hidden),
        1 => (q, 1usize..6).prop_map(|(q, n)| Step::ExpireSource(q, n)),
        1 => (1usize..6).prop_map(Step::ExpireTarget),
    ]
}

#[derive(Clone, Debug)]
struct History {
    world: World,
    /// The replicator's true position, by source partition.
    positions: Vec<usize>,
    /// The target's end and those of the sources, after each step.
    ends: Vec<(i64, Vec<i64>)>,
}

impl History {
    fn new(sources: usize) -> Self {
        let world = World {
            sources: vec![Source::default(); sources],
            targets: vec![vec![]],
            target_starts: vec![0],
            routes: vec![vec![0]; sources],
            ..World::default()
        };
        Self { world, positions: vec![0; sources], ends: vec![(0, vec![0; sources])] }
    }

    fn apply(&mut self, step: &Step) {
        let Self { world, positions, .. } = self;
        let number = |n: usize| i64::try_from(n).unwrap();
        match step {
            Step::Produce(q, records) => world.sources[*q].log.extend(records),
            Step::Copy(q, n) => {
                for _ in 0..*n {
                    copy_next(world, positions, *q);
                }
            }
            Step::Rewind(q, n) => positions[*q] = positions[*q].saturating_sub(*n),
            Step::Skip(q, n) => positions[*q] = (positions[*q] + n).min(world.sources[*q].log.len()),
            Step::Zombie(q, start, n) => {
                let start = (*start).max(usize::try_from(world.sources[*q].log_start).unwrap());
                for s in start..(start + n).min(positions[*q]) {
                    if world.sources[*q].log[s] {
                        world.targets[0].push(Record::Copy(i32::try_from(*q).unwrap(), number(s)));
                    }
                }
            }
            Step::Native => world.targets[0].push(Record::Native),
            Step::Undecodable => world.targets[0].push(Record::Undecodable),
            Step::Hidden => world.targets[0].push(Record::Hidden),
            Step::ExpireSource(q, n) => {
                let source = &mut world.sources[*q];
                source.log_start = (source.log_start + number(*n)).min(number(source.log.len()));
            }
            Step::ExpireTarget(n) => {
                world.target_starts[0] =
                    (world.target_starts[0] + number(*n)).min(number(world.targets[0].len()));
            }
        }
        let ends = self.world.sources.iter().map(|q| number(q.log.len())).collect();
        self.ends.push((number(self.world.targets[0].len()), ends));
    }

    /// The sources' ends when the target's had just come to `offset`.
    fn bounds(&self, offset: i64) -> Bounds {
        let (_, ends) = self.ends.iter().find(|(end, _)| *end >= offset).unwrap();
        ends.iter().enumerate().map(|(q, end)| (orders(q), SourceOffset(*end))).collect()
    }

    /// Nobody can foresee a rewind that has left no trace when the logs are looked at, unless the
    /// replicator's position is known: such a one is taken back.
    fn foreseeable(&mut self) {
        for (q, position) in self.positions.iter_mut().enumerate() {
            let number = i32::try_from(q).unwrap();
            let copies =
                || self.world.targets[0].iter().filter(|r| matches!(r, Record::Copy(n, _) if *n == number));
            let last = copies().next_back().map_or(0, |r| origin(*r) + 1);
            let max = copies().map(|r| origin(*r) + 1).max().unwrap_or(0);
            let traced = last == i64::try_from(*position).unwrap()
                && copies().filter(|r| origin(**r) + 1 == last).count() > 1;
            if !traced {
                *position = (*position).max(usize::try_from(max).unwrap());
            }
        }
    }

    /// What the application reads on the target from `plan` on, once the replicator has copied the rest.
    fn reads(&self, plan: &TargetPlan) -> Vec<Record> {
        let mut later = self.clone();
        for q in 0..later.world.sources.len() {
            while later.positions[q] < later.world.sources[q].log.len() {
                copy_next(&mut later.world, &mut later.positions, q);
            }
        }
        let from = usize::try_from(plan.position.0).unwrap();
        later.world.targets[0][from..].to_vec()
    }
}

fn copy_next(world: &mut World, positions: &mut [usize], q: usize) {
    let source = &world.sources[q];
    let at = positions[q].max(usize::try_from(source.log_start).unwrap());
    positions[q] = at;
    if at >= source.log.len() {
        return;
    }
    positions[q] = at + 1;
    if source.log[at] {
        world.targets[0].push(Record::Copy(i32::try_from(q).unwrap(), i64::try_from(at).unwrap()));
    }
}

/// Nothing lost, nothing read again but what was counted, exact only where it is.
fn check(history: &History, plan: &TargetPlan) -> Result<(), TestCaseError> {
    prop_assert!(plan.position >= plan.log_start && plan.position <= plan.last_stable_offset);
    let reads = history.reads(plan);
    for (q, source) in history.world.sources.iter().enumerate() {
        let row = &plan.sources[q];
        let number = i32::try_from(q).unwrap();
        let read: BTreeSet<i64> = reads
            .iter()
            .filter(|r| matches!(r, Record::Copy(n, _) if *n == number))
            .map(|r| origin(*r))
            .collect();
        let start = usize::try_from(history.world.target_starts[0]).unwrap();
        let copied: Vec<i64> = history.world.targets[0][start..]
            .iter()
            .filter(|r| matches!(r, Record::Copy(n, _) if *n == number))
            .map(|r| origin(*r))
            .collect();
        // What the replicator will leave out later cannot be foreseen.
        let end = history.world.open_from.unwrap_or(i64::MAX);
        let visible = history.world.targets[0].iter().take(usize::try_from(end).unwrap()).skip(start);
        let visible = visible.filter(|r| matches!(r, Record::Copy(n, _) if *n == number));
        let seen_to = visible.map(|r| origin(*r) + 1).max().max(source.replicator).unwrap_or(0);
        for s in copied.into_iter().filter(|s| *s >= source.committed) {
            prop_assert!(read.contains(&s), "copy of {} is lost at position {}", s, plan.position);
        }
        let again = read.iter().filter(|s| **s < source.committed).count() as u64;
        prop_assert!(again <= row.reread, "{} read again, {} counted", again, row.reread);
        let unread: Vec<i64> = (source.committed..seen_to)
            .filter(|s| source.log[usize::try_from(*s).unwrap()] && !read.contains(s))
            .collect();
        if row.exact {
            prop_assert_eq!(again, 0, "exact, but records are read again");
            prop_assert!(unread.is_empty(), "exact, but {:?} are never read", unread);
        }
        let first_read = read.iter().find(|s| **s >= source.committed).copied().unwrap_or(i64::MAX);
        let undecodable = plan.undecodable;
        let before_first = unread.iter().filter(|s| **s < first_read).count() as u64;
        if !row.why.iter().any(|w| w.contains("not known")) {
            prop_assert!(
                before_first <= row.gap + row.superseded + undecodable,
                "{:?} are missing, {} counted",
                unread,
                row.gap
            );
        }
    }
    Ok(())
}

fn origin(record: Record) -> i64 {
    match record {
        Record::Copy(_, s) => s,
        _ => -1,
    }
}

/// A history, and where its group stands at the end of it.
fn history(
    sources: usize,
    steps: &[Step],
    committed: &[prop::sample::Index],
    known: bool,
    open: Option<prop::sample::Index>,
    policies: MappingPolicies,
) -> History {
    let mut history = History::new(sources);
    for step in steps {
        history.apply(step);
    }
    if !known {
        history.foreseeable();
    }
    let positions = history.positions.iter().zip(committed);
    for (source, (position, committed)) in history.world.sources.iter_mut().zip(positions) {
        source.committed = i64::try_from(committed.index(source.log.len() + 1)).unwrap();
        source.replicator = known.then(|| i64::try_from(*position).unwrap());
    }
    history.world.policies = policies;
    let start = usize::try_from(history.world.target_starts[0]).unwrap();
    let hidden = |open: prop::sample::Index| start + open.index(history.world.targets[0].len() - start + 1);
    let target = &history.world.targets[0];
    // A certificate speaks as of the end: a step back that is still hidden is like one that is still to come.
    let steps_back = |n: usize| match target[n] {
        Record::Copy(q, s) => {
            target[..n].iter().any(|r| matches!(r, Record::Copy(p, o) if *p == q && *o >= s))
        }
        _ => false,
    };
    let repeats = |from: usize| (from..target.len()).any(steps_back);
    let open_from = open.map(hidden).filter(|from| !repeats(*from));
    history.world.open_from = open_from.map(|from| i64::try_from(from).unwrap());
    history
}

fn run(history: &History) -> Result<(), TestCaseError> {
    match history.world.assess() {
        Assessment::Mapped(plans) => check(history, &plans[0]),
        Assessment::Blocked(findings) => {
            prop_assert!(!findings.is_empty(), "blocked without saying why");
            Ok(())
        }
        Assessment::Ask(_) => unreachable!(),
    }
}

/// The same answer from a part of the log as from all of it, wherever the part begins, or doubts.
fn run_in_part(mut history: History, from: prop::sample::Index) -> Result<(), TestCaseError> {
    let whole = history.world.assess();
    let length = history.world.targets[0].len();
    let end = history.world.open_from.map_or(length, |end| usize::try_from(end).unwrap());
    history.world.read_from = i64::try_from(from.index(end + 1)).unwrap();
    let (part, doubts) = history.world.assess_within(&history.bounds(history.world.read_from));
    if !doubts.none() {
        return Ok(());
    }
    match (part, whole) {
        (Assessment::Mapped(part), Assessment::Mapped(whole)) => {
            prop_assert_eq!(part[0].position, whole[0].position);
            // What cannot be decoded counts where it was looked at.
            let same = |(a, b): (&SourceCertificate, &SourceCertificate)| a.exact == b.exact;
            prop_assert!(whole[0].undecodable > 0 || part[0].sources.iter().zip(&whole[0].sources).all(same));
            check(&history, &part[0])
        }
        (Assessment::Blocked(_), Assessment::Blocked(_)) => Ok(()),
        // It waits, and looks at all of it every now and then.
        (Assessment::Blocked(part), _) if part.iter().all(|f| f.reason == Reason::ReplicationBehind) => {
            Ok(())
        }
        (part, whole) => Err(TestCaseError::fail(format!("in part {part:?}\nas a whole {whole:?}"))),
    }
}

fn accepting() -> MappingPolicies {
    MappingPolicies {
        gap: GapPolicy::Accept,
        replication_proof: ReplicationProof::Waive,
        ..MappingPolicies::default()
    }
}

proptest! {

    #[test]
    fn careful_policies(
        sources in 1usize..3,
        steps in prop::collection::vec(step(2), 1..24),
        committed in prop::collection::vec(any::<prop::sample::Index>(), 2),
        known in any::<bool>(),
        open in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let steps = narrowed(sources, steps);
        run(&history(sources, &steps, &committed, known, open, MappingPolicies::default()))?;
    }

    #[test]
    fn accepting_policies(
        sources in 1usize..3,
        steps in prop::collection::vec(step(2), 1..24),
        committed in prop::collection::vec(any::<prop::sample::Index>(), 2),
        known in any::<bool>(),
        open in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let steps = narrowed(sources, steps);
        run(&history(sources, &steps, &committed, known, open, accepting()))?;
    }

    #[test]
    fn a_part_of_the_log(
        sources in 1usize..3,
        steps in prop::collection::vec(step(2), 1..24),
        committed in prop::collection::vec(any::<prop::sample::Index>(), 2),
        known in any::<bool>(),
        open in prop::option::weighted(0.2, any::<prop::sample::Index>()),
        accepts in any::<bool>(),
        from in any::<prop::sample::Index>(),
    ) {
        let steps = narrowed(sources, steps);
        let policies = if accepts { accepting() } else { MappingPolicies::default() };
        run_in_part(history(sources, &steps, &committed, known, open, policies), from)?;
    }
}

/// Without the steps of source partitions that this history does not have.
fn narrowed(sources: usize, steps: Vec<Step>) -> Vec<Step> {
    steps
        .into_iter()
        .filter(|step| match step {
            Step::Produce(q, _)
            | Step::Copy(q, _)
            | Step::Rewind(q, _)
            | Step::Skip(q, _)
            | Step::Zombie(q, ..)
            | Step::ExpireSource(q, _) => *q < sources,
            _ => true,
        })
        .collect()
}
