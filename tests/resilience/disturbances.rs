//! What the operator lives on goes away while migrations stand right before a call of their own, and comes back:
//! everything must come to the same end. The servers are shared: alone.

use std::{
    fmt::Write as _,
    thread::sleep,
    time::{Duration, Instant},
};

use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::harness::{
    AppMigration, Case, Reason,
    migration::ready_reason,
    operator,
    points::{Point, Points},
    random::{Random, say, whole},
    scene::{Scene, script},
    stack::{DEADLINE, block_on, kube, stack},
};

/// One in so many calls is tried, from a random one on: in `make test`, and in `make test-all`.
const EACH: (usize, usize) = (8, 5);

/// Breaks something with everybody at their points, lets them go on, and mends it.
type Break = fn(&Scene<'_>, &Points);

const DISTURBANCES: [(&str, Break); 9] = [
    ("the API server is killed", |_, held| api_server("kill", held)),
    ("the API server is stopped", |_, held| api_server("stop", held)),
    ("the API server is frozen", freeze_api_server),
    ("etcd is killed", |_, held| {
        stack(&["kube", "kill", "etcd"]).unwrap();
        held.release();
        stack(&["kube", "start", "etcd"]).unwrap();
        api_server_answers();
    }),
    ("the source's broker is killed", |scene, held| broker(scene, held, ["kill", "start"], "source")),
    ("the target's broker is killed", |scene, held| broker(scene, held, ["kill", "start"], "target")),
    ("the source's broker is frozen", |scene, held| broker(scene, held, ["pause", "resume"], "source")),
    ("the target's broker is frozen", |scene, held| broker(scene, held, ["pause", "resume"], "target")),
    ("the status is wiped", wipe_status),
];

#[test]
fn the_world_breaks_before_any_call() {
    let mut random = Random::seeded("disturbances");
    let script = script();
    // `DISTURBANCE=killed` tries those of whose name it is a part.
    let named = std::env::var("DISTURBANCE").unwrap_or_default();
    let all: Vec<_> = DISTURBANCES.into_iter().filter(|(name, _)| name.contains(&named)).collect();
    let (chosen, each) = if whole() { (all, EACH.1) } else { (random.choose(1, all), EACH.0) };
    let mut table = format!("{:<30}  points  end equal  wrong commits\n", "disturbance");
    let mut all_well = true;
    for (name, how) in chosen {
        let first = usize::try_from(random.below(each as u64)).unwrap();
        let calls: Vec<usize> = (first..script.calls.len()).step_by(each).collect();
        let case = Case::alone("disturbed");
        let points: Vec<Point> =
            calls.iter().enumerate().map(|(n, call)| Scene::point(&case, n, "", *call)).collect();
        let held = Points::hold(&points);
        let scene = Scene::new(&case, points.len());
        scene.confirm(&held, &points);
        held.wait_for_arrival(&points);
        how(&scene, &held);
        for app in &scene.apps {
            app.completes_exactly();
            app.has_named_one_plan();
        }
        let ends: Vec<_> = (0..points.len()).map(|n| scene.end(n)).collect();
        for end in ends.iter().filter(|end| **end != script.end) {
            say(&format!("{name}: {end:#}\nthe undisturbed one: {:#}", script.end));
        }
        let equal = ends.iter().filter(|end| **end == script.end).count();
        let wrong: usize = scene.commits().iter().map(|c| c.wrong).sum();
        let ends = format!("{equal} of {}", points.len());
        writeln!(table, "{name:<30}  {:>6}  {ends:>9}  {wrong:>13}", points.len()).unwrap();
        all_well &= equal == points.len() && wrong == 0;
    }
    say(&table);
    assert!(all_well);
}

fn api_server(how: &str, held: &Points) {
    stack(&["kube", how, "apiserver"]).unwrap();
    held.release();
    stack(&["kube", "start", "apiserver"]).unwrap();
    api_server_answers();
}

/// Requests are taken and not answered, for longer than the operator waits for them.
fn freeze_api_server(_: &Scene<'_>, held: &Points) {
    let told = || operator::log().matches("the API server does not answer").count();
    let before = told();
    stack(&["kube", "pause", "apiserver"]).unwrap();
    held.release();
    wait_until("a deadline has passed", || told() > before);
    stack(&["kube", "resume", "apiserver"]).unwrap();
    api_server_answers();
}

/// The test's own client has found it again.
fn api_server_answers() {
    wait_until("the API server answers", || block_on(kube().apiserver_version()).is_ok());
}

/// Every migration tells of it, but those that have no need of that cluster any more.
fn broker(scene: &Scene<'_>, held: &Points, [down, up]: [&str; 2], name: &str) {
    stack(&["broker", down, name]).unwrap();
    held.release();
    for app in &scene.apps {
        app.wait("Unavailable, or Completed", DEADLINE, |o| {
            ready_reason(o).is_some_and(|reason| {
                [
                    Reason::SourceUnavailable,
                    Reason::TargetUnavailable,
                    Reason::CommitFailed,
                    Reason::Completed,
                ]
                .iter()
                .any(|told| told.as_str() == reason)
            })
        });
    }
    stack(&["broker", up, name]).unwrap();
}

/// As a tool does that replaces the whole object.
fn wipe_status(scene: &Scene<'_>, held: &Points) {
    for app in &scene.apps {
        let nothing = Patch::Merge(json!({ "status": null }));
        let api = app.case.api::<AppMigration>();
        block_on(api.patch_status(&app.name, &PatchParams::default(), &nothing)).unwrap();
    }
    held.release();
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < DEADLINE, "{what}\n{}", operator::log_tail(40));
        sleep(Duration::from_millis(100));
    }
}
