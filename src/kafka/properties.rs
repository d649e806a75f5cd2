//! The client properties that a custom resource may set: an allow-list with bounds, nothing else passes.
//!
//! A deny-list cannot work: librdkafka loads code (`plugin.library.paths`, `ssl.engine.location`), runs
//! commands (`sasl.kerberos.kinit.cmd`), reads files (`*.location`) and calls URLs
//! (`sasl.oauthbearer.*`) on behalf of a property, and topic-level keys fall through.

use super::error::ConfigError;

/// The longest text a property may have, in bytes; Kafka's own names end at 249.
const MAX_TEXT: usize = 249;

/// What a property's value must look like.
enum Rule {
    Text,
    OneOf(&'static [&'static str]),
    Bool,
    Int(i64, i64),
}

/// Who may use a property.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Both,
    /// The replicator's data plane only: the operator's own reads have settings of their own.
    Replicator,
}

use Rule::{Bool, Int, OneOf, Text};
use Who::{Both, Replicator};

const MIB: i64 = 1 << 20;

/// Name, rule, who. Bounds keep a resource from spinning the client (0 as a back-off), from hanging it
/// (hours as a timeout) and from exhausting the pod's memory.
const ALLOWED: &[(&str, Rule, Who)] = &[
    ("client.id", Text, Both),
    ("client.rack", Text, Both),
    ("broker.address.family", OneOf(&["any", "v4", "v6"]), Both),
    ("socket.timeout.ms", Int(10_000, 300_000), Both),
    ("socket.connection.setup.timeout.ms", Int(1_000, 60_000), Both),
    ("socket.keepalive.enable", Bool, Both),
    ("connections.max.idle.ms", Int(0, 3_600_000), Both),
    ("reconnect.backoff.ms", Int(10, 60_000), Both),
    ("reconnect.backoff.max.ms", Int(10, 300_000), Both),
    ("metadata.max.age.ms", Int(1_000, 86_400_000), Both),
    // A producer property: checked for all, used by the replicator.
    ("request.timeout.ms", Int(1_000, 900_000), Replicator),
    ("compression.type", OneOf(&["none", "gzip", "snappy", "lz4", "zstd"]), Replicator),
    ("compression.level", Int(-1, 12), Replicator),
    ("linger.ms", Int(0, 60_000), Replicator),
    ("batch.size", Int(1, 16 * MIB), Replicator),
    ("batch.num.messages", Int(1, 1_000_000), Replicator),
    ("message.max.bytes", Int(1_000, 100 * MIB), Replicator),
    ("fetch.min.bytes", Int(1, 10 * MIB), Replicator),
    ("fetch.max.bytes", Int(1_024, 100 * MIB), Replicator),
    ("fetch.message.max.bytes", Int(1_024, 100 * MIB), Replicator),
    ("fetch.wait.max.ms", Int(0, 5_000), Replicator),
    ("fetch.error.backoff.ms", Int(1, 30_000), Replicator),
    // 0 is a busy loop.
    ("fetch.queue.backoff.ms", Int(1, 1_000), Replicator),
];

/// Checks one property. The error says which are allowed, or which values.
pub(super) fn check(name: &str, value: &str) -> Result<(), ConfigError> {
    let Some((_, rule, _)) = ALLOWED.iter().find(|(allowed, _, _)| *allowed == name) else {
        let names: Vec<&str> = ALLOWED.iter().map(|(name, _, _)| *name).collect();
        return Err(ConfigError::new(
            printable(name),
            format!("this property is not allowed; allowed are {}", names.join(", ")),
        ));
    };
    let problem = match rule {
        Text if value.is_empty() || value.len() > MAX_TEXT => {
            Some(format!("must have 1 to {MAX_TEXT} bytes"))
        }
        Text if value.chars().any(char::is_control) => Some("must not hold control characters".into()),
        OneOf(values) if !values.contains(&value) => Some(format!("must be one of {}", values.join(", "))),
        Bool if !["true", "false"].contains(&value) => Some("must be true or false".into()),
        Int(min, max) if !is_int_between(value, *min, *max) => {
            Some(format!("must be a whole number from {min} to {max}"))
        }
        _ => None,
    };
    problem.map_or(Ok(()), |problem| Err(ConfigError::new(name, problem)))
}

/// True where the property belongs to the replicator's data plane only.
pub(super) fn replicator_only(name: &str) -> bool {
    ALLOWED.iter().any(|(allowed, _, who)| *allowed == name && *who == Replicator)
}

/// Written in the one usual way: `i64::from_str` alone would let `+5` through, and `010`, which the client takes
/// for an octal 8.
fn is_int_between(value: &str, min: i64, max: i64) -> bool {
    value.parse::<i64>().is_ok_and(|number| (min..=max).contains(&number) && number.to_string() == value)
}

/// An unknown name is other people's text: shown without control characters and not at any length.
fn printable(name: &str) -> String {
    name.chars().take(80).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_listed_is_refused_and_the_list_is_shown() {
        for name in
            ["plugin.library.paths", "ssl.engine.location", "debug", "sasl.kerberos.kinit.cmd", "", "acks"]
        {
            let error = check(name, "x").unwrap_err();
            assert_eq!(error.property, name);
            assert!(error.problem.contains("client.rack"), "{error}");
        }
    }

    #[test]
    fn values_are_bounded() {
        let refused = [
            ("client.id", ""),
            ("client.id", "a\nb"),
            ("broker.address.family", "v5"),
            ("socket.keepalive.enable", "yes"),
            ("socket.timeout.ms", "1"),
            ("socket.timeout.ms", "+20000"),
            ("socket.timeout.ms", "20000 "),
            ("reconnect.backoff.ms", "010"),
            ("batch.num.messages", "0999999"),
            ("linger.ms", "-0"),
            ("fetch.queue.backoff.ms", "0"),
            ("fetch.max.bytes", "99999999999999999999"),
        ];
        for (name, value) in refused {
            let error = check(name, value).unwrap_err();
            assert_eq!(error.property, name);
        }
        let accepted = [
            ("client.id", "my app"),
            ("broker.address.family", "v4"),
            ("socket.keepalive.enable", "true"),
            ("compression.level", "-1"),
        ];
        for (name, value) in accepted {
            check(name, value).unwrap();
        }
    }

    #[test]
    fn the_data_plane_keeps_its_properties_to_itself() {
        assert!(replicator_only("linger.ms"));
        assert!(!replicator_only("client.rack"));
    }
}
