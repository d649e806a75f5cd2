//! The rules against an application: random histories of two clusters and of the operator's reads, and what
//! the application reads in the end. A failure prints its history with all logs; its seed is kept in
//! `proptest-regressions`, and the next run begins with it.
//!
//! Left out is what leaves no trace that could be read:
//! - a replicator that goes back after its last copies were looked at, unless its position is known;
//! - copies behind the ends of which the source's cleaner has taken the records already;
//! - a batch of which a later part is there and an earlier one is still on its way: it comes in one step;
//! - a replay that passes between two targets of a spread partition while their ends are read: these are read
//!   in one moment;
//! - a replay of a spread partition that repeats what was deleted on another target;
//! - a source that was truncated and has grown beyond what it had.

mod application;
mod clusters;
mod hindsight;
mod history;
mod log;
mod mutants;
mod operator;
mod reader;
mod reads;
mod waits;

use std::collections::BTreeSet;

use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};

use crate::mapping::{Assessment, TargetFacts};
use history::{History, history, history_of};
use operator::{Look, Operator, RIGHT};
use reader::Reader;

/// Whatever the operator answers is right.
fn check(history: &History, operator: &Operator) -> Result<(), TestCaseError> {
    let Some((assessment, look)) = Reader::answer(history, operator) else { return Ok(()) };
    let checked = match &assessment {
        Assessment::Mapped(plans) => application::check(history, &look, plans),
        Assessment::Blocked(findings) => waits::check(history, &look, findings),
        Assessment::Ask(_) => unreachable!(),
    };
    checked.map_err(|error| {
        let (logs, facts) = (look.clusters.draw(), &look.facts);
        TestCaseError::fail(format!("{error}\n{logs}\n{facts:?}\n{assessment:?}"))
    })
}

proptest! {
    // 512, and 40,000 in `make test-all`.
    #![proptest_config(ProptestConfig::with_cases(2 * ProptestConfig::default().cases))]

    #[test]
    fn one_source_partition_on_one_target_partition(history in history_of(1, 1)) {
        check(&history, &RIGHT)?;
    }

    #[test]
    fn two_source_partitions_merged_into_one_target_partition(history in history_of(2, 1)) {
        check(&history, &RIGHT)?;
    }

    #[test]
    fn one_source_partition_spread_over_two_target_partitions(history in history_of(1, 2)) {
        check(&history, &RIGHT)?;
    }

    #[test]
    fn two_source_partitions_spread_over_two_target_partitions(history in history_of(2, 2)) {
        check(&history, &RIGHT)?;
    }
}

/// What some of the histories must come to: else they would prove less than they seem to.
const ANSWERS: &[&str] = &[
    "Boundary, exact",
    "Start, exact",
    "End, exact",
    "Empty, exact",
    "Boundary, not exact",
    "Start, not exact",
    "End, not exact",
    "Empty, not exact",
    "proven by ReplicatorPosition",
    "proven by Witness",
    "proven by SourceExhausted",
    "proven by Waived",
    "read in part",
    "read again",
    "gap",
    "filtered",
    "superseded",
    "GapOnTarget",
    "HeadersMissing",
    "NativeRecordsRefused",
    "OpenTransaction",
    "ReplayInProgress",
    "ReplicationBehind",
    "ReprocessingRefused",
    "SourceOffsetOutOfRange",
    "SourceRecreated",
];

#[test]
fn the_histories_come_to_every_kind_of_answer() {
    const HISTORIES: usize = 2_000;
    let mut runner = TestRunner::deterministic();
    let mut answers = BTreeSet::new();
    let mut unforeseeable = 0;
    for _ in 0..HISTORIES {
        let history = history().new_tree(&mut runner).unwrap().current();
        match Reader::answer(&history, &RIGHT) {
            Some((assessment, look)) => answers.extend(kinds(&assessment, &look)),
            None => unforeseeable += 1,
        }
    }
    let missed: Vec<&&str> = ANSWERS.iter().filter(|answer| !answers.contains(**answer)).collect();
    assert!(missed.is_empty(), "none of the histories came to {missed:?}");
    assert!(unforeseeable < HISTORIES / 10, "{unforeseeable} of the histories prove nothing");
}

fn kinds(assessment: &Assessment, look: &Look) -> Vec<String> {
    let plans = match assessment {
        Assessment::Blocked(findings) => return findings.iter().map(|f| f.reason.to_string()).collect(),
        Assessment::Mapped(plans) => plans,
        Assessment::Ask(_) => unreachable!(),
    };
    let mut kinds = Vec::new();
    for (kind, row) in plans.iter().flat_map(|plan| plan.sources.iter().map(|row| (plan.kind, row))) {
        kinds.push(format!("{kind:?}, {}", if row.exact { "exact" } else { "not exact" }));
        kinds.push(format!("proven by {:?}", row.proven_by));
        let counts = [
            ("read again", row.reread),
            ("gap", row.gap),
            ("filtered", row.filtered),
            ("superseded", row.superseded),
        ];
        kinds.extend(counts.into_iter().filter(|(_, n)| *n > 0).map(|(what, _)| what.to_owned()));
    }
    if look.facts.targets.values().any(TargetFacts::is_partial) {
        kinds.push("read in part".to_owned());
    }
    kinds
}
