//! The crash matrix: a migration that nobody disturbs tells which calls to servers it makes; then the operator dies
//! right before each of them and is started again, and everything must come to the same end.

use std::fmt::Write as _;

use crate::harness::{
    Case,
    commits::Told,
    operator,
    points::{CALM, Point, Points},
    random::{Random, say, whole},
    scene::{Scene, Script, script},
    stack::DEADLINE,
};

/// Points in `make test`, of all that there are.
const SAMPLE: usize = 12;
/// Points at once, each with a migration of its own: more wait for each other for longer than a preview may take.
const AT_ONCE: usize = 20;
/// How often each point is tried in `make test-all`.
const ROUNDS: usize = 3;

/// A point, and what came of it.
struct Row {
    point: usize,
    call: String,
    killed: usize,
    equal: bool,
    wrong: usize,
    repeated: usize,
}

#[test]
fn the_operator_dies_before_any_of_its_calls() {
    let script = script();
    let all: Vec<usize> = (0..script.calls.len()).collect();
    let mut rows: Vec<Row> = Vec::new();
    if whole() {
        for _ in 0..ROUNDS {
            merge(&mut rows, all.chunks(AT_ONCE).flat_map(|calls| dies_before(calls, script)).collect());
        }
        let not_met = script.calls.iter().find(|call| !rows.iter().any(|row| row.call == **call));
        assert_eq!(not_met, None, "nobody died before it");
    } else {
        let points = Random::seeded("the crash matrix").choose(SAMPLE, all);
        rows = dies_before(&points, script);
    }
    say(&format!("the crash matrix, {} of {} calls\n{}", rows.len(), script.calls.len(), table(&rows)));
    assert!(rows.iter().all(|row| row.equal && row.wrong + row.repeated == 0 && row.killed > 0));
}

/// The operator dies once, with a migration right before each of these calls.
fn dies_before(calls: &[usize], script: &Script) -> Vec<Row> {
    let case = Case::alone("matrix");
    let points: Vec<Point> =
        calls.iter().enumerate().map(|(n, call)| Scene::point(&case, n, "", *call)).collect();
    let running = Points::crash(&points);
    let scene = Scene::new(&case, calls.len());
    scene.confirm(&running, &points);
    let at = running.wait_for_arrival(&points);
    operator::wait_for_end(DEADLINE);
    for app in &scene.apps {
        app.has_journalled_what_is_committed();
    }
    operator::start(&CALM);
    for app in &scene.apps {
        app.completes_exactly();
        app.has_named_one_plan();
    }
    let row = |(n, Told { wrong, repeated }): (usize, Told)| {
        let end = scene.end(n);
        if end != script.end {
            say(&format!("call {}: {end:#}\nthe undisturbed one: {:#}", calls[n], script.end));
        }
        let call = at[n].replace(&format!("{}-{n}", case.group), "<group>");
        Row { point: calls[n], call, killed: 1, equal: end == script.end, wrong, repeated }
    };
    scene.commits().into_iter().enumerate().map(row).collect()
}

fn table(rows: &[Row]) -> String {
    let mut text =
        format!("{:>5}  {:<60}  killed  end equal  wrong commits  repeated\n", "point", "dies right before");
    for Row { point, call, killed, equal, wrong, repeated } in rows {
        let equal = if *equal { "yes" } else { "NO" };
        writeln!(text, "{point:>5}  {call:<60}  {killed:>6}  {equal:>9}  {wrong:>13}  {repeated:>8}")
            .unwrap();
    }
    text
}

/// Another round of the same points.
fn merge(rows: &mut Vec<Row>, more: Vec<Row>) {
    if rows.is_empty() {
        *rows = more;
        return;
    }
    for (row, more) in rows.iter_mut().zip(more) {
        row.killed += more.killed;
        row.equal &= more.equal;
        row.wrong += more.wrong;
        row.repeated += more.repeated;
    }
}
