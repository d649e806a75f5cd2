//! `appmigration plan --file FILE…`: what a migration would do, from manifests. Needs no Kubernetes; reads both
//! Kafka clusters and writes nothing anywhere.

use std::path::PathBuf;

use super::Output;
use crate::{
    api::v1alpha1::AppMigration,
    controller::{Foreseen, foresee},
    manifest::Manifest,
    printable::printable,
    secrets_files::LocalSecrets,
};

/// Arguments of `appmigration plan --file`.
#[derive(Debug, clap::Args)]
#[group(id = "compute")]
pub struct Arguments {
    /// YAML files with an `AppMigration` and its `K2KReplicator`; `-` is the standard input. Secrets may stand in
    /// them too, as further documents.
    #[arg(long, short, env = "APPMIGRATION_FILE", num_args = 1.., value_delimiter = ',', required = true)]
    file: Vec<PathBuf>,
    /// Which `AppMigration`, where there are several.
    #[arg(long, env = "APPMIGRATION_NAME")]
    name: Option<String>,
    /// Folder with a folder for each Secret and a file for each of its keys, as Kubernetes mounts them. What
    /// is not found there is looked for in the environment: the key `password` of the Secret `eu-user` is
    /// `APPMIGRATION_SECRET_EU_USER_PASSWORD`.
    #[arg(long, env = "APPMIGRATION_SECRETS_DIR")]
    secrets_dir: Option<PathBuf>,
    /// How to print it.
    #[arg(long, short, env = "APPMIGRATION_OUTPUT", value_enum, default_value = "table")]
    output: Output,
}

/// Prints the plan; an error where something stands in the way.
pub async fn run(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let manifest = Manifest::read(&arguments.file)?;
    let migration: AppMigration = manifest.object(arguments.name.as_deref())?;
    let replicator = manifest.replicator(Some(&migration.spec.replicator_ref.name))?;
    let secrets = LocalSecrets::new(manifest.secrets()?, arguments.secrets_dir.clone());
    let Foreseen { preview, plan, group } = foresee(migration, &replicator, &secrets).await?;
    let blocked = !preview.blocks.is_empty();
    // Lines for machines have no room for an "if".
    if let Some(plan) = plan.filter(|_| !blocked || arguments.output != Output::Csv) {
        let whatif = if blocked { "as it would be if all were accepted that can be; " } else { "" };
        let state = format!(
            "not stored; computed now, {whatif}with {} records still to be replicated; on the source, {group}",
            preview.lag
        );
        super::print(&plan, &state, arguments.output)?;
    }
    if !blocked {
        return Ok(());
    }
    let blocks: Vec<_> = preview.blocks.iter().map(|block| printable(block)).collect();
    Err(format!("in the way:\n  {}", blocks.join("\n  ")).into())
}
