//! What is generated from the source is as it would be generated now: `crds/`, and the tables of
//! `docs/reference.md` and of the chart's `README.md`.
//! `make generate` (`UPDATE_GENERATED=1`) writes them.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::{
    collections::BTreeSet,
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use appmigration::{
    api::v1alpha1::{AppMigrationSpec, ConditionType, K2KReplicatorSpec, Reason},
    runtime::metrics::{Description, descriptions},
};
use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::Value;

/// The file holds this text; or is written, where that is asked for.
fn assert_same(file: &Path, expected: &str) {
    let actual = fs::read_to_string(file).unwrap_or_default();
    if actual == expected {
        return;
    }
    assert!(
        env::var_os("UPDATE_GENERATED").is_some(),
        "{} is not up to date: run `make generate` and commit what it writes",
        file.display()
    );
    fs::write(file, expected).unwrap();
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn crds_are_what_the_binary_prints() {
    let dir = env::temp_dir().join(format!("appmigration-crds-{}", std::process::id()));
    let status = Command::new(env!("CARGO_BIN_EXE_appmigration")).arg("crds").arg("--dir").arg(&dir).status();
    assert!(status.unwrap().success());
    let names = |dir: &Path| {
        let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.retain(|name| Path::new(name).extension().is_some_and(|extension| extension == "yaml"));
        names.sort();
        names
    };
    for name in names(&dir) {
        assert_same(&root().join("crds").join(&name), &fs::read_to_string(dir.join(&name)).unwrap());
    }
    assert_eq!(names(&root().join("crds")), names(&dir), "a file in crds/ that nothing generates");
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn the_reference_s_tables_are_what_the_types_say() {
    let tables = [
        ("AppMigration fields", fields::<AppMigrationSpec>()),
        ("K2KReplicator fields", fields::<K2KReplicatorSpec>()),
        ("conditions", conditions()),
        ("metrics", metrics()),
    ];
    assert_tables(&root().join("docs/reference.md"), &tables);
}

#[test]
fn the_chart_s_table_is_what_its_values_say() {
    let chart = root().join("charts/appmigration");
    let values = fs::read_to_string(chart.join("values.yaml")).unwrap();
    assert_tables(&chart.join("README.md"), &[("values", chart_values(&values))]);
}

/// A reason that somebody meets at night has its entry, and no entry speaks of one that there is not.
#[test]
fn every_reason_has_its_entry_in_the_runbook() {
    let runbook = fs::read_to_string(root().join("docs/runbook.md")).unwrap();
    let entries: Vec<&str> = runbook.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let mut expected: Vec<&str> = Vec::new();
    for kind in ConditionType::ALL {
        expected.extend(kind.reasons().iter().map(|reason| reason.as_str()));
    }
    expected.push(Reason::NotJudged.as_str());
    let mut seen = BTreeSet::new();
    expected.retain(|reason| seen.insert(*reason));
    assert_eq!(entries, expected);
}

/// The alert for what only a person can end knows all such reasons.
#[test]
fn the_alert_for_stalled_migrations_names_every_such_reason() {
    let file = fs::read_to_string(root().join("deploy/monitoring/prometheus-rule.yaml")).unwrap();
    let rule: Value = serde_saphyr::from_str(&file).unwrap();
    let rules = rule["spec"]["groups"][0]["rules"].as_array().unwrap();
    let stalled = rules.iter().find(|rule| rule["alert"] == "AppMigrationStalled").unwrap();
    let expression = stalled["expr"].as_str().unwrap();
    let named = expression.split('"').nth(1).unwrap();
    let all = ConditionType::ALL.iter().flat_map(|kind| kind.reasons());
    let expected: BTreeSet<&str> = all.filter(|r| r.is_stalled()).map(|r| r.as_str()).collect();
    assert_eq!(named.split('|').collect::<BTreeSet<_>>(), expected);
}

/// The chart can leave out each alert, and no other.
#[test]
fn the_chart_knows_every_alert_by_name() {
    let read = |file: &str| fs::read_to_string(root().join(file)).unwrap();
    let rule: Value = serde_saphyr::from_str(&read("deploy/monitoring/prometheus-rule.yaml")).unwrap();
    let rules = rule["spec"]["groups"][0]["rules"].as_array().unwrap();
    let alerts: Vec<&Value> = rules.iter().map(|rule| &rule["alert"]).collect();
    let schema: Value = serde_json::from_str(&read("charts/appmigration/values.schema.json")).unwrap();
    let known = &schema["properties"]["prometheusRule"]["properties"]["disabled"]["items"]["enum"];
    assert_eq!(known.as_array().unwrap().iter().collect::<Vec<_>>(), alerts);
}

/// The file holds these tables between their marks.
fn assert_tables(file: &Path, tables: &[(&str, String)]) {
    let mut text = fs::read_to_string(file).unwrap();
    for (name, table) in tables {
        let (begin, end) =
            (format!("<!-- {name}: begin, by make generate -->\n"), format!("<!-- {name}: end -->"));
        let missing = |mark: &str| panic!("{} has no line {mark}", file.display());
        let from = text.find(&begin).unwrap_or_else(|| missing(&begin)) + begin.len();
        let to = text[from..].find(&end).unwrap_or_else(|| missing(&end)) + from;
        text.replace_range(from..to, table);
    }
    assert_same(file, &text);
}

/// A table of the values that have a comment above them.
fn chart_values(text: &str) -> String {
    let values: Value = serde_saphyr::from_str(text).unwrap();
    let mut table = "| value | meaning | default |\n|---|---|---|\n".to_owned();
    let (mut path, mut comment): (Vec<(usize, &str)>, Vec<&str>) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let (words, indent) = (line.trim_start(), line.len() - line.trim_start().len());
        if let Some(words) = words.strip_prefix("# ") {
            comment.push(words);
            continue;
        }
        if let Some((key, _)) = words.split_once(':').filter(|_| !words.starts_with('-')) {
            path.retain(|(above, _)| *above < indent);
            path.push((indent, key));
            if !comment.is_empty() {
                let keys: Vec<&str> = path.iter().map(|(_, key)| *key).collect();
                let default = values.pointer(&format!("/{}", keys.join("/"))).unwrap();
                let meaning = comment.join(" ").replace('|', "\\|");
                let _ = writeln!(table, "| `{}` | {meaning} | `{default}` |", keys.join("."));
            }
        }
        comment.clear();
    }
    table
}

/// A table of every field of a spec.
fn fields<T: JsonSchema>() -> String {
    // Straight from the types: a CRD's schema has no room for what the values of an enumeration mean.
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let schema = settings.into_generator().into_root_schema_for::<T>();
    let mut table = "| field | meaning | default |\n|---|---|---|\n".to_owned();
    for row in without_repetition(rows(schema.as_value(), "")) {
        let meaning = row.meaning.replace('|', "\\|");
        let _ = writeln!(table, "| `{}` | {meaning} | {} |", row.path, row.default);
    }
    table
}

struct Row {
    path: String,
    meaning: String,
    default: String,
}

/// The fields of an object, each followed by its own.
fn rows(schema: &Value, prefix: &str) -> Vec<Row> {
    let required = |name: &str| list(&schema["required"]).any(|required| required == name);
    let mut fields: Vec<(&String, &Value)> = properties(schema).collect();
    // What must be there first, what has fields of its own last.
    fields.sort_by_key(|(name, field)| (!required(name), properties(object_of(field)).next().is_some()));
    let mut rows = Vec::new();
    for (name, field) in fields {
        let object = object_of(field);
        let list = if std::ptr::eq(object, field) || field["anyOf"].is_array() { "" } else { "[]" };
        let (mut path, mut below) = (format!("{prefix}{name}{list}"), Vec::new());
        let mut names: Vec<&str> = properties(object).map(|(name, _)| name.as_str()).collect();
        names.sort_by_key(|name| *name != "name");
        // A reference by name and key is one thing.
        if names == ["name", "key"] || names == ["name"] {
            path = format!("{path}: {{{}}}", names.join(", "));
        } else {
            below = self::rows(object, &format!("{path}."));
        }
        let default = if required(name) { "required".to_owned() } else { default(field) };
        rows.push(Row { path, meaning: meaning(field), default });
        rows.append(&mut below);
    }
    rows
}

/// The target's fields are the source's: told once.
fn without_repetition(mut rows: Vec<Row>) -> Vec<Row> {
    let paths: BTreeSet<String> = rows.iter().map(|row| row.path.clone()).collect();
    rows.retain(|row| {
        row.path.strip_prefix("target.").is_none_or(|rest| !paths.contains(&format!("source.{rest}")))
    });
    if let Some(target) = rows.iter_mut().find(|row| row.path == "target") {
        target.meaning += " Its fields are those of `source`, without `consumerGroup`.";
    }
    rows
}

/// The object that a field is, or is a list of; optional or not.
fn object_of(field: &Value) -> &Value {
    let field = field["anyOf"].get(0).unwrap_or(field);
    if field["items"]["properties"].is_object() { &field["items"] } else { field }
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema["properties"].as_object().into_iter().flatten()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// What a field is for, and its values, where the text does not name them itself.
fn meaning(field: &Value) -> String {
    let one_line = |text: &Value| {
        let words: Vec<&str> = text.as_str().unwrap_or_default().split_whitespace().collect();
        words.join(" ")
    };
    let text = one_line(&field["description"]);
    let mut values = String::new();
    for value in list(&field["oneOf"]) {
        let name = format!("`{}`", value["const"].as_str().unwrap_or_default());
        // A switch needs no words either.
        if text.contains(&name) || name == "`Enabled`" || name == "`Disabled`" {
            continue;
        }
        values = format!("{values}<br>{name}: {}", one_line(&value["description"]));
    }
    text + &values
}

fn default(field: &Value) -> String {
    match &field["default"] {
        Value::String(text) if !text.is_empty() => format!("`{text}`"),
        Value::Bool(switch) => format!("`{switch}`"),
        // An object's default is that of its fields.
        _ => String::new(),
    }
}

/// A table of every condition with its reasons.
fn conditions() -> String {
    use ConditionType::{Reconciling, SourceMoved};
    let mut table = "| condition | reason | meaning |\n|---|---|---|\n".to_owned();
    for kind in ConditionType::ALL {
        let _ = writeln!(table, "| **`{kind}`** | | {} |", kind.describe());
        for (place, reason) in kind.reasons().iter().enumerate() {
            let mark = match reason {
                _ if matches!(kind, Reconciling | SourceMoved) => "",
                _ if place == 0 => " *True.*",
                reason if reason.is_stalled() => " *Stalled.*",
                _ => "",
            };
            let _ = writeln!(table, "| | `{reason}` | {}{mark} |", reason.describe());
        }
    }
    table + &format!("| any | `{}` | {} |\n", Reason::NotJudged, Reason::NotJudged.describe())
}

/// A table of every metric.
fn metrics() -> String {
    let mut table = "| metric | kind | labels | meaning |\n|---|---|---|---|\n".to_owned();
    for Description { name, kind, labels, help } in descriptions() {
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        let _ = writeln!(table, "| `{name}` | {kind} | {} | {help} |", labels.join(", "));
    }
    table
}

/// The rules of the mapping, each with a test on real brokers that is named after it.
const RULES: u32 = 31;

#[test]
fn the_tests_table_names_a_test_for_every_rule() {
    let file = root().join("tests/README.md");
    let tests = behaviour_tests();
    let mut table = "| rule | tests |\n|---|---|\n".to_owned();
    let prefixes = (1..=RULES).map(|rule| (rule.to_string(), format!("rule_{rule:02}_")));
    let words = ["definition", "dialect"].map(|word| (word.to_owned(), format!("{word}_")));
    for (name, prefix) in prefixes.chain(words) {
        let of_rule: Vec<String> =
            tests.iter().filter_map(|(file, test)| Some(told(file, test.strip_prefix(&prefix)?))).collect();
        assert!(!of_rule.is_empty(), "no test in tests/behaviour begins with {prefix}");
        let _ = writeln!(table, "| {name} | {} |", of_rule.join("; "));
    }
    let (begin, end) = ("<!-- rules: begin, by make generate -->\n", "<!-- rules: end -->");
    let mut text = fs::read_to_string(&file).unwrap();
    let from = text.find(begin).expect("where the table begins") + begin.len();
    let to = text.find(end).expect("where the table ends");
    text.replace_range(from..to, &table);
    assert_same(&file, &text);
}

/// The tests of `tests/behaviour`, each with the name of its file.
fn behaviour_tests() -> Vec<(String, String)> {
    let mut tests = Vec::new();
    for entry in fs::read_dir(root().join("tests/behaviour")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let after_attribute = text.split("#[test]\nfn ").skip(1);
        // How it is run is no part of what it is about.
        let bare = |name: &str| name.strip_prefix("alone_").unwrap_or(name).to_owned();
        let names = after_attribute.filter_map(|rest| rest.split_once("()").map(|(name, _)| bare(name)));
        let file = path.file_stem().unwrap().to_string_lossy().into_owned();
        tests.extend(names.map(|name| (file.clone(), name)));
    }
    tests.sort();
    tests
}

/// A test's name as the sentence that it is.
fn told(file: &str, name: &str) -> String {
    format!("{} (`{file}`)", name.replace("_s_", "'s ").replace('_', " "))
}
