//! Checks a document against the structural schema of a CRD: types, required and unknown fields, allowed
//! values, lengths. Not CEL: those few rules are checked where the spec is read.

use serde_json::{Map, Value};

use super::Crd;

/// The longest list of problems that helps anybody.
const MOST: usize = 10;

/// What is wrong with the `spec` of `document`, each with the path of its field.
pub fn problems(crd: &Crd, document: &Value) -> Vec<String> {
    let schema = crd.spec.versions.first().and_then(|version| version.schema.as_ref());
    let schema = schema.and_then(|schema| schema.open_api_v3_schema.as_ref());
    let Some(schema) = schema.and_then(|schema| serde_json::to_value(schema).ok()) else {
        return Vec::new();
    };
    let mut problems = Vec::new();
    if document.pointer("/metadata/name").and_then(Value::as_str).is_none_or(str::is_empty) {
        problems.push("metadata.name is missing".to_owned());
    }
    match (document.get("spec"), schema.pointer("/properties/spec")) {
        (Some(spec), Some(schema)) if !spec.is_null() => check("spec", spec, schema, &mut problems),
        _ => problems.push("spec is missing".to_owned()),
    }
    problems.truncate(MOST);
    problems
}

fn check(path: &str, value: &Value, schema: &Value, problems: &mut Vec<String>) {
    if value.is_null() && schema["nullable"] == Value::Bool(true) {
        return;
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        let allowed: Vec<String> = allowed.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        problems.push(format!("{path} must be one of {}", allowed.join(", ")));
        return;
    }
    match (schema["type"].as_str(), value) {
        (Some("object"), Value::Object(fields)) => check_object(path, fields, schema, problems),
        (Some("array"), Value::Array(items)) => {
            check_size(path, items.len(), "entries", (&schema["minItems"], &schema["maxItems"]), problems);
            for (index, item) in items.iter().enumerate() {
                check(&format!("{path}[{index}]"), item, &schema["items"], problems);
            }
        }
        (Some("string"), Value::String(text)) => {
            let length = text.chars().count();
            check_size(path, length, "characters", (&schema["minLength"], &schema["maxLength"]), problems);
        }
        (Some("boolean"), Value::Bool(_)) | (Some("number"), Value::Number(_)) | (None, _) => {}
        (Some("integer"), Value::Number(number)) if number.is_i64() || number.is_u64() => {}
        (Some("object"), _) => problems.push(format!("{path} must hold fields")),
        (Some("array"), _) => problems.push(format!("{path} must be a list")),
        (Some(kind), _) => problems.push(format!("{path} must be a {kind}{}", quote_hint(kind, value))),
    }
}

fn check_object(path: &str, fields: &Map<String, Value>, schema: &Value, problems: &mut Vec<String>) {
    let known = schema["properties"].as_object();
    for (name, value) in fields {
        let path = format!("{path}.{name}");
        if let Some(schema) = known.and_then(|known| known.get(name)) {
            check(&path, value, schema, problems);
        } else if schema["additionalProperties"].is_object() {
            check(&path, value, &schema["additionalProperties"], problems);
        } else if let Some(known) = known {
            let names: Vec<&str> = known.keys().map(String::as_str).collect();
            problems.push(format!("{path} is not a field; there are {}", names.join(", ")));
        }
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !fields.contains_key(name) {
            problems.push(format!("{path}.{name} is missing"));
        }
    }
}

fn check_size(path: &str, size: usize, unit: &str, (min, max): (&Value, &Value), problems: &mut Vec<String>) {
    let size = size as u64;
    if let Some(min) = min.as_u64()
        && size < min
    {
        problems.push(format!("{path} must have at least {min} {unit}"));
    }
    if let Some(max) = max.as_u64()
        && size > max
    {
        problems.push(format!("{path} must have at most {max} {unit}"));
    }
}

/// YAML reads `123` and `true` as a number and a truth value.
fn quote_hint(kind: &str, value: &Value) -> &'static str {
    if kind == "string" && (value.is_number() || value.is_boolean()) { "; put it in quotes" } else { "" }
}
