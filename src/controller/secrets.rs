//! Secrets from the API server: read by `get` when they are needed, in the object's own namespace only,
//! never listed, watched or kept.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};

use crate::{
    api::v1alpha1::SecretKeyRef,
    secrets::{SecretError, SecretSource},
};

use super::KUBERNETES_DEADLINE;

/// The Secrets of one namespace.
pub struct NamespaceSecrets {
    api: Api<Secret>,
    deadline: Duration,
}

impl NamespaceSecrets {
    /// The Secrets of `namespace`.
    pub fn new(client: Client, namespace: &str) -> Self {
        Self { api: Api::namespaced(client, namespace), deadline: KUBERNETES_DEADLINE }
    }
}

impl SecretSource for NamespaceSecrets {
    async fn read(&self, reference: &SecretKeyRef) -> Result<String, SecretError> {
        let SecretKeyRef { name, key } = reference;
        let unavailable = |reason: String| SecretError::Unavailable { name: name.clone(), reason };
        let secret = match tokio::time::timeout(self.deadline, self.api.get_opt(name)).await {
            Ok(Ok(Some(secret))) => secret,
            Ok(Ok(None)) => return Err(SecretError::Missing { name: name.clone() }),
            Ok(Err(error)) => return Err(unavailable(error.to_string())),
            Err(_) => return Err(unavailable("the API server does not answer".to_owned())),
        };
        let value = secret.data.unwrap_or_default().remove(key);
        let value = value.ok_or_else(|| SecretError::KeyMissing { name: name.clone(), key: key.clone() })?;
        String::from_utf8(value.0).map_err(|_| SecretError::NotText { name: name.clone(), key: key.clone() })
    }
}
