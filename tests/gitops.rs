//! What tools that deploy from Git make of the objects: every version of every object that the other tests have
//! seen, which the real operator has written in every state, judged by Argo CD's Lua scripts (in the interpreter and
//! with the libraries that Argo CD has), by kstatus (Flux, Helm) and by the CEL of Flux's `healthCheckExprs`, as
//! they stand in `deploy/`. Only meaningful after all other tests on the same stack, so tests/all runs it last.

#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
};

use serde_json::Value;

#[path = "harness/judges.rs"]
mod judges;

use judges::{judged, judged_by_argo};

/// Every version of the objects, as tests/harness/history.rs has left them.
fn objects() -> Vec<Value> {
    let file = format!("{}/objects.jsonl", env::var("STACK_DIR").expect("run this on a stack"));
    let text = fs::read_to_string(file).expect("run this on the stack that the other tests have run on");
    let lines = text.lines().filter(|line| !line.is_empty());
    let all = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    // One that is being deleted is nobody's any more.
    all.filter(|object| object["metadata"]["deletionTimestamp"].is_null()).collect()
}

fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|c| c["type"] == kind)
}

/// What each of them has to say: Argo CD, kstatus, CEL.
fn expected(object: &Value) -> [&'static str; 3] {
    let generation = &object["metadata"]["generation"];
    let is_true = |kind| condition(object, kind).is_some_and(|c| c["status"] == "True");
    let seen = object["status"]["observedGeneration"] == *generation;
    let Some(ready) = condition(object, "Ready").filter(|_| seen) else {
        // Wiped: Flux' expressions have nothing to look at until it is written again.
        let cel = if object["status"]["conditions"].is_array() || !seen { "InProgress" } else { "Unknown" };
        return ["Progressing", "InProgress", cel];
    };
    if ready["status"] == "True" {
        return ["Healthy", "Current", "Current"];
    }
    if is_true("Stalled") {
        return ["Degraded", "Failed", "Failed"];
    }
    match ready["reason"].as_str().unwrap() {
        "AwaitingStopConfirmation" => ["Suspended", "InProgress", "Current"],
        "Suspended" => ["Suspended", "InProgress", "InProgress"],
        _ => ["Progressing", "InProgress", "InProgress"],
    }
}

#[test]
fn gitops_tools_judge_every_object_as_it_is() {
    let objects = objects();
    let judged = judged(&objects);
    assert_eq!(judged.len(), objects.len());
    let mut table: BTreeMap<(String, String, String), usize> = BTreeMap::new();
    let mut wrong = BTreeSet::new();
    for (object, judged) in objects.iter().zip(&judged) {
        let [argo, kstatus, cel] = expected(object);
        let migration = object["kind"] == "AppMigration";
        let ready = condition(object, "Ready");
        let reason = ready.map_or("-", |c| c["reason"].as_str().unwrap()).to_owned();
        let seen = [&judged["argo"]["status"], &judged["kstatus"], &judged["cel"]];
        let well = *seen[0] == argo && *seen[1] == kstatus && (!migration || *seen[2] == cel);
        if !well {
            let (name, status) = (&object["metadata"]["name"], &object["status"]);
            wrong.insert(format!("{name}, {reason}: {seen:?}, not {:?}: {status}", [argo, kstatus, cel]));
        }
        // Nothing of what the operator says is lost on the way.
        let (told, message) = (judged["argo"]["message"].as_str().unwrap(), ready.map(|c| &c["message"]));
        if let Some(message) =
            message.and_then(Value::as_str).filter(|_| argo != "Progressing" || reason != "-")
        {
            let current = object["status"]["observedGeneration"] == object["metadata"]["generation"];
            if current && !(told.contains(message) && told.contains(&reason)) {
                wrong.insert(format!("{reason}: told as {told}"));
            }
        }
        if migration {
            let spec = &object["spec"];
            let status = &object["status"];
            let open = status["completedAt"].is_null();
            let (confirmed, suspended) = (
                spec["stopConfirmed"] == true || status["stopConfirmedAt"].is_string(),
                spec["suspend"] == true,
            );
            let actions = &judged["actions"];
            let right = actions["confirm-stopped"] == (open && !confirmed && !suspended)
                && actions["suspend"] == (open && !suspended)
                && actions["resume"] == (open && suspended);
            if !right {
                wrong.insert(format!("actions {actions} for {spec:#} {status:#}"));
            }
        }
        let key = (object["kind"].as_str().unwrap().to_owned(), reason, format!("{argo}, {kstatus}, {cel}"));
        *table.entry(key).or_default() += 1;
    }
    for ((kind, reason, verdict), count) in &table {
        println!("{kind:<14} {reason:<30} {count:>6}  {verdict}");
    }
    let first: Vec<&String> = wrong.iter().take(5).collect();
    assert!(wrong.is_empty(), "{} wrong: {first:#?}", wrong.len());
    let verdicts: BTreeSet<&str> = table.keys().map(|(.., verdict)| verdict.as_str()).collect();
    assert!(verdicts.len() >= 5, "{verdicts:?}");
    let reasons: BTreeSet<&str> = table.keys().map(|(_, reason, _)| reason.as_str()).collect();
    assert!(reasons.len() >= 30, "only {reasons:?}");
}

/// Our judge has Argo CD's interpreter and libraries, but is not Argo CD: that one must say the same of every object, and
/// make the same of it by every action. Where the tests run whole; its build takes minutes.
#[test]
fn argo_cd_itself_says_the_same() {
    let objects = objects();
    let Some(by_argo) = judged_by_argo(&objects) else {
        assert!(env::var_os("LARGE").is_none(), "tests/stack/stack setup argo");
        println!("not asked: its program is not built (tests/stack/stack setup argo)");
        return;
    };
    let mut ours = judged(&objects);
    for judged in &mut ours {
        judged.as_object_mut().unwrap().retain(|field, _| !["kstatus", "cel"].contains(&field.as_str()));
    }
    assert_eq!(by_argo.len(), ours.len());
    let different = objects.iter().zip(by_argo.iter().zip(&ours)).filter(|(_, (argo, ours))| argo != ours);
    let different: Vec<_> = different.collect();
    let first: Vec<_> = different.iter().take(3).collect();
    assert!(different.is_empty(), "{} of {}: {first:#?}", different.len(), objects.len());
    let acted = by_argo.iter().filter(|judged| judged["acted"].is_object()).count();
    assert!(acted > 0, "no action was tried");
    println!("Argo CD says the same of {} objects, and of {acted} by actions", objects.len());
}
