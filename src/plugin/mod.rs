//! `kubectl appmig`: migrations for people, with the rights of whoever runs it. The same binary under the name
//! `kubectl-appmig`, which kubectl finds on the PATH.

mod candidates;
pub mod complete;
mod confirm;
mod list;
mod status;
mod view;

use std::time::Duration;

use clap::{CommandFactory as _, Parser, Subcommand};
use kube::{Api, Client, Config, core::NamespaceResourceScope};

use crate::{api::v1alpha1::AppMigration, plan};

const TIMEOUT: Duration = Duration::from_secs(10);

/// The name under which the binary is this plugin.
pub const PROGRAM: &str = "kubectl-appmig";

/// Migrations of Kafka consumer groups to another cluster.
#[derive(Debug, Parser)]
#[command(name = "kubectl appmig", version)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List migrations, and what each waits for.
    List(list::Arguments),
    /// Tell how far a migration is, step by step.
    Status(status::Arguments),
    /// Give the word that the application is stopped.
    Confirm(confirm::Arguments),
    /// Show the stored plan of a migration.
    Plan(plan::ShowArguments),
    /// List the groups of a replicator's source that could be moved.
    Candidates(candidates::Arguments),
    /// Print what a shell needs to complete commands of `kubectl-appmig` (kubectl itself asks
    /// `kubectl_complete-appmig`).
    Completion {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// Where objects are.
#[derive(Debug, clap::Args)]
struct Place {
    /// The namespace. Default: the one of the current context.
    #[arg(long, short, env = "APPMIGRATION_NAMESPACE")]
    namespace: Option<String>,
    /// The context of the kubeconfig. Default: the current one.
    #[arg(long)]
    context: Option<String>,
}

/// The API server, and the namespace that is meant.
struct Server {
    client: Client,
    namespace: String,
}

impl Place {
    async fn server(&self) -> Result<Server, Box<dyn std::error::Error>> {
        let options = kube::config::KubeConfigOptions { context: self.context.clone(), ..Default::default() };
        let mut config = match &self.context {
            Some(_) => Config::from_kubeconfig(&options).await?,
            None => Config::infer().await?,
        };
        config.connect_timeout = Some(TIMEOUT);
        let namespace = self.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        Ok(Server { client: Client::try_from(config)?, namespace })
    }
}

impl Server {
    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    async fn migration(&self, name: &str) -> Result<AppMigration, Box<dyn std::error::Error>> {
        let found = tokio::time::timeout(TIMEOUT, self.api().get_opt(name)).await;
        let found = found.map_err(|_| "the API server does not answer")??;
        let missing = || format!("there is no AppMigration {name} in namespace {}", self.namespace);
        Ok(found.ok_or_else(missing)?)
    }
}

/// Runs one command.
pub fn run(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    match arguments.command {
        Command::List(arguments) => runtime.block_on(list::run(&arguments)),
        Command::Status(arguments) => runtime.block_on(status::run(&arguments)),
        Command::Confirm(arguments) => runtime.block_on(confirm::run(&arguments)),
        Command::Plan(arguments) => runtime.block_on(plan::show(&arguments)),
        Command::Candidates(arguments) => runtime.block_on(candidates::run(&arguments)),
        Command::Completion { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), PROGRAM, &mut std::io::stdout());
            Ok(())
        }
    }
}
