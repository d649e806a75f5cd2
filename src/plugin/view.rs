//! A migration as people see it: lines, and values for machines. Pure.

use comfy_table::{Table, presets};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt as _;
use serde_json::{Map, Value, json};

use crate::{
    api::v1alpha1::{AppMigration, ConditionType, Policies, RETRY_ANNOTATION},
    printable::{counted, printable},
};

/// How it stands with a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is done.
    Done,
    /// Only a change by a person helps.
    Stalled,
    /// It waits for somebody or something, or works.
    Waits,
}

fn condition(object: &AppMigration, kind: ConditionType) -> Option<&Condition> {
    object.status.as_ref()?.conditions.iter().find(|c| c.type_ == kind.as_str())
}

/// What the API server says, in its own words.
pub fn refusal(error: kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message,
        other => other.to_string(),
    }
}

/// Whether the operator has seen this spec, and has looked again where it was asked to.
pub fn is_current(object: &AppMigration) -> bool {
    let status = object.status.clone().unwrap_or_default();
    let asked = object.annotations().get(RETRY_ANNOTATION);
    status.observed_generation == object.metadata.generation
        && (status.completed_at.is_some() || asked.is_none() || asked == status.last_handled_retry.as_ref())
}

/// How it stands with this object as it is now.
pub fn standing(object: &AppMigration) -> Standing {
    let current = is_current(object);
    let holds = |kind| current && condition(object, kind).is_some_and(|c| c.status == "True");
    if holds(ConditionType::Ready) {
        Standing::Done
    } else if holds(ConditionType::Stalled) {
        Standing::Stalled
    } else {
        Standing::Waits
    }
}

/// Reason and message of the outcome, or what stands in its place; and that the application runs on the source again.
pub fn outcome(object: &AppMigration) -> (String, String) {
    let moved = condition(object, ConditionType::SourceMoved);
    let moved = moved.map_or_else(String::new, |c| format!("; BUT {}: {}", c.reason, c.message));
    condition(object, ConditionType::Ready).map_or_else(
        || ("-".to_owned(), "the operator has not looked at it yet: is it running?".to_owned()),
        |c| (c.reason.clone(), c.message.clone() + &moved),
    )
}

/// Values for machines.
pub fn json(object: &AppMigration) -> Value {
    let (reason, message) = outcome(object);
    let status = object.status.clone().unwrap_or_default();
    json!({
        "namespace": object.namespace(),
        "name": object.name_any(),
        "replicator": object.spec.replicator_ref.name,
        "group": object.spec.consumer_group,
        "targetGroup": object.spec.target_group(),
        "policies": object.spec.policies,
        "standing": format!("{:?}", standing(object)),
        "reason": reason,
        "message": message,
        "conditions": status.conditions,
        "preview": status.preview,
        "summary": status.summary,
        "stopConfirmedAt": status.stop_confirmed_at,
        "completedAt": status.completed_at,
    })
}

/// A line for each migration.
pub fn table(objects: &[AppMigration], with_namespace: bool) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let mut header = vec!["NAME", "REPLICATOR", "GROUP", "REASON", "PARTITIONS", "REREAD", "GAPS", "MESSAGE"];
    if with_namespace {
        header.insert(0, "NAMESPACE");
    }
    table.set_header(header);
    for object in objects {
        let (reason, message) = outcome(object);
        let summary = object.status.as_ref().and_then(|s| s.summary.as_ref());
        let mut row = vec![
            object.name_any(),
            object.spec.replicator_ref.name.clone(),
            printable(&object.spec.consumer_group).into_owned(),
            reason,
            summary.map(|s| s.progress.clone()).unwrap_or_default(),
            summary.map(|s| s.reread.to_string()).unwrap_or_default(),
            summary.map(|s| s.gaps.to_string()).unwrap_or_default(),
            printable(&message).into_owned(),
        ];
        if with_namespace {
            row.insert(0, object.namespace().unwrap_or_default());
        }
        table.add_row(row);
    }
    lines(&table)
}

/// As kubectl prints tables: nothing before the first column.
pub fn lines(table: &Table) -> String {
    table.trim_fmt().lines().map(|line| line.strip_prefix(' ').unwrap_or(line).to_owned() + "\n").collect()
}

/// As `gap: Accept`: what somebody has decided and the person who confirms should know.
fn chosen_policies(policies: &Policies) -> Vec<String> {
    let values = |policies: &Policies| match json!(policies) {
        Value::Object(values) => values,
        _ => Map::new(),
    };
    let defaults = values(&Policies::default());
    let differs = |(name, value): &(String, Value)| defaults.get(name) != Some(value);
    let show = |(name, value): (String, Value)| format!("{name}: {}", value.as_str().unwrap_or_default());
    values(policies).into_iter().filter(differs).map(show).collect()
}

/// The steps of one migration, and what came of it or would.
pub fn story(object: &AppMigration) -> String {
    let spec = &object.spec;
    let mut lines = vec![format!(
        "{} moves group {} by K2KReplicator {}{}",
        object.name_any(),
        printable(&spec.consumer_group),
        spec.replicator_ref.name,
        match &spec.target_consumer_group {
            Some(group) if *group != spec.consumer_group => format!(", as {}", printable(group)),
            _ => String::new(),
        }
    )];
    let chosen = chosen_policies(&spec.policies);
    if !chosen.is_empty() {
        lines.push(format!("policies other than the defaults: {}", chosen.join(", ")));
    }
    let stalled = standing(object) == Standing::Stalled;
    let (reason, message) = outcome(object);
    // Where it stands: at the one that the outcome is from, else at the first that does not hold.
    let fails = |kind: &ConditionType| condition(object, *kind).is_some_and(|c| c.status == "False");
    let named = |kind: &ConditionType| condition(object, *kind).is_some_and(|c| c.reason == reason);
    let failing: Vec<ConditionType> = ConditionType::LADDER.into_iter().filter(fails).collect();
    let stands_at = failing.iter().find(|kind| named(kind)).or(failing.first());
    for kind in ConditionType::LADDER {
        let found = condition(object, kind);
        let (mark, told) = match found {
            Some(c) if c.status == "True" => ("✓", c.reason.clone()),
            Some(c) if stands_at == Some(&kind) => {
                let mark = if stalled { "✗" } else { "…" };
                (mark, format!("{}: {}", c.reason, printable(&c.message)))
            }
            _ => (" ", String::new()),
        };
        lines.push(format!("  {mark} {:<20} {told}", kind.as_str()).trim_end().to_owned());
    }
    let at_its_step = stands_at.and_then(|kind| condition(object, *kind));
    if at_its_step.is_none_or(|c| (&c.reason, &c.message) != (&reason, &message)) {
        lines.push(format!("{reason}: {}", printable(&message)));
    }
    let status = object.status.clone().unwrap_or_default();
    match (&status.preview, &status.summary) {
        (_, Some(s)) => lines.push(format!(
            "{} partitions, {} of them exact; {} read again, {} missing",
            s.progress,
            s.exact,
            counted(s.reread, "record"),
            s.gaps
        )),
        (Some(p), None) => {
            lines.push(format!(
                "if it were stopped now (as seen since {}): {}, {} of them exact; {} read again, {} still to be \
                 replicated",
                p.observed_at.0.strftime("%F %T UTC"),
                counted(p.partitions.into(), "partition"),
                p.exact,
                counted(p.reread, "record"),
                p.lag
            ));
            lines.extend(p.blocks.iter().map(|block| format!("  in the way: {}", printable(block))));
        }
        _ => {}
    }
    lines.join("\n") + "\n"
}
