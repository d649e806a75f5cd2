//! A connection, with its secrets read: checks it and turns it into client settings. Opens nothing.

use std::{collections::BTreeMap, fmt};

use rdkafka::{ClientConfig, config::RDKafkaLogLevel};

use super::{error::ConfigError, properties};

/// The longest bootstrap list, in bytes.
const MAX_BOOTSTRAP: usize = 8 * 1024;
/// The largest PEM, in bytes; a bundle of all public CAs has about 250 KiB.
const MAX_PEM: usize = 1 << 20;
/// The longest user name or password, in bytes.
const MAX_CREDENTIAL: usize = 4 * 1024;

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
        Self {
            bootstrap_servers,
            tls: None,
            sasl: None,
            properties: BTreeMap::new(),
        }
    }

    /// Checks everything that can be checked without a connection.
    pub fn check(&self) -> Result<(), ConfigError> {
        check_bootstrap(&self.bootstrap_servers)?;
        if let Some(tls) = &self.tls {
            check_tls(tls)?;
        }
        if let Some(sasl) = &self.sasl {
            check_credential("sasl.username", &sasl.username)?;
            check_credential("sasl.password", &sasl.password)?;
        }
        self.properties
            .iter()
            .try_for_each(|(name, value)| properties::check(name, value))
    }

    /// The client's settings, less what belongs to one use (`group.id` and the like). Holds the secrets:
    /// never print the result, rdkafka's own `Debug` shows `ssl.key.pem`.
    pub fn client_config(&self, purpose: Purpose) -> ClientConfig {
        let mut config = ClientConfig::new();
        // Explicit, else rdkafka derives it from the `log` crate's global level.
        config.set_log_level(RDKafkaLogLevel::Info);
        config.set("client.id", "appmigration");
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
                config
                    .set("queued.max.messages.kbytes", "16384")
                    .set("fetch.max.bytes", "16777216");
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
        let mechanism = self
            .sasl
            .as_ref()
            .map_or(SaslMechanism::Plain, |sasl| sasl.mechanism);
        config.set("sasl.mechanism", mechanism.name());
        if let Some(sasl) = &self.sasl {
            config
                .set("sasl.username", &sasl.username)
                .set("sasl.password", &sasl.password);
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

fn check_bootstrap(servers: &str) -> Result<(), ConfigError> {
    let wrong = |problem: String| Err(ConfigError::new("bootstrapServers", problem));
    if servers.len() > MAX_BOOTSTRAP {
        return wrong(format!("must have at most {MAX_BOOTSTRAP} bytes"));
    }
    for server in servers.split(',') {
        let server = server.trim_matches(' ');
        if server.is_empty() {
            return wrong("must be host:port, separated by commas, none of them empty".into());
        }
        if server.chars().any(|c| c.is_control() || c.is_whitespace()) || server.contains("//") {
            return wrong("must be host:port, without spaces, control characters or a scheme".into());
        }
        let (host, port) = server.rsplit_once(':').unwrap_or((server, ""));
        if host.is_empty() || port.parse::<u16>().is_ok_and(|port| port == 0) || port.parse::<u16>().is_err()
        {
            return wrong(format!("{server} must be host:port with a port from 1 to 65535"));
        }
    }
    Ok(())
}

fn check_tls(tls: &Tls) -> Result<(), ConfigError> {
    if let Some(pem) = &tls.ca_pem {
        check_pem("tls.ca", pem, "CERTIFICATE-----")?;
    }
    if let Some(client) = &tls.client {
        check_pem("tls.certificate", &client.certificate_pem, "CERTIFICATE-----")?;
        check_pem("tls.key", &client.private_key_pem, "PRIVATE KEY-----")?;
        let encrypted = ["ENCRYPTED PRIVATE KEY", "Proc-Type: 4,ENCRYPTED"];
        if encrypted.iter().any(|mark| client.private_key_pem.contains(mark)) {
            return Err(ConfigError::new(
                "tls.key",
                "must not be encrypted: there is no field for a passphrase",
            ));
        }
    }
    Ok(())
}

fn check_pem(field: &str, pem: &str, holds: &str) -> Result<(), ConfigError> {
    if pem.len() > MAX_PEM {
        return Err(ConfigError::new(
            field,
            format!("must have at most {MAX_PEM} bytes"),
        ));
    }
    if pem
        .chars()
        .any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
    {
        return Err(ConfigError::new(
            field,
            "must be PEM text without control characters",
        ));
    }
    if !pem.contains("-----BEGIN ") || !pem.contains(holds) {
        return Err(ConfigError::new(
            field,
            format!("must be PEM with a block `-----BEGIN … {holds}`"),
        ));
    }
    Ok(())
}

/// A trailing newline (`echo secret | base64`) is the usual way to a password that is always refused, so
/// it is named here instead.
fn check_credential(field: &str, value: &str) -> Result<(), ConfigError> {
    if value.is_empty() || value.len() > MAX_CREDENTIAL {
        return Err(ConfigError::new(
            field,
            format!("must have 1 to {MAX_CREDENTIAL} bytes"),
        ));
    }
    if value.ends_with('\n') {
        return Err(ConfigError::new(field, "must not end in a newline"));
    }
    if value.chars().any(char::is_control) {
        return Err(ConfigError::new(field, "must not hold control characters"));
    }
    Ok(())
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
