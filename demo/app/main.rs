//! The demo's own clients: producers, an application, and the one who counts. They share no code with the
//! operator that they judge.

mod broker;
mod certificate;
mod consume;
mod produce;
mod records;
mod report;

use std::{error::Error, io::Write, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Clients of the demo. Each line of its files is a JSON object.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Create the topic.
    CreateTopic {
        #[command(flatten)]
        at: Topic,
        /// How many partitions it has.
        #[arg(long)]
        partitions: i32,
    },
    /// Write records with two transactional producers; one transaction in six is aborted.
    Produce(produce::Arguments),
    /// Read in a group, committing on the way, until SIGTERM.
    Consume(consume::Arguments),
    /// Wait until the group's committed offsets have reached the end of every partition.
    CaughtUp(broker::CaughtUp),
    /// Print the group's committed offsets.
    Offsets(broker::Group),
    /// Print what a plan (plan.json on standard input) says of one target partition.
    Certificate {
        /// The target partition.
        #[arg(long)]
        partition: i32,
    },
    /// Compare what was committed by the producers with what was read on both sides. Fails where a record was
    /// lost or read again.
    Report(report::Arguments),
}

/// A topic on a cluster.
#[derive(Args)]
struct Topic {
    #[arg(long)]
    bootstrap: String,
    #[arg(long)]
    topic: String,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::CreateTopic { at, partitions } => broker::create_topic(&at, partitions),
        Command::Produce(arguments) => produce::run(&arguments),
        Command::Consume(arguments) => consume::run(&arguments),
        Command::CaughtUp(arguments) => broker::caught_up(&arguments),
        Command::Offsets(arguments) => broker::print_offsets(&arguments),
        Command::Certificate { partition } => certificate::run(partition),
        Command::Report(arguments) => report::run(&arguments),
    };
    if let Err(error) = outcome {
        let _ = writeln!(std::io::stderr(), "demo: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Arguments are paths of files that other commands of the demo have written.
type File = PathBuf;
