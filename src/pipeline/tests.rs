#![allow(clippy::unwrap_used)]

use crate::api::v1alpha1::{
    ConfigMapKeyRef, Features, K2KReplicator, K2KReplicatorSpec, PipelineFrom, SaslMechanism, SecretKeyRef,
    SourceSpec, TargetPartitioning, TargetTopic, Toggle, Tracing,
};

use super::{Secrets, Translated, merge, translate};

fn own() -> K2KReplicatorSpec {
    K2KReplicatorSpec {
        pipeline_name: None,
        source: None,
        target: None,
        replication: None,
        pipeline_from: None,
        features: Features::default(),
        tracing: Tracing::default(),
    }
}

fn translated(text: &str) -> Translated {
    translate(text, &own(), Secrets::Of(Some("k2k-env"))).unwrap()
}

fn refused(text: &str, secrets: Secrets<'_>) -> String {
    translate(text, &own(), secrets).unwrap_err().to_string()
}

const MINIMAL: &str = r#"
name: my-first-replication
source: { kafka: { common: { "bootstrap.servers": "kafka-source:9092" }, consumer: { "group.id": k2k } } }
target: { kafka: { common: { "bootstrap.servers": "kafka-target:9092" } } }
replication:
  - source: { topic: ".*" }
  - sink: { topic: source, partition: source }
"#;

#[test]
fn the_smallest_file() {
    let Translated { spec, unused, moved } = translated(MINIMAL);
    assert_eq!(spec.pipeline_name.as_deref(), Some("my-first-replication"));
    assert_eq!(spec.source.unwrap().cluster.bootstrap_servers, "kafka-source:9092");
    assert_eq!(spec.target.unwrap().bootstrap_servers, "kafka-target:9092");
    let replication = spec.replication.unwrap();
    assert_eq!(replication.len(), 1);
    assert_eq!(replication[0].topics, [".*"]);
    assert_eq!(replication[0].target, TargetTopic::default());
    assert_eq!(spec.features, Features::default());
    assert_eq!(unused, ["source.kafka.consumer"]);
    assert!(moved.is_empty());
}

/// Everything that is understood, and what is not.
const LARGE: &str = r#"
name: eu-to-us
license: { acceptEula: true, token: "${LENSES_TOKEN}" }
coordination: { kafka: { commit: { group: k2k.eu } } }
features:
  exactlyOnce: enabled
  keepRecordCreationTimestamp: disabled
  tracingHeaders: { topic: enabled, partition: enabled, offset: enabled }
tracing: { headers: { topic: __topic, offset: __offset } }
source:
  kafka:
    common:
      bootstrap.servers: eu-0:9094,eu-1:9094
      security.protocol: SASL_SSL
      sasl.mechanism: SCRAM-SHA-512
      sasl.jaas.config: >-
        org.apache.kafka.common.security.scram.ScramLoginModule required username="mig\"rator"
        password="${env:EU_PASSWORD}";
      ssl.truststore.type: PEM
      ssl.truststore.certificates: ${EU_CA}
      client.rack: eu-1a
      connections.max.idle.ms: 60000
      ssl.endpoint.identification.algorithm: https
target:
  kafka:
    common:
      bootstrap.servers: us-0:9093
      security.protocol: SSL
      ssl.keystore.type: PEM
      ssl.keystore.certificate.chain: ${env:string:US_CERTIFICATE}
      ssl.keystore.key: ${env:US_KEY}
    producer: { acks: all }
replication:
  - source: { name: a, topic: [orders.v1, returns] }
    sink: { name: b, topic: { prefix: "eu.", suffix: ".copy" }, partition: source }
  - source: { topic: "clicks-[0-9]+" }
    sink: { topic: clicks, partition: producer }
"#;

#[test]
fn a_large_file() {
    let Translated { spec, unused, .. } = translated(LARGE);
    let key = |key: &str| SecretKeyRef { name: "k2k-env".into(), key: key.into() };
    let SourceSpec { cluster: source, consumer_group } = spec.source.unwrap();
    assert_eq!(consumer_group, None);
    let sasl = source.sasl.unwrap();
    assert_eq!((sasl.mechanism, sasl.username.as_str()), (SaslMechanism::ScramSha512, "mig\"rator"));
    assert_eq!(sasl.password_secret_ref, key("EU_PASSWORD"));
    let tls = source.tls.unwrap();
    assert_eq!((tls.enabled, tls.ca_secret_ref), (true, Some(key("EU_CA"))));
    let properties: Vec<(&str, &str)> =
        source.properties.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(properties, [("client.rack", "eu-1a"), ("connections.max.idle.ms", "60000")]);
    let tls = spec.target.unwrap().tls.unwrap();
    assert_eq!(tls.certificate_secret_ref, Some(key("US_CERTIFICATE")));
    assert_eq!(tls.private_key_secret_ref, Some(key("US_KEY")));
    let replication = spec.replication.unwrap();
    // Names are names, whatever they look like as patterns.
    assert_eq!(replication[0].topics, [r"orders\.v1", "returns"]);
    assert_eq!(replication[0].target.topic_prefix, "eu.");
    assert_eq!(replication[0].target.topic_suffix, ".copy");
    assert_eq!(replication[1].topics, ["clicks-[0-9]+"]);
    assert_eq!(replication[1].target.topic_name, "clicks");
    assert_eq!(replication[1].target.partition, TargetPartitioning::Producer);
    assert_eq!(spec.features.keep_record_creation_timestamp, Toggle::Disabled);
    let headers = spec.features.tracing_headers;
    assert_eq!((headers.topic, headers.pipeline), (Toggle::Enabled, Toggle::Disabled));
    assert_eq!(spec.tracing.headers.topic, "__topic");
    assert_eq!(spec.tracing.headers.partition, "k2k_partition");
    assert_eq!(
        unused,
        [
            "coordination",
            "features.exactlyOnce",
            "license",
            "source.kafka.common.ssl.endpoint.identification.algorithm",
            "target.kafka.producer",
        ]
    );
}

#[test]
fn one_word_for_all_headers() {
    let text = format!("features: {{ tracingHeaders: enabled }}\n{MINIMAL}");
    let headers = translated(&text).spec.features.tracing_headers;
    assert!(
        [headers.topic, headers.partition, headers.offset, headers.pipeline].iter().all(|t| t.is_enabled())
    );
    let text = format!("features: {{ tracingHeaders: maybe }}\n{MINIMAL}");
    assert_eq!(refused(&text, Secrets::Of(None)), "features.tracingHeaders must be enabled or disabled");
}

#[test]
fn secrets_are_never_taken_from_the_file_and_never_told() {
    let file =
        LARGE.replace("${env:EU_PASSWORD}", "hunter2").replace("${EU_CA}", "-----BEGIN CERTIFICATE-----");
    let text = refused(&file, Secrets::Of(Some("k2k-env")));
    assert!(text.contains("source.kafka.common.sasl.jaas.config (password) stands in the file"), "{text}");
    assert!(text.contains("source.kafka.common.ssl.truststore.certificates stands in the file"), "{text}");
    assert!(!text.contains("hunter2") && !text.contains("BEGIN"), "{text}");
    // For somebody who moves the file: where each is to be put.
    let moved = translate(&file, &own(), Secrets::Moved("eu-to-us")).unwrap();
    let keys: Vec<&str> = moved.moved.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["source-ca.crt", "source-password"]);
    assert!(!format!("{moved:?}").contains("hunter2"));
}

#[test]
fn variables_need_a_secret() {
    let text = refused(LARGE, Secrets::Of(None));
    assert!(text.contains(
        "takes ${env:EU_PASSWORD}: name the Secret that has this key in spec.pipelineFrom.secretRef"
    ));
    for (variable, problem) in [
        ("${file:/etc/passwd}", "takes ${file:/etc/passwd}: only ${env:NAME}"),
        ("${env:base64:EU_PASSWORD}", "only ${env:NAME}"),
    ] {
        let text = refused(&LARGE.replace("${env:EU_PASSWORD}", variable), Secrets::Of(Some("k2k-env")));
        assert!(text.contains(problem), "{text}");
    }
    let text = refused(&LARGE.replace("us-0:9093", "${US}"), Secrets::Of(Some("k2k-env")));
    assert!(text.contains("target.kafka.common.bootstrap.servers takes a variable"), "{text}");
}

#[test]
fn all_into_one_topic() {
    let file = MINIMAL.replace("topic: source", "topic: { static: all }");
    let replication = translated(&file).spec.replication.unwrap();
    assert_eq!(replication[0].target.topic_name, "all");
}

#[test]
fn what_would_decide_where_copies_are_is_understood_or_refused() {
    for (from, to, problem) in [
        ("topic: source, ", "", "replication[1].sink.topic is missing"),
        ("topic: source", "topic: { regex: a, replacement: b }", "replication[1].sink.topic.regex is a way"),
        (", partition: source", "", "replication[1].sink.partition is missing: source or producer"),
        ("partition: source", "partition: 3", "replication[1].sink.partition must be"),
        ("  - sink: { topic: source, partition: source }\n", "", "replication[0] has no sink"),
        ("  - source: { topic: \".*\" }\n", "", "replication[0] is a sink without a source"),
        ("topic: \".*\"", "topic: [1]", "replication[0].source.topic must be"),
        ("replication:", "flows:", "replication must be a list"),
    ] {
        let text = refused(&MINIMAL.replace(from, to), Secrets::Of(None));
        assert!(text.contains(problem), "{from} -> {to}: {text}");
    }
}

#[test]
fn what_cannot_be_reached_is_refused_with_the_way_out() {
    for (from, to, problem) in [
        (
            "ssl.truststore.type: PEM",
            "ssl.truststore.location: /ca.jks",
            "source.kafka.common.ssl.truststore.location is a file that only K2K can read",
        ),
        (
            "ssl.truststore.type: PEM",
            "ssl.truststore.type: JKS",
            "source.kafka.common.ssl.truststore.type must be PEM",
        ),
        ("SCRAM-SHA-512", "OAUTHBEARER", "source.kafka.common.sasl.mechanism must be PLAIN"),
        ("SASL_SSL", "KERBEROS", "source.kafka.common.security.protocol is KERBEROS"),
        ("us-0:9093", "null", "target.kafka.common.bootstrap.servers is missing"),
    ] {
        let text = refused(&LARGE.replace(from, to), Secrets::Of(Some("k2k-env")));
        assert!(text.contains(problem), "{from} -> {to}: {text}");
    }
    for text in ["- a", "a: [", "just text"] {
        assert!(translate(text, &own(), Secrets::Of(None)).is_err(), "{text}");
    }
}

fn filled(text: &str) -> Result<super::Filled, super::PipelineError> {
    let replicator = K2KReplicator::new("k2k", own());
    let name = "pipeline".to_owned();
    let config_map_ref = ConfigMapKeyRef { name, key: "config.yaml".into() };
    let from = PipelineFrom { config_map_ref, secret_ref: None };
    super::fill(&replicator, &from, text)
}

/// Whoever may write the ConfigMap gets past no bound that the CRD sets.
/// What only the JVM reads is converted by whoever imports the file; a variable of another kind is no value.
#[test]
fn an_import_takes_stores_of_the_jvm_and_no_other_variables() {
    let file = LARGE
        .replace("ssl.truststore.type: PEM", "ssl.truststore.type: JKS")
        .replace("ssl.truststore.certificates: ${EU_CA}", "ssl.truststore.location: /ca.jks");
    let moved = translate(&file, &own(), Secrets::Moved("eu")).unwrap();
    let tls = moved.spec.source.unwrap().cluster.tls.unwrap();
    assert_eq!(tls.ca_secret_ref.unwrap().key, "source-ca.crt");
    let (key, field) = &moved.moved[0];
    assert_eq!(key, "source-ca.crt");
    assert!(
        field.contains("source.kafka.common.ssl.truststore.location, its certificates as PEM"),
        "{field}"
    );
    let file = LARGE.replace("${env:EU_PASSWORD}", "${file:/etc/k2k:password}x");
    let text = refused(&file, Secrets::Moved("eu"));
    assert!(text.contains("only ${env:NAME} as a whole can be a key of a Secret"), "{text}");
}

#[test]
fn a_file_is_bound_as_the_object_is() {
    assert!(filled(MINIMAL).is_ok());
    let flow = "  - source: { topic: a }\n    sink: { topic: source, partition: source }\n";
    let error = filled(&format!("{MINIMAL}{}", flow.repeat(64))).err().unwrap().to_string();
    assert!(error.contains("spec.replication"), "{error}");
    let error = filled(&MINIMAL.replace(".*", &"a".repeat(600))).err().unwrap().to_string();
    assert!(error.contains("spec.replication[0].topics[0]"), "{error}");
}

#[test]
fn a_file_that_unfolds_without_end_is_refused() {
    let mut text = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for n in 1..12 {
        let list = vec![format!("*a{}", n - 1); 10].join(",");
        text = format!("{text}a{n}: &a{n} [{list}]\n");
    }
    assert!(translate(&(text + MINIMAL), &own(), Secrets::Of(None)).is_err());
}

#[test]
fn what_the_object_states_goes_before_the_file() {
    let mut own = own();
    let cluster = translated(MINIMAL).spec.target.unwrap();
    own.source = Some(SourceSpec { cluster, consumer_group: Some("k2k".into()) });
    own.pipeline_name = Some("other".into());
    own.features.tracing_headers.pipeline = Toggle::Enabled;
    own.tracing.headers.offset = "mine".into();
    // A side that is given need not be understood in the file.
    let file = LARGE.replace("${env:EU_PASSWORD}", "hunter2");
    let filled = merge(&own, translate(&file, &own, Secrets::Of(Some("k2k-env"))).unwrap().spec);
    assert_eq!(filled.source, own.source);
    assert_eq!(filled.target.unwrap().bootstrap_servers, "us-0:9093");
    assert_eq!(filled.pipeline_name.as_deref(), Some("other"));
    let headers = filled.features.tracing_headers;
    assert!(headers.pipeline.is_enabled() && headers.offset.is_enabled());
    assert_eq!(filled.features.keep_record_creation_timestamp, Toggle::Disabled);
    assert_eq!(
        (filled.tracing.headers.offset.as_str(), filled.tracing.headers.topic.as_str()),
        ("mine", "__topic")
    );
}
