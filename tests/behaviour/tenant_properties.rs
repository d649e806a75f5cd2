//! Client properties are an allow-list. Whoever may write a `K2KReplicator` can make the client neither load
//! code, run a command, read a file nor call a URL by one, through whichever way a spec comes in.

use std::{
    fs::OpenOptions,
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::harness::{
    AppMigration, Case, K2KReplicator, K2KReplicatorSpec, conformance, operator,
    process::with_manifests,
    specs,
    stack::{DEADLINE, block_on, kubectl, var},
};

/// A file that tells when it is opened, a command that leaves a trace, and a URL that tells when it is called.
struct Canaries {
    pipe: PathBuf,
    opened: Arc<AtomicBool>,
    trace: PathBuf,
    listener: TcpListener,
}

impl Canaries {
    fn new(name: &str) -> Self {
        let dir = PathBuf::from(var("STACK_DIR"));
        let (pipe, trace) = (dir.join(format!("{name}.pipe")), dir.join(format!("{name}.ran")));
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let opened = Arc::new(AtomicBool::new(false));
        let (path, flag) = (pipe.clone(), Arc::clone(&opened));
        // Opening a pipe for writing waits until somebody opens it for reading.
        thread::spawn(move || {
            let _pipe = OpenOptions::new().write(true).open(path);
            flag.store(true, Ordering::SeqCst);
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self { pipe, opened, trace, listener }
    }

    fn url(&self) -> String {
        format!("http://{}/canary", self.listener.local_addr().unwrap())
    }

    /// Nobody came. Then they are touched, to show that it would have been seen.
    fn untouched(self) {
        assert!(!self.opened.load(Ordering::SeqCst), "a file was opened");
        assert!(!self.trace.exists(), "a command was run");
        assert!(self.listener.accept().is_err(), "a URL was called");
        drop(OpenOptions::new().read(true).open(&self.pipe).unwrap());
        let _caller = TcpStream::connect(self.listener.local_addr().unwrap()).unwrap();
        let start = Instant::now();
        while !self.opened.load(Ordering::SeqCst) || self.listener.accept().is_err() {
            assert!(start.elapsed() < Duration::from_secs(10), "the canaries see nothing");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Every property that makes librdkafka 2.12 do something on behalf of its value, or that would take away
    /// what the operator sets, and ways to write one otherwise.
    fn dangerous(&self) -> Vec<(String, String)> {
        let (file, url) = (self.pipe.display().to_string(), self.url());
        let command = format!("touch {}", self.trace.display());
        let same = |names: &[&str], value: &str| {
            names.iter().map(|name| ((*name).to_owned(), value.to_owned())).collect::<Vec<_>>()
        };
        let mut all = same(&READS_OR_LOADS, &file);
        all.extend(same(&CALLS, &url));
        all.extend(same(&["sasl.kerberos.kinit.cmd"], &command));
        all.extend(same(&["sasl.kerberos.principal"], &format!("a; {command} #canary-value")));
        all.extend(same(&OTHERS, "canary-value"));
        all.extend(same(&DISGUISED, "canary-value"));
        all
    }
}

/// Reads the file that the value names, or loads it as code.
const READS_OR_LOADS: [&str; 14] = [
    "plugin.library.paths",
    "ssl.engine.location",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.keystore.location",
    "ssl.crl.location",
    "https.ca.location",
    "sasl.kerberos.keytab",
    "sasl.oauthbearer.assertion.file",
    "sasl.oauthbearer.assertion.private.key.file",
    "sasl.oauthbearer.assertion.jwt.template.file",
    // A directory of offset files, written to; reached by way of the global call.
    "offset.store.path",
    "default_topic_conf",
];

/// Calls the URL, or another broker than the one that the spec shows.
const CALLS: [&str; 4] = [
    "sasl.oauthbearer.token.endpoint.url",
    "sasl.oauthbearer.config",
    "bootstrap.servers",
    "metadata.broker.list",
];

/// Takes over what the operator decides, or leaks: security, logs, identity, memory, what is read and written.
const OTHERS: [&str; 62] = [
    "debug",
    "log_level",
    "log.queue",
    "statistics.interval.ms",
    "enable.metrics.push",
    "security.protocol",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.username",
    "sasl.password",
    "sasl.kerberos.service.name",
    "sasl.kerberos.min.time.before.relogin",
    "sasl.oauthbearer.method",
    "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.client.credentials.client.id",
    "sasl.oauthbearer.client.credentials.client.secret",
    "sasl.oauthbearer.scope",
    "sasl.oauthbearer.extensions",
    "sasl.oauthbearer.grant.type",
    "sasl.oauthbearer.assertion.private.key.pem",
    "sasl.oauthbearer.assertion.private.key.passphrase",
    "sasl.oauthbearer.metadata.authentication.type",
    "enable.sasl.oauthbearer.unsecure.jwt",
    "enable.ssl.certificate.verification",
    "ssl.endpoint.identification.algorithm",
    "ssl.engine.id",
    "ssl.providers",
    "ssl.cipher.suites",
    "ssl.curves.list",
    "ssl.sigalgs.list",
    "ssl.key.pem",
    "ssl.key.password",
    "ssl.certificate.pem",
    "ssl.ca.pem",
    "ssl.ca.certificate.stores",
    "ssl.keystore.password",
    "https.ca.pem",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "transactional.id",
    "enable.idempotence",
    "enable.auto.commit",
    "auto.commit.interval.ms",
    "isolation.level",
    "allow.auto.create.topics",
    "queued.max.messages.kbytes",
    "queued.min.messages",
    "receive.message.max.bytes",
    "message.copy.max.bytes",
    "socket.send.buffer.bytes",
    "socket.receive.buffer.bytes",
    "internal.termination.signal",
    "client.dns.lookup",
    "interceptors",
    "opaque",
    "open_cb",
    // Topic-level keys, which the global call hands through.
    "auto.offset.reset",
    "acks",
    "request.required.acks",
    "partitioner",
];

/// Aliases of properties that are allowed, and other ways to write them.
const DISGUISED: [&str; 14] = [
    "compression.codec",
    "queue.buffering.max.ms",
    "max.partition.fetch.bytes",
    "CLIENT.ID",
    "Client.Rack",
    " client.id",
    "client.id ",
    "client.id\n",
    "client.id\u{0}plugin.library.paths",
    "client\u{200b}.id",
    "client.id=x,plugin.library.paths",
    "topic.acks",
    "{topic}.acks",
    "",
];

fn with_property(spec: &mut K2KReplicatorSpec, name: &str, value: &str) {
    let properties = [(name.to_owned(), value.to_owned())].into();
    spec.source.as_mut().unwrap().cluster.properties = properties;
}

/// Creates replicators with one property each, and gives what each of them comes to say.
fn through_the_api(case: &Case, properties: &[(String, String)]) -> Vec<String> {
    operator::ensure();
    for (n, (name, value)) in properties.iter().enumerate() {
        let mut spec = specs::replicator("orders");
        with_property(&mut spec, name, value);
        let object = K2KReplicator::new(&format!("k2k-{n}"), spec);
        block_on(case.api().create(&kube::api::PostParams::default(), &object)).unwrap();
    }
    let says = |n: usize| {
        let object = case.wait_for("K2KReplicator", &format!("k2k-{n}"), "InvalidSpec", DEADLINE, |object| {
            conformance::condition(object, "Ready").is_some_and(|c| c["reason"] == "InvalidSpec")
        });
        let stalled = conformance::condition(&object, "Stalled").expect("it is stalled");
        stalled["message"].as_str().unwrap().to_owned()
    };
    (0..properties.len()).map(says).collect()
}

/// As a message shows a name that other people chose.
fn shown(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[test]
fn tenants_cannot_set_a_dangerous_property() {
    let case = Case::new("properties");
    let canaries = Canaries::new(&case.namespace);
    let properties = canaries.dangerous();
    for ((name, _), text) in properties.iter().zip(through_the_api(&case, &properties)) {
        let expected = format!("spec.source: {}: this property is not allowed", shown(name));
        assert!(text.starts_with(&expected), "{name:?}: {text}");
        assert!(text.contains("client.rack, broker.address.family"), "it says what is allowed: {text}");
    }
    let events = kubectl(&["-n", &case.namespace, "get", "events.events.k8s.io", "-o", "json"]).unwrap();
    let objects: Value =
        serde_json::from_str(&kubectl(&["-n", &case.namespace, "get", "k2k", "-o", "json"]).unwrap())
            .unwrap();
    let statuses: Vec<&Value> = objects["items"].as_array().unwrap().iter().map(|o| &o["status"]).collect();
    let told = format!("{events}{}{}", json!(statuses), operator::log_about(&case.namespace, 1_000));
    assert!(events.contains("InvalidSpec") && told.contains("plugin.library.paths"));
    for value in ["canary-value", &canaries.url(), canaries.pipe.to_str().unwrap()] {
        assert!(!told.contains(value), "a value was printed");
    }
    canaries.untouched();
}

#[test]
fn tenants_cannot_set_a_dangerous_property_by_a_file_either() {
    let case = Case::new("propertyfile");
    let canaries = Canaries::new(&case.namespace);
    let migration = json!(AppMigration::new("app", specs::migration("orders-app")));
    for (name, value) in canaries.dangerous() {
        let mut spec = specs::replicator("orders");
        with_property(&mut spec, &name, &value);
        spec.source.as_mut().unwrap().consumer_group = Some("k2k".into());
        let replicator = json!(K2KReplicator::new("k2k", spec));
        for (command, documents) in
            [("replicate", vec![replicator.clone()]), ("plan", vec![migration.clone(), replicator.clone()])]
        {
            let (taken, said) = with_manifests(&[command], &documents);
            assert!(!taken, "{command} takes {name:?}");
            let expected = format!("{}: this property is not allowed", shown(&name));
            assert!(said.contains(&expected), "{command} {name:?}: {said}");
            assert!(!said.contains(&value), "{command} {name:?} prints the value: {said}");
        }
    }
    canaries.untouched();
}

#[test]
fn allowed_properties_have_bounds() {
    let case = Case::new("propertybounds");
    let bad = [
        ("client.id", ""),
        ("client.id", "a\nb"),
        ("client.id", "a\u{0}b"),
        ("client.rack", "\u{1b}[31m"),
        ("broker.address.family", "v4 "),
        ("socket.timeout.ms", "9999"),
        ("socket.timeout.ms", "300001"),
        ("socket.timeout.ms", "1e5"),
        ("socket.timeout.ms", "0x7530"),
        ("socket.connection.setup.timeout.ms", "-1"),
        ("socket.keepalive.enable", "TRUE"),
        ("connections.max.idle.ms", "3600001"),
        ("reconnect.backoff.ms", "0"),
        // The client would take it for an octal 8.
        ("reconnect.backoff.ms", "010"),
        ("reconnect.backoff.max.ms", "2147483648"),
        ("metadata.max.age.ms", "1"),
        ("request.timeout.ms", "99999999999999999999"),
        ("compression.type", "zstd,gzip"),
        ("compression.level", "13"),
        ("batch.size", "2147483647"),
        ("batch.num.messages", "0"),
        ("message.max.bytes", "1000000000"),
        ("fetch.max.bytes", "2147483135"),
        ("fetch.message.max.bytes", "1000000000"),
        ("fetch.queue.backoff.ms", "0"),
    ];
    let bad: Vec<(String, String)> = bad.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    for ((name, value), text) in bad.iter().zip(through_the_api(&case, &bad)) {
        assert!(text.starts_with(&format!("spec.source: {name}: must ")), "{name}={value:?}: {text}");
        assert!(value.len() < 5 || !text.contains(value.as_str()), "the value is printed: {text}");
    }
    // A long one is shown in part; the others never come as far as the operator.
    let long = [("x".repeat(200_000), "v".to_owned())];
    let case = Case::new("propertysize");
    let text = through_the_api(&case, &long).remove(0);
    assert!(text.len() < 2_000 && text.contains("xxx: this property is not allowed"), "{text}");
    for (properties, word) in [
        (json!({ "client.id": "x".repeat(1_025) }), "Too long"),
        ((0..33).map(|n| (format!("p{n}"), json!("v"))).collect::<Value>(), "32"),
    ] {
        let mut object = json!(K2KReplicator::new("large", specs::replicator("orders")));
        object["spec"]["source"]["properties"] = properties;
        let object = serde_json::from_value::<K2KReplicator>(object).unwrap();
        let created = block_on(case.api().create(&kube::api::PostParams::default(), &object));
        assert!(created.unwrap_err().to_string().contains(word));
    }
}
