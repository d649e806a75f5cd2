//! What can be measured of the process, in one table. Label sets are closed: no name of an object, group or
//! topic, no address and no error text is ever a label, so that nothing grows with what the operator serves.

mod labels;
mod process;
#[cfg(test)]
mod tests;

use std::sync::{LazyLock, Mutex, PoisonError};

use prometheus_client::{
    encoding::text,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Registry, Unit},
};

use labels::Names;
pub use labels::{
    CallLabel, ControllerLabel, ErrorLabels, KafkaLabels, KubernetesLabels, Reading, ReasonLabel,
    ReconcileLabels, RequestLabels,
};

/// The media type of [`encode`]: `OpenMetrics`, which Prometheus reads from 2.5 on.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds in seconds: from a call on a near cluster to a migration that waits for days.
const SECONDS: [f64; 12] =
    [0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0, 300.0, 1_800.0, 7_200.0, 43_200.0, 172_800.0];

/// What can be counted with.
trait Instrument {
    const KIND: &'static str;
    const LABELS: &'static [&'static str] = &[];

    fn new() -> Self;
}

impl Instrument for Counter {
    const KIND: &'static str = "counter";

    fn new() -> Self {
        Self::default()
    }
}

impl Instrument for Gauge {
    const KIND: &'static str = "gauge";

    fn new() -> Self {
        Self::default()
    }
}

impl Instrument for Histogram {
    const KIND: &'static str = "histogram";

    fn new() -> Self {
        Self::new(SECONDS)
    }
}

impl<S: Names + Clone + std::hash::Hash + Eq, M: Instrument> Instrument for Family<S, M> {
    const KIND: &'static str = M::KIND;
    const LABELS: &'static [&'static str] = S::NAMES;

    fn new() -> Self {
        Self::new_with_constructor(M::new)
    }
}

/// A metric, for people.
pub struct Description {
    /// As a scrape has it, with unit and suffix.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it counts.
    pub help: String,
}

const PREFIX: &str = "appmigration";

macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $field:ident: $type:ty as $name:literal $(in $unit:expr)?;)*) => {
        /// All metrics but those of the process, which are read when they are asked for.
        pub struct Metrics {
            $($(#[doc = $help])+ pub $field: $type,)*
        }

        impl Metrics {
            fn new() -> Self {
                Self { $($field: <$type as Instrument>::new(),)* }
            }

            fn register(&self, registry: &mut Registry) {
                $(
                    // The registry ends the sentence itself.
                    let help = one_line(&[$($help),+]).trim_end_matches('.').to_owned();
                    metrics!(@register registry, $name, help, self.$field.clone() $(, $unit)?);
                )*
            }
        }

        /// All of them, in their order.
        pub fn descriptions() -> Vec<Description> {
            vec![$({
                let (mut name, kind) = (format!("{PREFIX}_{}", $name), <$type as Instrument>::KIND);
                $(name = format!("{name}_{}", $unit.as_str());)?
                if kind == "counter" {
                    name += "_total";
                }
                Description { name, kind, labels: <$type as Instrument>::LABELS, help: one_line(&[$($help),+]) }
            }),*]
        }
    };
    (@register $registry:ident, $name:literal, $help:ident, $metric:expr) => {
        $registry.register($name, $help, $metric);
    };
    (@register $registry:ident, $name:literal, $help:ident, $metric:expr, $unit:expr) => {
        $registry.register_with_unit($name, $help, $unit, $metric);
    };
}

/// The lines of a doc comment as one.
fn one_line(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

metrics! {
    /// 1 while this process leads, 0 while another one does.
    leader: Gauge as "leader";
    /// Reconciles that have ended, by outcome: success, conflict (the object was read again) or error.
    reconciles: Family<ReconcileLabels, Counter> as "reconciles";
    /// How long reconciles took.
    reconcile_duration: Family<ControllerLabel, Histogram> as "reconcile_duration" in Unit::Seconds;
    /// Reconciles that ended with an error that is retried, or stalled, by the reason in the condition Ready.
    errors: Family<ErrorLabels, Counter> as "errors";

    /// Migrations by the reason of their condition Ready.
    migrations: Family<ReasonLabel, Gauge> as "migrations";
    /// Replicators by the reason of their condition Ready.
    replicators: Family<ReasonLabel, Gauge> as "replicators";
    /// Time since the confirmation of the unfinished migration that was confirmed first: its application stands
    /// still for so long. 0 where there is none.
    longest_stop: Gauge as "longest_stop" in Unit::Seconds;
    /// Records that replication still has to copy before confirmed migrations can go on.
    lag: Gauge as "lag" in Unit::Other("records".to_owned());

    /// Completed migrations whose group has committed on the source since: its application runs there (again).
    source_moved: Gauge as "source_moved_migrations";

    /// Migrations that were completed.
    completed: Counter as "completed";
    /// Time from the confirmation to the completion of a migration.
    migration_duration: Histogram as "migration_duration" in Unit::Seconds;
    /// Source partitions of completed migrations that have their offset on the target.
    committed: Counter as "committed" in Unit::Other("partitions".to_owned());
    /// Records that the groups of completed migrations read again.
    reread: Counter as "reread" in Unit::Other("records".to_owned());
    /// Records that the target misses and that completed migrations went on without.
    gap: Counter as "gap" in Unit::Other("records".to_owned());

    /// How long it took to compute the positions of a migration or a preview.
    mapping_duration: Histogram as "mapping_duration" in Unit::Seconds;
    /// Rounds of looks into the target's logs.
    search_rounds: Counter as "search_rounds";
    /// Records read from logs: by searches, which look at a few, and by scans.
    read: Family<Reading, Counter> as "read" in Unit::Other("records".to_owned());

    /// Calls to Kafka that have ended, by outcome: ok, cancelled, or what went wrong.
    kafka_calls: Family<KafkaLabels, Counter> as "kafka_calls";
    /// How long calls to Kafka took, whatever their outcome.
    kafka_call_duration: Family<CallLabel, Histogram> as "kafka_call_duration" in Unit::Seconds;
    /// Kafka clients that are open and shared: one per cluster and credentials that are in use.
    kafka_clients: Gauge as "kafka_clients";
    /// Requests to the API server that have ended, by outcome: ok, cancelled, or what went wrong.
    kubernetes_requests: Family<KubernetesLabels, Counter> as "kubernetes_requests";
    /// How long the API server took to answer; of a watch, until it began.
    kubernetes_request_duration: Family<RequestLabels, Histogram> as "kubernetes_request_duration" in Unit::Seconds;
}

/// The metrics of this process.
pub fn metrics() -> &'static Metrics {
    static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);
    &METRICS
}

type Measure = Box<dyn Fn(&Metrics) + Send>;
static MEASURE: Mutex<Option<Measure>> = Mutex::new(None);

/// Has `measure`, in place of an earlier one, set the gauges of what is counted only when somebody asks.
pub fn at_each_scrape(measure: impl Fn(&Metrics) + Send + 'static) {
    *MEASURE.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(measure));
}

/// Everything as a scrape wants it, see [`CONTENT_TYPE`].
pub fn encode() -> String {
    if let Some(measure) = &*MEASURE.lock().unwrap_or_else(PoisonError::into_inner) {
        measure(metrics());
    }
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = text::encode(&mut text, &registry());
    text
}

fn registry() -> Registry {
    let mut registry = Registry::default();
    let ours = registry.sub_registry_with_prefix(PREFIX);
    metrics().register(ours);
    let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
    ours.register("build", "The version that runs", version);
    process::register(&mut registry);
    registry
}
