//! A `K2KReplicator` as the controllers use it: validated once; nothing behind this reads the raw spec.

use kube::ResourceExt;

use crate::{
    api::v1alpha1::{ClusterSpec, Features, K2KReplicator, SourceSpec},
    mapping::{Routes, origin::OriginFormat},
};

/// A validated replicator.
#[derive(Clone, Debug)]
pub struct Replicator {
    /// The object's name.
    pub name: String,
    /// The object's uid.
    pub uid: String,
    /// The object's `metadata.generation`.
    pub generation: i64,
    /// How to reach the source.
    pub source: SourceSpec,
    /// How to reach the target.
    pub target: ClusterSpec,
    /// Which topics go where.
    pub routes: Routes,
    /// The patterns of the routes, as they are written.
    pub patterns: Vec<String>,
    /// Which headers are written, and how.
    pub format: OriginFormat,
    /// What the replicator does with each record.
    pub features: Features,
    /// Which pipeline file its spec is filled from, if it is.
    pub pipeline: Option<String>,
}

impl Replicator {
    /// Validates `object`, which is filled if it is to be. The error names the field and what is wrong with it.
    pub fn new(object: &K2KReplicator) -> Result<Self, String> {
        let spec = &object.spec;
        let missing = |field| format!("{field} is required where spec.pipelineFrom is not set");
        let source = spec.source.clone().ok_or_else(|| missing("spec.source"))?;
        let target = spec.target.clone().ok_or_else(|| missing("spec.target"))?;
        let replication = spec.replication.as_deref().filter(|r| !r.is_empty());
        let replication = replication.ok_or_else(|| missing("spec.replication"))?;
        let headers = &spec.tracing.headers;
        // The client takes C strings.
        for (field, text) in [
            ("source.consumerGroup", source.consumer_group.as_deref().unwrap_or_default()),
            ("tracing.headers.topic", &headers.topic),
            ("tracing.headers.partition", &headers.partition),
            ("tracing.headers.offset", &headers.offset),
            ("tracing.headers.pipeline", &headers.pipeline),
        ] {
            if text.contains('\0') {
                return Err(format!("spec.{field} must not hold a NUL character"));
            }
        }
        let routes = Routes::new(replication).map_err(|error| error.to_string())?;
        Ok(Self {
            name: object.name_any(),
            uid: object.uid().unwrap_or_default(),
            generation: object.metadata.generation.unwrap_or_default(),
            source,
            target,
            routes,
            patterns: replication.iter().flat_map(|entry| &entry.topics).cloned().collect(),
            format: OriginFormat::new(&spec.features, &spec.tracing),
            features: spec.features.clone(),
            pipeline: None,
        })
    }
}
