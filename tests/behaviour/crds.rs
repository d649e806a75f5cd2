//! What the API server makes of the CRDs: defaults, refusals, explanations, columns. No operator is needed.

use std::{fs, process::Command};

use kube::api::PostParams;
use serde_json::{Value, json};

use crate::harness::{
    AppMigration, AppMigrationSpec, Case, specs,
    stack::{binary, block_on, kubectl},
};

/// What the server says to an object of this spec; with the metadata name `app`.
#[allow(clippy::needless_pass_by_value)]
fn apply(case: &Case, kind: &str, spec: Value) -> Result<String, String> {
    let object = json!({ "apiVersion": "k2k.dev/v1alpha1", "kind": kind, "metadata": { "name": "app" }, "spec": spec });
    let file = std::env::temp_dir().join(format!("{}.json", case.namespace));
    fs::write(&file, object.to_string()).unwrap();
    let file = file.to_str().unwrap();
    kubectl(&["-n", &case.namespace, "create", "--dry-run=server", "-o", "json", "-f", file])
}

fn migration(change: impl FnOnce(&mut Value)) -> Value {
    let mut spec = json!({ "replicatorRef": { "name": "k2k" }, "consumerGroup": "orders-app" });
    change(&mut spec);
    spec
}

fn replicator(change: impl FnOnce(&mut Value)) -> Value {
    let mut spec = json!({
        "source": { "bootstrapServers": "a:9092" }, "target": { "bootstrapServers": "b:9092" },
        "replication": [{ "topics": ["orders"] }],
    });
    change(&mut spec);
    spec
}

fn refused(case: &Case, kind: &str, spec: Value, words: &[&str]) {
    let text = spec.to_string();
    let error = apply(case, kind, spec).expect_err(&text);
    for word in words {
        assert!(error.contains(word), "{text}: `{word}` is not in `{error}`");
    }
}

#[test]
fn migrations_that_are_refused() {
    let case = Case::new("refusedmigrations");
    let refused =
        |change: fn(&mut Value), words: &[&str]| refused(&case, "AppMigration", migration(change), words);
    refused(|s| s["quietPeriod"] = json!("0s"), &["quietPeriod must be between 1s and 1h"]);
    refused(|s| s["quietPeriod"] = json!("2h"), &["quietPeriod must be between 1s and 1h"]);
    refused(|s| s["quietPeriod"] = json!("soon"), &["quietPeriod"]);
    refused(|s| s["consumerGroup"] = json!(""), &["consumerGroup"]);
    refused(|s| s["policies"] = json!({ "gap": "Perhaps" }), &["spec.policies.gap", "Perhaps", "Accept"]);
    refused(
        |s| s["policies"] = json!({ "existingTargetOffsets": "overwrite" }),
        &["existingTargetOffsets", "Overwrite"],
    );
    refused(|s| s["policy"] = json!({}), &["policy"]);
    refused(
        |s| {
            s.as_object_mut().unwrap().remove("replicatorRef");
        },
        &["replicatorRef", "Required"],
    );
    let name = "n".repeat(241);
    let object = json!({ "apiVersion": "k2k.dev/v1alpha1", "kind": "AppMigration", "metadata": { "name": name }, "spec": migration(|_| {}) });
    let file = std::env::temp_dir().join(format!("{}-long.json", case.namespace));
    fs::write(&file, object.to_string()).unwrap();
    let error = kubectl(&["-n", &case.namespace, "create", "--dry-run=server", "-f", file.to_str().unwrap()])
        .unwrap_err();
    assert!(error.contains("at most 240 characters"), "{error}");
}

#[test]
fn replicators_that_are_refused() {
    let case = Case::new("refusedreplicators");
    let refused =
        |change: fn(&mut Value), words: &[&str]| refused(&case, "K2KReplicator", replicator(change), words);
    let one_of = "exactly one of pipelineFrom and replication must be set";
    refused(|s| s["pipelineFrom"] = json!({ "configMapRef": { "name": "p" } }), &[one_of]);
    refused(
        |s| {
            s.as_object_mut().unwrap().remove("replication");
        },
        &[one_of],
    );
    refused(|s| s["replication"] = json!([]), &["replication"]);
    refused(
        |s| {
            s.as_object_mut().unwrap().remove("source");
        },
        &["source and target are required"],
    );
    let sasl =
        json!({ "mechanism": "PLAIN", "username": "u", "passwordSecretRef": { "name": "s", "key": "k" } });
    let mut spec = replicator(|_| {});
    spec["source"]["sasl"] = sasl.clone();
    self::refused(&case, "K2KReplicator", spec.clone(), &["sasl requires tls to be stated"]);
    spec["source"]["tls"] = json!({ "enabled": false });
    apply(&case, "K2KReplicator", spec.clone()).unwrap();
    spec["source"]["sasl"]["mechanism"] = json!("GSSAPI");
    self::refused(&case, "K2KReplicator", spec, &["GSSAPI", "SCRAM-SHA-512"]);
    refused(|s| s["target"]["tls"] = json!({}), &["enabled"]);
    refused(
        |s| {
            s["target"]["tls"] =
                json!({ "enabled": true, "certificateSecretRef": { "name": "s", "key": "k" } });
        },
        &["mutual TLS needs both"],
    );
    refused(
        |s| s["replication"][0]["target"] = json!({ "topicName": "all", "topicPrefix": "eu." }),
        &["topicName stands alone"],
    );
}

#[test]
fn defaults_are_the_careful_choice() {
    let case = Case::new("defaults");
    let object: Value =
        serde_json::from_str(&apply(&case, "AppMigration", migration(|_| {})).unwrap()).unwrap();
    assert_eq!(
        object["spec"],
        json!({
            "replicatorRef": { "name": "k2k" }, "consumerGroup": "orders-app",
            "stopConfirmed": false, "suspend": false, "quietPeriod": "10s",
            "policies": {
                "existingTargetOffsets": "Fail", "gap": "Fail", "reprocessing": "Accept",
                "unreplicatedTopics": "Fail", "uncommittedPartitions": "Skip", "nativeRecords": "Report",
                "recordTimestamps": "Require", "replicationProof": "Require", "verification": "Backlog",
            },
        })
    );
    let object: Value =
        serde_json::from_str(&apply(&case, "K2KReplicator", replicator(|_| {})).unwrap()).unwrap();
    let spec = &object["spec"];
    assert_eq!(spec["features"]["keepRecordCreationTimestamp"], "Enabled");
    let headers =
        json!({ "topic": "Disabled", "partition": "Disabled", "offset": "Disabled", "pipeline": "Disabled" });
    assert_eq!(spec["features"]["tracingHeaders"], headers);
    assert_eq!(spec["tracing"]["encoding"], "Auto");
    assert_eq!(spec["tracing"]["headers"]["offset"], "k2k_offset");
    assert!(spec["pipelineName"].is_null(), "a default that depends on another field is not written");
}

#[test]
fn every_field_is_explained() {
    for kind in ["appmigrations", "k2kreplicators"] {
        let schema: Value = serde_json::from_str(
            &kubectl(&["get", "crd", &format!("{kind}.k2k.dev"), "-o", "json"]).unwrap(),
        )
        .unwrap();
        let root = &schema["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let mut silent = Vec::new();
        for part in ["spec", "status"] {
            unexplained(&root["properties"][part], &format!("{kind}.{part}"), &mut silent);
        }
        assert!(silent.is_empty(), "without a description: {silent:?}");
    }
}

/// Fields without a description. Those of a condition are Kubernetes' own.
fn unexplained(schema: &Value, path: &str, silent: &mut Vec<String>) {
    if schema["description"].as_str().unwrap_or_default().is_empty() {
        silent.push(path.to_owned());
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        unexplained(field, &format!("{path}.{name}"), silent);
    }
    for (name, field) in schema["items"]["properties"].as_object().into_iter().flatten() {
        unexplained(field, &format!("{path}.{name}"), silent);
    }
}

#[test]
fn kubectl_explains_the_policies_and_their_values() {
    let text = kubectl(&["explain", "appmigrations.spec.policies"]).unwrap();
    for policy in [
        "existingTargetOffsets",
        "gap",
        "reprocessing",
        "unreplicatedTopics",
        "uncommittedPartitions",
        "nativeRecords",
        "recordTimestamps",
        "replicationProof",
        "verification",
    ] {
        assert!(text.contains(policy), "{policy}: {text}");
    }
    let text = kubectl(&["explain", "appmigrations.spec.policies.existingTargetOffsets"]).unwrap();
    for word in ["Fail", "Forward", "Overwrite", "allow-rewind"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let text = kubectl(&["explain", "k2k.spec.source.consumerGroup"]).unwrap();
    assert!(text.contains("position"), "{text}");
}

/// To kstatus an object without a status would be finished.
#[test]
fn an_object_that_nobody_has_looked_at_is_in_progress() {
    let case = Case::new("unseen");
    let suspended = AppMigrationSpec { suspend: true, ..specs::migration("nobody") };
    let created = AppMigration::new("app", suspended);
    let created = block_on(case.api().create(&PostParams::default(), &created)).unwrap();
    assert_eq!(created.status.unwrap().observed_generation, Some(-1));
}

#[test]
fn short_names_and_columns() {
    let case = Case::new("columns");
    let object = json!({
        "apiVersion": "k2k.dev/v1alpha1", "kind": "AppMigration", "metadata": { "name": "app" },
        // Suspended: whatever operator runs leaves it alone.
        "spec": migration(|s| s["suspend"] = json!(true)),
    });
    let file = std::env::temp_dir().join(format!("{}-columns.json", case.namespace));
    fs::write(&file, object.to_string()).unwrap();
    kubectl(&["-n", &case.namespace, "create", "-f", file.to_str().unwrap()]).unwrap();
    let header = |args: &[&str]| {
        let text = kubectl(&[&["-n", &case.namespace, "get", "appmig"], args].concat()).unwrap();
        let columns: Vec<String> =
            text.lines().next().unwrap().split("  ").map(|c| c.trim().to_owned()).collect();
        columns.into_iter().filter(|c| !c.is_empty()).collect::<Vec<_>>()
    };
    let narrow = ["NAME", "REPLICATOR", "GROUP", "READY", "REASON", "PARTITIONS", "REREAD", "AGE"];
    assert_eq!(header(&[]), narrow);
    let wide = [
        "NAME",
        "REPLICATOR",
        "GROUP",
        "TARGET GROUP",
        "READY",
        "REASON",
        "PARTITIONS",
        "EXACT",
        "REREAD",
        "AGE",
        "MESSAGE",
    ];
    assert_eq!(header(&["-o", "wide"]), wide);
    // A category of that name would stand for both kinds, and no object could be asked for by the short name.
    let error = kubectl(&["-n", &case.namespace, "get", "k2k", "nothing"]).unwrap_err();
    assert!(error.contains(r#"k2kreplicators.k2k.dev "nothing" not found"#), "{error}");
    kubectl(&["-n", &case.namespace, "get", "k2kreplicators,appmigrations"]).unwrap();
}

#[test]
fn the_shipped_crds_are_those_of_the_binary() {
    let printed = Command::new(binary()).arg("crds").output().unwrap();
    assert!(printed.status.success());
    let printed = String::from_utf8(printed.stdout).unwrap();
    let mut shipped = Vec::new();
    for name in ["appmigrations", "k2kreplicators"] {
        let file = format!("{}/crds/{name}.k2k.dev.yaml", env!("CARGO_MANIFEST_DIR"));
        shipped.push(fs::read_to_string(file).unwrap());
    }
    let documents: Vec<&str> = printed.split("---\n").filter(|d| !d.is_empty()).collect();
    assert_eq!(documents, shipped, "run `appmigration crds --dir crds`");
}
