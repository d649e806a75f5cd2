//! The operator with crash points (`src/crash.rs`): which calls it makes for an object, and how it is made to die
//! or to wait right before one of them.

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
    thread::sleep,
    time::{Duration, Instant},
};

use super::{
    Side, operator,
    stack::{DEADLINE, var},
};

/// No looks at a migration but those of its own way: the number of its calls depends on nothing else.
pub const CALM: [(&str, &str); 5] = [
    ("APPMIGRATION_SOURCE_WATCH", "1h"),
    ("APPMIGRATION_PROGRESS", "1h"),
    ("APPMIGRATION_PREVIEW_RECHECK", "1h"),
    ("APPMIGRATION_REPLICATOR_RECHECK", "1h"),
    ("APPMIGRATION_CONCURRENCY", "400"),
];

/// Right before a call for an object.
#[derive(Clone)]
pub struct Point {
    /// How the name of a call begins; the first of these counts.
    pub name: &'static str,
    /// So many calls behind that one.
    pub behind: usize,
    /// `<namespace>/<name>`
    pub object: String,
}

impl Point {
    /// The place of the call in these, where they come so far.
    fn index(&self, calls: &[String]) -> Option<usize> {
        let first = calls.iter().position(|call| call.starts_with(self.name))?;
        Some(first + self.behind).filter(|index| *index < calls.len())
    }
}

/// The operator as it was started with points to stop at.
pub struct Points {
    calls: PathBuf,
    release: PathBuf,
}

impl Points {
    /// Starts the operator anew; it notes its calls.
    pub fn none() -> Self {
        Self::start(&[], false)
    }

    /// Starts it anew; it dies once each of these objects has come to its point.
    pub fn crash(points: &[Point]) -> Self {
        Self::start(points, false)
    }

    /// Starts it anew; each of these objects waits at its point until it is let go.
    pub fn hold(points: &[Point]) -> Self {
        Self::start(points, true)
    }

    fn start(points: &[Point], hold: bool) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let file = |name| {
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            PathBuf::from(var("STACK_DIR")).join(format!("{name}-{number}"))
        };
        let started = Self { calls: file("calls"), release: file("release") };
        let at: Vec<String> =
            points.iter().map(|p| format!("{}+{}@{}", p.name, p.behind, p.object)).collect();
        let (calls, release, at) =
            (started.calls.to_str().unwrap(), started.release.to_str().unwrap(), at.join(","));
        let mut variables = CALM.to_vec();
        variables.extend([("APPMIGRATION_CALLS", calls), ("APPMIGRATION_CRASH_AT", &at)]);
        if hold {
            variables.push(("APPMIGRATION_HOLD_UNTIL", release));
        }
        operator::stop();
        operator::start(&variables);
        started
    }

    /// What was asked for this object, in order, with the clusters by their names.
    pub fn calls(&self, object: &str) -> Vec<String> {
        let text = fs::read_to_string(&self.calls).unwrap_or_default();
        let of_object = text.lines().filter_map(|line| line.split_once('\t').filter(|(of, _)| *of == object));
        of_object.map(|(_, call)| named(call.split_once('\t').unwrap().1)).collect()
    }

    /// Whether the object has come to its point.
    pub fn has_arrived(&self, point: &Point) -> bool {
        point.index(&self.calls(&point.object)).is_some()
    }

    /// Waits until each of these objects has come to its point; the calls that they are at.
    pub fn wait_for_arrival(&self, points: &[Point]) -> Vec<String> {
        let start = Instant::now();
        let arrival = |point: &Point| loop {
            let mut calls = self.calls(&point.object);
            if let Some(index) = point.index(&calls) {
                return calls.swap_remove(index);
            }
            assert!(
                start.elapsed() < DEADLINE,
                "{} does not come to {}+{}:\n{calls:#?}\n{}",
                point.object,
                point.name,
                point.behind,
                operator::log_tail(40)
            );
            sleep(Duration::from_millis(20));
        };
        points.iter().map(arrival).collect()
    }

    /// Those that wait go on.
    pub fn release(&self) {
        fs::write(&self.release, "").unwrap();
    }
}

fn named(call: &str) -> String {
    [(Side::Source, "the source"), (Side::Target, "the target")]
        .into_iter()
        .fold(call.to_owned(), |call, (side, name)| call.replace(&side.bootstrap(), name))
}
