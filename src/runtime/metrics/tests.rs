use std::collections::BTreeSet;

use super::{encode, metrics};
use crate::api::v1alpha1::Reason;

/// Every label that there may be. None of them can hold what a user chose.
const LABELS: [&str; 9] =
    ["by", "call", "controller", "le", "outcome", "reason", "resource", "verb", "version"];
/// What a name may end with besides a plural noun.
const UNITS: [&str; 4] = ["bytes", "partitions", "records", "seconds"];

/// One series of each family, so that all of it is to be seen.
fn fill() {
    let m = metrics();
    let (controller, outcome) = ("AppMigration", "success");
    let _ = m.reconciles.get_or_create(&super::ReconcileLabels { controller, outcome });
    let _ = m.reconcile_duration.get_or_create(&super::ControllerLabel { controller });
    let _ = m.errors.get_or_create(&super::ErrorLabels::new(controller, Reason::SourceUnavailable));
    let _ = m.migrations.get_or_create(&Reason::Completed.into());
    let _ = m.replicators.get_or_create(&Reason::Ready.into());
    let _ = m.read.get_or_create(&super::Reading { by: "scan" });
    let _ = m.kafka_calls.get_or_create(&super::KafkaLabels { call: "connect", outcome });
    let _ = m.kafka_call_duration.get_or_create(&super::CallLabel { call: "connect" });
    let (verb, resource) = ("get", "secrets");
    let _ = m.kubernetes_requests.get_or_create(&super::KubernetesLabels { verb, resource, outcome });
    let _ = m.kubernetes_request_duration.get_or_create(&super::VerbLabel { verb, resource });
}

#[test]
fn names_and_labels_are_by_convention() {
    fill();
    let text = encode();
    let mut families = BTreeSet::new();
    for line in text.lines().filter(|line| *line != "# EOF") {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(families.insert(name.to_owned()), "{name} is there twice");
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
            assert!(name.starts_with("appmigration_") || name.starts_with("process_"), "{name}");
            let unit = UNITS.iter().any(|unit| name.ends_with(&format!("_{unit}")));
            assert!(kind != "histogram" || name.ends_with("_seconds"), "{name} has no unit");
            // A unit is told; a count is of things.
            assert!(
                unit || name.ends_with('s')
                    || ["leader", "build", "completed"].iter().any(|n| name.ends_with(n)),
                "{name}"
            );
        } else if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(help.ends_with('.') && !help.ends_with("..") && help.len() > 5, "{name}: {help}");
        } else if let Some(rest) = line.strip_prefix("# UNIT ") {
            let (name, unit) = rest.split_once(' ').unwrap();
            assert!(name.ends_with(unit) && UNITS.contains(&unit), "{name} in {unit}");
        } else {
            let name = line.split(['{', ' ']).next().unwrap();
            assert!(families.iter().any(|family| name.starts_with(family.as_str())), "{line}");
            for label in labels(line) {
                assert!(LABELS.contains(&label), "{line}: label {label}");
            }
        }
    }
    let wanted =
        ["appmigration_reconcile_duration_seconds", "appmigration_lag_records", "appmigration_leader"];
    assert!(wanted.iter().all(|name| families.contains(*name)), "{families:?}");
}

fn labels(line: &str) -> impl Iterator<Item = &str> {
    let inside =
        line.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map_or("", |(inside, _)| inside);
    inside.split(',').filter_map(|pair| pair.split_once('=')).map(|(name, _)| name)
}

#[cfg(target_os = "linux")]
#[test]
fn the_process_is_measured() {
    let text = encode();
    let value = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("no {name}")).split(' ').nth(1).unwrap().parse::<f64>().unwrap()
    };
    assert!(value("process_resident_memory_bytes") > 1e6);
    assert!(value("process_threads") >= 1.0 && value("process_open_fds") >= 3.0);
    assert!(value("process_cpu_seconds_total") >= 0.0);
}
