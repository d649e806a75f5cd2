//! Clusters that do not answer, or not with these credentials; and those that do.

use appmigration::api::v1alpha1::{ClusterSpec, TargetTopic};

use crate::harness::{
    Case, K2KReplicatorSpec, Reason, Replicate, Side, Topic, specs,
    specs::{pki, secrets},
    stack::DEADLINE,
    v1alpha1::SaslMechanism,
    wire::{self, Operation, Resource},
};

/// 0: 0..10 on both sides, c = 4.
fn plain(case: &Case) -> Topic<'_> {
    let orders = case.topic("orders", 1);
    orders.fill(0, 10).copy(0, 0..10);
    case.committed(&orders, &[(0, 4)]);
    orders
}

fn set_source(spec: &mut K2KReplicatorSpec, cluster: ClusterSpec) {
    spec.source.as_mut().unwrap().cluster = cluster;
}

#[test]
fn a_source_that_nobody_listens_on() {
    let case = Case::new("refused");
    case.replicator(|spec| spec.source.as_mut().unwrap().cluster.bootstrap_servers = "127.0.0.1:1".into());
    let text = case.replicator_says(Reason::SourceUnavailable);
    assert!(text.contains("127.0.0.1:1") && text.contains("refused"), "{text}");
    case.edit_replicator(|spec| {
        spec.source.as_mut().unwrap().cluster.bootstrap_servers = Side::Source.bootstrap();
    });
    case.replicator_says(Reason::Ready);
}

#[test]
fn a_host_that_has_no_address() {
    let case = Case::new("nohost");
    case.replicator(|spec| spec.target.as_mut().unwrap().bootstrap_servers = "kafka.invalid:9092".into());
    let text = case.replicator_says(Reason::TargetUnavailable);
    assert!(text.contains("kafka.invalid:9092"), "{text}");
}

#[test]
fn a_wrong_password() {
    let case = Case::new("password");
    plain(&case);
    secrets(&case, "somebody");
    case.replicator(|spec| {
        set_source(spec, specs::sasl_ssl(Side::Source, "migrator", SaslMechanism::ScramSha512));
    });
    let text = case.replicator_says(Reason::AuthenticationFailed);
    assert!(text.contains(&Side::Source.listener("SASL_SSL")) && !text.contains("somebody-secret"), "{text}");
    let app = case.migrate(|_| {});
    app.waits(Reason::ReplicatorNotReady, &["k2k"]);
    case.secret("user", &[("password", "migrator-secret")]);
    app.completes_exactly();
}

#[test]
fn a_certificate_of_an_unknown_authority() {
    let case = Case::new("otherca");
    secrets(&case, "migrator");
    case.secret("ca", &[("ca.crt", &pki("other-ca.crt"))]);
    case.replicator(|spec| {
        set_source(spec, specs::sasl_ssl(Side::Source, "migrator", SaslMechanism::ScramSha256));
    });
    let text = case.replicator_says(Reason::SourceUnavailable);
    assert!(text.contains("TLS") && text.contains("certificate"), "{text}");
    case.secret("ca", &[("ca.crt", &pki("ca.crt"))]);
    case.replicator_says(Reason::Ready);
}

#[test]
fn a_plain_connection_to_a_port_that_speaks_tls() {
    let case = Case::new("tlsport");
    let listener = Side::Source.listener("SASL_SSL");
    case.replicator(|spec| {
        set_source(spec, ClusterSpec { bootstrap_servers: listener.clone(), ..ClusterSpec::default() });
    });
    let text = case.replicator_says(Reason::SourceUnavailable);
    assert!(text.contains(&listener) && text.contains("if the port speaks TLS, set tls.enabled"), "{text}");
}

#[test]
fn a_password_that_ends_in_a_newline() {
    // `echo migrator-secret | base64`
    let case = Case::new("newline");
    secrets(&case, "migrator");
    case.secret("user", &[("password", "migrator-secret\n")]);
    case.replicator(|spec| {
        set_source(spec, specs::sasl_ssl(Side::Source, "migrator", SaslMechanism::Plain));
    });
    case.replicator_says(Reason::Ready);
}

#[test]
fn a_target_that_is_the_source() {
    let case = Case::new("samecluster");
    plain(&case);
    case.replicator(|spec| spec.target.as_mut().unwrap().bootstrap_servers = Side::Source.bootstrap());
    let app = case.migrate(|_| {});
    app.stalls(Reason::InvalidSpec, &["one cluster", "spec.targetConsumerGroup"]);
}

#[test]
fn a_user_without_rights_and_then_with_the_smallest() {
    let case = Case::new("nobody");
    plain(&case);
    secrets(&case, "nobody");
    case.replicator(|spec| {
        set_source(spec, specs::sasl_ssl(Side::Source, "nobody", SaslMechanism::ScramSha512));
    });
    let app = case.migrate(|_| {});
    app.waits(Reason::AuthorizationFailed, &[&case.group]);
    // What docs/permissions.md promises to be enough on the source: nothing that writes.
    let source = Side::Source.bootstrap();
    wire::allow(&source, "nobody", Resource::Group, &case.namespace, Operation::Describe);
    wire::allow(&source, "nobody", Resource::Topic, &case.namespace, Operation::Read);
    app.completes_exactly();
}

#[test]
fn a_user_without_rights_on_the_target() {
    let case = Case::new("nobodythere");
    plain(&case);
    secrets(&case, "nobody");
    case.replicator(|spec| {
        spec.target = Some(specs::sasl_ssl(Side::Target, "nobody", SaslMechanism::ScramSha512));
    });
    let target = Side::Target.bootstrap();
    wire::allow(&target, "nobody", Resource::Topic, &case.namespace, Operation::Read);
    // It may look at the group, but not commit for it.
    wire::allow(&target, "nobody", Resource::Group, &case.namespace, Operation::Describe);
    let app = case.migrate(|_| {});
    app.waits(Reason::AuthorizationFailed, &[&case.group]);
    wire::allow(&target, "nobody", Resource::Group, &case.namespace, Operation::Read);
    app.completes_exactly();
}

#[test]
fn the_replicator_makes_no_topic_after_a_configuration_that_it_may_not_see() {
    let case = Case::new("noconfigs");
    let orders = case.source_topic("orders", 1, &[("retention.ms", "-1")]);
    orders.fill(0, 10);
    let secrets = secrets(&case, "nobody");
    let source = Side::Source.bootstrap();
    wire::allow(&source, "nobody", Resource::Topic, &case.namespace, Operation::Read);
    wire::allow(&source, "nobody", Resource::Group, &case.namespace, Operation::Read);
    let replicator = case.replicator(|spec| {
        set_source(spec, specs::sasl_ssl(Side::Source, "nobody", SaslMechanism::ScramSha512));
        spec.source.as_mut().unwrap().consumer_group = Some(format!("{}-k2k", case.namespace));
    });
    let replicate = Replicate::start(&case.namespace, &replicator, &secrets);
    let wait = |what: &str, until: &dyn Fn() -> bool| {
        let start = std::time::Instant::now();
        while !until() {
            assert!(start.elapsed() < DEADLINE, "{what}\n{}", replicate.log());
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    };
    wait("the right that is missing is named", &|| replicate.log().contains("DescribeConfigs"));
    assert!(!Side::Target.has_topic(&orders.name));
    wire::allow(&source, "nobody", Resource::Topic, &case.namespace, Operation::DescribeConfigs);
    wait("the topic is made", &|| Side::Target.has_topic(&orders.name));
    assert_eq!(Side::Target.topic_config(&orders.name, "retention.ms").as_deref(), Some("-1"));
}

#[test]
fn every_mechanism_over_tls() {
    let mechanisms = [SaslMechanism::Plain, SaslMechanism::ScramSha256, SaslMechanism::ScramSha512];
    for mechanism in mechanisms {
        let case = Case::new("mechanism");
        plain(&case);
        secrets(&case, "migrator");
        case.replicator(|spec| {
            set_source(spec, specs::sasl_ssl(Side::Source, "migrator", mechanism));
            spec.target = Some(specs::sasl_ssl(Side::Target, "migrator", mechanism));
        });
        case.migrate(|_| {}).completes_exactly();
    }
}

#[test]
fn sasl_without_encryption_where_it_is_stated() {
    let case = Case::new("saslplain");
    plain(&case);
    secrets(&case, "migrator");
    case.replicator(|spec| {
        let mut cluster = specs::sasl_ssl(Side::Source, "migrator", SaslMechanism::ScramSha512);
        cluster.bootstrap_servers = Side::Source.listener("SASL_PLAINTEXT");
        cluster.tls = Some(appmigration::api::v1alpha1::TlsSpec::default());
        set_source(spec, cluster);
    });
    case.migrate(|_| {}).completes_exactly();
}

#[test]
fn topics_that_the_target_lacks_are_named_as_they_are_called_there() {
    let case = Case::new("lacking");
    let names = ["orders", "returns"].map(|topic| format!("{}.{topic}", case.namespace));
    for topic in &names {
        Side::Source.create_topic(topic, 2, &[]);
    }
    Side::Target.create_topic(&format!("eu.{}", names[0]), 2, &[]);
    case.replicator(|spec| {
        let target = TargetTopic { topic_prefix: "eu.".into(), ..TargetTopic::default() };
        spec.replication = Some(vec![specs::route(&format!("{}.*", case.namespace), target)]);
        spec.source.as_mut().unwrap().consumer_group = Some("k2k-typo".into());
    });
    let text = case.replicator_says(Reason::Ready);
    let lacks = format!("the target lacks 1 topic: eu.{}", names[1]);
    let group = "the source knows no group k2k-typo yet (spec.source.consumerGroup)";
    assert_eq!(text, format!("routed: 2 topics with 4 partitions; {group}; {lacks}"));
}
