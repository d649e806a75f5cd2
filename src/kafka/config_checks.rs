//! What a connection must look like before it is used: text checks, nothing is opened. Errors name the
//! field and what is allowed, never a value of a secret.

use super::{ConfigError, Tls};

/// The longest bootstrap list, in bytes.
const MAX_BOOTSTRAP: usize = 8 * 1024;
/// The largest PEM, in bytes; a bundle of all public CAs has about 250 KiB.
const MAX_PEM: usize = 1 << 20;
/// The longest user name or password, in bytes.
const MAX_CREDENTIAL: usize = 4 * 1024;

/// `host:port`, separated by commas.
pub(super) fn bootstrap(servers: &str) -> Result<(), ConfigError> {
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

/// PEMs that look like what they should be.
pub(super) fn tls(tls: &Tls) -> Result<(), ConfigError> {
    if let Some(pem) = &tls.ca_pem {
        pem_block("tls.ca", pem, "CERTIFICATE-----")?;
    }
    if let Some(client) = &tls.client {
        pem_block("tls.certificate", &client.certificate_pem, "CERTIFICATE-----")?;
        pem_block("tls.key", &client.private_key_pem, "PRIVATE KEY-----")?;
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

fn pem_block(field: &str, pem: &str, holds: &str) -> Result<(), ConfigError> {
    if pem.len() > MAX_PEM {
        return Err(ConfigError::new(field, format!("must have at most {MAX_PEM} bytes")));
    }
    if pem.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err(ConfigError::new(field, "must be PEM text without control characters"));
    }
    if !pem.contains("-----BEGIN ") || !pem.contains(holds) {
        return Err(ConfigError::new(field, format!("must be PEM with a block `-----BEGIN … {holds}`")));
    }
    Ok(())
}

/// A trailing newline (`echo secret | base64`) is the usual way to a password that is always refused, so
/// it is named here instead.
pub(super) fn credential(field: &str, value: &str) -> Result<(), ConfigError> {
    if value.is_empty() || value.len() > MAX_CREDENTIAL {
        return Err(ConfigError::new(field, format!("must have 1 to {MAX_CREDENTIAL} bytes")));
    }
    if value.ends_with('\n') {
        return Err(ConfigError::new(field, "must not end in a newline"));
    }
    if value.chars().any(char::is_control) {
        return Err(ConfigError::new(field, "must not hold control characters"));
    }
    Ok(())
}
