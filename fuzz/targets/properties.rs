//! Client properties and addresses: what passes the checks, the client takes, and nothing else than what is on
//! the list changes.

#![no_main]

use appmigration::kafka::{ConnectionConfig, Purpose};
use libfuzzer_sys::fuzz_target;

// A line with the addresses, then a line for each property.
fuzz_target!(|text: &str| {
    let (servers, properties) = text.split_once('\n').unwrap_or((text, ""));
    let mut connection = ConnectionConfig::plaintext(servers);
    let pairs = properties.split('\n').filter_map(|line| line.split_once('='));
    connection.properties = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    if let Err(error) = connection.check() {
        assert!(!error.to_string().is_empty());
        return;
    }
    for purpose in [Purpose::Operator, Purpose::Replicator] {
        let config = connection.client_config(purpose);
        assert_eq!(config.get("security.protocol"), Some("plaintext"));
        assert_eq!(config.get("sasl.mechanism"), Some("PLAIN"));
        assert_eq!(config.get("enable.metrics.push"), Some("false"));
        for dangerous in ["plugin.library.paths", "ssl.engine.location", "debug", "sasl.kerberos.kinit.cmd"] {
            assert_eq!(config.get(dangerous), None);
        }
        assert!(config.create_native_config().is_ok(), "{properties:?}");
    }
});
