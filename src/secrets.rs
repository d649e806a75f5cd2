//! Where secrets come from: the one trait that the controllers and `appmigration replicate` share.

use std::future::Future;

use crate::api::v1alpha1::SecretKeyRef;

/// Longest name of an object.
const MAX_NAME: usize = 253;

/// Gives the values that a spec names but never holds.
pub trait SecretSource: Send + Sync {
    /// The text under `reference`. Never logged, never part of an error.
    fn read(&self, reference: &SecretKeyRef) -> impl Future<Output = Result<String, SecretError>> + Send;
}

/// Checks that a Secret can have this name. Names become part of a URL and of a path: one like
/// `../../other-namespace/secrets/x` must never get there.
pub fn check_name(name: &str) -> Result<(), SecretError> {
    let edge = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let part = |part: &str| {
        let bytes = part.as_bytes();
        bytes.first().is_some_and(|c| edge(*c))
            && bytes.last().is_some_and(|c| edge(*c))
            && bytes.iter().all(|c| edge(*c) || *c == b'-')
    };
    let is_name = name.len() <= MAX_NAME && name.split('.').all(part);
    if is_name { Ok(()) } else { Err(SecretError::NoName { name: name.to_owned() }) }
}

/// A secret that cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// There is no such Secret, or it cannot be read.
    #[error("Secret `{name}` was not found")]
    Missing {
        /// The Secret's name.
        name: String,
    },
    /// It is no name that a Secret can have.
    #[error("`{name}` is no name of a Secret: lower-case letters, digits, `-` and `.` are allowed")]
    NoName {
        /// What stands in its place.
        name: String,
    },
    /// The Secret lacks the key.
    #[error("Secret `{name}` has no key `{key}`")]
    KeyMissing {
        /// The Secret's name.
        name: String,
        /// The key.
        key: String,
    },
    /// The value is not text.
    #[error("key `{key}` of Secret `{name}` is not UTF-8 text")]
    NotText {
        /// The Secret's name.
        name: String,
        /// The key.
        key: String,
    },
    /// The store does not answer, for now.
    #[error("Secret `{name}` cannot be read now: {reason}")]
    Unavailable {
        /// The Secret's name.
        name: String,
        /// What the store said; never a value.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::check_name;

    #[test]
    fn names_are_those_that_kubernetes_has() {
        for name in ["a", "eu-user", "eu.user-1", "0", &"a".repeat(253)] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        let long = "a".repeat(254);
        for name in [
            "", ".", "..", "a..b", ".a", "a.", "-a", "a-", "A", "a/b", "../a", "a?b=c", "a%2fb", "a b",
            "a\n", "é", &long,
        ] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
