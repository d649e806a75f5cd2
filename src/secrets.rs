//! Where secrets come from: the one trait that the controllers and `appmigration replicate` share.

use std::future::Future;

use crate::api::v1alpha1::SecretKeyRef;

/// Gives the values that a spec names but never holds.
pub trait SecretSource: Send + Sync {
    /// The text under `reference`. Never logged, never part of an error.
    fn read(&self, reference: &SecretKeyRef) -> impl Future<Output = Result<String, SecretError>> + Send;
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
