//! What a reconcile holds besides what it has seen: the object as it was last written, the connections.

use std::sync::{Arc, Mutex};

use kube::ResourceExt;

use crate::{api::v1alpha1::AppMigration, search::Landmarks};

use super::{
    super::lanes::{Lane, Work},
    facts::{Clusters, Progress, Standstill},
    seen::Seen,
};

/// One reconcile at work.
pub struct Live {
    /// The object, with the resource version of our last write.
    pub object: AppMigration,
    /// What was seen.
    pub seen: Seen,
    /// The connections, once they were made.
    pub clusters: Option<Clusters>,
    /// How far the mapping has come.
    pub progress: Arc<Progress>,
    /// What searches for other groups came across on the target.
    pub landmarks: Arc<Mutex<Landmarks>>,
    /// How it has waited for the replicator, once it is mapped in earnest.
    pub standstill: Option<Arc<Mutex<Standstill>>>,
}

impl Live {
    /// At the start of a reconcile.
    pub fn new(object: AppMigration) -> Self {
        Self {
            object,
            seen: Seen::default(),
            clusters: None,
            progress: Arc::default(),
            landmarks: Arc::default(),
            standstill: None,
        }
    }
}

/// Whose clusters a migration uses, and whether others may go first.
pub fn lane(object: &AppMigration) -> (Lane, Work) {
    let latched = object.status.as_ref().is_some_and(|s| s.stop_confirmed_at.is_some());
    let work = if latched || object.spec.stop_confirmed { Work::Migration } else { Work::Preview };
    let namespace = object.namespace().unwrap_or_default();
    ((namespace, object.spec.replicator_ref.name.clone()), work)
}
