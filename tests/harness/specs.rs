//! Specs as a user would write them, for the clusters of the stack.

use std::{fs, time::Duration};

use appmigration::api::v1alpha1::{
    ClusterSpec, Features, Replication, ReplicatorRef, SaslMechanism, SaslSpec, SecretKeyRef, SourceSpec,
    TargetTopic, TlsSpec, Toggle, Tracing, TracingHeaders,
};

use super::{AppMigrationSpec, Case, K2KReplicatorSpec, Side, stack::var};

/// Source to target over plain text, the topics that `pattern` names, all three origin headers.
pub fn replicator(pattern: &str) -> K2KReplicatorSpec {
    K2KReplicatorSpec {
        pipeline_name: None,
        source: Some(SourceSpec { cluster: plaintext(Side::Source), consumer_group: None }),
        target: Some(plaintext(Side::Target)),
        replication: Some(vec![route(pattern, TargetTopic::default())]),
        pipeline_from: None,
        features: Features {
            tracing_headers: TracingHeaders {
                topic: Toggle::Enabled,
                partition: Toggle::Enabled,
                offset: Toggle::Enabled,
                pipeline: Toggle::Disabled,
            },
            ..Features::default()
        },
        tracing: Tracing::default(),
    }
}

/// A confirmed migration of `group` by the replicator `k2k`, with the shortest quiet period.
pub fn migration(group: &str) -> AppMigrationSpec {
    AppMigrationSpec {
        replicator_ref: ReplicatorRef { name: "k2k".into() },
        consumer_group: group.into(),
        target_consumer_group: None,
        topics: None,
        stop_confirmed: true,
        quiet_period: Duration::from_secs(1).into(),
        suspend: false,
        policies: super::v1alpha1::Policies::default(),
    }
}

pub fn route(pattern: &str, target: TargetTopic) -> Replication {
    Replication { topics: vec![pattern.into()], target }
}

pub fn plaintext(side: Side) -> ClusterSpec {
    ClusterSpec { bootstrap_servers: side.bootstrap(), ..ClusterSpec::default() }
}

/// TLS with the stack's authority, and SCRAM as `user`; from the Secrets `ca` and `user`.
pub fn sasl_ssl(side: Side, user: &str, mechanism: SaslMechanism) -> ClusterSpec {
    ClusterSpec {
        bootstrap_servers: side.listener("SASL_SSL"),
        tls: Some(tls()),
        sasl: Some(SaslSpec {
            mechanism,
            username: user.into(),
            password_secret_ref: secret("user", "password"),
        }),
        ..ClusterSpec::default()
    }
}

/// Mutual TLS, from the Secrets `ca` and `client`.
pub fn mutual_tls(side: Side) -> ClusterSpec {
    let tls = TlsSpec {
        certificate_secret_ref: Some(secret("client", "tls.crt")),
        private_key_secret_ref: Some(secret("client", "tls.key")),
        ..tls()
    };
    ClusterSpec { bootstrap_servers: side.listener("MTLS"), tls: Some(tls), ..ClusterSpec::default() }
}

pub fn tls() -> TlsSpec {
    TlsSpec { enabled: true, ca_secret_ref: Some(secret("ca", "ca.crt")), ..TlsSpec::default() }
}

pub fn secret(name: &str, key: &str) -> SecretKeyRef {
    SecretKeyRef { name: name.into(), key: key.into() }
}

/// A file of the stack's own certificates.
pub fn pki(file: &str) -> String {
    fs::read_to_string(format!("{}/{file}", var("PKI_DIR"))).unwrap()
}

/// The Secrets that the specs name.
pub fn secrets(case: &Case, user: &str) -> Vec<k8s_openapi::api::core::v1::Secret> {
    vec![
        case.secret("ca", &[("ca.crt", &pki("ca.crt"))]),
        case.secret("user", &[("password", &format!("{user}-secret"))]),
        case.secret("client", &[("tls.crt", &pki("client.crt")), ("tls.key", &pki("client.key"))]),
    ]
}
