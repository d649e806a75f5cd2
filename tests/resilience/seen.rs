//! What can be seen of the operator from outside: metrics, probes, logs, events.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::Value;

use crate::harness::{
    Case, GapPolicy, Reason, Side,
    collector::{self, Collector, attribute},
    http, json,
    openmetrics::Samples,
    operator,
    stack::{DEADLINE, kubectl},
    v1alpha1::Summary,
};

/// The value of one series, by its name without the prefix.
fn value(samples: &Samples, series: &str) -> f64 {
    let name = format!("appmigration_{series}");
    *samples.get(&name).unwrap_or_else(|| panic!("no {name} in {:#?}", samples.keys()))
}

/// Waits until a series has this value.
fn comes_to(series: &str, wanted: f64) {
    let start = std::time::Instant::now();
    loop {
        let samples = http::metrics();
        if (value(&samples, series) - wanted).abs() < 0.5 {
            return;
        }
        assert!(start.elapsed() < DEADLINE, "{series} is {}, not {wanted}", value(&samples, series));
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

#[test]
fn metrics_tell_what_the_status_tells() {
    let case = Case::alone("metrics");
    operator::restart();
    // 0: rewound twice, 3 records are read again (rule 5); 1: two records of it never came; 2: up to 2 of c = 6.
    let orders = case.topic("orders", 3);
    orders.fill(0, 9).copy(0, (0..8).chain(6..8).chain(2..5).chain(8..9));
    orders.fill(1, 10).copy(1, (0..4).chain(6..10));
    orders.fill(2, 10).copy(2, 0..2);
    case.committed(&orders, &[(0, 5), (1, 4), (2, 6)]);
    // A target that nobody listens on, first.
    case.replicator(|spec| spec.target.as_mut().unwrap().bootstrap_servers = "127.0.0.1:1".into());
    case.replicator_says(Reason::TargetUnavailable);
    comes_to("replicators{reason=\"TargetUnavailable\"}", 1.0);
    let samples = http::metrics();
    let errors = "errors_total{controller=\"K2KReplicator\",reason=\"TargetUnavailable\"}";
    assert!(value(&samples, errors) > 0.0);
    assert!(value(&samples, "kafka_calls_total{call=\"connect\",outcome=\"unreachable\"}") > 0.0);
    // A cluster that does not answer is no trouble of the process.
    http::comes_to("/livez", 200, "ok");
    http::comes_to("/readyz", 200, "ok");
    case.edit_replicator(|spec| spec.target.as_mut().unwrap().bootstrap_servers = Side::Target.bootstrap());
    let app = case.migrate(|spec| spec.policies.gap = GapPolicy::Accept);
    app.waits(Reason::ReplicationBehind, &[&orders.at(2)]);
    comes_to("migrations{reason=\"ReplicationBehind\"}", 1.0);
    comes_to("lag_records", 4.0);
    // The quiet period alone took one.
    assert!(value(&http::metrics(), "longest_stop_seconds") >= 1.0);
    orders.copy(2, 2..10);
    let Summary { partitions, reread, gaps, .. } = app.completes();
    assert_eq!((partitions, reread, gaps), (3, 3, 2));

    comes_to("migrations{reason=\"Completed\"}", 1.0);
    let samples = http::metrics();
    let value = |series: &str| value(&samples, series);
    let expected = BTreeMap::from([
        ("completed_total", 1.0),
        ("committed_partitions_total", 3.0),
        ("reread_records_total", 3.0),
        ("gap_records_total", 2.0),
        ("migration_duration_seconds_count", 1.0),
        ("lag_records", 0.0),
        ("longest_stop_seconds", 0.0),
        ("migrations{reason=\"ReplicationBehind\"}", 0.0),
        ("migrations{reason=\"TargetGroupActive\"}", 0.0),
        ("replicators{reason=\"Ready\"}", 1.0),
        ("kafka_calls_total{call=\"commit_offsets\",outcome=\"ok\"}", 1.0),
        ("kafka_clients", 2.0),
    ]);
    for (series, wanted) in expected {
        assert!((value(series) - wanted).abs() < f64::EPSILON, "{series} is {}, not {wanted}", value(series));
    }
    for more_than_none in [
        "reconciles_total{controller=\"AppMigration\",outcome=\"success\"}",
        "reconcile_duration_seconds_count{controller=\"K2KReplicator\"}",
        "mapping_duration_seconds_count",
        "read_records_total{by=\"scan\"}",
        "kafka_call_duration_seconds_count{call=\"scan\"}",
        "kubernetes_requests_total{verb=\"update\",resource=\"appmigrations\",outcome=\"ok\"}",
        "kubernetes_request_duration_seconds_count{verb=\"watch\",resource=\"k2kreplicators\"}",
    ] {
        assert!(value(more_than_none) > 0.0, "{more_than_none}");
    }
    let info = format!("build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    assert!((value(&info) - 1.0).abs() < f64::EPSILON);
    // What is gone is counted no more; and nothing of what a user named is a label, before or after.
    app.delete();
    comes_to("migrations{reason=\"Completed\"}", 0.0);
    for named in [case.namespace.as_str(), &case.group, "k2k\"", "127.0.0.1"] {
        let absent = |series: &String| !series.contains(named);
        assert!(samples.keys().all(absent) && http::metrics().keys().all(absent), "{named}");
    }
}

#[test]
fn crds_that_come_late_and_go_away_are_waited_for() {
    let case = Case::alone("crds");
    operator::stop();
    remove_crds();
    operator::start_without_waiting(&[]);
    http::comes_to("/readyz", 503, "the CRD appmigrations.k2k.dev is not installed");
    http::comes_to("/livez", 200, "ok");
    install_crds();
    http::comes_to("/readyz", 200, "ok");
    case.replicator(|_| {});
    case.replicator_says(Reason::Ready);

    remove_crds();
    http::comes_to("/readyz", 503, "is not installed");
    http::comes_to("/livez", 200, "ok");
    install_crds();
    http::comes_to("/readyz", 200, "ok");
    case.replicator(|_| {});
    migrates(&case, "app");
    assert!(operator::is_running());
}

fn migrates(case: &Case, name: &str) {
    let orders = case.topic(name, 1);
    orders.fill(0, 10).copy(0, 0..10);
    let group = format!("{}-{name}", case.group);
    case.commit(Side::Source, &group, [((orders.name.clone(), 0), 4.into())].into());
    case.migrate_as(name, |spec| spec.consumer_group = group).completes_exactly();
}

fn crds() -> String {
    format!("{}/crds", env!("CARGO_MANIFEST_DIR"))
}

fn remove_crds() {
    kubectl(&["delete", "--wait=true", "--timeout=60s", "-f", &crds()]).unwrap();
}

fn install_crds() {
    kubectl(&["apply", "--server-side", "-f", &crds()]).unwrap();
    kubectl(&["wait", "--for", "condition=Established", "--timeout=60s", "-f", &crds()]).unwrap();
}

#[test]
fn one_event_and_one_line_for_a_wait_whose_numbers_change() {
    let case = Case::new("onevent");
    let orders = case.topic("orders", 1);
    orders.fill(0, 30).copy(0, 0..2);
    case.committed(&orders, &[(0, 20)]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    for copied in [2, 5, 9, 14] {
        app.comes_to_say(Reason::ReplicationBehind, &[&format!("waiting for {} records", 20 - copied)]);
        orders.copy(0, copied..[5, 9, 14, 30][[2, 5, 9, 14].iter().position(|c| *c == copied).unwrap()]);
    }
    app.completes_exactly();
    let events = kubectl(&["-n", &case.namespace, "get", "events.events.k8s.io", "-o", "json"]).unwrap();
    let events: Value = serde_json::from_str(&events).unwrap();
    let told: Vec<&Value> = events["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| {
            event["regarding"]["kind"] == "AppMigration" && event["reason"] == "ReplicationBehind"
        })
        .collect();
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0]["series"].is_null(), "{:#}", told[0]);
    let lines = operator::log_about(&case.namespace, 1_000);
    let lines: Vec<&str> = lines.lines().filter(|line| line.contains("ReplicationBehind")).collect();
    assert_eq!(lines.len(), 1, "{lines:#?}");
}

#[test]
fn traces_and_json_logs_tell_of_each_reconcile() {
    let case = Case::alone("traces");
    // A collector that never answers holds nothing up: neither a migration nor the end.
    operator::stop();
    let (listener, nobody) = collector::black_hole();
    operator::start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &nobody)]);
    case.replicator(|_| {});
    migrates(&case, "first");
    operator::stop();
    assert!(!operator::is_running());
    assert!(operator::log().contains("the OpenTelemetry collector does not take traces"));
    drop(listener);

    let collector = Collector::start();
    let before = operator::log().len();
    operator::start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint),
        ("APPMIGRATION_LOG_FORMAT", "json"),
        ("APPMIGRATION_LOG_LEVEL", "info,appmigration=debug"),
    ]);
    migrates(&case, "second");
    // What is left is sent and written at the end.
    operator::stop();
    spans_of_a_migration(&case, &collector.spans());
    lines_of_a_migration(&case, &operator::log()[before..]);
}

/// Those of `second`.
fn spans_of_a_migration(case: &Case, spans: &[(String, Span)]) {
    assert!(spans.iter().all(|(service, _)| service == "appmigration-operator"));
    let of = |name: &str, key: &str, value: &str| -> Vec<&Span> {
        let all = spans.iter().map(|(_, span)| span);
        all.filter(|span| span.name == name && attribute(&span.attributes, key) == value).collect()
    };
    let commits = of("kafka", "call", "commit_offsets");
    assert_eq!(commits.len(), 1, "{commits:#?}");
    let commit = commits[0];
    let reconciles = of("reconcile", "object", "second");
    let reconcile = reconciles.iter().find(|s| s.span_id == commit.parent_span_id).expect("its reconcile");
    let told = ["namespace", "controller", "generation"].map(|key| attribute(&reconcile.attributes, key));
    assert_eq!(told, [case.namespace.clone(), "AppMigration".to_owned(), "1".to_owned()]);
    assert!(reconcile.start_time_unix_nano <= commit.start_time_unix_nano);
    assert!(commit.end_time_unix_nano <= reconcile.end_time_unix_nano);
    // What led to it is in the same trace.
    let in_trace = |found: Vec<&Span>| found.iter().any(|span| span.trace_id == commit.trace_id);
    assert!(in_trace(of("kubernetes", "resource", "appmigrations")), "the announcement");
    assert!(in_trace(of("kubernetes", "resource", "configmaps")), "the journal");
    assert!(in_trace(of("kafka", "call", "scan")) && in_trace(of("mapping", "", "")), "the mapping");
    // Connections are shared, and belong to who asked first.
    assert!(of("kafka", "call", "connect").iter().all(|span| !span.parent_span_id.is_empty()));
}

fn lines_of_a_migration(case: &Case, log: &str) {
    let lines: Vec<Value> = log.lines().map(|line| json::strict(line).unwrap()).collect();
    let is_ours = |line: &&Value| {
        line["span"]["namespace"] == case.namespace.as_str() && line["span"]["object"] == "second"
    };
    let ours: Vec<&Value> = lines.iter().filter(is_ours).collect();
    for line in &ours {
        let span = &line["span"];
        assert!(span["controller"] == "AppMigration" && span["generation"] == 1, "{line}");
        assert_eq!(span["id"].as_str().unwrap_or_default().len(), 8, "{line}");
    }
    let completed: Vec<_> = ours.iter().filter(|line| line["reason"] == "Completed").collect();
    assert_eq!(completed.len(), 1, "{completed:#?}");
    // The calls that led there, each with its time and the same reconcile.
    let commit = ours.iter().find(|line| line["call"] == "commit_offsets").expect("the commit");
    assert!(commit["seconds"].is_f64() && commit["outcome"] == "ok", "{commit}");
    assert_eq!(commit["span"]["id"], completed[0]["span"]["id"]);
}
