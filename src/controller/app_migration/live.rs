//! What a reconcile holds besides what it has seen: the object as it was last written, the connections.

use std::sync::{Arc, Mutex};

use crate::{api::v1alpha1::AppMigration, search::Landmarks};

use super::{
    facts::{Clusters, Progress},
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
        }
    }
}
