//! The command line: what can be run, and how it ends.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

use crate::{
    api::v1alpha1, import, operator, plan, plugin, printable::printable_lines, replicator, telemetry,
};

/// Moves Kafka consumer groups from one cluster to another, exactly and with a proof.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(flatten)]
    logs: telemetry::Logs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the controllers, in a cluster or with KUBECONFIG, until SIGTERM.
    Operator(operator::Arguments),
    /// Print the CustomResourceDefinitions as YAML, or write each to a file of its own.
    Crds {
        /// Folder to write `<plural>.k2k.dev.yaml` files to, in place of printing.
        #[arg(long, env = "APPMIGRATION_CRDS_DIR")]
        dir: Option<PathBuf>,
    },
    /// Print a Lenses K2K pipeline file as a `K2KReplicator` manifest.
    Import(import::Arguments),
    /// Compute a plan from manifests, or show a stored one: what is committed on the target, and why it is right.
    Plan(plan::Arguments),
    /// Copy topics from one cluster to another as a `K2KReplicator` manifest says, until SIGTERM.
    Replicate(replicator::Arguments),
}

/// Runs the binary with the process's arguments: as what it is called.
pub fn main() -> ExitCode {
    let name = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&name).file_stem().unwrap_or_default();
    let outcome = if name == plugin::PROGRAM {
        plugin::run(plugin::Arguments::parse())
    } else if name == plugin::complete::PROGRAM {
        plugin::complete::run(std::env::args_os().skip(1))
    } else {
        let Cli { logs, command } = Cli::parse();
        telemetry::init(&logs).and_then(|_until_the_end| run(command))
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads what is printed wants no more of it.
        Err(error) if is_broken_pipe(error.as_ref()) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "appmigration: {}", printable_lines(&error.to_string()));
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

fn run(command: Command) -> Result<(), Box<dyn std::error::Error>> {
    match command {
        Command::Crds { dir: None } => print_crds(),
        Command::Crds { dir: Some(dir) } => write_crds(&dir),
        Command::Import(arguments) => import::run(&arguments),
        Command::Operator(arguments) => operator::run(arguments),
        Command::Plan(arguments) => plan::run(arguments),
        Command::Replicate(arguments) => replicator::run(&arguments).map_err(Into::into),
    }
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_arguments_do_not_contradict_each_other() {
        super::Cli::command().debug_assert();
    }
}
