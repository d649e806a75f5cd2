//! `/metrics` as a strict scraper reads it: what breaks the `OpenMetrics` text format breaks the test.

use std::collections::BTreeMap;

/// By name and labels as they stand: `name{a="b"}`.
pub type Samples = BTreeMap<String, f64>;

/// One family's metadata.
#[derive(Default)]
struct Family {
    name: String,
    kind: String,
}

/// All samples of an exposition. Panics where it is not one.
pub fn parse(text: &str) -> Samples {
    let body = text.strip_suffix("# EOF\n").expect("the exposition ends with # EOF");
    let mut samples = Samples::new();
    let mut family = Family::default();
    let mut seen: Vec<String> = Vec::new();
    for line in body.lines() {
        if let Some(metadata) = line.strip_prefix("# ") {
            describe(metadata, &mut family, &mut seen);
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
        let (name, labels) = match series.split_once('{') {
            Some((name, rest)) => (name, rest.strip_suffix('}').unwrap_or_else(|| panic!("{line}"))),
            None => (series, ""),
        };
        let suffix =
            name.strip_prefix(&family.name).unwrap_or_else(|| panic!("{line} under {}", family.name));
        let allowed: &[&str] = match family.kind.as_str() {
            "counter" => &["_total"],
            "gauge" => &[""],
            "info" => &["_info"],
            "histogram" => &["_bucket", "_count", "_sum"],
            other => panic!("{name} is a {other}"),
        };
        assert!(allowed.contains(&suffix), "{line} in a {}", family.kind);
        check_labels(labels, line);
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
        assert!(family.kind == "gauge" || value >= 0.0, "{line}");
        assert!(samples.insert(series.to_owned(), value).is_none(), "{series} is there twice");
    }
    check_histograms(&samples);
    samples
}

fn describe(metadata: &str, family: &mut Family, seen: &mut Vec<String>) {
    let mut words = metadata.splitn(3, ' ');
    let (what, name, text) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap_or_default());
    if name != family.name {
        assert!(!seen.contains(&name.to_owned()), "{name} is described twice");
        seen.push(name.to_owned());
        *family = Family { name: name.to_owned(), kind: String::new() };
    }
    match what {
        "HELP" => assert!(!text.is_empty(), "{name} has no help"),
        "TYPE" => text.clone_into(&mut family.kind),
        "UNIT" => assert!(name.ends_with(&format!("_{text}")), "{name} in {text}"),
        _ => panic!("# {metadata}"),
    }
}

fn check_labels(labels: &str, line: &str) {
    for pair in labels.split(',').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or_else(|| panic!("{line}"));
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{line}");
        let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
        assert!(value.is_some_and(|v| !v.contains(['"', '\\'])), "{line}");
    }
}

/// Buckets ascend, and the last one is the count.
fn check_histograms(samples: &Samples) {
    for (series, count) in samples.iter().filter(|(series, _)| series.contains("_count")) {
        let (name, labels) = series.split_once("_count").unwrap();
        let labels = labels.trim_matches(['{', '}']);
        let of_this = |other: &str| {
            let rest = other.strip_prefix(name).and_then(|rest| rest.strip_prefix("_bucket{"));
            rest.is_some_and(|rest| labels.split(',').all(|label| rest.contains(label)))
        };
        let mut buckets: Vec<(f64, f64)> = samples
            .iter()
            .filter(|(other, _)| of_this(other))
            .map(|(other, value)| (le(other), *value))
            .collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert!(buckets.is_sorted_by(|a, b| a.1 <= b.1), "{series}: {buckets:?}");
        assert_eq!(buckets.last(), Some(&(f64::INFINITY, *count)), "{series}");
    }
}

fn le(series: &str) -> f64 {
    let (_, rest) = series.split_once("le=\"").unwrap_or_else(|| panic!("{series} has no le"));
    rest.split('"').next().unwrap().parse().unwrap()
}
