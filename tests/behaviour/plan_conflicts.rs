//! Somebody deletes or alters the stored plan: refused, and nothing is committed by it.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::{
    changes::held_back,
    harness::{
        Case, Migration, Reason, Side, operator,
        points::{CALM, Point, Points},
        scene::Scene,
        stack::{DEADLINE, block_on},
    },
};

/// The first position becomes another one. Gives the file as it was.
fn alter(app: &Migration<'_>) -> String {
    let before = app.plan().config_map.data.unwrap()["plan.json"].clone();
    let mut plan: Value = serde_json::from_str(&before).unwrap();
    plan["targets"][0]["position"] = json!(plan["targets"][0]["position"].as_i64().unwrap() + 1);
    put(app, &plan.to_string());
    before
}

fn put(app: &Migration<'_>, plan: &str) {
    let patch = Patch::Merge(json!({ "data": { "plan.json": plan } }));
    block_on(app.case.api::<ConfigMap>().patch(&app.plan_name(), &PatchParams::default(), &patch)).unwrap();
}

fn delete(app: &Migration<'_>) {
    block_on(app.case.api::<ConfigMap>().delete(&app.plan_name(), &DeleteParams::default())).unwrap();
}

#[test]
fn a_plan_that_was_altered_is_refused() {
    let case = Case::new("altered");
    let (_, early, app) = held_back(&case);
    let before = alter(&app);
    let hash = app.get().status.unwrap().plan.unwrap().hash;
    app.stalls(Reason::PlanConflict, &[&app.plan_name(), "altered", &hash]);
    early.leave();
    app.retry("still altered");
    app.stalls(Reason::PlanConflict, &["altered"]);
    // It is the plan that counts, not who wrote it.
    put(&app, &before);
    app.retry("as it was");
    app.completes_exactly();
    assert_eq!(app.get().status.unwrap().plan.unwrap().hash, hash);
}

#[test]
fn a_plan_that_is_no_json_any_more_is_refused() {
    let case = Case::new("garbled");
    let (_, early, app) = held_back(&case);
    put(&app, "{");
    app.stalls(Reason::PlanConflict, &[&app.plan_name(), "plan.json"]);
    early.leave();
}

#[test]
fn a_plan_that_was_deleted_is_not_made_anew_in_silence() {
    let case = Case::new("deleted");
    let (_, early, app) = held_back(&case);
    delete(&app);
    app.stalls(Reason::PlanConflict, &[&app.plan_name(), "gone"]);
    early.leave();
    // The way out that the message names.
    app.delete();
    app.create_again().completes_exactly();
}

/// The operator has died between the commit and its report; what it finds is not what it had stored.
#[test]
fn alone_a_plan_that_changed_while_the_operator_was_down_is_refused() {
    let case = Case::alone("tampered");
    let points: Vec<Point> = (0..2).map(|n| Scene::point(&case, n, "commit offsets", 1)).collect();
    let running = Points::crash(&points);
    let scene = Scene::new(&case, 2);
    scene.confirm(&running, &points);
    operator::wait_for_end(DEADLINE);
    // It was committed as planned, and stays so.
    for app in &scene.apps {
        assert_eq!(case.settled(Side::Target, &app.target_group()).len(), 3);
    }
    let before = alter(&scene.apps[0]);
    delete(&scene.apps[1]);
    operator::start(&CALM);
    scene.apps[0].stalls(Reason::PlanConflict, &["altered"]);
    scene.apps[1].stalls(Reason::PlanConflict, &["gone"]);
    put(&scene.apps[0], &before);
    scene.apps[0].retry("as it was");
    scene.apps[0].completes_exactly();
    scene.apps[1].delete();
    scene.apps[1].create_again().completes_exactly();
}
