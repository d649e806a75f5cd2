//! Secrets from the API server: read by `get` when they are needed, in the object's own namespace only,
//! never listed, watched or kept.

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};

use crate::{
    api::v1alpha1::SecretKeyRef,
    secrets::{SecretError, SecretSource},
};

use super::within_deadline;

/// The Secrets of one namespace.
pub struct NamespaceSecrets {
    api: Api<Secret>,
}

impl NamespaceSecrets {
    /// The Secrets of `namespace`.
    pub fn new(client: Client, namespace: &str) -> Self {
        Self { api: Api::namespaced(client, namespace) }
    }
}

impl SecretSource for NamespaceSecrets {
    async fn read(&self, reference: &SecretKeyRef) -> Result<String, SecretError> {
        let SecretKeyRef { name, key } = reference;
        let unavailable = |reason: String| SecretError::Unavailable { name: name.clone(), reason };
        let secret = match within_deadline("read a Secret", self.api.get_opt(name)).await {
            Ok(Some(secret)) => secret,
            Ok(None) => return Err(SecretError::Missing { name: name.clone() }),
            Err(error) => return Err(unavailable(error.to_string())),
        };
        let value = secret.data.unwrap_or_default().remove(key);
        let value = value.ok_or_else(|| SecretError::KeyMissing { name: name.clone(), key: key.clone() })?;
        String::from_utf8(value.0).map_err(|_| SecretError::NotText { name: name.clone(), key: key.clone() })
    }
}
