//! Rules that are wrong: each must be found out by the same histories and the same application that the right
//! ones pass.

use std::collections::BTreeMap;

use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};

use super::{
    application::Group,
    check,
    history::history,
    log::Log,
    operator::{Look, Operator, RIGHT, Read},
};
use crate::mapping::{
    Assessment, Bounds, Doubts, Facts, Question, SourceLogs, TargetOffset, doubts,
    plan::TargetPlan,
    tests::world::{copy, orders},
};

/// Every one of them is found out by then.
const MOST: usize = 20_000;

const MUTANTS: &[Operator] = &[
    Operator { name: "header == c", plan: |look, plan| by_header(look, plan, 0), ..RIGHT },
    Operator { name: "header == c - 1, plus one", plan: |look, plan| by_header(look, plan, 1), ..RIGHT },
    Operator { name: "the first crossing", plan: first_crossing, ..RIGHT },
    Operator { name: "no backlog check", doubts: no_doubts, ..RIGHT },
    Operator { name: "a bound of the backlog's own", doubts: own_maximum, ..RIGHT },
    Operator { name: "high watermark for last stable offset", end: Log::end, ..RIGHT },
    Operator { name: "the log read beyond the end", to_the_end: false, ..RIGHT },
    Operator {
        name: "the end read after the log",
        then: &[Read::Starts, Read::Marks, Read::Logs, Read::Ends, Read::Source],
        to_the_end: false,
        ..RIGHT
    },
    Operator {
        name: "the source read first",
        first: &[Read::Committed, Read::Replicator, Read::Source, Read::Parts],
        then: &[Read::Starts, Read::Marks, Read::Ends, Read::Logs],
        ..RIGHT
    },
    Operator {
        name: "the source's log start read at the end alone",
        then: &[Read::Marks, Read::Ends, Read::Logs, Read::Starts, Read::Source],
        ..RIGHT
    },
    Operator {
        name: "the replicator's position read last",
        then: &[Read::Starts, Read::Marks, Read::Ends, Read::Logs, Read::Source, Read::Replicator],
        ..RIGHT
    },
    Operator {
        name: "c read last",
        first: &[Read::Replicator, Read::Parts],
        then: &[Read::Starts, Read::Marks, Read::Ends, Read::Logs, Read::Source, Read::Committed],
        ..RIGHT
    },
    Operator {
        name: "the high watermark read after the end",
        then: &[Read::Starts, Read::Ends, Read::Marks, Read::Logs, Read::Source],
        ..RIGHT
    },
    Operator { name: "all of a merged target's sources pull", plan: all_pull, ..RIGHT },
    Operator { name: "timestamps only", plan: by_time, ..RIGHT },
    Operator { name: "delta arithmetic", plan: by_difference, ..RIGHT },
    Operator { name: "gaps judged by target partition", plan: gap_by_target, ..RIGHT },
];

#[test]
fn every_wrong_rule_is_found_out() {
    let mut runner = TestRunner::deterministic();
    let mut at_large: Vec<&Operator> = MUTANTS.iter().collect();
    for n in 1..=MOST {
        let history = history().new_tree(&mut runner).unwrap().current();
        check(&history, &RIGHT)
            .unwrap_or_else(|error| panic!("history {n} of the fixed seed: {error}\n{history:?}"));
        at_large.retain(|mutant| {
            let caught = check(&history, mutant).err();
            if let Some(error) = &caught {
                println!("{n:6}  {}: {}", mutant.name, error.to_string().lines().next().unwrap_or_default());
            }
            caught.is_none()
        });
        if at_large.is_empty() {
            return;
        }
    }
    let names: Vec<&str> = at_large.iter().map(|mutant| mutant.name).collect();
    panic!("{MOST} histories did not find out: {names:?}");
}

/// A copy as it was read: where it lies, and what of.
struct Copy {
    offset: usize,
    q: usize,
    s: usize,
    time: i64,
}

fn copies(look: &Look, plan: &TargetPlan) -> Vec<Copy> {
    let t = usize::try_from(plan.partition).unwrap();
    let read_from = usize::try_from(look.facts.targets[&copy(t)].read_from.0).unwrap();
    let decoded = look.targets[t].range(read_from..).filter(|(_, written)| !written.garbled);
    let copies = decoded.filter_map(|(offset, written)| {
        let (q, s, _) = written.origin?;
        Some(Copy { offset: *offset, q, s, time: written.time })
    });
    copies.collect()
}

/// Puts the plan there, with what is read again counted as it is.
fn put(look: &Look, plan: &mut TargetPlan, position: Option<usize>) {
    let position = position.map_or(plan.last_stable_offset, |p| TargetOffset(i64::try_from(p).unwrap()));
    plan.position = position.clamp(plan.log_start, plan.last_stable_offset);
    let (t, p) = (plan.partition, plan.position.0);
    for (q, row) in plan.sources.iter_mut().enumerate() {
        let group = Group { look, q };
        row.reread = group.again(usize::try_from(t).unwrap(), usize::try_from(p).unwrap()).len() as u64;
        row.exact &= row.reread == 0;
    }
}

fn by_header(look: &Look, plan: &mut TargetPlan, below: usize) {
    let copies = copies(look, plan);
    let found = copies.iter().filter(|copy| copy.s + below == look.committed[copy.q]);
    put(look, plan, found.map(|copy| copy.offset + below).min());
}

fn first_crossing(look: &Look, plan: &mut TargetPlan) {
    let copies = copies(look, plan);
    let above = copies.iter().find(|copy| copy.s >= look.committed[copy.q]);
    let below = copies.iter().rfind(|copy| copy.s < look.committed[copy.q]);
    put(look, plan, above.map(|copy| copy.offset).or(below.map(|copy| copy.offset + 1)));
}

/// `1 + the last copy below c` also of those that have nothing from c on.
fn all_pull(look: &Look, plan: &mut TargetPlan) {
    let of = |q: usize| {
        let mut last = BTreeMap::new();
        last.extend(copies(look, plan).iter().filter(|copy| copy.q == q).map(|copy| (copy.s, copy.offset)));
        let above = last.range(look.committed[q]..).map(|(_, offset)| *offset).min();
        above.or(last.values().max().map(|offset| offset + 1))
    };
    let position = (0..look.committed.len()).filter_map(of).min();
    put(look, plan, position);
}

fn by_time(look: &Look, plan: &mut TargetPlan) {
    let copies = copies(look, plan);
    let of = |q: usize| {
        let time = look.sources[q].any(look.committed[q], usize::MAX).next()?.1.time;
        copies.iter().find(|copy| copy.q == q && copy.time >= time).map(|copy| copy.offset)
    };
    put(look, plan, (0..look.committed.len()).filter_map(of).min());
}

fn by_difference(look: &Look, plan: &mut TargetPlan) {
    let copies = copies(look, plan);
    let of = |q: usize| {
        let base = copies.iter().find(|copy| copy.q == q)?;
        (base.offset + look.committed[q]).checked_sub(base.s)
    };
    put(look, plan, (0..look.committed.len()).filter_map(of).min());
}

fn gap_by_target(look: &Look, plan: &mut TargetPlan) {
    let copies = copies(look, plan);
    for (q, row) in plan.sources.iter_mut().enumerate() {
        let on_target = |s: usize| copies.iter().any(|copy| copy.q == q && copy.s == s);
        let c = look.committed[q];
        let first = copies.iter().filter(|copy| copy.q == q && copy.s >= c).map(|copy| copy.s).min();
        let held = look.sources[q].committed(c, first.unwrap_or(c));
        row.gap = held.filter(|(s, _)| !on_target(*s)).count() as u64;
        row.exact &= row.gap == 0;
    }
}

fn no_doubts(_: &Facts, _: &SourceLogs, _: &Bounds, is: &Assessment) -> Result<Doubts, Vec<Question>> {
    if let Assessment::Ask(questions) = is { Err(questions.clone()) } else { Ok(Doubts::default()) }
}

fn own_maximum(
    facts: &Facts,
    logs: &SourceLogs,
    _: &Bounds,
    is: &Assessment,
) -> Result<Doubts, Vec<Question>> {
    let seen = |n: usize| facts.targets.values().filter_map(move |t| t.found.sources.get(&orders(n)));
    let bound = |n: usize| seen(n).filter_map(|seen| seen.copies.max_origin()).max();
    let bounds = (0..facts.sources.len()).filter_map(|n| Some((orders(n), bound(n)?.next())));
    doubts(facts, logs, &bounds.collect(), is)
}
