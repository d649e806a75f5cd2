//! `appmigration plan`: plans for people. Writes nothing anywhere.

mod compute;
mod show;
mod table;

use std::io::Write;

use clap::Subcommand;

pub use show::{Arguments as ShowArguments, run as show};

use crate::{mapping::Plan, printable::printable_lines};

/// Arguments of `appmigration plan`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    compute: Option<compute::Arguments>,
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
    match (arguments.command, arguments.compute) {
        (Some(Command::Show(arguments)), _) => runtime.block_on(show::run(&arguments)),
        (None, Some(arguments)) => runtime.block_on(compute::run(&arguments)),
        (None, None) => Err("plan needs --file FILE, or show NAME".into()),
    }
}

fn print(plan: &Plan, state: &str, output: Output) -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout().lock();
    match output {
        Output::Table => write!(out, "{}", printable_lines(&table::for_people(plan, state)))?,
        Output::Csv => write!(out, "{}", table::csv(plan))?,
        Output::Json => {
            let mut json = serde_json::to_value(plan)?;
            json["hash"] = plan.hash().into();
            json["state"] = state.into();
            writeln!(out, "{json:#}")?;
        }
    }
    Ok(())
}
