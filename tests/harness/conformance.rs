//! What every status must be, whatever the test: the closed vocabulary, the table of api.md, no churn. Checked
//! on every version that the API server ever had.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    history::{Key, history},
    table::{ERRORS, OF_READY, OF_REPLICATOR, STALLED, STEPS},
    v1alpha1::{ConditionType, Reason},
};

/// More versions than this of one object is churn: the longest story of a test has about 30.
const MOST_VERSIONS: usize = 80;

/// A condition of an object.
pub fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = object["status"]["conditions"].as_array()?;
    conditions.iter().find(|c| c["type"] == kind)
}

/// Checks all objects of a namespace, and that they come to rest.
pub fn check(namespace: &str) -> Vec<String> {
    let mut wrong = at_rest(namespace);
    history().keep(namespace);
    for kind in ["AppMigration", "K2KReplicator"] {
        for name in history().names(namespace, kind) {
            let versions = history().of(&(namespace.to_owned(), kind.to_owned(), name.clone()));
            let problems = versions
                .iter()
                .flat_map(|version| problems(kind, version).into_iter().map(move |p| (p, version)));
            let first = problems.take(3);
            wrong.extend(first.map(|(p, version)| format!("{kind} {name}: {p}, in {:#}", version["status"])));
            wrong.extend(transitions(&versions).into_iter().map(|p| format!("{kind} {name}: {p}")));
            let edits = versions.windows(2).filter(|pair| was_edited(&pair[0], &pair[1])).count();
            if versions.len() > MOST_VERSIONS + 3 * edits {
                wrong.push(format!("{kind} {name} had {} versions for {edits} edits", versions.len()));
            }
        }
    }
    wrong
}

/// The story of a namespace: each version in a line.
pub fn story(namespace: &str) -> String {
    let mut lines = Vec::new();
    for kind in ["AppMigration", "K2KReplicator"] {
        for name in history().names(namespace, kind) {
            for version in history().of(&(namespace.to_owned(), kind.to_owned(), name.clone())) {
                let conditions = version["status"]["conditions"].as_array().cloned().unwrap_or_default();
                let said: Vec<String> = conditions
                    .iter()
                    .map(|c| format!("{}={}:{}", text(&c["type"]), text(&c["status"]), text(&c["reason"])))
                    .collect();
                let message = condition(&version, "Ready").map_or("", |c| text(&c["message"]));
                let number = text(&version["metadata"]["resourceVersion"]);
                lines.push(format!("{kind} {name} {number} {} | {message}", said.join(" ")));
            }
        }
    }
    lines.join("\n")
}

/// Within a while there is a time in which nothing of the namespace is written.
fn at_rest(namespace: &str) -> Vec<String> {
    const REST: Duration = Duration::from_secs(3);
    let start = Instant::now();
    loop {
        let before = counts(namespace);
        sleep(REST);
        let after = counts(namespace);
        if before == after {
            return Vec::new();
        }
        if start.elapsed() > Duration::from_secs(25) {
            return vec![format!(
                "the statuses do not come to rest: {before:?} then {after:?}\n{}",
                story(namespace)
            )];
        }
    }
}

fn counts(namespace: &str) -> Vec<(Key, usize)> {
    let mut counts = Vec::new();
    for kind in ["AppMigration", "K2KReplicator"] {
        for name in history().names(namespace, kind) {
            let key = (namespace.to_owned(), kind.to_owned(), name);
            let count = history().of(&key).len();
            counts.push((key, count));
        }
    }
    counts.sort();
    counts
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn problems(kind: &str, object: &Value) -> Vec<String> {
    let Some(conditions) = object["status"]["conditions"].as_array() else {
        return Vec::new();
    };
    let mut wrong = Vec::new();
    for c in conditions {
        wrong.extend(well_formed(object, c));
    }
    let is_true = |kind: &str| condition(object, kind).is_some_and(|c| c["status"] == "True");
    if is_true("Reconciling") && is_true("Stalled") {
        wrong.push("Reconciling and Stalled".into());
    }
    let Some(ready) = condition(object, "Ready") else {
        wrong.push("conditions without Ready".into());
        return wrong;
    };
    wrong.extend(kstatus(object, ready));
    if kind == "AppMigration" {
        wrong.extend(steps(object));
        wrong.extend(summary(object, ready));
    } else if !OF_REPLICATOR.contains(&text(&ready["reason"])) {
        wrong.push(format!("a replicator's reason {}", ready["reason"]));
    }
    wrong
}

fn well_formed(object: &Value, c: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let (kind, status, reason) = (text(&c["type"]), text(&c["status"]), text(&c["reason"]));
    if ConditionType::parse(kind).is_none() {
        wrong.push(format!("unknown condition type {kind}"));
    }
    if Reason::parse(reason).is_none() {
        wrong.push(format!("unknown reason {reason}"));
    }
    if text(&c["message"]).is_empty() {
        wrong.push(format!("{kind} without a message"));
    }
    if ["Reconciling", "Stalled", "SourceMoved"].contains(&kind) && status != "True" {
        wrong.push(format!("{kind} is there though {status}"));
    }
    let generation = object["metadata"]["generation"].as_i64();
    let (of_condition, of_status) =
        (c["observedGeneration"].as_i64(), object["status"]["observedGeneration"].as_i64());
    if of_condition.is_none() || of_status.is_none() {
        wrong.push(format!("{kind}: observedGeneration {of_condition:?}, the status' {of_status:?}"));
    }
    if of_condition > generation || of_status > generation {
        wrong.push(format!("{kind}: observedGeneration beyond generation {generation:?}"));
    }
    wrong
}

/// What kstatus relies on, and api.md's list of what is stalled.
fn kstatus(object: &Value, ready: &Value) -> Vec<String> {
    let reason_of = |kind: &str| condition(object, kind).map(|c| text(&c["reason"]));
    let (reconciling, stalled, reason) =
        (reason_of("Reconciling"), reason_of("Stalled"), text(&ready["reason"]));
    let failed = reason == "CommitFailed" && stalled.is_some();
    let expected = if ready["status"] == "True" || reason == "Suspended" {
        (None, None)
    } else if STALLED.contains(&reason) || failed {
        (None, Some(reason))
    } else if ERRORS.contains(&reason) {
        (Some("ProgressingWithRetry"), None)
    } else {
        (Some("Progressing"), None)
    };
    // A conflict or a timeout of the moment may be retried under any waiting reason.
    let retried = expected.0 == Some("Progressing") && reconciling == Some("ProgressingWithRetry");
    if (reconciling, stalled) == expected || (retried && stalled.is_none()) {
        return Vec::new();
    }
    vec![format!("Ready {reason} with Reconciling {reconciling:?} and Stalled {stalled:?}")]
}

/// The steps' reasons, and `Ready` following from them.
fn steps(object: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let (mut stalled, mut first) = (None, None);
    for (kind, good, others) in STEPS {
        let Some(c) = condition(object, kind) else {
            continue;
        };
        let (status, reason) = (text(&c["status"]), text(&c["reason"]));
        let fits = match status {
            "True" => reason == good,
            "Unknown" => {
                ["NotJudged", "SourceUnavailable", "TargetUnavailable"].contains(&reason)
                    || others.contains(&reason)
            }
            _ => others.contains(&reason),
        };
        if !fits {
            wrong.push(format!("{kind} is {status} with {reason}"));
        }
        if status != "True" {
            first = first.or(Some(reason));
            stalled = stalled.or(Some(reason).filter(|r| STALLED.contains(r)));
        }
    }
    let ready = condition(object, "Ready").unwrap();
    let reason = text(&ready["reason"]);
    if ready["status"] == "True" {
        if reason != "Completed" || first.is_some() {
            wrong.push(format!("Ready {reason} though {first:?}"));
        }
    } else if !OF_READY.contains(&reason) && stalled.or(first) != Some(reason) {
        wrong.push(format!("Ready says {reason}, the steps say {:?}", stalled.or(first)));
    }
    wrong
}

fn summary(object: &Value, ready: &Value) -> Vec<String> {
    let summary = &object["status"]["summary"];
    if summary.is_null() {
        return Vec::new();
    }
    let number = |field: &str| summary[field].as_u64().unwrap();
    let progress = format!("{}/{}", number("committed"), number("partitions"));
    let mut wrong = Vec::new();
    if summary["progress"] != progress.as_str() {
        wrong.push(format!("progress {} for {progress}", summary["progress"]));
    }
    if ready["status"] == "True" && number("committed") != number("partitions") {
        wrong.push(format!("completed with {progress}"));
    }
    wrong
}

/// Somebody else changed it, in whatever they may.
fn was_edited(before: &Value, after: &Value) -> bool {
    ["generation", "labels", "annotations"]
        .iter()
        .any(|field| before["metadata"][field] != after["metadata"][field])
}

/// From version to version: a transition has a new time, everything else keeps the old one.
fn transitions(versions: &[Value]) -> Vec<String> {
    let mut wrong = Vec::new();
    for pair in versions.windows(2) {
        let (before, after) = (&pair[0], &pair[1]);
        // The operator never leaves a status without conditions: a test has wiped it.
        let wiped = !after["status"]["conditions"].is_array();
        if before["metadata"]["uid"] != after["metadata"]["uid"] || wiped {
            continue;
        }
        for c in after["status"]["conditions"].as_array().into_iter().flatten() {
            let Some(old) = condition(before, text(&c["type"])) else {
                continue;
            };
            let same_time = old["lastTransitionTime"] == c["lastTransitionTime"];
            if old["status"] == c["status"] && !same_time {
                wrong.push(format!("lastTransitionTime moved without a transition: {old} then {c}"));
            }
            if text(&c["lastTransitionTime"]) < text(&old["lastTransitionTime"]) {
                wrong.push(format!("lastTransitionTime went back: {old} then {c}"));
            }
        }
        if ["completedAt", "stopConfirmedAt"].iter().any(|latch| {
            !before["status"][latch].is_null() && before["status"][latch] != after["status"][latch]
        }) {
            wrong.push(format!("a latch changed: {} then {}", before["status"], after["status"]));
        }
    }
    wrong
}
