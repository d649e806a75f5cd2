//! Whatever stands in the way is true, and there is a way out of it.

use proptest::prelude::*;

use super::{
    application::{self, Group, possibly_missing},
    history::History,
    operator::Look,
    reader::Reader,
};
use crate::{
    api::v1alpha1::{GapPolicy, NativeRecords, Reason, ReplicationProof, Reprocessing},
    mapping::{Assessment, Finding, MappingPolicies, tests::world::copy},
};

type Checked = Result<(), TestCaseError>;

type Follow = fn(&mut MappingPolicies);

/// Policies that messages name as ways out, and what they do.
const POLICIES: &[(&str, Follow)] = &[
    ("policies.gap: Accept", |p| p.gap = GapPolicy::Accept),
    ("policies.replicationProof: Waive", |p| p.replication_proof = ReplicationProof::Waive),
    ("policies.reprocessing: Accept", |p| p.reprocessing = Reprocessing::Accept),
    ("policies.nativeRecords: Report", |p| p.native_records = NativeRecords::Report),
];

/// Other ways out.
const OTHERS: &[&str] =
    &["reset the group's offset", "new target topic", "spec.tracing", "none of its", "exclude the topic"];

/// A blocked answer: every reason is true, and once both clusters are at rest it goes on, or names a way out
/// that leads on.
pub fn check(history: &History, look: &Look, findings: &[Finding]) -> Checked {
    prop_assert!(!findings.is_empty(), "blocked without saying why");
    for finding in findings {
        prop_assert!(is_true(look, finding), "that is not so: {finding:?}");
    }
    let mut history = history.clone();
    history.after.clear();
    let mut clusters = look.clusters.clone();
    clusters.rest(history.habits.ends_well);
    for _ in 0..=POLICIES.len() {
        let (assessment, look) = Reader::at_rest(&history, clusters.clone(), look.committed.clone());
        let findings = match assessment {
            Assessment::Mapped(plans) => return application::check(&history, &look, &plans),
            Assessment::Blocked(findings) => findings,
            Assessment::Ask(_) => unreachable!(),
        };
        for finding in &findings {
            let waits = WAITS.contains(&finding.reason);
            prop_assert!(
                !(waits && history.habits.known),
                "what is known to be there is waited for: {finding:?}"
            );
            prop_assert!(is_true(&look, finding), "that is not so at rest: {finding:?}");
            let named = POLICIES.iter().filter(|(name, _)| finding.message.contains(name));
            let others = OTHERS.iter().any(|way| finding.message.contains(way));
            prop_assert!(named.clone().count() > 0 || others, "no way out: {finding:?}");
            if others {
                return Ok(());
            }
            named.for_each(|(_, follow)| follow(&mut history.policies));
        }
    }
    Err(TestCaseError::fail(format!("no way out leads on from {findings:?}")))
}

/// Reasons that go away by themselves.
const WAITS: &[Reason] = &[
    Reason::ReplicationBehind,
    Reason::ReplayInProgress,
    Reason::OpenTransaction,
    Reason::SourceTransactionPending,
];

fn is_true(look: &Look, finding: &Finding) -> bool {
    let source = usize::try_from(finding.partition.partition).unwrap();
    let group = || Group { look, q: source };
    let hidden = |t: &usize| look.hidden[*t];
    match finding.reason {
        Reason::SourceOffsetOutOfRange | Reason::SourceTransactionPending | Reason::SourceRecreated => {
            look.clusters.was_cut()
        }
        Reason::OpenTransaction => look.clusters.routes[source].iter().any(hidden),
        Reason::GapOnTarget => {
            let counted = finding.message.split(' ').next().and_then(|n| n.parse::<u64>().ok());
            counted.is_some_and(|n| 0 < n && n <= possibly_missing(&group()))
        }
        Reason::HeadersMissing => {
            let t = (0..look.targets.len()).find(|t| copy(*t) == finding.partition);
            t.is_some_and(|t| look.targets[t].values().all(|w| w.garbled || w.origin.is_none()))
        }
        _ => true,
    }
}
