//! Tests of `config`: what is refused, what is set, and that nothing secret is ever printed.

use super::*;

fn full() -> ConnectionConfig {
    ConnectionConfig {
        bootstrap_servers: "a:9092, [::1]:9093".into(),
        tls: Some(Tls {
            ca_pem: Some("-----BEGIN CERTIFICATE-----\nca-bytes\n-----END CERTIFICATE-----\n".into()),
            client: Some(ClientIdentity {
                certificate_pem: "-----BEGIN CERTIFICATE-----\ncert-bytes\n-----END CERTIFICATE-----\n"
                    .into(),
                private_key_pem: "-----BEGIN PRIVATE KEY-----\nkey-bytes\n-----END PRIVATE KEY-----\n".into(),
            }),
        }),
        sasl: Some(Sasl {
            mechanism: SaslMechanism::ScramSha512,
            username: "user".into(),
            password: "pa$$word".into(),
        }),
        properties: BTreeMap::from([("linger.ms".into(), "5".into()), ("client.rack".into(), "r1".into())]),
    }
}

#[test]
fn debug_shows_no_secret() {
    let shown = format!("{:?} {:#?}", full(), full());
    for secret in ["pa$$word", "key-bytes", "cert-bytes", "ca-bytes"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
    assert!(shown.contains("user") && shown.contains("ScramSha512"));
}

#[test]
fn security_follows_from_what_is_there() {
    full().check().unwrap();
    let config = full().client_config(Purpose::Operator);
    assert_eq!(config.get("security.protocol"), Some("sasl_ssl"));
    assert_eq!(config.get("sasl.mechanism"), Some("SCRAM-SHA-512"));
    assert_eq!(config.get("linger.ms"), None);
    assert_eq!(config.get("client.rack"), Some("r1"));

    let plain = ConnectionConfig::plaintext("a:1").client_config(Purpose::Replicator);
    assert_eq!(plain.get("security.protocol"), Some("plaintext"));
    assert_eq!(plain.get("sasl.mechanism"), Some("PLAIN"));
    assert_eq!(full().client_config(Purpose::Replicator).get("linger.ms"), Some("5"));

    let system = ConnectionConfig { tls: Some(Tls { ca_pem: None, client: None }), sasl: None, ..full() };
    assert_eq!(system.client_config(Purpose::Operator).get("ssl.ca.location"), Some("probe"));
    let bare = ConnectionConfig { tls: None, ..full() };
    assert_eq!(bare.client_config(Purpose::Operator).get("security.protocol"), Some("sasl_plaintext"));
}

#[test]
fn every_allowed_property_is_known_to_the_client() {
    let mut config = full();
    config.tls = None;
    config.sasl = None;
    config.properties = BTreeMap::from([
        ("request.timeout.ms".into(), "1000".into()),
        ("fetch.max.bytes".into(), "104857600".into()),
        ("fetch.wait.max.ms".into(), "5000".into()),
        ("socket.timeout.ms".into(), "10000".into()),
    ]);
    config.client_config(Purpose::Replicator).create_native_config().unwrap();
}

#[test]
fn bootstrap_servers_are_checked() {
    for bad in ["", ",", "a", "a:", ":1", "a:0", "a:99999", "a:1,,b:1", "a:1\n", "SSL://a:1", "a b:1"] {
        let error = ConnectionConfig::plaintext(bad).check().unwrap_err();
        assert_eq!(error.property, "bootstrapServers", "{bad:?}");
    }
    for good in ["a:1", "a:1,b:2", "a:1, b:2", "[::1]:9092"] {
        ConnectionConfig::plaintext(good).check().unwrap();
    }
}

#[test]
fn secrets_are_checked_and_not_shown() {
    let with = |change: fn(&mut ConnectionConfig)| {
        let mut config = full();
        change(&mut config);
        config.check().unwrap_err().to_string()
    };
    let newline = with(|c| c.sasl.as_mut().unwrap().password.push('\n'));
    assert_eq!(newline, "sasl.password: must not end in a newline");
    let nul = with(|c| c.sasl.as_mut().unwrap().username.push('\0'));
    assert!(nul.starts_with("sasl.username"), "{nul}");
    let not_pem = with(|c| c.tls.as_mut().unwrap().ca_pem = Some("hello-secret".into()));
    assert!(not_pem.starts_with("tls.ca") && !not_pem.contains("hello"), "{not_pem}");
    let locked = with(|c| {
        let key = "-----BEGIN ENCRYPTED PRIVATE KEY-----\n-----END ENCRYPTED PRIVATE KEY-----";
        c.tls.as_mut().unwrap().client.as_mut().unwrap().private_key_pem = key.into();
    });
    assert!(locked.contains("encrypted"), "{locked}");
    let property = with(|c| {
        c.properties.insert("debug".into(), "all".into());
    });
    assert!(property.starts_with("debug"), "{property}");
}
