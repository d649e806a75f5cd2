//! Replicators whose spec is filled from a pipeline file: the file is read from its ConfigMap when it is needed,
//! never listed, watched or kept.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client, ResourceExt};

use crate::{
    api::v1alpha1::{K2KReplicator, PipelineFrom, Reason},
    pipeline, secrets,
};

use super::{KubeError, fault::Fault, replicator::Replicator, within_deadline};

/// A replicator that can be used, and the keys of its pipeline file that are not.
pub struct Loaded {
    /// Validated.
    pub replicator: Replicator,
    /// Keys of the file that have no bearing here, or none that is known.
    pub unused: Vec<String>,
}

/// Validates `object`, once it is filled from the file that it names, if it does. The outer error is a failed call to
/// the API server, which says nothing of the object.
pub async fn load(object: &K2KReplicator, client: &Client) -> Result<Result<Loaded, Fault>, KubeError> {
    let Some(from) = &object.spec.pipeline_from else {
        let replicator = Replicator::new(object).map_err(invalid);
        return Ok(replicator.map(|replicator| Loaded { replicator, unused: Vec::new() }));
    };
    Ok(read(object, from, client).await?.and_then(|text| filled(object, from, &text)))
}

fn invalid(why: String) -> Fault {
    Fault::new(Reason::InvalidSpec, why)
}

fn filled(object: &K2KReplicator, from: &PipelineFrom, text: &str) -> Result<Loaded, Fault> {
    let filled =
        pipeline::fill(object, from, text).map_err(|error| invalid(format!("{}: {error}", place(from))))?;
    let mut replicator = Replicator::new(&filled.replicator).map_err(invalid)?;
    replicator.pipeline = Some(filled.digest);
    Ok(Loaded { replicator, unused: filled.unused })
}

fn place(from: &PipelineFrom) -> String {
    format!("ConfigMap {}, {}", from.config_map_ref.name, from.config_map_ref.key)
}

async fn read(
    object: &K2KReplicator,
    from: &PipelineFrom,
    client: &Client,
) -> Result<Result<String, Fault>, KubeError> {
    let reference = &from.config_map_ref;
    let field = "spec.pipelineFrom.configMapRef";
    let missing = |what: String| invalid(format!("{field}: {what}"));
    // It becomes part of a URL.
    if secrets::check_name(&reference.name).is_err() {
        return Ok(Err(missing(format!("`{}` is no name of a ConfigMap", reference.name))));
    }
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), &object.namespace().unwrap_or_default());
    let found = within_deadline("read a pipeline file", api.get_opt(&reference.name)).await?;
    let Some(map) = found else {
        let what = format!("there is no ConfigMap {} in this namespace; create it", reference.name);
        return Ok(Err(missing(what)));
    };
    Ok(map.data.unwrap_or_default().remove(&reference.key).ok_or_else(|| {
        missing(format!("ConfigMap {} has no key {} in its data", reference.name, reference.key))
    }))
}
