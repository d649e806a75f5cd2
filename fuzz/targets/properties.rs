//! Client properties and addresses: what passes the checks, the client takes, and nothing else than what is on
//! the list changes.

#![no_main]

use std::collections::BTreeMap;

use appmigration::kafka::{ConnectionConfig, Purpose};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, BTreeMap<&str, &str>)| {
    let (servers, properties) = input;
    let mut connection = ConnectionConfig::plaintext(servers);
    connection.properties =
        properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
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
