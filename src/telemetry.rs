//! Logs: text or JSON, one line per transition, to standard error.

use std::io::IsTerminal as _;

use crate::printable::OneLine;

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// How logs look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// What is logged, and how.
#[derive(Clone, Debug, clap::Args)]
pub struct Logs {
    /// What is logged: `error`, `warn`, `info`, `debug`, `trace`, or a filter as `appmigration=debug`.
    #[arg(
        long,
        env = "APPMIGRATION_LOG_LEVEL",
        default_value = "info,kube=warn,kube_runtime=warn",
        global = true
    )]
    log_level: String,
    /// How logs look.
    #[arg(long, env = "APPMIGRATION_LOG_FORMAT", default_value = "text", value_enum, global = true)]
    log_format: LogFormat,
}

/// Sets logging up, once.
pub fn init(logs: &Logs) {
    let filter = EnvFilter::try_new(&logs.log_level).unwrap_or_else(|_| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry().with(filter);
    let colours = std::io::stderr().is_terminal();
    // Brokers, records and specs bring text along: none of it makes a second line.
    let writer = move || OneLine::new(std::io::stderr(), colours);
    let layer = fmt::layer().with_writer(writer).with_target(false).with_ansi(colours);
    // A second call, in a test, is no harm.
    let _ = match logs.log_format {
        LogFormat::Text => registry.with(layer).try_init(),
        LogFormat::Json => registry.with(layer.json()).try_init(),
    };
}
