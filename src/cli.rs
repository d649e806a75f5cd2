//! The command line: what can be run, and how it ends.

use std::{
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

use crate::{api::v1alpha1, replicator};

/// Moves Kafka consumer groups from one cluster to another, exactly and with a proof.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print the CustomResourceDefinitions as YAML, or write each to a file of its own.
    Crds {
        /// Folder to write `<plural>.k2k.dev.yaml` files to, in place of printing.
        #[arg(long, env = "APPMIGRATION_CRDS_DIR")]
        dir: Option<PathBuf>,
    },
    /// Copy topics from one cluster to another as a `K2KReplicator` manifest says, until SIGTERM.
    Replicate(replicator::Arguments),
}

/// Runs the binary with the process's arguments.
pub fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    let outcome = match command {
        Command::Crds { dir: None } => print_crds(),
        Command::Crds { dir: Some(dir) } => write_crds(&dir),
        Command::Replicate(arguments) => replicate(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "appmigration: {error}");
            ExitCode::FAILURE
        }
    }
}

fn replicate(arguments: &replicator::Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let filter = tracing_subscriber::EnvFilter::try_from_env("APPMIGRATION_LOG");
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    Ok(replicator::run(arguments)?)
}

fn print_crds() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout().lock();
    for crd in v1alpha1::crds() {
        write!(out, "---\n{}", serde_saphyr::to_string(&crd)?)?;
    }
    Ok(())
}

fn write_crds(dir: &Path) -> Result<(), Box<dyn std::error::Error>> {
    std::fs::create_dir_all(dir)?;
    for crd in v1alpha1::crds() {
        let name = crd.metadata.name.clone().unwrap_or_default();
        std::fs::write(dir.join(format!("{name}.yaml")), serde_saphyr::to_string(&crd)?)?;
    }
    Ok(())
}
