//! The replicator is missing, not usable, or does not mark its copies well enough.

use crate::harness::{
    Case, Reason, RecordTimestamps, Side, Toggle, Topic, specs,
    stack::{DEADLINE, var},
    v1alpha1::SaslMechanism,
};

/// 0: 0..10 on both sides, c = 4.
fn plain(case: &Case) -> Topic<'_> {
    let orders = case.topic("orders", 1);
    orders.fill(0, 10).copy(0, 0..10);
    case.committed(&orders, &[(0, 4)]);
    orders
}

#[test]
fn a_missing_replicator_is_waited_for() {
    let case = Case::new("noreplicator");
    plain(&case);
    let app = case.migrate(|_| {});
    app.waits(Reason::ReplicatorNotFound, &["k2k"]);
    case.replicator(|_| {});
    app.completes_exactly();
}

#[test]
fn a_replicator_that_does_not_reach_its_cluster() {
    let case = Case::new("notready");
    plain(&case);
    case.replicator(|spec| spec.target.as_mut().unwrap().bootstrap_servers = "127.0.0.1:1".into());
    let text = case.replicator_says(Reason::TargetUnavailable);
    assert!(text.contains("127.0.0.1:1"), "{text}");
    let app = case.migrate(|_| {});
    app.waits(Reason::ReplicatorNotReady, &["k2k", "127.0.0.1:1"]);
    case.edit_replicator(|spec| spec.target.as_mut().unwrap().bootstrap_servers = Side::Target.bootstrap());
    app.completes_exactly();
}

#[test]
fn a_spec_that_cannot_be_used() {
    let case = Case::new("badspec");
    plain(&case);
    case.replicator(|spec| spec.replication.as_mut().unwrap()[0].topics = vec!["orders[".into()]);
    let text = case.replicator_says(Reason::InvalidSpec);
    assert!(text.contains("orders["), "{text}");
    let app = case.migrate(|_| {});
    // Whatever the replicator's own reason: for the migration it is a wait.
    app.waits(Reason::ReplicatorNotReady, &["k2k"]);
    case.edit_replicator(|spec| spec.replication.as_mut().unwrap()[0].topics = vec![".*-orders".into()]);
    app.completes_exactly();
}

#[test]
fn a_pattern_that_no_topic_matches() {
    let case = Case::new("unmatched");
    let orders = plain(&case);
    let [there, nowhere] = [orders.name.clone(), format!("{}-retruns-.*", case.namespace)];
    case.replicator(|spec| {
        spec.replication.as_mut().unwrap()[0].topics = vec![there.clone(), nowhere.clone()];
    });
    let text = case.replicator_says(Reason::Ready);
    assert!(text.ends_with(&format!("; no topic of the source matches {nowhere}")), "{text}");
}

#[test]
fn a_property_outside_the_allow_list() {
    let case = Case::new("property");
    case.replicator(|spec| {
        let properties = &mut spec.target.as_mut().unwrap().properties;
        properties.insert("plugin.library.paths".into(), "/tmp/evil.so".into());
    });
    let text = case.replicator_says(Reason::InvalidSpec);
    assert!(text.contains("plugin.library.paths"), "{text}");
}

#[test]
fn without_the_offset_header() {
    let case = Case::new("nooffset");
    plain(&case);
    case.replicator(|spec| spec.features.tracing_headers.offset = Toggle::Disabled);
    // That is no fault of the replicator, but not enough for a migration.
    case.replicator_says(Reason::Ready);
    let app = case.migrate(|_| {});
    app.stalls(Reason::TracingHeadersDisabled, &["offset"]);
    case.edit_replicator(|spec| spec.features.tracing_headers.offset = Toggle::Enabled);
    app.completes_exactly();
}

#[test]
fn what_the_route_tells_needs_no_header() {
    let case = Case::new("implied");
    plain(&case);
    case.replicator(|spec| {
        spec.features.tracing_headers.topic = Toggle::Disabled;
        spec.features.tracing_headers.partition = Toggle::Disabled;
    });
    case.migrate(|_| {}).completes_exactly();
}

#[test]
fn without_record_timestamps() {
    let case = Case::new("timestamps");
    plain(&case);
    case.replicator(|spec| spec.features.keep_record_creation_timestamp = Toggle::Disabled);
    let app = case.migrate(|_| {});
    app.stalls(Reason::TimestampsNotKept, &["keepRecordCreationTimestamp", "recordTimestamps"]);
    app.edit(|spec| spec.policies.record_timestamps = RecordTimestamps::Ignore);
    app.completes_exactly();
}

#[test]
fn a_missing_secret_and_then_a_missing_key() {
    let case = Case::new("nosecret");
    plain(&case);
    let pki = std::fs::read_to_string(format!("{}/ca.crt", var("PKI_DIR"))).unwrap();
    case.secret("ca", &[("ca.crt", &pki)]);
    case.replicator(|spec| {
        spec.target = Some(specs::sasl_ssl(Side::Target, "migrator", SaslMechanism::ScramSha512));
    });
    let text = case.replicator_says(Reason::SecretNotFound);
    assert!(text.contains("user"), "{text}");
    let app = case.migrate(|_| {});
    app.waits(Reason::ReplicatorNotReady, &["k2k"]);
    case.secret("user", &[("passwort", "migrator-secret")]);
    let named = |o: &serde_json::Value| o["status"].to_string().contains("no key `password`");
    case.wait_for("K2KReplicator", "k2k", "a message that names the key", DEADLINE, named);
    case.secret("user", &[("password", "migrator-secret")]);
    app.completes_exactly();
}
