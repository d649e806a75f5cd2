//! What `appmigration replicate` was told, checked once: after this nothing reads the raw spec. Opens nothing.

use std::{path::PathBuf, time::Duration};

use super::{ReplicateError, headers::OriginHeaders};
use crate::{
    connections, kafka::ConnectionConfig, manifest::Manifest, mapping::Routes, secrets_files::LocalSecrets,
};

/// The command's arguments.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// YAML file with a `K2KReplicator`. Secrets may stand in it too, as further documents.
    #[arg(long, short, env = "APPMIGRATION_FILE")]
    pub file: PathBuf,

    /// Which `K2KReplicator` of the file, where it holds several.
    #[arg(long, env = "APPMIGRATION_NAME")]
    pub name: Option<String>,

    /// Folder with a folder for each Secret and a file for each of its keys, as Kubernetes mounts them. What
    /// is not found there is looked for in the environment: the key `password` of the Secret `eu-user` is
    /// `APPMIGRATION_SECRET_EU_USER_PASSWORD`.
    #[arg(long, env = "APPMIGRATION_SECRETS_DIR")]
    pub secrets_dir: Option<PathBuf>,

    /// Go on from offsets of the replicator's group that were all set by hand. (Where no replicator has committed one
    /// of them they may be an application's.)
    #[arg(long, env = "APPMIGRATION_TAKE_GROUP")]
    pub take_group: bool,

    /// Seconds between two looks for new topics and partitions.
    #[arg(long, env = "APPMIGRATION_REFRESH_SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub refresh_seconds: u64,

    /// Seconds between two progress lines.
    #[arg(long, env = "APPMIGRATION_PROGRESS_SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub progress_seconds: u64,
}

/// The checked settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The source cluster.
    pub source: ConnectionConfig,
    /// The target cluster.
    pub target: ConnectionConfig,
    /// The group under which the position is committed on the source.
    pub group: String,
    /// Whether that group is used whoever has committed its offsets.
    pub take_group: bool,
    /// What is copied where to.
    pub routes: Routes,
    /// What each copy is marked with.
    pub headers: OriginHeaders,
    /// Whether copies keep their timestamps.
    pub keep_timestamps: bool,
    /// Between two looks for new topics and partitions.
    pub refresh: Duration,
    /// Between two progress lines.
    pub progress: Duration,
}

impl Settings {
    /// Reads the manifest and the Secrets that it names.
    pub async fn read(arguments: &Arguments) -> Result<Self, ReplicateError> {
        let manifest = Manifest::read(std::slice::from_ref(&arguments.file))?;
        let replicator = manifest.replicator(arguments.name.as_deref())?;
        let secrets = LocalSecrets::new(manifest.secrets()?, arguments.secrets_dir.clone());
        let named = |field: &'static str, problem: &'static str| ReplicateError::Spec { field, problem };
        let name = replicator.metadata.name.unwrap_or_default();
        let spec = replicator.spec;
        let routes =
            spec.replication.ok_or(named("spec.replication", "is missing: what shall be copied?"))?;
        let source = spec.source.ok_or(named("spec.source", "is missing"))?;
        let target = spec.target.ok_or(named("spec.target", "is missing"))?;
        let group = source.consumer_group.ok_or(named(
            "spec.source.consumerGroup",
            "is missing: the position is committed under it; choose a name that no application uses",
        ))?;
        let pipeline = spec.pipeline_name.unwrap_or(name);
        Ok(Self {
            source: connections::resolve("spec.source", &source.cluster, &secrets).await?,
            target: connections::resolve("spec.target", &target, &secrets).await?,
            group,
            take_group: arguments.take_group,
            routes: Routes::new(&routes)?,
            headers: OriginHeaders::new(&spec.features, &spec.tracing, &pipeline),
            keep_timestamps: spec.features.keep_record_creation_timestamp.is_enabled(),
            refresh: Duration::from_secs(arguments.refresh_seconds),
            progress: Duration::from_secs(arguments.progress_seconds),
        })
    }
}
