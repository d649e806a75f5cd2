//! Logs that nobody drew: whatever the replicator, retention and transactions did, the position is the one that a
//! real `read_committed` consumer proves right.

use std::{collections::BTreeMap, thread};

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::Value;

use crate::harness::{
    Case, Copies, GapPolicy, ReplicationProof, Side, Topic,
    kafka::Received,
    plan::StoredPlan,
    specs::route,
    v1alpha1::{Encoding, TargetTopic},
};

const PARTITIONS: i32 = 8;

/// A log on the target as a replicator may write it that restarts, loses sight of records, or has a zombie.
fn random_log(random: &mut StdRng, end: i64) -> Vec<i64> {
    let mut log = Vec::new();
    let mut next = if random.random_bool(0.2) { random.random_range(0..end) } else { 0 };
    while next < end {
        let to = (next + random.random_range(1..end.max(2))).min(end);
        let step = if random.random_bool(0.15) { 3 } else { 1 };
        log.extend((next..to).step_by(step));
        if random.random_bool(0.3) {
            let from = random.random_range(0..to);
            log.extend(from..(from + random.random_range(1..400)).min(to));
        }
        next = if random.random_bool(0.3) { random.random_range(0..=to) } else { to };
        if log.len() > 12_000 || random.random_bool(0.05) {
            break;
        }
    }
    log
}

/// One entry of a log: a copy of a source topic's offset, or a native record.
type Entry<'c> = Option<(&'c str, i64)>;

/// Eight target partitions, and the topics that are copied to them: one, or two that are merged.
struct Round<'c> {
    case: &'c Case,
    sources: Vec<Topic<'c>>,
    target: String,
    written: Encoding,
    named: Encoding,
}

impl<'c> Round<'c> {
    fn new(case: &'c Case, merged: bool, random: &mut StdRng) -> Self {
        let all = [Encoding::String, Encoding::Int64BE, Encoding::Int64LE, Encoding::Int32BE];
        let written = *all.choose(random).unwrap();
        let named = if random.random_bool(0.5) { Encoding::Auto } else { written };
        let names: &[&str] = if merged { &["a", "b"] } else { &["a"] };
        let sources = names.iter().map(|name| case.source_topic(name, PARTITIONS, &[])).collect();
        let target = format!("{}-all", case.namespace);
        Side::Target.create_topic(&target, PARTITIONS, &[]);
        Self { case, sources, target, written, named }
    }

    /// Writes one target partition, and where the group stands on what is copied to it.
    fn draw(&self, partition: i32, random: &mut StdRng) {
        let mut logs = Vec::new();
        for topic in &self.sources {
            let end = random.random_range(1..4_000);
            topic.fill(partition, end);
            self.case.committed(topic, &[(partition, random.random_range(0..=end))]);
            logs.push(random_log(random, end).into_iter().map(|origin| (topic.name.as_str(), origin)));
        }
        let mut log: Vec<Entry<'_>> = Vec::new();
        while !logs.is_empty() {
            let which = random.random_range(0..logs.len());
            let count = random.random_range(1..500);
            let before = log.len();
            log.extend(logs[which].by_ref().take(count).map(Some));
            if log.len() == before {
                drop(logs.swap_remove(which));
            } else if random.random_bool(0.3) {
                log.push(None);
            }
        }
        self.write(partition, &log, random);
        self.retain(partition, random);
    }

    /// In pieces; some in transactions, before and behind which are attempts that were aborted.
    fn write(&self, partition: i32, log: &[Entry<'_>], random: &mut StdRng) {
        let transactional = random.random_bool(0.5);
        let mut rest = log;
        while !rest.is_empty() {
            let least = if rest.len() < 50 { rest.len() } else { rest.len() / 3 };
            let (piece, later) = rest.split_at(random.random_range(least..=rest.len()));
            rest = later;
            let copies = || {
                let add = |copies: Copies, entry: &Entry<'_>| match entry {
                    Some((topic, origin)) => copies.of(topic, partition, [*origin]),
                    None => copies.native(1),
                };
                piece.iter().fold(Copies::default(), add).encoded(self.written)
            };
            if transactional && random.random_bool(0.3) {
                copies().transaction(&self.target, partition, false);
            }
            if transactional && random.random_bool(0.5) {
                copies().transaction(&self.target, partition, true);
            } else {
                copies().write_to(&self.target, partition);
            }
            // A zombie's attempt, behind the copies that count.
            if transactional && random.random_bool(0.3) {
                copies().transaction(&self.target, partition, false);
            }
        }
    }

    /// Retention takes what lies below a random place, of the source, the target, or both.
    fn retain(&self, partition: i32, random: &mut StdRng) {
        for topic in &self.sources {
            if random.random_bool(0.3) {
                let end = Side::Source.bounds(&topic.name, partition).1;
                Side::Source.delete_records(&topic.name, partition, random.random_range(0..=end));
            }
        }
        if random.random_bool(0.3) {
            // A copy is left, or nothing could be said.
            let all = Side::Target.read_from(&self.target, partition, 0);
            let copies: Vec<i64> = all.iter().filter(|r| !r.headers.is_empty()).map(|r| r.offset).collect();
            Side::Target.delete_records(&self.target, partition, *copies.choose(random).unwrap());
        }
    }

    fn migrate(&self) -> StoredPlan {
        self.case.replicator(|spec| {
            spec.tracing.encoding = self.named;
            let target = TargetTopic { topic_name: self.target.clone(), ..TargetTopic::default() };
            spec.replication = Some(vec![route(&format!("{}-[ab]", self.case.namespace), target)]);
        });
        let app = self.case.migrate(|spec| {
            spec.policies.gap = GapPolicy::Accept;
            spec.policies.replication_proof = ReplicationProof::Waive;
        });
        app.completes();
        app.plan()
    }
}

/// A copy: of which topic's which offset.
fn origin(record: &Received) -> Option<(&str, i64)> {
    let (_, topic) = record.headers.iter().find(|(name, _)| name == "k2k_topic")?;
    let (_, offset) = record.value.split_once(':')?;
    Some((std::str::from_utf8(topic).unwrap(), offset.parse().unwrap()))
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// Against all that a consumer is given of the partition: where it must resume, and what it reads from there.
fn check(target: &str, partition: i32, certificate: &Value, what: &str) {
    let what = format!("{what}, {target}-{partition}: {certificate:#}");
    let position = number(&certificate["position"]);
    let rows: BTreeMap<&str, &Value> = certificate["sources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| (r["topic"].as_str().unwrap(), r))
        .collect();
    let unread = |(topic, offset): (&str, i64)| offset >= number(&rows[topic]["committed"]);
    let all = Side::Target.read_from(target, partition, number(&certificate["logStart"]));
    let last: BTreeMap<(&str, i64), i64> = all.iter().filter_map(|r| Some((origin(r)?, r.offset))).collect();
    let first = last.iter().filter(|(q, _)| unread(**q)).map(|(_, offset)| *offset).min();
    let expected = first.unwrap_or_else(|| last.values().max().unwrap() + 1);
    assert_eq!(position, expected, "{what}");

    let read = Side::Target.read_from(target, partition, position);
    let read: BTreeMap<(&str, i64), i64> = read.iter().filter_map(|r| Some((origin(r)?, r.offset))).collect();
    let lost: Vec<_> = last.keys().filter(|q| unread(**q) && !read.contains_key(*q)).collect();
    assert!(lost.is_empty(), "{lost:?} are lost, {what}");
    for (&topic, row) in &rows {
        let again = read.keys().filter(|q| q.0 == topic && !unread(**q)).count();
        let counted = usize::try_from(number(&row["reread"])).unwrap();
        // What is still to come is counted as well.
        let fits = if row["provenBy"] == "waived" { again <= counted } else { again == counted };
        assert!(fits, "{again} of {topic} are read again, {what}");
        assert!(row["exact"] == false || again == 0, "exact, but {again} are read again, {what}");
        let committed = number(&row["committed"]);
        let next = last.keys().filter(|q| q.0 == topic && unread(**q)).map(|q| q.1).min();
        if let Some(next) = next.filter(|_| number(&row["logStart"]) <= committed) {
            assert_eq!(number(&row["gap"]), next - committed, "gap of {topic}, {what}");
        }
    }
}

/// Whatever is answered: the position is the largest safe one, an application that resumes there reads every record
/// that it has not read and that the target holds, and none again but those counted.
#[test]
fn definition_safe_thirty_two_random_logs() {
    let seed: u64 = std::env::var("SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("SEED={seed}");
    thread::scope(|scope| {
        for round in 0..4 {
            scope.spawn(move || {
                let mut random = StdRng::seed_from_u64(seed.wrapping_add(round));
                let case = Case::new(&format!("random{round}"));
                let drawn = Round::new(&case, round % 2 == 1, &mut random);
                for partition in 0..PARTITIONS {
                    drawn.draw(partition, &mut random);
                }
                let plan = drawn.migrate();
                let what =
                    format!("seed {seed}, round {round}, {:?} read as {:?}", drawn.written, drawn.named);
                for partition in 0..PARTITIONS {
                    check(&drawn.target, partition, plan.target(&drawn.target, partition), &what);
                }
            });
        }
    });
}
