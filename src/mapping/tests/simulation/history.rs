//! Random histories of two clusters, and of the look at them.

use std::fmt;

use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
};

use super::clusters::{Clusters, Step};
use crate::{
    api::v1alpha1::{GapPolicy, NativeRecords, ReplicationProof, Reprocessing},
    mapping::MappingPolicies,
};

/// What happens before, during and after a look.
#[derive(Clone)]
pub struct History {
    pub sources: usize,
    pub targets: usize,
    pub habits: Habits,
    /// Until the group stands still.
    pub before: Vec<Step>,
    /// How far from the end of its log the group stands then, by source partition.
    pub lag: Vec<usize>,
    /// Until the operator looks.
    pub waiting: Vec<Step>,
    /// Before each of its reads.
    pub meanwhile: Vec<Vec<Step>>,
    /// Until nothing happens any more.
    pub after: Vec<Step>,
    /// Where the target logs are read from, if not from their start: where they pass what the group has read,
    /// or anywhere.
    pub part: Option<(bool, Index)>,
    pub policies: MappingPolicies,
}

/// How things are set up.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools)] // One by one, they are what they are.
pub struct Habits {
    /// The replicator's position can be read.
    pub known: bool,
    /// It drops a key on purpose.
    pub drops: bool,
    /// It is said to drop some.
    pub declared: bool,
    /// Target topics are compacted.
    pub compacted: bool,
    /// The target partition follows from the key.
    pub by_key: bool,
    /// The replicator does not wait for the end of transactions on the source.
    pub uncommitted: bool,
    /// Transactions that are open in the end commit.
    pub ends_well: bool,
}

/// A line each.
impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sources, targets, habits, before, lag, waiting, meanwhile, after, part, policies } = self;
        let lines = [
            format!("{sources} to {targets}, {habits:?}, {policies:?}"),
            format!("before: {before:?}"),
            format!("lag: {lag:?}, part: {part:?}"),
            format!("waiting: {waiting:?}"),
            format!("meanwhile: {meanwhile:?}"),
            format!("after: {after:?}"),
        ];
        f.write_str(&lines.join("\n"))
    }
}

impl History {
    /// Both clusters when the group stands still.
    pub fn clusters(&self) -> Clusters {
        let mut clusters = Clusters::new(self.sources, self.targets, &self.habits);
        for step in &self.before {
            clusters.apply(step);
        }
        clusters
    }

    /// Some policies ask for all native records.
    pub fn may_search(&self) -> bool {
        self.policies.native_records == NativeRecords::Report
    }

    /// Nobody can foresee that a replicator will go back, unless to a position that is known; nor tell what was
    /// copied behind the ends and then taken by the source's cleaner. Topics that are recreated are told by
    /// their ids.
    pub fn may_happen_while_looked_at(&self, step: &Step) -> bool {
        match step {
            Step::Crash(_) => self.habits.known,
            Step::CompactSource(..)
            | Step::Rewind(..)
            | Step::Zombie(..)
            | Step::Truncate(..)
            | Step::RecreateTarget(_) => false,
            _ => true,
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let (q, n, at) = (0_usize..2, 1_usize..8, 0_usize..20);
    let keys = vec(0_u8..6, 1..8);
    prop_oneof![
        8 => (q.clone(), keys, prop::bool::weighted(0.2)).prop_map(|(q, keys, open)| Step::Produce(q, keys, open)),
        2 => (q.clone(), any::<bool>()).prop_map(|(q, commit)| Step::EndProduce(q, commit)),
        12 => (q.clone(), n.clone()).prop_map(|(q, n)| Step::Copy(q, n)),
        1 => (q.clone(), 2_usize..4).prop_map(|(q, n)| Step::Shuffle(q, n)),
        1 => q.clone().prop_map(Step::Garble),
        1 => (q.clone(), 1_usize..4).prop_map(|(q, n)| Step::Skip(q, n)),
        1 => Just(Step::Begin),
        2 => any::<bool>().prop_map(Step::End),
        3 => q.clone().prop_map(Step::Commit),
        1 => q.clone().prop_map(Step::Crash),
        2 => (q.clone(), n.clone()).prop_map(|(q, n)| Step::Rewind(q, n)),
        1 => (q.clone(), at.clone(), n.clone()).prop_map(|(q, at, n)| Step::Zombie(q, at, n)),
        1 => (q.clone(), prop::bool::weighted(0.3)).prop_map(|(t, open)| Step::Native(t, open)),
        1 => (q.clone(), any::<bool>()).prop_map(|(t, commit)| Step::EndNative(t, commit)),
        1 => (q.clone(), n.clone()).prop_map(|(q, n)| Step::ExpireSource(q, n)),
        1 => (q.clone(), n).prop_map(|(t, n)| Step::ExpireTarget(t, n)),
        1 => (q.clone(), at.clone()).prop_map(|(q, to)| Step::CompactSource(q, to)),
        1 => (q, at).prop_map(|(t, to)| Step::CompactTarget(t, to)),
    ]
}

/// What may well happen during a look.
fn quick() -> impl Strategy<Value = Step> {
    let (q, n) = (0_usize..2, 1_usize..5);
    prop_oneof![
        3 => (q.clone(), n.clone()).prop_map(|(q, n)| Step::Copy(q, n)),
        1 => q.clone().prop_map(|q| Step::Produce(q, vec![1, 2], false)),
        1 => q.clone().prop_map(Step::Commit),
        1 => any::<bool>().prop_map(Step::End),
        2 => (q, n).prop_map(|(q, n)| Step::ExpireSource(q, 2 * n)),
    ]
}

/// What is rare, and spoils most histories that have it.
fn rare() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0_usize..2, 0_usize..12).prop_map(|(q, to)| Step::Truncate(q, to)),
        (0_usize..2).prop_map(Step::RecreateTarget),
    ]
}

fn habits() -> impl Strategy<Value = Habits> {
    let rarely = || prop::bool::weighted(0.2);
    (any::<bool>(), rarely(), rarely(), rarely(), any::<bool>(), rarely(), any::<bool>()).prop_map(
        |(known, drops, declared, compacted, by_key, uncommitted, ends_well)| Habits {
            known,
            drops,
            declared,
            compacted,
            by_key,
            uncommitted,
            ends_well,
        },
    )
}

fn policies() -> impl Strategy<Value = MappingPolicies> {
    let natives = select(vec![
        NativeRecords::Report,
        NativeRecords::Report,
        NativeRecords::Report,
        NativeRecords::Include,
        NativeRecords::Fail,
    ]);
    let reprocessing = select(vec![Reprocessing::Accept, Reprocessing::Accept, Reprocessing::Fail]);
    let gap = select(vec![GapPolicy::Accept, GapPolicy::Fail]);
    let proof = select(vec![ReplicationProof::Require, ReplicationProof::Waive]);
    (natives, reprocessing, gap, proof).prop_map(|(native_records, reprocessing, gap, replication_proof)| {
        MappingPolicies { gap, reprocessing, native_records, replication_proof, ..MappingPolicies::default() }
    })
}

prop_compose! {
    fn steps_before()(
        plain in vec((0_usize..2, vec(0_u8..6, 2..8), 1_usize..8), 0..4),
        mut steps in vec(step(), 1..20),
        restart in prop::option::weighted(0.3, (0_usize..2, 2_usize..12, 1_usize..8)),
        rare in prop::option::weighted(0.1, (rare(), any::<Index>())),
    ) -> Vec<Step> {
        let plain = plain.into_iter().flat_map(|(q, keys, n)| [Step::Produce(q, keys, false), Step::Copy(q, n)]);
        steps.splice(0..0, plain);
        steps.extend(restart.iter().flat_map(|(q, back, n)| [Step::Rewind(*q, *back), Step::Copy(*q, *n)]));
        if let Some((step, at)) = rare {
            steps.insert(at.index(steps.len() + 1), step);
        }
        steps
    }
}

prop_compose! {
    /// Any history of so many source and target partitions.
    pub fn history_of(sources: usize, targets: usize)(
        habits in habits(),
        before in steps_before(),
        lag in vec(prop_oneof![0_usize..4, 0_usize..30], 2),
        waiting in prop_oneof![3 => vec(step(), 0..6), 1 => steps_before()],
        meanwhile in vec(vec(prop_oneof![step(), quick()], 0..3), 0..12),
        after in vec(step(), 0..6),
        part in prop::option::of((prop::bool::weighted(0.8), any::<Index>())),
        policies in policies(),
    ) -> History {
        History { sources, targets, habits, before, lag, waiting, meanwhile, after, part, policies }
    }
}

/// Any history.
pub fn history() -> impl Strategy<Value = History> {
    select(vec![(1, 1), (1, 1), (2, 1), (1, 2), (2, 2)]).prop_flat_map(|(q, t)| history_of(q, t))
}
