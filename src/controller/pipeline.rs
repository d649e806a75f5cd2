//! Replicators whose spec is filled from a pipeline file: the file is read from its ConfigMap when it is needed,
//! never listed, watched or kept.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client, ResourceExt};

use crate::{
    api::v1alpha1::{K2KReplicator, PipelineFrom, Reason},
    pipeline, secrets,
};

use super::{fault::Fault, replicator::Replicator, within_deadline};

/// A replicator that can be used, and the keys of its pipeline file that are not.
pub struct Loaded {
    /// Validated.
    pub replicator: Replicator,
    /// Keys of the file that have no bearing here, or none that is known.
    pub unused: Vec<String>,
}

/// Validates `object`, once it is filled from the file that it names, if it does.
pub async fn load(object: &K2KReplicator, client: &Client) -> Result<Loaded, Fault> {
    let invalid = |why: String| Fault::new(Reason::InvalidSpec, why);
    let Some(from) = &object.spec.pipeline_from else {
        let replicator = Replicator::new(object).map_err(invalid)?;
        return Ok(Loaded { replicator, unused: Vec::new() });
    };
    let text = read(object, from, client).await?;
    let filled =
        pipeline::fill(object, from, &text).map_err(|error| invalid(format!("{}: {error}", place(from))))?;
    let mut replicator = Replicator::new(&filled.replicator).map_err(invalid)?;
    replicator.pipeline = Some(filled.digest);
    Ok(Loaded { replicator, unused: filled.unused })
}

fn place(from: &PipelineFrom) -> String {
    format!("ConfigMap {}, {}", from.config_map_ref.name, from.config_map_ref.key)
}

async fn read(object: &K2KReplicator, from: &PipelineFrom, client: &Client) -> Result<String, Fault> {
    let reference = &from.config_map_ref;
    let field = "spec.pipelineFrom.configMapRef";
    // It becomes part of a URL.
    if secrets::check_name(&reference.name).is_err() {
        let text = format!("{field}: `{}` is no name of a ConfigMap", reference.name);
        return Err(Fault::new(Reason::InvalidSpec, text));
    }
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), &object.namespace().unwrap_or_default());
    let found = within_deadline("read a pipeline file", api.get_opt(&reference.name)).await;
    let found = found.map_err(|error| {
        let text = format!("{field}: ConfigMap {} cannot be read now: {error}", reference.name);
        Fault::new(Reason::InvalidSpec, text)
    })?;
    let missing = |what: String| Fault::new(Reason::InvalidSpec, format!("{field}: {what}"));
    let map = found.ok_or_else(|| {
        missing(format!("there is no ConfigMap {} in this namespace; create it", reference.name))
    })?;
    map.data.unwrap_or_default().remove(&reference.key).ok_or_else(|| {
        missing(format!("ConfigMap {} has no key {} in its data", reference.name, reference.key))
    })
}
