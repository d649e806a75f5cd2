//! Replicators that are filled from a K2K pipeline file in a ConfigMap, and `appmigration import`.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::harness::{
    AppMigration, Case, Copies, K2KReplicator, Member, Reason, Replicate, Side, Topic,
    conformance::condition,
    process::with_manifests,
    specs,
    stack::{DEADLINE, binary, block_on, eventually, var},
};

/// The pipeline's own ways: SCRAM over TLS on one side, everything that has no bearing, and the topics of the case.
fn file(case: &Case, password: &str) -> String {
    format!(
        r#"
name: eu-to-us
license: {{ acceptEula: true, token: "${{LENSES_TOKEN}}" }}
features: {{ exactlyOnce: enabled, tracingHeaders: enabled }}
source:
  kafka:
    common:
      bootstrap.servers: "{}"
      security.protocol: SASL_SSL
      sasl.mechanism: SCRAM-SHA-512
      sasl.jaas.config: 'org.apache.kafka.common.security.scram.ScramLoginModule required username="migrator" password="{password}";'
      ssl.truststore.type: PEM
      ssl.truststore.certificates: ${{EU_CA}}
      client.rack: eu-1a
    consumer: {{ group.id: k2k.eu }}
target: {{ kafka: {{ common: {{ bootstrap.servers: "{}" }} }} }}
coordination: {{ kafka: {{ commit: {{ group: k2k.eu }} }} }}
replication:
  - source: {{ topic: "{}-.*" }}
  - sink: {{ topic: source, partition: source }}
"#,
        var("SOURCE_SASL_SSL"),
        Side::Target.bootstrap(),
        case.namespace
    )
}

fn config_map(text: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "pipeline" },
        "data": { "config.yaml": text },
    })
}

fn store(case: &Case, text: &str) {
    let map: ConfigMap = serde_json::from_value(config_map(text)).unwrap();
    let params = PatchParams::apply("behaviour-tests").force();
    block_on(case.api::<ConfigMap>().patch("pipeline", &params, &Patch::Apply(&map))).unwrap();
}

fn environment(case: &Case) {
    case.secret("k2k-env", &[("EU_PASSWORD", "migrator-secret"), ("EU_CA", &specs::pki("ca.crt"))]);
}

/// The replicator `k2k`, from that file.
fn from_file(case: &Case) {
    case.replicator(|spec| {
        (spec.source, spec.target, spec.replication) = (None, None, None);
        spec.features = crate::harness::v1alpha1::Features::default();
        let from = json!({ "configMapRef": { "name": "pipeline" }, "secretRef": { "name": "k2k-env" } });
        spec.pipeline_from = Some(serde_json::from_value(from).unwrap());
    });
}

/// 0: 0..10, c = 4.
fn orders(case: &Case) -> Topic<'_> {
    let orders = case.topic("orders", 1);
    orders.fill(0, 10).copy(0, 0..10);
    case.committed(&orders, &[(0, 4)]);
    orders
}

const PASSWORD: &str = "${env:EU_PASSWORD}";

#[test]
fn a_migration_by_a_pipeline_file() {
    let case = Case::new("pipeline");
    orders(&case);
    environment(&case);
    store(&case, &file(&case, PASSWORD));
    from_file(&case);
    let message = case.replicator_says(Reason::Ready);
    assert!(message.contains("4 keys of the pipeline file are not used"), "{message}");
    let status = block_on(case.api::<K2KReplicator>().get("k2k")).unwrap().status.unwrap();
    assert_eq!(
        status.unused_keys,
        ["coordination", "features.exactlyOnce", "license", "source.kafka.consumer"]
    );
    case.migrate(|_| {}).completes_exactly();
}

/// The file comes later than the object, is wrong at first, and is mended: nothing else has to be touched.
#[test]
fn a_file_that_is_put_in_place_and_mended_is_seen() {
    let case = Case::new("pipeline-late");
    orders(&case);
    environment(&case);
    from_file(&case);
    let message = case.replicator_says(Reason::InvalidSpec);
    assert!(message.contains("there is no ConfigMap pipeline in this namespace"), "{message}");
    // A password in clear is refused, and shown to nobody.
    store(&case, &file(&case, "pipeline-canary"));
    let named = |words: &'static str| {
        move |o: &Value| {
            condition(o, "Ready").is_some_and(|c| c["message"].as_str().unwrap_or_default().contains(words))
        }
    };
    let words = "source.kafka.common.sasl.jaas.config (password) stands in the file";
    let object = case.wait_for("K2KReplicator", "k2k", "its word on the password", DEADLINE, named(words));
    assert!(!object["status"].to_string().contains("pipeline-canary"), "{object:#}");
    let app = case.migrate(|_| {});
    app.waits(Reason::ReplicatorNotReady, &[words]);
    store(&case, &file(&case, PASSWORD).replace("partition: source", "partition: 3"));
    let words = "replication[1].sink.partition must be source or producer";
    case.wait_for("K2KReplicator", "k2k", "its word on the partition", DEADLINE, named(words));
    store(&case, &file(&case, PASSWORD));
    case.replicator_says(Reason::Ready);
    app.completes_exactly();
}

/// The operator's account may read any ConfigMap of the namespace; names must not lead out of it.
#[test]
fn names_of_config_maps_lead_nowhere_else() {
    let case = Case::new("pipeline-name");
    case.replicator(|spec| {
        (spec.source, spec.target, spec.replication) = (None, None, None);
        let from = json!({ "configMapRef": { "name": "../../kube-system/configmaps/x" } });
        spec.pipeline_from = Some(serde_json::from_value(from).unwrap());
    });
    let message = case.replicator_says(Reason::InvalidSpec);
    assert!(message.contains("is no name of a ConfigMap"), "{message}");
}

/// The routes change between the plan and the commit: the plan is made anew.
#[test]
fn a_plan_by_a_former_file_is_not_committed() {
    let case = Case::new("pipeline-changes");
    let orders = orders(&case);
    environment(&case);
    store(&case, &file(&case, PASSWORD));
    from_file(&case);
    case.replicator_says(Reason::Ready);
    // A member on the target holds the commit up.
    let member = Member::classic(Side::Target, &case.group, &orders.name);
    let app = case.migrate(|_| {});
    app.waits(Reason::TargetGroupActive, &[&case.group]);
    let other = format!("{}-other", case.namespace);
    Side::Target.create_topic(&other, 1, &[]);
    Copies::default().of(&orders.name, 0, 0..10).write_to(&other, 0);
    let routed = file(&case, PASSWORD).replace("topic: source,", &format!("topic: {other},"));
    store(&case, &routed);
    member.leave();
    app.wait("Completed", DEADLINE, |o| o.status.as_ref().is_some_and(|s| s.completed_at.is_some()));
    assert_eq!(app.target_offset(&other, 0), Some(4));
}

/// `plan` and `replicate` have no Kubernetes: the file and its variables stand beside the manifest.
#[test]
fn the_commands_take_the_file_that_stands_beside_the_manifest() {
    let case = Case::new("pipeline-commands");
    let orders = case.topic("orders", 1);
    orders.fill(0, 10);
    case.committed(&orders, &[(0, 4)]);
    let from = json!({ "configMapRef": { "name": "pipeline" }, "secretRef": { "name": "k2k-env" } });
    // Ours wants to know where it keeps its own position, which the file calls otherwise.
    let source = json!({ "bootstrapServers": Side::Source.bootstrap(), "consumerGroup": format!("{}-k2k", case.group) });
    let replicator = json!({
        "apiVersion": "k2k.dev/v1alpha1", "kind": "K2KReplicator", "metadata": { "name": "k2k" },
        "spec": { "pipelineFrom": from },
    });
    let mut ours = replicator.clone();
    ours["spec"]["source"] = source;
    ours["spec"]["features"] =
        json!({ "tracingHeaders": { "topic": "Enabled", "partition": "Enabled", "offset": "Enabled" } });
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "k2k-env" },
        "stringData": { "EU_PASSWORD": "migrator-secret", "EU_CA": specs::pki("ca.crt") },
    });
    let map = config_map(&file(&case, PASSWORD));
    let _replicate = Replicate::from_documents(&case.namespace, &[ours, map.clone(), secret.clone()]);
    eventually(DEADLINE, "the copies", || Side::Target.bounds(&orders.name, 0).1 == 10);

    let migration = json!(AppMigration::new("app", specs::migration(&case.group)));
    let plan = |documents: &[Value]| with_manifests(&["plan", "-o", "json"], documents);
    let (done, text) = plan(&[replicator.clone(), map.clone(), secret.clone(), migration.clone()]);
    let found: Value = serde_json::from_str(text.trim()).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert!(done && found["targets"][0]["position"] == 4, "{found:#}");
    // What is missing is named.
    let (done, text) = plan(&[replicator.clone(), secret, migration.clone()]);
    assert!(!done && text.contains("there is no ConfigMap `pipeline`"), "{text}");
    let (done, text) = plan(&[replicator, map, migration]);
    assert!(!done && text.contains("k2k-env"), "{text}");
}

fn import(text: &str, arguments: &[&str]) -> (bool, String, String) {
    let mut child = Command::new(binary())
        .arg("import")
        .arg("-")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

/// What is printed is applied as it is; what is said on stderr is all that is left to do.
#[test]
fn an_imported_file_is_applied_as_it_is() {
    let case = Case::new("pipeline-import");
    orders(&case);
    let (done, manifest, told) = import(&file(&case, "in-clear-canary"), &["--secret", "eu"]);
    assert!(done, "{told}");
    assert!(!manifest.contains("in-clear-canary") && !told.contains("in-clear-canary"), "{manifest}{told}");
    let command = "kubectl create secret generic eu --from-file=EU_CA=FILE --from-file=source-password=FILE";
    assert!(told.contains(command), "{told}");
    assert!(told.contains("# not used: coordination"), "{told}");
    case.secret("eu", &[("source-password", "migrator-secret"), ("EU_CA", &specs::pki("ca.crt"))]);
    let mut object: K2KReplicator = serde_saphyr::from_str(&manifest).unwrap();
    assert_eq!(object.metadata.name.as_deref(), Some("eu-to-us"));
    object.metadata.name = Some("k2k".into());
    block_on(case.api().create(&PostParams::default(), &object)).unwrap();
    case.replicator_says(Reason::Ready);
    case.migrate(|_| {}).completes_exactly();
    let (done, _, told) = import("name: x", &[]);
    assert!(!done && told.contains("source.kafka.common is missing"), "{told}");
}
