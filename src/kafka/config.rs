//! A connection, with its secrets read: checks it and turns it into client settings. Opens nothing.

use std::{collections::BTreeMap, fmt};

use rdkafka::{ClientConfig, config::RDKafkaLogLevel};

use super::{config_checks, error::ConfigError, properties};

/// How to reach a cluster and as whom. Two equal configurations can share one client.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ConnectionConfig {
    /// `host:port`, separated by commas.
    pub bootstrap_servers: String,
    /// TLS, where the listener speaks it.
    pub tls: Option<Tls>,
    /// Credentials, where the listener asks for them. Without `tls` they travel in plain text.
    pub sasl: Option<Sasl>,
    /// Further client properties, from a small allow-list.
    pub properties: BTreeMap<String, String>,
}

/// TLS settings. The broker's certificate and name are always checked.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Tls {
    /// The CAs to trust, as PEM; `None`: those of the system.
    pub ca_pem: Option<String>,
    /// The client's own certificate, for mutual TLS.
    pub client: Option<ClientIdentity>,
}

/// A client certificate and its key, as PEM.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ClientIdentity {
    /// The certificate, with its chain.
    pub certificate_pem: String,
    /// The private key, not encrypted.
    pub private_key_pem: String,
}

/// SASL credentials.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Sasl {
    /// Which mechanism.
    pub mechanism: SaslMechanism,
    /// The user.
    pub username: String,
    /// The password.
    pub password: String,
}

/// The SASL mechanisms on offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SaslMechanism {
    /// PLAIN.
    Plain,
    /// SCRAM-SHA-256.
    ScramSha256,
    /// SCRAM-SHA-512.
    ScramSha512,
}

impl SaslMechanism {
    /// The mechanism's registered name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// The `client.id`, unless the properties have another.
const CLIENT_ID: &str = "appmigration";

/// What a client is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// The operator's own questions and scans.
    Operator,
    /// The replicator's consumers and producers.
    Replicator,
}

impl ConnectionConfig {
    /// A connection without TLS, credentials or properties.
    pub fn plaintext(bootstrap_servers: impl Into<String>) -> Self {
        let bootstrap_servers = bootstrap_servers.into();
        Self { bootstrap_servers, tls: None, sasl: None, properties: BTreeMap::new() }
    }

    /// Checks everything that can be checked without a connection.
    pub fn check(&self) -> Result<(), ConfigError> {
        config_checks::bootstrap(&self.bootstrap_servers)?;
        if let Some(tls) = &self.tls {
            config_checks::tls(tls)?;
        }
        if let Some(sasl) = &self.sasl {
            config_checks::credential("sasl.username", &sasl.username)?;
            config_checks::credential("sasl.password", &sasl.password)?;
        }
        self.properties.iter().try_for_each(|(name, value)| properties::check(name, value))
    }

    /// By what name the brokers see the clients.
    pub fn client_id(&self) -> &str {
        self.properties.get("client.id").map_or(CLIENT_ID, String::as_str)
    }

    /// The client's settings, less what belongs to one use (`group.id` and the like). Holds the secrets:
    /// never print the result, rdkafka's own `Debug` shows `ssl.key.pem`.
    pub fn client_config(&self, purpose: Purpose) -> ClientConfig {
        let mut config = ClientConfig::new();
        // Explicit, else rdkafka derives it from the `log` crate's global level.
        config.set_log_level(RDKafkaLogLevel::Info);
        config.set("client.id", CLIENT_ID);
        // Some reasons are only logged: without the thread's name the line can be shown as it is.
        config.set("log.thread.name", "false");
        // A broker that accepts and never answers shows only after this time.
        config.set("socket.connection.setup.timeout.ms", "5000");
        for (name, value) in &self.properties {
            if purpose == Purpose::Replicator || !properties::replicator_only(name) {
                config.set(name, value);
            }
        }
        self.set_security(&mut config);
        // Last, so that nothing above can undo them.
        config.set("bootstrap.servers", &self.bootstrap_servers);
        config.set("enable.metrics.push", "false");
        config.set("allow.auto.create.topics", "false");
        match purpose {
            Purpose::Operator => {
                config.set("queued.max.messages.kbytes", "16384").set("fetch.max.bytes", "4194304");
            }
            Purpose::Replicator => {
                config.set("queued.max.messages.kbytes", "65536");
                // librdkafka refuses a fetch.max.bytes above this less 512; 100 MiB is the bound there.
                config.set("receive.message.max.bytes", "110000000");
            }
        }
        config
    }

    fn set_security(&self, config: &mut ClientConfig) {
        let protocol = match (&self.tls, &self.sasl) {
            (None, None) => "plaintext",
            (Some(_), None) => "ssl",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        };
        config.set("security.protocol", protocol);
        if let Some(tls) = &self.tls {
            config.set("ssl.endpoint.identification.algorithm", "https");
            config.set("enable.ssl.certificate.verification", "true");
            match &tls.ca_pem {
                Some(pem) => config.set("ssl.ca.pem", pem),
                // The vendored OpenSSL has no default path of its own.
                None => config.set("ssl.ca.location", "probe"),
            };
            if let Some(client) = &tls.client {
                config.set("ssl.certificate.pem", &client.certificate_pem);
                config.set("ssl.key.pem", &client.private_key_pem);
            }
        }
        // Never empty: the default, GSSAPI, runs a command.
        let mechanism = self.sasl.as_ref().map_or(SaslMechanism::Plain, |sasl| sasl.mechanism);
        config.set("sasl.mechanism", mechanism.name());
        if let Some(sasl) = &self.sasl {
            config.set("sasl.username", &sasl.username).set("sasl.password", &sasl.password);
        }
    }
}

/// Shows where to and as whom; never a password, a key or a PEM.
impl fmt::Debug for ConnectionConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionConfig")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("tls", &self.tls)
            .field("sasl", &self.sasl)
            .field("properties", &self.properties)
            .finish()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("ca_pem", &self.ca_pem.as_ref().map(|_| "..."))
            .field("client", &self.client)
            .finish()
    }
}

impl fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientIdentity").finish_non_exhaustive()
    }
}

impl fmt::Debug for Sasl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sasl")
            .field("mechanism", &self.mechanism)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "config_tests.rs"]
mod tests;
