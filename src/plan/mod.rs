//! `appmigration plan`: plans for people. Writes nothing anywhere.

mod show;
mod table;

use clap::Subcommand;

/// Arguments of `appmigration plan`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the plan of an `AppMigration` with its certificates, from its ConfigMap.
    Show(show::Arguments),
}

/// How a plan is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// A table for people.
    Table,
    /// `plan.json`, and the hash.
    Json,
    /// One line per source and target partition.
    Csv,
}

/// Runs the command.
pub fn run(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match arguments.command {
        Command::Show(arguments) => runtime.block_on(show::run(&arguments)),
    }
}
