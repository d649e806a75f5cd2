//! What can be measured of the process, in one table. Label sets are closed: no name of an object, group or
//! topic, no address and no error text is ever a label, so that nothing grows with what the operator serves.

mod labels;
mod process;
#[cfg(test)]
mod tests;

use std::sync::{LazyLock, Mutex, PoisonError, atomic::AtomicU64};

use prometheus_client::{
    encoding::text,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Registry, Unit},
};

pub use labels::{
    CallLabel, ControllerLabel, ErrorLabels, KafkaLabels, KubernetesLabels, Reading, ReasonLabel,
    ReconcileLabels, VerbLabel,
};

/// The media type of [`encode`]: `OpenMetrics`, which Prometheus reads from 2.5 on.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds in seconds: from a call on a near cluster to a migration that waits for days.
const SECONDS: [f64; 12] =
    [0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0, 300.0, 1_800.0, 7_200.0, 43_200.0, 172_800.0];

/// Something that can be made without arguments and counted with.
trait New {
    fn new() -> Self;
}

impl New for Counter {
    fn new() -> Self {
        Self::default()
    }
}

impl New for Gauge {
    fn new() -> Self {
        Self::default()
    }
}

impl New for Gauge<f64, AtomicU64> {
    fn new() -> Self {
        Self::default()
    }
}

impl New for Histogram {
    fn new() -> Self {
        Self::new(SECONDS)
    }
}

impl<S: Clone + std::hash::Hash + Eq, M: New> New for Family<S, M> {
    fn new() -> Self {
        Self::new_with_constructor(M::new)
    }
}

macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $field:ident: $type:ty as $name:literal $(in $unit:expr)?;)*) => {
        /// All metrics but those of the process, which are read when they are asked for.
        pub struct Metrics {
            $($(#[doc = $help])+ pub $field: $type,)*
        }

        impl Metrics {
            fn new() -> Self {
                Self { $($field: <$type as New>::new(),)* }
            }

            fn register(&self, registry: &mut Registry) {
                $(
                    let help = concat!($($help),+).trim().trim_end_matches('.');
                    metrics!(@register registry, $name, help, self.$field.clone() $(, $unit)?);
                )*
            }
        }
    };
    (@register $registry:ident, $name:literal, $help:ident, $metric:expr) => {
        $registry.register($name, $help, $metric);
    };
    (@register $registry:ident, $name:literal, $help:ident, $metric:expr, $unit:expr) => {
        $registry.register_with_unit($name, $help, $unit, $metric);
    };
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
    /// Time since the confirmation of the migration that is unfinished for the longest: its application stands still. 0 where none is.
    longest_stop: Gauge as "longest_stop" in Unit::Seconds;
    /// Records that replication still has to copy before confirmed migrations can go on.
    lag: Gauge as "lag" in Unit::Other("records".to_owned());

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
    kubernetes_request_duration: Family<VerbLabel, Histogram> as "kubernetes_request_duration" in Unit::Seconds;
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
    let ours = registry.sub_registry_with_prefix("appmigration");
    metrics().register(ours);
    let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
    ours.register("build", "The version that runs", version);
    process::register(&mut registry);
    registry
}
