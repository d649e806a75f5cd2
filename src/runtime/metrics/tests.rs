use std::collections::BTreeSet;

use super::{Description, KafkaLabels, descriptions, encode, metrics};

/// Every label that there may be. None of them can hold what a user chose.
const LABELS: [&str; 7] = ["by", "call", "controller", "outcome", "reason", "resource", "verb"];
/// What a name may end with besides a plural noun.
const UNITS: [&str; 4] = ["bytes", "partitions", "records", "seconds"];

#[test]
fn names_and_labels_are_by_convention() {
    let mut names = BTreeSet::new();
    for Description { name, kind, labels, help } in descriptions() {
        assert!(names.insert(name.clone()), "{name} is there twice");
        assert!(name.starts_with("appmigration_"), "{name}");
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
        let base = name.trim_end_matches("_total");
        assert_eq!(base != name, kind == "counter", "{name} is a {kind}");
        let unit = UNITS.iter().any(|unit| base.ends_with(&format!("_{unit}")));
        assert!(kind != "histogram" || base.ends_with("_seconds"), "{name} has no unit");
        // What has no unit counts things, or is a switch.
        let counts = base.ends_with('s') || base.ends_with("_completed") || base.ends_with("_leader");
        assert!(unit || counts, "{name}");
        assert!(
            help.ends_with('.') && help.starts_with(|c: char| c.is_ascii_uppercase() || c == '1'),
            "{help}"
        );
        assert!(labels.iter().all(|label| LABELS.contains(label)), "{name} {labels:?}");
    }
}

#[test]
fn a_scrape_has_them_under_these_names() {
    let outcome = "ok";
    let _ = metrics().kafka_calls.get_or_create(&KafkaLabels { call: "scan", outcome });
    metrics().reread.inc_by(3);
    let text = encode();
    for line in [
        "# TYPE appmigration_reread_records counter",
        "# UNIT appmigration_reread_records records",
        "appmigration_kafka_calls_total{call=\"scan\",outcome=\"ok\"} 0",
        "appmigration_leader 0",
        concat!("appmigration_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    assert!(text.ends_with("# EOF\n"));
    let described: BTreeSet<String> = descriptions().into_iter().map(|d| d.name).collect();
    for line in text.lines().filter(|line| line.starts_with("appmigration_")) {
        let name = line.split(['{', ' ']).next().unwrap();
        let base = ["_bucket", "_count", "_sum"].iter().find_map(|suffix| name.strip_suffix(suffix));
        let known = described.contains(name) || base.is_some_and(|base| described.contains(base));
        assert!(known || name == "appmigration_build_info", "{line}");
    }
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
