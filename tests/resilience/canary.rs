//! Secrets are read and never shown: whatever becomes of a spec, no text of a Secret is in a log (at `trace`),
//! a status, an event, a plan, a metric or what a command prints.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    process::Command,
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::api::{ObjectMeta, PostParams};
use serde_json::{Value, json};

use crate::harness::{
    AppMigration, Case, K2KReplicator, K2KReplicatorSpec, Side, conformance, operator,
    process::with_manifests,
    specs,
    stack::{DEADLINE, binary, block_on, kubectl, var},
    v1alpha1::SaslMechanism,
};

/// Words that no output may have, and the Secrets that have them.
struct Canaries {
    secrets: Vec<Secret>,
    words: Vec<String>,
}

fn pki(file: &str) -> String {
    fs::read_to_string(format!("{}/{file}", var("PKI_DIR"))).unwrap()
}

fn pem(kind: &str, body: &str) -> String {
    format!("-----BEGIN {kind}-----\n{body}\n-----END {kind}-----\n")
}

impl Canaries {
    fn new() -> Self {
        // An authority may have text before its certificate, and often has.
        let ca = format!("canary-ca-text\n{}", pki("ca.crt"));
        let key = pki("client.key");
        let (certificate, garbage) = (pki("client.crt"), pem("PRIVATE KEY", "canaryKeyBody"));
        let locked = pem("ENCRYPTED PRIVATE KEY", "canaryLockedKey");
        let texts: Vec<(&str, &str, Vec<u8>)> = vec![
            ("ca", "ca.crt", ca.into()),
            ("user", "password", b"migrator-secret".to_vec()),
            ("client", "tls.crt", certificate.into()),
            ("client", "tls.key", key.clone().into()),
            ("wrong", "password", b"canary-wrong-password".to_vec()),
            ("control", "password", b"canary-control\x01password".to_vec()),
            ("long", "password", "canary-long-password".repeat(300).into()),
            ("binary", "password", b"canary-binary\xff\xfe".to_vec()),
            ("otherkey", "passwort", b"canary-other-key".to_vec()),
            ("noca", "ca.crt", b"canary-no-ca".to_vec()),
            ("badca", "ca.crt", pem("CERTIFICATE", "canaryCaBody").into()),
            ("badkey", "tls.key", garbage.into()),
            ("locked", "tls.key", locked.into()),
            ("unrelated", "key", b"canary-unrelated".to_vec()),
        ];
        let mut words: Vec<String> = key.lines().filter(|line| line.len() > 20).map(str::to_owned).collect();
        words.extend(
            ["canary-", "canaryKeyBody", "canaryLockedKey", "canaryCaBody", "migrator-secret"]
                .map(Into::into),
        );
        words.extend(["migrator-secret", "canary-wrong-password"].map(|word| BASE64.encode(word)));
        let mut data: BTreeMap<&str, BTreeMap<String, ByteString>> = BTreeMap::new();
        for (name, key, bytes) in texts {
            data.entry(name).or_default().insert(key.to_owned(), ByteString(bytes));
        }
        let secret = |(name, data): (&str, _)| Secret {
            metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
            data: Some(data),
            ..Secret::default()
        };
        Self { secrets: data.into_iter().map(secret).collect(), words }
    }

    /// None of the words is in `text`, which is about what `about` names.
    fn absent(&self, what: &str, text: &str, about: &str) {
        assert!(text.contains(about), "{what} says nothing of `{about}`: {text}");
        for word in &self.words {
            let line = text.lines().find(|line| line.contains(word.as_str()));
            assert!(line.is_none(), "{what} shows `{word}`: {}", line.unwrap_or_default());
        }
    }
}

/// What is wrong with a spec, and the reasons that it may come to.
type Edit = fn(&mut K2KReplicatorSpec);

/// A replicator over SASL and TLS on both sides, from `ca` and `user`.
fn working() -> K2KReplicatorSpec {
    let mut spec = specs::replicator("none");
    spec.source.as_mut().unwrap().cluster =
        specs::sasl_ssl(Side::Source, "migrator", SaslMechanism::ScramSha512);
    spec.source.as_mut().unwrap().consumer_group = Some("k2k".into());
    spec.target = Some(specs::mutual_tls(Side::Target));
    spec
}

fn password(spec: &mut K2KReplicatorSpec, secret: &str, key: &str) {
    let sasl = spec.source.as_mut().unwrap().cluster.sasl.as_mut().unwrap();
    sasl.password_secret_ref = specs::secret(secret, key);
}

fn ca(spec: &mut K2KReplicatorSpec, secret: &str) {
    spec.target.as_mut().unwrap().tls.as_mut().unwrap().ca_secret_ref = Some(specs::secret(secret, "ca.crt"));
}

fn key(spec: &mut K2KReplicatorSpec, secret: &str, key: &str) {
    spec.target.as_mut().unwrap().tls.as_mut().unwrap().private_key_secret_ref =
        Some(specs::secret(secret, key));
}

const FAILING: [(&str, Edit, &str); 13] = [
    ("wrong", |s| password(s, "wrong", "password"), "AuthenticationFailed"),
    ("control", |s| password(s, "control", "password"), "InvalidSpec"),
    ("long", |s| password(s, "long", "password"), "InvalidSpec"),
    ("binary", |s| password(s, "binary", "password"), "SecretNotFound"),
    ("otherkey", |s| password(s, "otherkey", "password"), "SecretNotFound"),
    ("absent", |s| password(s, "nowhere", "password"), "SecretNotFound"),
    ("swapped", |s| password(s, "client", "tls.key"), "InvalidSpec"),
    ("noca", |s| ca(s, "noca"), "InvalidSpec"),
    ("badca", |s| ca(s, "badca"), "InvalidSpec"),
    ("badkey", |s| key(s, "badkey", "tls.key"), "InvalidSpec"),
    ("locked", |s| key(s, "locked", "tls.key"), "InvalidSpec"),
    // A certificate where a key should be, and a key that is not that of the certificate.
    ("nokey", |s| key(s, "client", "tls.crt"), "InvalidSpec"),
    (
        "property",
        |s| drop(s.target.as_mut().unwrap().properties.insert("debug".into(), "all".into())),
        "InvalidSpec",
    ),
];

/// One working migration and all that fail, with logs in this format.
fn series(format: &str) {
    let case = Case::alone("secretive");
    let canaries = Canaries::new();
    operator::ensure();
    operator::stop();
    let level = "appmigration=trace,librdkafka=trace";
    operator::start(&[("APPMIGRATION_LOG_LEVEL", level), ("APPMIGRATION_LOG_FORMAT", format)]);
    for secret in &canaries.secrets {
        block_on(case.api().create(&PostParams::default(), secret)).unwrap();
    }
    let orders = case.topic("orders", 1);
    orders.fill(0, 10).copy(0, 0..10);
    case.committed(&orders, &[(0, 4)]);
    let replicator = case.replicator(|spec| {
        let replication = spec.replication.take();
        *spec = K2KReplicatorSpec { replication, ..working() };
        spec.source.as_mut().unwrap().consumer_group = None;
        spec.features.tracing_headers = specs::replicator("").features.tracing_headers;
    });
    let app = case.migrate(|_| {});
    app.completes_exactly();
    for (name, edit, reason) in FAILING {
        let mut spec = working();
        edit(&mut spec);
        let object = K2KReplicator::new(name, spec);
        block_on(case.api().create(&PostParams::default(), &object)).unwrap();
        case.wait_for("K2KReplicator", name, reason, DEADLINE, |object| {
            conformance::condition(object, "Ready").is_some_and(|c| c["reason"] == reason)
        });
    }

    let log = operator::log();
    assert!(log.contains("DEBUG") && (format == "json") == log.trim_end().ends_with('}'), "{format}");
    canaries.absent("the log", &log, &case.namespace);
    let kinds = "appmig,k2k,configmaps,events.events.k8s.io";
    let objects = kubectl(&["-n", &case.namespace, "get", kinds, "-o", "json"]).unwrap();
    canaries.absent("an object", &objects, "AuthenticationFailed");
    canaries.absent("an endpoint", &endpoint("/metrics"), "HTTP/1.");
    let shown =
        Command::new(binary()).args(["plan", "show", "app", "-o", "json", "-n", &case.namespace]).output();
    canaries.absent("plan show", &String::from_utf8(shown.unwrap().stdout).unwrap(), &orders.name);
    if format == "text" {
        commands(&canaries, &json!(replicator), &app.get());
    }
}

/// `appmigration plan` and `replicate`, with the Secrets in their manifests.
fn commands(canaries: &Canaries, replicator: &Value, migration: &AppMigration) {
    let mut migration = json!(migration);
    let mut documents: Vec<Value> = canaries
        .secrets
        .iter()
        .map(|secret| {
            let mut document = json!(secret);
            document["apiVersion"] = json!("v1");
            document["kind"] = json!("Secret");
            document
        })
        .collect();
    documents.extend([replicator.clone(), migration.clone()]);
    canaries.absent("plan", &output("plan", "app", &documents), "goes on as");
    documents.pop();
    for (name, edit, reason) in FAILING {
        let mut spec = working();
        edit(&mut spec);
        documents.pop();
        documents.push(json!(K2KReplicator::new(name, spec)));
        migration["spec"]["replicatorRef"]["name"] = json!(name);
        let with_migration = [&documents[..], &[migration.clone()]].concat();
        canaries.absent("plan", &output("plan", "app", &with_migration), "appmigration: ");
        // With a wrong password alone it goes on trying.
        if reason != "AuthenticationFailed" {
            canaries.absent("replicate", &output("replicate", name, &documents), "appmigration: ");
        }
    }
}

/// All that a command prints until it ends.
fn output(command: &str, name: &str, documents: &[Value]) -> String {
    with_manifests(&["--log-level", "appmigration=trace", command, "--name", name], documents).1
}

/// What the operator answers on its own port.
fn endpoint(path: &str) -> String {
    let address = var("OPERATOR_URL").replace("http://", "");
    let mut stream = TcpStream::connect(address.trim_end_matches('/')).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn no_secret_is_shown_anywhere_with_logs_as_text() {
    series("text");
}

#[test]
fn no_secret_is_shown_anywhere_with_logs_as_json() {
    series("json");
}
