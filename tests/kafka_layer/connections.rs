//! Connecting: what works, and that every refusal says precisely why, and soon.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use appmigration::kafka::{Cluster, ConnectionConfig, KafkaError, SaslMechanism, Tls};

use crate::{
    proxy::Proxy,
    support::{
        DEADLINE, at, client_identity, create_topic, fresh, fresh_topic, from_stack, plaintext, range,
        sasl_ssl, scan, source, tls,
    },
};

async fn refusal(config: &ConnectionConfig) -> (KafkaError, Duration) {
    let started = Instant::now();
    let error = Cluster::connect(config, DEADLINE).await.expect_err("connected");
    (error, started.elapsed())
}

#[tokio::test]
async fn every_listener_leads_to_the_same_cluster() {
    let plain = source().await;
    assert_eq!(plain.id().len(), 22);
    let mut ssl = ConnectionConfig::plaintext(from_stack("SOURCE_SSL"));
    ssl.tls = Some(tls("ca.crt"));
    let mut mutual = ConnectionConfig::plaintext(from_stack("SOURCE_MTLS"));
    mutual.tls = Some(Tls { client: Some(client_identity()), ..tls("ca.crt") });
    let mut scram = sasl_ssl(SaslMechanism::ScramSha256, "migrator", "migrator-secret");
    let scram_512 = sasl_ssl(SaslMechanism::ScramSha512, "admin", "admin-secret");
    for config in [&ssl, &mutual, &scram, &scram_512] {
        let cluster = Cluster::connect(config, DEADLINE).await.unwrap();
        assert_eq!(cluster.id(), plain.id(), "{config:?}");
        assert_eq!(cluster.current_id().await.unwrap(), plain.id());
    }
    scram.bootstrap_servers = from_stack("SOURCE_SASL_PLAINTEXT");
    scram.tls = None;
    assert_eq!(Cluster::connect(&scram, DEADLINE).await.unwrap().id(), plain.id());
}

#[tokio::test]
async fn an_untrusted_certificate_is_named_at_once() {
    let mut config = ConnectionConfig::plaintext(from_stack("SOURCE_SSL"));
    config.tls = Some(tls("other-ca.crt"));
    let (error, took) = refusal(&config).await;
    assert!(matches!(error, KafkaError::Tls { .. }), "{error}");
    assert!(error.to_string().contains("certificate verify failed"), "{error}");
    assert!(error.to_string().contains(&config.bootstrap_servers), "{error}");
    assert!(!error.is_retriable());
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[tokio::test]
async fn the_system_s_cas_do_not_know_the_test_ca() {
    let mut config = ConnectionConfig::plaintext(from_stack("SOURCE_SSL"));
    config.tls = Some(Tls { ca_pem: None, client: None });
    let (error, _) = refusal(&config).await;
    assert!(matches!(error, KafkaError::Tls { .. } | KafkaError::Config(_)), "{error}");
}

#[tokio::test]
async fn a_missing_client_certificate_is_a_tls_error() {
    let mut config = ConnectionConfig::plaintext(from_stack("SOURCE_MTLS"));
    config.tls = Some(tls("ca.crt"));
    let (error, took) = refusal(&config).await;
    assert!(matches!(error, KafkaError::Tls { .. } | KafkaError::Unreachable { .. }), "{error}");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn a_wrong_password_is_named_at_once_and_never_shown() {
    for mechanism in [SaslMechanism::ScramSha256, SaslMechanism::ScramSha512, SaslMechanism::Plain] {
        let (error, took) = refusal(&sasl_ssl(mechanism, "migrator", "hunter2-wrong")).await;
        assert!(matches!(error, KafkaError::Authentication { .. }), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        assert!(error.to_string().contains("refused the credentials of user migrator: "), "{error}");
        assert!(error.to_string().to_lowercase().contains("authentication failed"), "{error}");
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
}

#[tokio::test]
async fn a_refused_port_is_unreachable_before_the_deadline() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (error, took) = refusal(&ConnectionConfig::plaintext(free.to_string())).await;
    assert!(matches!(error, KafkaError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("Connection refused"), "{error}");
    assert!(error.is_retriable());
    assert!(took < Duration::from_secs(4), "{took:?}");
}

#[tokio::test]
async fn one_good_bootstrap_server_is_enough() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let good = from_stack("SOURCE_BOOTSTRAP");
    for servers in [format!("{free},{good}"), format!("{good},{free}")] {
        Cluster::connect(&ConnectionConfig::plaintext(servers), DEADLINE).await.unwrap();
    }
}

#[tokio::test]
async fn a_name_without_an_address_is_unreachable() {
    let (error, took) = refusal(&ConnectionConfig::plaintext("no-such-host.invalid:9092")).await;
    assert!(matches!(error, KafkaError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("resolve"), "{error}");
    assert!(took < DEADLINE, "{took:?}");
}

#[tokio::test]
async fn a_server_that_never_answers_is_told_after_the_set_up_timeout() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = ConnectionConfig::plaintext(silent.local_addr().unwrap().to_string());
    config.properties.insert("socket.connection.setup.timeout.ms".into(), "1500".into());
    let (error, took) = refusal(&config).await;
    assert!(matches!(error, KafkaError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("timed out"), "{error}");
    assert!(took < Duration::from_secs(6), "{took:?}");
}

#[tokio::test]
async fn the_deadline_holds_where_nothing_is_known() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = ConnectionConfig::plaintext(silent.local_addr().unwrap().to_string());
    let started = Instant::now();
    let error = Cluster::connect(&config, Duration::from_millis(700)).await.unwrap_err();
    assert!(matches!(error, KafkaError::Timeout { .. }), "{error}");
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[tokio::test]
async fn plain_text_to_a_tls_listener_is_no_riddle() {
    let (error, took) = refusal(&ConnectionConfig::plaintext(from_stack("SOURCE_SSL"))).await;
    assert!(matches!(error, KafkaError::Unreachable { .. } | KafkaError::Tls { .. }), "{error}");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn a_principal_without_rights_is_told_so() {
    let topic = fresh_topic("secret").await;
    let nobody = sasl_ssl(SaslMechanism::ScramSha256, "nobody", "nobody-secret");
    let cluster = Cluster::connect(&nobody, DEADLINE).await.unwrap();
    assert!(!cluster.topics().await.unwrap().contains_key(&topic));

    let error = cluster.describe_topics(std::slice::from_ref(&topic)).await.unwrap_err();
    assert!(matches!(error, KafkaError::Authorization { .. }), "{error}");
    assert!(error.to_string().contains(&topic), "{error}");
    let started = Instant::now();
    for error in [
        cluster.committed(&fresh("group")).await.unwrap_err(),
        cluster.group(&fresh("group")).await.unwrap_err(),
        cluster.log_starts(&[crate::support::at(&topic, 0)]).await.unwrap_err(),
    ] {
        assert!(matches!(error, KafkaError::Authorization { .. }), "{error}");
        assert!(!error.is_retriable());
    }
    assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
    let group = fresh("group");
    let offsets = [appmigration::kafka::CommitOffset {
        partition: crate::support::at(&topic, 0),
        offset: 1,
        metadata: vec![],
    }];
    let error = cluster.commit(&group, &offsets).await.unwrap_err();
    assert!(matches!(error, KafkaError::Authorization { .. }), "{error}");
    let error =
        crate::support::scan(&cluster, vec![crate::support::range(&offsets[0].partition, 0, 1)]).await;
    let error = error.unwrap_err();
    assert!(matches!(error, KafkaError::Authorization { .. }), "{error}");
}

#[tokio::test]
async fn an_unusable_configuration_opens_no_connection() {
    let mut config = plaintext();
    config.properties.insert("plugin.library.paths".into(), "/tmp/evil.so".into());
    let error = Cluster::connect(&config, DEADLINE).await.unwrap_err();
    assert!(matches!(&error, KafkaError::Config(config) if config.property == "plugin.library.paths"));

    let mut broken = sasl_ssl(SaslMechanism::Plain, "u", "p");
    let pem = "-----BEGIN CERTIFICATE-----\nc2VjcmV0\n-----END CERTIFICATE-----\n";
    broken.tls = Some(Tls { ca_pem: Some(pem.into()), client: None });
    let error = Cluster::connect(&broken, DEADLINE).await.unwrap_err();
    assert!(matches!(&error, KafkaError::Config(_)), "{error}");
    assert!(!format!("{error} {error:?}").contains("c2VjcmV0"), "{error}");
}

#[tokio::test]
async fn topics_come_with_their_partition_counts_and_ids() {
    let (topic, cluster) = (fresh("topics"), source().await);
    create_topic(&topic, 7).await;
    assert_eq!(cluster.topics().await.unwrap().get(&topic), Some(&7));
    let names = [topic.clone(), fresh("absent")];
    let described = cluster.describe_topics(&names).await.unwrap();
    assert_eq!(described.len(), 1);
    assert_eq!(described[&topic].partitions, 7);
    assert_eq!(described[&topic].id.len(), 22);
}

/// The client goes on with an admin call that was given up, and may connect for it without any pause: 14,000 times a
/// second for as long as a broker refuses, where the pauses fall badly.
#[tokio::test]
async fn what_was_given_up_is_not_connected_for() {
    let proxy = Proxy::new(&from_stack("SOURCE_PROXY"), &from_stack("SOURCE_PROXIED"));
    for scanned in [false, true] {
        let at = at(&fresh_topic("storm").await, 0);
        let config = ConnectionConfig::plaintext(proxy.address.to_string());
        let cluster = Cluster::connect(&config, DEADLINE).await.unwrap();
        // The client knows now whom to ask.
        cluster.high_watermarks(std::slice::from_ref(&at)).await.unwrap();
        proxy.refuse(true);
        if scanned {
            // Nobody waits for it any more.
            let read = tokio::time::timeout(Duration::from_secs(1), scan(&cluster, vec![range(&at, 0, 1)]));
            read.await.unwrap_err();
        } else {
            let impatient = cluster.with_deadline(Duration::from_secs(1));
            impatient.high_watermarks(&[at]).await.unwrap_err();
        }
        // Time to close it, on a slow machine; one that stays open connects again within the window, whose pauses
        // double up to 10 s.
        tokio::time::sleep(Duration::from_secs(4)).await;
        let before = proxy.accepted();
        tokio::time::sleep(Duration::from_secs(6)).await;
        let attempts = proxy.accepted() - before;
        assert_eq!(attempts, 0, "nobody asks for anything");
        // It is there for whoever asks again, once the broker is.
        proxy.refuse(false);
        cluster.current_id().await.unwrap();
    }
}
