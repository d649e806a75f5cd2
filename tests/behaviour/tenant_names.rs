//! Names and values that other people chose: whatever they are, they move as they are, and nothing of them makes
//! a line of its own in a log, a status or a file.

use serde_json::{Value, json};

use crate::harness::{
    Case, K2KReplicator, Reason, Side, Topic, conformance, operator, rbac, specs,
    stack::{DEADLINE, block_on, kubectl, var},
    v1alpha1::{SaslMechanism, TlsSpec},
    wire::Offset,
};

/// Groups that Kafka takes.
fn odd_groups(case: &Case) -> Vec<String> {
    let own = |text: &str| format!("{}{text}", case.namespace);
    let mut groups: Vec<String> = [
        " with spaces ",
        ",a,0,9999",
        "\nFORGED,0,9999",
        "\r\nFORGED level=ERROR",
        "\u{1b}[2J\u{7}",
        "\u{202e}desrever\u{2028}",
        "größe-消費者-🦀",
        "\"quoted\" 'twice' `thrice`",
        "%s%n%x ${HOME} $(id) {{ .Values }}",
        "../../etc/passwd",
        "<script>alert(1)</script>",
        "\\n\\u0000",
        "\t",
    ]
    .iter()
    .map(|text| own(text))
    .collect();
    groups.push(format!("{:x<255}", case.namespace));
    groups
}

/// `orders` with c = 4 for each of `groups`; metadata that is hostile too.
fn committed(case: &Case, orders: &Topic<'_>, groups: &[String]) {
    orders.fill(0, 10).copy(0, 0..10);
    for (n, group) in groups.iter().enumerate() {
        let metadata = match n % 3 {
            0 => b"\nFORGED\xff\xfe\x00".to_vec(),
            // What brokers take unless they are told otherwise (offset.metadata.max.bytes).
            1 => vec![b'\xc3'; 4096],
            _ => b"a,b\r\n\x1b[0m\"'".to_vec(),
        };
        case.commit(Side::Source, group, [((orders.name.clone(), 0), Offset { offset: 4, metadata })].into());
        // A broker keeps text: for what is no UTF-8 it has put U+FFFD.
        case.settled(Side::Source, group);
    }
}

#[test]
fn odd_groups_move_as_they_are_and_forge_nothing() {
    let case = Case::new("oddgroups");
    let orders = case.topic("orders", 1);
    let groups = odd_groups(&case);
    committed(&case, &orders, &groups);
    case.replicator(|_| {});
    for (n, group) in groups.iter().enumerate() {
        case.migrate_as(&format!("app-{n}"), |spec| spec.consumer_group.clone_from(group));
    }
    for (n, group) in groups.iter().enumerate() {
        let name = format!("app-{n}");
        let object = case.wait_for("AppMigration", &name, "Completed", DEADLINE, |object| {
            conformance::condition(object, "Ready").is_some_and(|c| c["reason"] == "Completed")
        });
        let offsets = case.offsets(Side::Target, group);
        assert_eq!(offsets, case.expected_offsets(Side::Source, group), "{group:?}");
        let plan = case.config_map(&format!("{name}-plan")).unwrap();
        assert_eq!(plan.data.unwrap()["offsets.csv"], format!("{},0,4\n", orders.name));
        one_line_each(&object);
        let out = std::process::Command::new(crate::harness::stack::binary())
            .args(["plan", "show", &name, "--namespace", &case.namespace])
            .output()
            .unwrap();
        let table = String::from_utf8(out.stdout).unwrap();
        assert!(out.status.success() && table.starts_with(&format!("Plan of {name}: group ")), "{table}");
        assert!(!table.chars().any(|c| c.is_control() && c != '\n'), "{table:?}");
        assert!(!table.lines().any(|line| line.starts_with("FORGED")), "{table}");
    }
    let log = operator::log();
    assert!(log.contains(r"\nFORGED"), "the name was logged");
    for line in log.lines() {
        let begins = line.starts_with("20") || line.starts_with('{');
        assert!(begins && !line.chars().any(char::is_control), "a forged line: {line:?}");
    }
}

/// No message of an object holds a control character.
fn one_line_each(object: &Value) {
    for condition in object["status"]["conditions"].as_array().unwrap() {
        let text = condition["message"].as_str().unwrap();
        assert!(!text.chars().any(char::is_control), "{text:?}");
    }
}

/// What a spec says that is wrong, and what its message names. Nothing is connected to.
#[test]
fn odd_values_in_a_replicator_are_named() {
    let case = Case::new("oddvalues");
    operator::ensure();
    let edits: [(&str, Value, &str); 13] = [
        (
            "/tracing/headers/offset",
            json!("k2k_offset\u{0}"),
            "spec.tracing.headers.offset must not hold a NUL",
        ),
        (
            "/source/bootstrapServers",
            json!("127.0.0.1:1\nplugin.library.paths=/x"),
            "bootstrapServers: must be",
        ),
        ("/source/bootstrapServers", json!("127.0.0.1:1\u{0}"), "bootstrapServers: must be"),
        ("/source/bootstrapServers", json!("127.0.0.1:1,,"), "none of them empty"),
        (
            "/source/bootstrapServers",
            json!("file:///etc/passwd"),
            "without spaces, control characters or a scheme",
        ),
        ("/source/bootstrapServers", json!("127.0.0.1:0"), "a port from 1 to 65535"),
        ("/source/consumerGroup", json!("k2k\u{0}x"), "spec.source.consumerGroup must not hold a NUL"),
        (
            "/replication/0/topics/0",
            json!("orders["),
            "spec.replication[0].topics: `orders[` is not a regular",
        ),
        ("/replication/0/topics/0", json!("a)|(?:.*"), "is not a regular expression"),
        ("/replication/0/topics/0", json!("((a{99}){99}){99}"), "is too large once compiled"),
        ("/replication/0/topics/0", json!("(?u)\\pL{99}\n"), "is too large once compiled"),
        ("/replication/0/target", json!({ "topicPrefix": "a/../" }), "is no part of a topic's name"),
        ("/replication/0/target", json!({ "topicSuffix": "\n,0,99" }), "is no part of a topic's name"),
    ];
    for (n, (path, value, words)) in edits.iter().enumerate() {
        let mut spec = json!(specs::replicator("orders"));
        spec["source"]["consumerGroup"] = json!("k2k");
        *spec.pointer_mut(path).unwrap() = value.clone();
        let name = format!("k2k-{n}");
        let object = K2KReplicator::new(&name, serde_json::from_value(spec).unwrap());
        block_on(case.api().create(&kube::api::PostParams::default(), &object)).unwrap();
        let object = case.wait_for("K2KReplicator", &name, "InvalidSpec", DEADLINE, |object| {
            conformance::condition(object, "Ready").is_some_and(|c| c["reason"] == "InvalidSpec")
        });
        let text = conformance::condition(&object, "Ready").unwrap()["message"].as_str().unwrap();
        assert!(text.contains(words), "{path} {value}: {text}");
        one_line_each(&object);
    }
    let app = case.migrate(|spec| spec.consumer_group = "a\u{0}b".into());
    app.stalls(Reason::InvalidSpec, &["spec.consumerGroup must not hold a NUL"]);
}

/// The name of a Secret becomes part of a URL: nothing but the name of one in the object's own namespace is asked
/// for. The Secret that they are after is there.
#[test]
fn names_of_secrets_lead_nowhere_else() {
    let case = Case::new("oddsecrets");
    let other = Case::new("othertenant");
    other.secret("user", &[("password", "migrator-secret")]);
    operator::ensure();
    let path = format!("namespaces/{}/secrets/user", other.namespace);
    let names = [
        format!("../../{path}"),
        format!("x/../../../{path}"),
        format!("..%2f..%2f{path}"),
        format!("{}/user", other.namespace),
        "?watch=true".into(),
        "user?resourceVersion=0&x=/".into(),
        "user#".into(),
        "user/status".into(),
        "user\r\nX-Remote-User: admin".into(),
        "USER".into(),
        "..".into(),
        " ".into(),
    ];
    for (n, name) in names.iter().enumerate() {
        let mut spec = specs::replicator("orders");
        let mut cluster = specs::sasl_ssl(Side::Source, "migrator", SaslMechanism::Plain);
        // No authority is read before it.
        cluster.tls = Some(TlsSpec::default());
        cluster.sasl.as_mut().unwrap().password_secret_ref.name.clone_from(name);
        spec.source.as_mut().unwrap().cluster = cluster;
        let object = K2KReplicator::new(&format!("k2k-{n}"), spec);
        block_on(case.api().create(&kube::api::PostParams::default(), &object)).unwrap();
        let object = case.wait_for("K2KReplicator", &format!("k2k-{n}"), "InvalidSpec", DEADLINE, |object| {
            conformance::condition(object, "Ready").is_some_and(|c| c["reason"] == "InvalidSpec")
        });
        let text = conformance::condition(&object, "Ready").unwrap()["message"].as_str().unwrap();
        assert!(
            text.starts_with("spec.source.sasl.passwordSecretRef: ")
                && text.contains("is no name of a Secret"),
            "{text}"
        );
        one_line_each(&object);
    }
    let seen = rbac::seen(&var("AUDIT_LOG"), rbac::OPERATOR);
    let secrets = seen.requests.iter().filter(|[_, _, resource, _]| resource.starts_with("secrets"));
    let touched: Vec<_> =
        secrets.filter(|[ns, ..]| [&case.namespace, &other.namespace].contains(&ns)).collect();
    assert!(
        touched.is_empty() && seen.refused.is_empty() && seen.other.is_empty(),
        "{touched:?} {:?}",
        seen.refused
    );
}

/// As many patterns as the CRD takes, and the largest that it takes: what the API server lets through does not
/// hold up the operator.
#[test]
fn patterns_as_many_and_as_large_as_the_api_server_takes() {
    let case = Case::new("patterns");
    let orders = case.topic("orders", 1);
    orders.fill(0, 10).copy(0, 0..10);
    case.committed(&orders, &[(0, 4)]);
    let large = |pattern: &str, entries: usize, each: usize| {
        let route = json!({ "topics": vec![pattern; each] });
        let mut object = json!(K2KReplicator::new("large", specs::replicator("x")));
        object["spec"]["replication"] = json!(vec![route; entries]);
        serde_json::from_value::<K2KReplicator>(object).unwrap()
    };
    for (n, (pattern, words)) in [
        (r"[a-z0-9]{400}.{400}".to_owned(), "too large together"),
        (r"(?u:\pL)".repeat(50), "too large"),
        (format!("({}b)*", "a*".repeat(60)), "too large"),
    ]
    .iter()
    .enumerate()
    {
        let mut object = large(pattern, 64, 40);
        object.metadata.name = Some(format!("large-{n}"));
        block_on(case.api().create(&kube::api::PostParams::default(), &object)).unwrap();
        let object =
            case.wait_for("K2KReplicator", &format!("large-{n}"), "InvalidSpec", DEADLINE, |object| {
                conformance::condition(object, "Ready").is_some_and(|c| c["reason"] == "InvalidSpec")
            });
        let text = conformance::condition(&object, "Ready").unwrap()["message"].as_str().unwrap();
        assert!(text.contains(words), "{pattern}: {text}");
    }
    // One more than the CRD takes, of each.
    for (entries, each) in [(65, 1), (1, 129)] {
        let created =
            block_on(case.api().create(&kube::api::PostParams::default(), &large("a", entries, each)));
        assert!(created.unwrap_err().to_string().contains("must have at most"), "{entries} x {each}");
    }
    // A thousand plain ones, of which the last matches, work.
    let mut routes: Vec<Value> = (0..8)
        .map(|n| json!({ "topics": (0..125).map(|m| format!("none-{n}-{m}-.*")).collect::<Vec<_>>() }))
        .collect();
    routes.push(json!({ "topics": [orders.name.clone()] }));
    case.replicator(|spec| spec.replication = serde_json::from_value(json!(routes)).unwrap());
    case.migrate(|_| {}).completes_exactly();
}

/// Names of topics are Kafka's to check: the longest and the oddest that it takes.
#[test]
fn odd_topics_move() {
    let case = Case::new("oddtopics");
    let prefix = case.namespace.clone();
    let names = [
        format!("{prefix:a<249}"),
        format!("{prefix}.._--__"),
        format!("{prefix}-0"),
        format!("{prefix}-0-1"),
    ];
    for name in &names {
        Side::Source.create_topic(name, 2, &[]);
        Side::Target.create_topic(name, 2, &[]);
        let topic = Topic { case: &case, name: name.clone() };
        topic.fill(1, 10).copy(1, 0..10);
        case.committed(&topic, &[(1, 6)]);
    }
    case.replicator(|spec| spec.replication.as_mut().unwrap()[0].topics = vec![format!("{prefix}.*")]);
    let app = case.migrate(|_| {});
    app.completes_exactly();
    let rows: Vec<String> = app.plan().offsets.lines().map(str::to_owned).collect();
    let mut expected: Vec<String> = names.iter().map(|name| format!("{name},1,6")).collect();
    expected.sort();
    assert_eq!(rows, expected);
    let labels = kubectl(&[
        "-n",
        &case.namespace,
        "get",
        "configmaps",
        "app-plan",
        "-o",
        "jsonpath={.metadata.labels}",
    ]);
    assert!(!labels.unwrap().contains("aaa"));
}
