//! How to reach a Kafka cluster. Secrets are named here, never held.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// How to reach a Kafka cluster, and as whom.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.sasl) || has(self.tls)")
    .message("sasl requires tls to be stated: set tls.enabled to true, or to false for SASL over plaintext"))]
pub struct ClusterSpec {
    /// Comma-separated `host:port` pairs of some brokers. Example: `kafka-eu-0:9092,kafka-eu-1:9092`.
    #[schemars(length(min = 1, max = 4096))]
    pub bootstrap_servers: String,

    /// Encryption, and the client certificate for mutual TLS. Absent: plaintext.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSpec>,

    /// SASL authentication. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sasl: Option<SaslSpec>,

    /// Further client properties, by their librdkafka names, from an allow-list:
    /// `client.id`, `client.rack`, `broker.address.family`, `socket.timeout.ms`,
    /// `socket.connection.setup.timeout.ms`, `socket.keepalive.enable`, `connections.max.idle.ms`,
    /// `reconnect.backoff.ms`, `reconnect.backoff.max.ms`, `metadata.max.age.ms`, `request.timeout.ms`;
    /// for the replicator also `compression.type`, `compression.level`, `linger.ms`, `batch.size`,
    /// `batch.num.messages`, `message.max.bytes` and some of `fetch.*`.
    /// Example: `{client.rack: eu-1a}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "properties_schema")]
    pub properties: BTreeMap<String, String>,
}

/// How to reach the source cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceSpec {
    /// The connection.
    #[serde(flatten)]
    pub cluster: ClusterSpec,

    /// The consumer group under which the replicator commits its own position on the source, if it does
    /// (`appmigration replicate` does, Lenses K2K does not). It proves that everything below a committed
    /// offset has been copied. Never the group of an application:
    /// `appmigration replicate` copies nothing while the group has members or offsets of another (all its
    /// instances need the same `client.id`). Example: `k2k-eu-to-us`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub consumer_group: Option<String>,
}

/// TLS towards the brokers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.certificateSecretRef) == has(self.privateKeySecretRef)")
    .message("mutual TLS needs both certificateSecretRef and privateKeySecretRef, or none of them"))]
pub struct TlsSpec {
    /// Whether the connection is encrypted.
    pub enabled: bool,

    /// PEM certificates of the authorities to trust. Absent: the system's roots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<SecretKeyRef>,

    /// PEM certificate chain of the client, for mutual TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_secret_ref: Option<SecretKeyRef>,

    /// PEM private key (unencrypted) of the client, for mutual TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_key_secret_ref: Option<SecretKeyRef>,
}

/// SASL authentication by user name and password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SaslSpec {
    /// The mechanism that the listener offers.
    pub mechanism: SaslMechanism,

    /// The user name.
    #[schemars(length(min = 1, max = 1024))]
    pub username: String,

    /// The password.
    pub password_secret_ref: SecretKeyRef,
}

/// SASL mechanisms that are supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum SaslMechanism {
    /// The password in clear: only over TLS.
    #[serde(rename = "PLAIN")]
    Plain,
    /// Salted challenge response with SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// Salted challenge response with SHA-512.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

/// One key of a Secret in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct SecretKeyRef {
    /// Name of the Secret, in the namespace of this object.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key within the Secret's data.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

fn properties_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "additionalProperties": { "type": "string", "maxLength": 1024 },
        "maxProperties": 32,
    })
}
