//! Reads custom resources from YAML files, for the commands that work without a Kubernetes API server. Checks
//! what the API server would check by the CRD's schema; reads files, opens no connection.

mod schema;

use std::{collections::BTreeMap, path::PathBuf};

use k8s_openapi::{
    api::core::v1::Secret, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{CustomResourceExt, Resource};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{api::v1alpha1::K2KReplicator, pipeline};

pub use schema::problems;

/// Secrets that stand in a manifest beside the resources: name, then key, then bytes.
pub type InlineSecrets = BTreeMap<String, BTreeMap<String, Vec<u8>>>;

/// A manifest that cannot be used. Names the file and the way out.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no YAML.
    #[error("{} is not YAML: {reason}", path.display())]
    NotYaml {
        /// The file.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// No document of the kind is in the file.
    #[error("{}: there is no {kind} of {api_version} in it (found: {found})", path.display())]
    Absent {
        /// The file.
        path: PathBuf,
        /// The kind that was looked for.
        kind: String,
        /// Its group and version.
        api_version: String,
        /// What there is.
        found: String,
    },
    /// Several are, and none was chosen.
    #[error("{}: there are several {kind} in it ({names}); choose one with --name", path.display())]
    Several {
        /// The file.
        path: PathBuf,
        /// The kind.
        kind: String,
        /// Their names.
        names: String,
    },
    /// Fields are wrong.
    #[error("{}: {kind} `{name}`: {problems}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The kind.
        kind: String,
        /// The object's name.
        name: String,
        /// Each field and what is wrong with it.
        problems: String,
    },
}

/// The documents of one or several YAML files.
pub struct Manifest {
    path: PathBuf,
    documents: Vec<Value>,
}

impl Manifest {
    /// Reads all documents of these files; `-` is the standard input.
    pub fn read(paths: &[PathBuf]) -> Result<Self, ManifestError> {
        let mut all = Vec::new();
        for path in paths {
            let text = if path.as_os_str() == "-" {
                std::io::read_to_string(std::io::stdin())
            } else {
                std::fs::read_to_string(path)
            };
            let path = path.clone();
            let text = match text {
                Ok(text) => text,
                Err(source) => return Err(ManifestError::Unreadable { path, source }),
            };
            all.extend(Self::parse(path, &text)?.documents);
        }
        let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        Ok(Self { path: names.join(", ").into(), documents: all })
    }

    /// Reads all documents of `text`; `path` is for messages.
    pub fn parse(path: PathBuf, text: &str) -> Result<Self, ManifestError> {
        match parse(text) {
            Ok(documents) => Ok(Self { path, documents }),
            Err(reason) => Err(ManifestError::NotYaml { path, reason }),
        }
    }

    /// The one object of this kind, or the one that is called `name`. Its fields are checked by the schema of
    /// the CRD, unknown ones included: a misspelt field would else be ignored in silence.
    pub fn object<K>(&self, name: Option<&str>) -> Result<K, ManifestError>
    where
        K: Resource<DynamicType = ()> + CustomResourceExt + DeserializeOwned,
    {
        let document = self.choose(&K::api_version(&()), &K::kind(&()), name)?;
        let problems = schema::problems(&K::crd(), document);
        if !problems.is_empty() {
            return Err(self.invalid(document, problems.join("; ")));
        }
        serde_json::from_value(document.clone()).map_err(|error| self.invalid(document, error.to_string()))
    }

    /// The replicator of that name, filled from its pipeline file where it names one: the ConfigMap must stand beside
    /// it.
    pub fn replicator(&self, name: Option<&str>) -> Result<K2KReplicator, ManifestError> {
        let replicator: K2KReplicator = self.object(name)?;
        let Some(from) = &replicator.spec.pipeline_from else { return Ok(replicator) };
        let document = self.choose("v1", "ConfigMap", Some(&from.config_map_ref.name))?;
        let key = &from.config_map_ref.key;
        let file = document.get("data").and_then(|data| data.get(key)).and_then(Value::as_str);
        let file = file.ok_or_else(|| self.invalid(document, format!("there is no key {key} in data")))?;
        let filled = pipeline::fill(&replicator, from, file);
        filled
            .map(|filled| filled.replicator)
            .map_err(|error| self.invalid(document, format!("{key}: {error}")))
    }

    /// The Secrets that stand in the file too.
    pub fn secrets(&self) -> Result<InlineSecrets, ManifestError> {
        let mut secrets = InlineSecrets::new();
        for document in self.documents.iter().filter(|document| is(document, "v1", "Secret")) {
            // The parser's own words could quote a value.
            let unreadable = |_| self.invalid(document, "data must hold base64, stringData text".to_owned());
            let secret: Secret = serde_json::from_value(document.clone()).map_err(unreadable)?;
            let values = secrets.entry(name_of(document).to_owned()).or_default();
            values.extend(secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)));
            let text = secret.string_data.unwrap_or_default();
            values.extend(text.into_iter().map(|(key, value)| (key, value.into_bytes())));
        }
        Ok(secrets)
    }

    fn choose(&self, api_version: &str, kind: &str, name: Option<&str>) -> Result<&Value, ManifestError> {
        let of_kind: Vec<&Value> = self.documents.iter().filter(|d| is(d, api_version, kind)).collect();
        let is_named = |document: &&&Value| name.is_none_or(|name| name_of(document) == name);
        let chosen: Vec<&Value> = of_kind.iter().filter(is_named).copied().collect();
        let (path, kind) = (self.path.clone(), kind.to_owned());
        match chosen.as_slice() {
            [one] => Ok(one),
            [] => Err(ManifestError::Absent {
                path,
                kind: name.map_or(kind.clone(), |name| format!("{kind} `{name}`")),
                api_version: api_version.to_owned(),
                found: self.found(),
            }),
            several => {
                let names: Vec<&str> = several.iter().map(|document| name_of(document)).collect();
                Err(ManifestError::Several { path, kind, names: names.join(", ") })
            }
        }
    }

    fn invalid(&self, document: &Value, problems: String) -> ManifestError {
        ManifestError::Invalid {
            path: self.path.clone(),
            kind: text(document, "kind").to_owned(),
            name: name_of(document).to_owned(),
            problems,
        }
    }

    fn found(&self) -> String {
        let describe = |document: &Value| {
            format!("{}/{} `{}`", text(document, "apiVersion"), text(document, "kind"), name_of(document))
        };
        let found: Vec<String> = self.documents.iter().filter(|d| !d.is_null()).map(describe).collect();
        if found.is_empty() { "nothing".to_owned() } else { found.join(", ") }
    }
}

/// All documents. An error tells the place without the lines around it: a Secret may stand there.
fn parse(text: &str) -> Result<Vec<Value>, String> {
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_multiple_with_options(text, options).map_err(|error| error.to_string())
}

/// The CRD of a kind, for the schema.
type Crd = CustomResourceDefinition;

fn is(document: &Value, api_version: &str, kind: &str) -> bool {
    text(document, "apiVersion") == api_version && text(document, "kind") == kind
}

fn text<'a>(document: &'a Value, field: &str) -> &'a str {
    document.get(field).and_then(Value::as_str).unwrap_or("?")
}

fn name_of(document: &Value) -> &str {
    document.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("?")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
