//! The crash matrix: a migration that nobody disturbs tells which calls to servers it makes; then the operator dies
//! right before each of them and is started again, and everything must come to the same end.

use std::{collections::BTreeSet, fmt::Write as _};

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

/// Where the operator dies: so many calls behind the first of this name; without a name, of all.
#[derive(Clone, Copy)]
struct Aim {
    /// Which call of the script that is.
    point: usize,
    name: &'static str,
    behind: usize,
}

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
    let by_place: Vec<Aim> =
        (0..script.calls.len()).map(|point| Aim { point, name: "", behind: point }).collect();
    let mut rows: Vec<Row> = Vec::new();
    if whole() {
        let mut met = BTreeSet::new();
        for _ in 0..ROUNDS {
            let round: Vec<Row> =
                by_place.chunks(AT_ONCE).flat_map(|aims| dies_before(aims, script)).collect();
            met.extend(round.iter().map(|row| row.call.clone()));
            merge(&mut rows, round);
        }
        // Where a cache lagged behind, all later places are one call off: what was passed over is aimed at by name.
        let is_met = |aim: &Aim| met.contains(&script.calls[aim.point]);
        let by_name: Vec<Aim> = by_place
            .iter()
            .filter(|aim| !is_met(aim))
            .map(|aim| Aim { name: beginning(&script.calls[aim.point]), behind: 0, ..*aim })
            .collect();
        rows.extend(by_name.chunks(AT_ONCE).flat_map(|aims| dies_before(aims, script)));
        let met: BTreeSet<&String> = met.iter().chain(rows.iter().map(|row| &row.call)).collect();
        let not_met = script.calls.iter().find(|call| !met.contains(call));
        assert_eq!(not_met, None, "nobody died before it");
    } else {
        let aims = Random::seeded("the crash matrix").choose(SAMPLE, by_place);
        rows = dies_before(&aims, script);
    }
    say(&format!("the crash matrix, {} of {} calls\n{}", rows.len(), script.calls.len(), table(&rows)));
    assert!(rows.iter().all(|row| row.equal && row.wrong + row.repeated == 0 && row.killed > 0));
}

/// What a call's name begins with before it names a group or a cluster, which are other ones in each scene.
fn beginning(call: &'static str) -> &'static str {
    let end = ["<group>", "the source", "the target"].iter().filter_map(|name| call.find(name)).min();
    &call[..end.unwrap_or(call.len())]
}

/// The operator dies once, with a migration right before each of these calls.
fn dies_before(aims: &[Aim], script: &Script) -> Vec<Row> {
    let case = Case::alone("matrix");
    let points: Vec<Point> =
        aims.iter().enumerate().map(|(n, aim)| Scene::point(&case, n, aim.name, aim.behind)).collect();
    let running = Points::crash(&points);
    let scene = Scene::new(&case, aims.len());
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
            say(&format!("call {}: {end:#}\nthe undisturbed one: {:#}", aims[n].point, script.end));
        }
        let call = at[n].replace(&format!("{}-{n}", case.group), "<group>");
        Row { point: aims[n].point, call, killed: 1, equal: end == script.end, wrong, repeated }
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
