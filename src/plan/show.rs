//! `appmigration plan show NAME`: reads the plan's ConfigMaps and checks them against the migration's status.

use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client, Config, ResourceExt};

use super::Output;
use crate::{
    api::v1alpha1::{AppMigration, ConditionType},
    controller::journal::{self, Journal},
    mapping::Plan,
};

const TIMEOUT: Duration = Duration::from_secs(10);

/// Arguments of `appmigration plan show`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The `AppMigration`.
    name: String,
    /// Its namespace. Default: the one of the current context.
    #[arg(long, short, env = "APPMIGRATION_NAMESPACE")]
    namespace: Option<String>,
    /// How to print it.
    #[arg(long, short, env = "APPMIGRATION_OUTPUT", value_enum, default_value = "table")]
    output: Output,
}

/// Prints the plan.
pub async fn run(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let mut config = Config::infer().await?;
    (config.connect_timeout, config.read_timeout) = (Some(TIMEOUT), Some(TIMEOUT));
    let namespace = arguments.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    let client = Client::try_from(config)?;
    let migrations: Api<AppMigration> = Api::namespaced(client.clone(), &namespace);
    let name = &arguments.name;
    let migration = migrations.get_opt(name).await?;
    let migration =
        migration.ok_or_else(|| format!("there is no AppMigration {name} in namespace {namespace}"))?;
    let (plan, state) = read(&migration, &Api::namespaced(client, &namespace)).await?;
    super::print(&plan, &state, arguments.output)
}

/// The plan, and how far it has got.
async fn read(
    migration: &AppMigration,
    maps: &Api<ConfigMap>,
) -> Result<(Plan, String), Box<dyn std::error::Error>> {
    let (name, map) = (migration.name_any(), journal::name(migration));
    let status = migration.status.clone().unwrap_or_default();
    let ready = status.conditions.iter().find(|c| c.type_ == ConditionType::Ready.as_str());
    let told =
        ready.map_or("it has not been looked at yet".to_owned(), |c| format!("{}: {}", c.reason, c.message));
    let nothing = || format!("AppMigration {name} has no plan yet; {told}");
    let first = maps.get_opt(&map).await?.ok_or_else(nothing)?;
    let mut parts = Vec::new();
    for part in journal::part_names(&first)? {
        let found = maps.get_opt(&part).await?;
        parts.push(found.ok_or_else(|| format!("ConfigMap {part}, a part of the plan, is gone"))?);
    }
    let journal = journal::decode(&first, &parts)?;
    let committed = journal.committed_plan().is_some();
    let Journal { plan, .. } = journal;
    let plan = plan.ok_or_else(nothing)?;
    let hash = plan.hash();
    match status.plan {
        Some(named) if named.hash != hash => Err(format!(
            "ConfigMap {map} was altered: its plan has the hash {hash}, status.plan.hash is {}",
            named.hash
        )
        .into()),
        _ if committed => {
            let first =
                plan.targets.iter().filter(|t| t.read_back.is_some_and(|r| r.first.is_some())).count();
            let unread = plan.targets.iter().filter(|t| t.sources.iter().any(|row| row.at.is_some())).count();
            let state = match unread {
                0 => "committed and read back; there is no record behind any position yet".to_owned(),
                _ => {
                    format!("committed and read back; at {first} of {unread} positions the first record too")
                }
            };
            Ok((plan, state))
        }
        _ if plan.commit_begun_at.is_some() => Ok((plan, format!("being committed; {told}"))),
        _ => Ok((plan, format!("not committed yet; {told}"))),
    }
}
