//! `appmigration import`: a K2K pipeline file as a manifest, for those who would rather keep that in Git. Connects to
//! nothing; never prints a secret.

use std::{io::Write as _, path::PathBuf};

use kube::ResourceExt;
use serde_json::{Value, json};

use crate::{
    api::v1alpha1::K2KReplicator,
    manifest, pipeline,
    pipeline::{Secrets, Translated},
    printable::printable,
};

/// Arguments of `appmigration import`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The pipeline file; `-` is the standard input.
    #[arg(env = "APPMIGRATION_FILE")]
    file: PathBuf,
    /// The object's name. Default: the pipeline's, as far as Kubernetes allows.
    #[arg(long, env = "APPMIGRATION_NAME")]
    name: Option<String>,
    /// The object's namespace. Default: none is written.
    #[arg(long, short, env = "APPMIGRATION_NAMESPACE")]
    namespace: Option<String>,
    /// The Secret that holds what `${env:NAME}` stands for, and what the file holds in clear. Default: the object's
    /// name.
    #[arg(long, env = "APPMIGRATION_SECRET")]
    secret: Option<String>,
}

/// Prints the manifest, and on stderr what is left to do.
pub fn run(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let Arguments { file, name, namespace, secret } = arguments;
    let place = file.display();
    let text = if file.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(file)
    };
    let text = text.map_err(|error| format!("cannot read {place}: {error}"))?;
    let nothing = K2KReplicator::new("", serde_json::from_value(json!({}))?).spec;
    // The name may come from the file, and the Secret's from the name.
    let named = |secret: &str| pipeline::translate(&text, &nothing, Secrets::Moved(secret));
    let first = named("secret").map_err(|error| format!("{place}: {error}"))?;
    let name = name.clone().or_else(|| first.spec.pipeline_name.as_deref().and_then(object_name));
    let name = name.ok_or_else(|| format!("{place} has no name that Kubernetes could take: give --name"))?;
    let secret = secret.clone().unwrap_or_else(|| name.clone());
    let Translated { spec, unused, moved } = named(&secret)?;
    let mut replicator = K2KReplicator::new(&name, spec);
    replicator.metadata.namespace.clone_from(namespace);
    // The API server would say no: better now.
    let document = document(&replicator)?;
    let problems = manifest::problems(&<K2KReplicator as kube::CustomResourceExt>::crd(), &document);
    if !problems.is_empty() {
        return Err(format!("{place}: {}", problems.join("; ")).into());
    }
    writeln!(std::io::stdout().lock(), "{}", serde_saphyr::to_string(&document)?.trim_end())?;
    tell(&replicator, &secret, &unused, &moved)
}

/// The object without what nobody has said.
fn document(replicator: &K2KReplicator) -> serde_json::Result<Value> {
    let mut document = serde_json::to_value(replicator)?;
    if let Some(object) = document.as_object_mut() {
        object.remove("status");
    }
    Ok(document)
}

fn tell(
    replicator: &K2KReplicator,
    secret: &str,
    unused: &[String],
    moved: &[(String, String)],
) -> Result<(), Box<dyn std::error::Error>> {
    let mut err = std::io::stderr().lock();
    let namespace = replicator.namespace().map(|name| format!(" -n {name}")).unwrap_or_default();
    let keys = keys(&serde_json::to_value(&replicator.spec)?, secret);
    if !keys.is_empty() {
        let files: Vec<String> = keys.iter().map(|key| format!("--from-file={key}=FILE")).collect();
        writeln!(err, "# The Secret that it needs, each key from a file of its own:")?;
        writeln!(err, "#   kubectl create secret generic {secret}{namespace} {}", files.join(" "))?;
    }
    for (key, field) in moved {
        writeln!(err, "# {key} is what stands in the file as {}", printable(field))?;
    }
    for key in unused {
        writeln!(err, "# not used: {}", printable(key))?;
    }
    Ok(())
}

/// The keys of the Secret that are referred to.
fn keys(value: &Value, secret: &str) -> Vec<String> {
    let mut all = match value {
        Value::Object(map) if map.get("name").is_some_and(|name| name == secret) && map.len() == 2 => {
            map.get("key").and_then(Value::as_str).map(str::to_owned).into_iter().collect()
        }
        Value::Object(map) => map.values().flat_map(|value| keys(value, secret)).collect(),
        Value::Array(list) => list.iter().flat_map(|value| keys(value, secret)).collect(),
        _ => Vec::new(),
    };
    all.sort();
    all.dedup();
    all
}

/// A pipeline's name as an object's: lower case, `-` for what is not allowed.
fn object_name(pipeline: &str) -> Option<String> {
    let allowed = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = pipeline.chars().map(allowed).take(253).collect();
    let name = name.trim_matches('-');
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::object_name;

    #[test]
    fn names_fit_kubernetes() {
        assert_eq!(object_name("My first_Replication!").as_deref(), Some("my-first-replication"));
        assert_eq!(object_name("--"), None);
    }
}
