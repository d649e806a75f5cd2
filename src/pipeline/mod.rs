//! K2K pipeline files: what stands in one, as the spec of a `K2KReplicator`. Pure: reads no file, no Secret.
//!
//! A file that says something else than what is understood here is refused where that could change a position
//! (routes, headers), and told where it could not ([`Translated::unused`]): nothing is passed over in silence.

mod connection;
mod object;
mod replication;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;
use serde_json::Value;

use crate::api::v1alpha1::{
    Features, HeaderNames, K2KReplicator, K2KReplicatorSpec, PipelineFrom, SourceSpec, Toggle, Tracing,
    TracingHeaders,
};
use crate::{manifest, mapping::plan::sha256};

use object::Object;

static CRD: LazyLock<CustomResourceDefinition> = LazyLock::new(K2KReplicator::crd);

/// Where the values of a file's secrets are.
#[derive(Clone, Copy, Debug)]
pub enum Secrets<'a> {
    /// `${env:NAME}` is the key `NAME` of this Secret, if there is one. A secret that stands in the file itself is
    /// refused: everybody may read it there.
    Of(Option<&'a str>),
    /// The same, and what stands in the file itself is to be put into that Secret, under a key of our choice.
    Moved(&'a str),
}

/// What a file comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Translated {
    /// The spec, without `pipelineFrom`.
    pub spec: K2KReplicatorSpec,
    /// Keys of the file that have no bearing here, or none that is known: `coordination`, `source.kafka.consumer`.
    pub unused: Vec<String>,
    /// Keys that [`Secrets::Moved`] chose, and the field of the file whose value belongs there.
    pub moved: Vec<(String, String)>,
}

/// A file that cannot be used: everything that is wrong with it, each with its field and the way out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", problems.join("; "))]
pub struct PipelineError {
    problems: Vec<String>,
}

/// What is found on the way through a file.
#[derive(Default)]
struct Notes {
    problems: Vec<String>,
    unused: Vec<String>,
    moved: Vec<(String, String)>,
}

impl Notes {
    fn problem(&mut self, field: &str, problem: impl std::fmt::Display) {
        self.problems.push(format!("{field} {problem}"));
    }
}

/// Translates a file, less the sides that `own` states by itself.
pub fn translate(
    text: &str,
    own: &K2KReplicatorSpec,
    secrets: Secrets<'_>,
) -> Result<Translated, PipelineError> {
    let options = serde_saphyr::options! { with_snippet: false };
    let value: Value = serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| PipelineError { problems: vec![format!("the file is not YAML: {error}")] })?;
    let Value::Object(map) = value else {
        return Err(PipelineError { problems: vec!["the file holds no mapping".to_owned()] });
    };
    let mut notes = Notes::default();
    let mut file = Object::new("", map);
    let mut cluster = |side, given: bool, notes: &mut Notes| {
        if given { file.take(side).and(None) } else { connection::cluster(&mut file, side, secrets, notes) }
    };
    let source = cluster("source", own.source.is_some(), &mut notes);
    let target = cluster("target", own.target.is_some(), &mut notes);
    let spec = K2KReplicatorSpec {
        pipeline_name: file.text("name", &mut notes),
        source: source.map(|cluster| SourceSpec { cluster, consumer_group: None }),
        target,
        replication: Some(replication::flows(file.take("replication"), &mut notes)),
        pipeline_from: None,
        features: features(&mut file, &mut notes),
        tracing: tracing(&mut file, &mut notes),
    };
    file.rest(&mut notes);
    notes.unused.sort();
    if notes.problems.is_empty() {
        Ok(Translated { spec, unused: notes.unused, moved: notes.moved })
    } else {
        Err(PipelineError { problems: notes.problems })
    }
}

fn features(file: &mut Object, notes: &mut Notes) -> Features {
    let mut features = Features::default();
    let Some(mut object) = file.object("features", notes) else { return features };
    if let Some(toggle) = object.toggle("keepRecordCreationTimestamp", notes) {
        features.keep_record_creation_timestamp = toggle;
    }
    features.tracing_headers = tracing_headers(&mut object, notes);
    object.rest(notes);
    features
}

/// One word for all of them, or one for each.
fn tracing_headers(features: &mut Object, notes: &mut Notes) -> TracingHeaders {
    const KEY: &str = "tracingHeaders";
    if !features.is_object(KEY) {
        let all = features.toggle(KEY, notes).unwrap_or(Toggle::Disabled);
        return TracingHeaders { topic: all, partition: all, offset: all, pipeline: all };
    }
    let Some(mut object) = features.object(KEY, notes) else { return TracingHeaders::default() };
    let mut one = |key| object.toggle(key, notes).unwrap_or_default();
    let headers = TracingHeaders {
        topic: one("topic"),
        partition: one("partition"),
        offset: one("offset"),
        pipeline: one("pipeline"),
    };
    object.rest(notes);
    headers
}

fn tracing(file: &mut Object, notes: &mut Notes) -> Tracing {
    let mut names = HeaderNames::default();
    let Some(mut object) = file.object("tracing", notes) else { return Tracing::default() };
    if let Some(mut headers) = object.object("headers", notes) {
        for (key, name) in [
            ("topic", &mut names.topic),
            ("partition", &mut names.partition),
            ("offset", &mut names.offset),
            ("pipeline", &mut names.pipeline),
        ] {
            if let Some(text) = headers.text(key, notes) {
                *name = text;
            }
        }
        headers.rest(notes);
    }
    object.rest(notes);
    Tracing { headers: names, ..Tracing::default() }
}

/// A replicator whose spec is filled from its pipeline file.
pub struct Filled {
    /// With the file's values, and without `pipelineFrom`.
    pub replicator: K2KReplicator,
    /// See [`Translated::unused`].
    pub unused: Vec<String>,
    /// Tells this file from another one: `sha256:` and the hex digest.
    pub digest: String,
}

/// Fills a replicator from the text of the file that it names.
pub fn fill(replicator: &K2KReplicator, from: &PipelineFrom, text: &str) -> Result<Filled, PipelineError> {
    let secret = from.secret_ref.as_ref().map(|secret| secret.name.as_str());
    let translated = translate(text, &replicator.spec, Secrets::Of(secret))?;
    let mut filled = replicator.clone();
    filled.spec = merge(&replicator.spec, translated.spec);
    // What the API server would have refused in the object is no better in a file.
    let document = serde_json::to_value(&filled).unwrap_or_default();
    let problems = manifest::problems(&CRD, &document);
    if !problems.is_empty() {
        return Err(PipelineError { problems });
    }
    Ok(Filled { replicator: filled, unused: translated.unused, digest: sha256(text) })
}

/// The spec that `own` and the file come to: what `own` states goes before the file; a feature is on where either
/// says so.
pub fn merge(own: &K2KReplicatorSpec, file: K2KReplicatorSpec) -> K2KReplicatorSpec {
    let either = |a: Toggle, b: Toggle| if a.is_enabled() { a } else { b };
    let both = |a: Toggle, b: Toggle| if a.is_enabled() { b } else { a };
    let name = |own: &String, default: &String, file: String| if own == default { file } else { own.clone() };
    let (ours, theirs) = (&own.features.tracing_headers, file.features.tracing_headers);
    let (names, default) = (&own.tracing.headers, HeaderNames::default());
    K2KReplicatorSpec {
        pipeline_name: own.pipeline_name.clone().or(file.pipeline_name),
        source: own.source.clone().or(file.source),
        target: own.target.clone().or(file.target),
        replication: file.replication,
        pipeline_from: None,
        features: Features {
            // On by default on both sides: off where either says so.
            keep_record_creation_timestamp: both(
                own.features.keep_record_creation_timestamp,
                file.features.keep_record_creation_timestamp,
            ),
            tracing_headers: TracingHeaders {
                topic: either(ours.topic, theirs.topic),
                partition: either(ours.partition, theirs.partition),
                offset: either(ours.offset, theirs.offset),
                pipeline: either(ours.pipeline, theirs.pipeline),
            },
            record_filtering: own.features.record_filtering,
        },
        tracing: Tracing {
            headers: HeaderNames {
                topic: name(&names.topic, &default.topic, file.tracing.headers.topic),
                partition: name(&names.partition, &default.partition, file.tracing.headers.partition),
                offset: name(&names.offset, &default.offset, file.tracing.headers.offset),
                pipeline: name(&names.pipeline, &default.pipeline, file.tracing.headers.pipeline),
            },
            encoding: own.tracing.encoding,
        },
    }
}
