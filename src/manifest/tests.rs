use std::path::Path;

use super::{Manifest, parse};
use crate::api::v1alpha1::{K2KReplicator, TargetPartitioning};

const GOOD: &str = "
apiVersion: v1
kind: Secret
metadata: { name: eu-user }
data: { password: bWlncmF0b3Itc2VjcmV0 }
stringData: { user: migrator }
---
apiVersion: k2k.dev/v1alpha1
kind: K2KReplicator
metadata: { name: eu-to-us }
spec:
  source: { bootstrapServers: \"eu:9092\", consumerGroup: k2k }
  target: { bootstrapServers: \"us:9092\", properties: { linger.ms: \"20\" } }
  replication:
    - topics: [orders]
      target: { partition: Producer }
---
";

fn manifest(text: &str) -> Manifest {
    let documents = serde_saphyr::from_multiple(text).unwrap();
    Manifest { path: Path::new("replicator.yaml").to_owned(), documents }
}

fn refused(text: &str) -> String {
    manifest(text).object::<K2KReplicator>(None).unwrap_err().to_string()
}

#[test]
fn the_replicator_and_the_secrets_are_found_among_several_documents() {
    let manifest = manifest(GOOD);
    let replicator: K2KReplicator = manifest.object(None).unwrap();
    let routes = replicator.spec.replication.unwrap();
    assert_eq!(routes[0].target.partition, TargetPartitioning::Producer);
    let secrets = manifest.secrets().unwrap();
    assert_eq!(secrets["eu-user"]["password"], b"migrator-secret");
    assert_eq!(secrets["eu-user"]["user"], b"migrator");
}

#[test]
fn a_misspelt_field_is_named_with_its_path_and_what_there_is() {
    let error = refused(&GOOD.replace("partition: Producer", "partitions: Producer"));
    assert!(error.starts_with("replicator.yaml: K2KReplicator `eu-to-us`: "), "{error}");
    assert!(error.contains("spec.replication[0].target.partitions is not a field"), "{error}");
    assert!(error.contains("topicPrefix"), "{error}");
}

#[test]
fn wrong_values_and_types_are_named() {
    let error = refused(&GOOD.replace("Producer", "producer"));
    assert!(
        error.contains("spec.replication[0].target.partition must be one of Source, Producer"),
        "{error}"
    );
    let error = refused(&GOOD.replace("\"20\"", "20"));
    assert!(error.contains("spec.target.properties.linger.ms must be a string; put it in quotes"), "{error}");
    let error = refused(&GOOD.replace("topics: [orders]", "topics: []"));
    assert!(error.contains("spec.replication[0].topics must have at least 1 entries"), "{error}");
    let error = refused(&GOOD.replace("bootstrapServers: \"eu:9092\", ", ""));
    assert!(error.contains("spec.source.bootstrapServers is missing"), "{error}");
}

#[test]
fn another_kind_or_several_of_it_need_a_word() {
    let error = refused(&GOOD.replace("K2KReplicator", "K2kReplicator"));
    assert!(error.contains("no K2KReplicator of k2k.dev/v1alpha1"), "{error}");
    assert!(error.contains("v1/Secret `eu-user`, k2k.dev/v1alpha1/K2kReplicator `eu-to-us`"), "{error}");
    let two = format!("{GOOD}{}", GOOD.replace("eu-to-us", "us-to-eu"));
    assert!(refused(&two).contains("(eu-to-us, us-to-eu); choose one with --name"));
    let chosen: K2KReplicator = manifest(&two).object(Some("us-to-eu")).unwrap();
    assert_eq!(chosen.metadata.name.as_deref(), Some("us-to-eu"));
}

#[test]
fn a_secret_that_is_no_base64_is_not_quoted() {
    let error =
        manifest(&GOOD.replace("bWlncmF0b3Itc2VjcmV0", "hunter2!")).secrets().unwrap_err().to_string();
    assert!(error.contains("Secret `eu-user`") && !error.contains("hunter2"), "{error}");
}

#[test]
fn a_mistake_in_a_secret_does_not_show_it() {
    for wrong in ["password: \"hunter2-secret", "password: hunter2-secret: x", "password: [hunter2-secret"] {
        let error = parse(&format!("kind: Secret\nstringData:\n  {wrong}\n")).unwrap_err();
        assert!(!error.contains("hunter2") && error.contains("line"), "{error}");
    }
}
