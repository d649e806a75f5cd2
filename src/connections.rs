//! From a connection as it stands in a custom resource to one that can be opened: reads the Secrets that it
//! names. Opens nothing.

use crate::{
    api::v1alpha1::{ClusterSpec, SaslMechanism as SpecMechanism, SecretKeyRef, TlsSpec},
    kafka::{ClientIdentity, ConfigError, ConnectionConfig, Sasl, SaslMechanism, Tls},
    secrets::{self, SecretError, SecretSource},
};

/// A connection that cannot be used. `field` is where it stands in the spec.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionError {
    /// A Secret is missing or unusable.
    #[error("{field}: {source}")]
    Secret {
        /// The field that names it.
        field: String,
        /// Why.
        source: SecretError,
    },
    /// A value is not usable.
    #[error("{field}: {source}")]
    Value {
        /// The connection's field.
        field: String,
        /// Which value, and why.
        source: ConfigError,
    },
    /// Fields contradict each other.
    #[error("{field}: {problem}")]
    Contradiction {
        /// The connection's field.
        field: String,
        /// What is wrong.
        problem: &'static str,
    },
}

/// The connection that `spec` describes. `field` is where it stands, for messages: `spec.source`.
pub async fn resolve(
    field: &str,
    spec: &ClusterSpec,
    secrets: &impl SecretSource,
) -> Result<ConnectionConfig, ConnectionError> {
    let tls = match &spec.tls {
        Some(tls) if tls.enabled => Some(resolve_tls(field, tls, secrets).await?),
        _ => None,
    };
    let sasl = match &spec.sasl {
        Some(_) if spec.tls.is_none() => {
            let problem = "sasl requires tls to be stated: set tls.enabled to true, or to false for SASL over plaintext";
            return Err(ConnectionError::Contradiction { field: field.to_owned(), problem });
        }
        Some(sasl) => Some(Sasl {
            mechanism: match sasl.mechanism {
                SpecMechanism::Plain => SaslMechanism::Plain,
                SpecMechanism::ScramSha256 => SaslMechanism::ScramSha256,
                SpecMechanism::ScramSha512 => SaslMechanism::ScramSha512,
            },
            username: sasl.username.clone(),
            password: trim_line(
                read(&format!("{field}.sasl.passwordSecretRef"), &sasl.password_secret_ref, secrets).await?,
            ),
        }),
        None => None,
    };
    let bootstrap_servers = spec.bootstrap_servers.clone();
    let connection = ConnectionConfig { bootstrap_servers, tls, sasl, properties: spec.properties.clone() };
    match connection.check() {
        Ok(()) => Ok(connection),
        Err(source) => Err(ConnectionError::Value { field: field.to_owned(), source }),
    }
}

async fn resolve_tls(
    field: &str,
    tls: &TlsSpec,
    secrets: &impl SecretSource,
) -> Result<Tls, ConnectionError> {
    let ca_pem = match &tls.ca_secret_ref {
        Some(reference) => Some(read(&format!("{field}.tls.caSecretRef"), reference, secrets).await?),
        None => None,
    };
    let client = match (&tls.certificate_secret_ref, &tls.private_key_secret_ref) {
        (Some(certificate), Some(key)) => Some(ClientIdentity {
            certificate_pem: read(&format!("{field}.tls.certificateSecretRef"), certificate, secrets).await?,
            private_key_pem: read(&format!("{field}.tls.privateKeySecretRef"), key, secrets).await?,
        }),
        (None, None) => None,
        _ => {
            let problem =
                "mutual TLS needs both certificateSecretRef and privateKeySecretRef, or none of them";
            return Err(ConnectionError::Contradiction { field: format!("{field}.tls"), problem });
        }
    };
    Ok(Tls { ca_pem, client })
}

async fn read(
    field: &str,
    reference: &SecretKeyRef,
    secrets: &impl SecretSource,
) -> Result<String, ConnectionError> {
    let read = match secrets::check_name(&reference.name) {
        Ok(()) => secrets.read(reference).await,
        Err(error) => Err(error),
    };
    read.map_err(|source| ConnectionError::Secret { field: field.to_owned(), source })
}

/// Passwords are often kept with the line end that an editor or `echo` put behind them.
fn trim_line(mut value: String) -> String {
    while value.ends_with(['\n', '\r']) {
        value.pop();
    }
    value
}
