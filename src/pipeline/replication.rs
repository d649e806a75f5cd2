//! The flows: which topics are copied, and where to. Whatever is not understood here is a problem: it would decide
//! where copies are looked for.

use serde_json::Value;

use crate::api::v1alpha1::{Replication, TargetPartitioning, TargetTopic};

use super::{Notes, object::Object};

const FIELD: &str = "replication";

/// The flows. `source` and `sink` of one may stand in one entry, or in two that follow each other.
pub fn flows(value: Option<Value>, notes: &mut Notes) -> Vec<Replication> {
    let Some(Value::Array(entries)) = value else {
        notes.problem(FIELD, "must be a list of flows, each with a source and a sink");
        return Vec::new();
    };
    let (mut flows, mut open) = (Vec::new(), None);
    for (n, entry) in entries.into_iter().enumerate() {
        let path = format!("{FIELD}[{n}]");
        let Value::Object(map) = entry else {
            notes.problem(&path, "must be a mapping");
            continue;
        };
        let mut entry = Object::new(format!("{path}."), map);
        let source = entry.object("source", notes).map(|source| topics(source, notes));
        let without = source.and_then(|topics| open.replace((path.clone(), topics)));
        if let Some((without, _)) = without {
            notes.problem(&without, "has no sink");
        }
        if let Some(sink) = entry.object("sink", notes) {
            match open.take() {
                Some((_, topics)) => flows.push(Replication { topics, target: target(sink, notes) }),
                None => notes.problem(&path, "is a sink without a source before it"),
            }
        }
        entry.rest(notes);
    }
    if let Some((without, _)) = open {
        notes.problem(&without, "has no sink");
    }
    if flows.is_empty() && notes.problems.is_empty() {
        notes.problem(FIELD, "is empty");
    }
    flows
}

/// A pattern, or a list of names.
fn topics(mut source: Object, notes: &mut Notes) -> Vec<String> {
    let field = source.field("topic");
    let names = |names: Vec<Value>| -> Option<Vec<String>> {
        names.into_iter().map(|name| name.as_str().map(regex::escape)).collect()
    };
    let topics = match source.take("topic") {
        Some(Value::String(pattern)) => Some(vec![pattern]),
        Some(Value::Array(list)) if !list.is_empty() => names(list),
        _ => None,
    };
    source.take("name");
    source.rest(notes);
    topics.unwrap_or_else(|| {
        notes.problem(&field, "must be a regular expression, or a list of topics' names");
        Vec::new()
    })
}

fn target(mut sink: Object, notes: &mut Notes) -> TargetTopic {
    let mut target = TargetTopic::default();
    if sink.is_object("topic") {
        if let Some(mut topic) = sink.object("topic", notes) {
            target.topic_prefix = topic.text("prefix", notes).unwrap_or_default();
            target.topic_suffix = topic.text("suffix", notes).unwrap_or_default();
            target.topic_name = topic.text("static", notes).unwrap_or_default();
            let mut others = Notes::default();
            topic.rest(&mut others);
            for field in others.unused {
                notes.problem(&field, "is a way to name target topics that is not known here: write the routes as spec.replication");
            }
        }
    } else {
        match sink.text("topic", notes).as_deref() {
            Some("source") => {}
            Some(name) => name.clone_into(&mut target.topic_name),
            None => notes.problem(
                &sink.field("topic"),
                "is missing: source, a topic's name, prefix and suffix, or static",
            ),
        }
    }
    match sink.text("partition", notes).as_deref() {
        Some("source") => {}
        Some("producer") => target.partition = TargetPartitioning::Producer,
        None => notes.problem(&sink.field("partition"), "is missing: source or producer"),
        Some(_) => notes.problem(&sink.field("partition"), "must be source or producer"),
    }
    sink.take("name");
    sink.rest(notes);
    target
}
