//! The controllers: what they share, and how they run.

pub mod app_migration;
mod cache;
mod conditions;
#[cfg(test)]
mod conformance;
mod context;
mod fault;
mod k2k_replicator;
mod lanes;
mod malformed;
mod measure;
mod pipeline;
mod replicator;
mod run;
mod secrets;

use std::time::Duration;

use crate::{crash, runtime::leader::NotLeading};

pub use app_migration::{Foreseen, foresee, journal};
pub use context::{Context, Options};
pub use fault::Fault;
pub use pipeline::{Loaded, load};
pub use replicator::Replicator;
pub use run::{installed, run};
pub use secrets::NamespaceSecrets;

/// Each call to the API server has this deadline.
const KUBERNETES_DEADLINE: Duration = Duration::from_secs(15);

/// A Kubernetes call that failed or was not answered in time. Retried with the object's back-off.
#[derive(Debug, thiserror::Error)]
pub enum KubeError {
    /// The API server said no, or could not be reached.
    #[error(transparent)]
    Call(#[from] kube::Error),
    /// No answer within the deadline.
    #[error("the API server does not answer")]
    Deadline,
    /// Another operator leads now.
    #[error(transparent)]
    NotLeading(#[from] NotLeading),
}

impl KubeError {
    /// The object changed since it was read, or is gone.
    fn is_stale(&self) -> bool {
        matches!(self, Self::Call(kube::Error::Api(status)) if matches!(status.code, 404 | 409))
    }
}

/// Awaits a Kubernetes call, at most [`KUBERNETES_DEADLINE`]. Every one goes through here; `what` names it.
async fn within_deadline<T>(what: &str, call: impl Future<Output = kube::Result<T>>) -> Result<T, KubeError> {
    crash::before_call(|| what.to_owned()).await;
    match tokio::time::timeout(KUBERNETES_DEADLINE, call).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(KubeError::Deadline),
    }
}
