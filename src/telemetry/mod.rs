//! Logs: text or JSON, one line per transition, to standard error. Traces: off unless a collector is named.

mod otlp;

use std::io::IsTerminal as _;

use tracing::{Level, Metadata};
use tracing_subscriber::{
    EnvFilter, Layer as _,
    filter::{FilterExt as _, filter_fn},
    fmt,
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::printable::OneLine;

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
    /// What is logged: `error`, `warn`, `info`, `debug`, `trace`, or a filter as `info,appmigration=debug`.
    #[arg(long, env = "APPMIGRATION_LOG_LEVEL", default_value = "info", global = true)]
    log_level: String,
    /// How logs look.
    #[arg(long, env = "APPMIGRATION_LOG_FORMAT", default_value = "text", value_enum, global = true)]
    log_format: LogFormat,
    /// Where traces go: an OpenTelemetry collector that takes OTLP over HTTP, as `http://collector:4318`.
    /// Default: nowhere.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", global = true)]
    otlp_endpoint: Option<String>,
}

/// Spans of single calls: for traces. In a log a call is a line of its own, and its reconcile the span.
pub const CALLS: &str = "appmigration::calls";

/// Keeps telemetry going; what is left to be told is told when it is dropped.
#[must_use]
pub struct Telemetry {
    _exporter: Option<otlp::Exporter>,
}

/// What the libraries would say beside, as a span of theirs around each reconcile; unless the filter names them.
const QUIET: &str = "kube=warn,kube_client=warn,kube_runtime=warn";

/// Sets logs and traces up, once. Errors: the filter cannot be read, or the collector's endpoint is no URL.
pub fn init(logs: &Logs) -> Result<Telemetry, Box<dyn std::error::Error>> {
    let endpoint = logs.otlp_endpoint.as_deref().filter(|endpoint| !endpoint.is_empty());
    let exporter = endpoint.map(otlp::Exporter::new).transpose()?;
    let traces = exporter.as_ref().map(|exporter| {
        let layer = tracing_opentelemetry::layer().with_tracer(exporter.tracer());
        layer.with_filter(filter_fn(is_traced))
    });
    let filter = EnvFilter::try_new(format!("{QUIET},{}", logs.log_level));
    let filter = filter.map_err(|error| format!("{}: {error} (--log-level)", logs.log_level))?;
    let filter = filter.and(filter_fn(|metadata: &Metadata<'_>| metadata.target() != CALLS));
    let colours = std::io::stderr().is_terminal();
    // Brokers, records and specs bring text along: none of it makes a second line.
    let writer = move || OneLine::new(std::io::stderr(), colours);
    let layer = fmt::layer().with_writer(writer).with_target(false).with_ansi(colours);
    let registry = tracing_subscriber::registry().with(traces);
    // A second call, in a test, is no harm.
    let _ = match logs.log_format {
        LogFormat::Text => registry.with(layer.with_filter(filter)).try_init(),
        // The span is the reconcile: there is never another one around it.
        LogFormat::Json => registry
            .with(layer.json().flatten_event(true).with_span_list(false).with_filter(filter))
            .try_init(),
    };
    Ok(Telemetry { _exporter: exporter })
}

/// Our own spans, and what is told within them.
fn is_traced(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with("appmigration") && (metadata.is_span() || *metadata.level() <= Level::INFO)
}
