//! What reconciles leave behind to be seen: a span and a line, counters and gauges. Decides nothing.

use std::{collections::HashMap, fmt::Debug, sync::Arc, time::Instant};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Resource, ResourceExt, runtime::controller::Action};
use tracing::Instrument as _;

use crate::{
    api::v1alpha1::{AppMigrationStatus, ConditionType, Reason},
    runtime::metrics::{ControllerLabel, ErrorLabels, Metrics, ReconcileLabels, metrics},
};

use super::{Context, KubeError, conditions};

/// The migrations' controller, as a label.
pub const MIGRATION: &str = "AppMigration";
/// The replicators' controller, as a label.
pub const REPLICATOR: &str = "K2KReplicator";

/// Runs one reconcile in a span of its own: each of its lines tells which object, which generation and which
/// reconcile it belongs to.
pub async fn reconcile<K, F>(
    controller: &'static str,
    object: Arc<K>,
    context: Arc<Context>,
    reconcile: impl FnOnce(Arc<K>, Arc<Context>) -> F,
) -> Result<Action, KubeError>
where
    K: Resource<DynamicType = ()> + Debug,
    F: Future<Output = Result<Action, KubeError>>,
{
    let span = tracing::info_span!(
        "reconcile",
        controller,
        namespace = %object.namespace().unwrap_or_default(),
        object = %object.name_any(),
        generation = object.meta().generation,
        id = %format_args!("{:08x}", unique()),
    );
    let start = Instant::now();
    // Boxed, as each layer around it would take its size again: a thousand may wait for their places.
    let work = Box::pin(reconcile(object, context));
    let told = async {
        let result = work.await;
        let outcome = match &result {
            Ok(_) => "success",
            Err(error) if error.is_stale() => {
                tracing::debug!(%error, "read again");
                "conflict"
            }
            Err(error) => {
                tracing::warn!(%error, "will retry");
                "error"
            }
        };
        metrics().reconciles.get_or_create(&ReconcileLabels { controller, outcome }).inc();
        let duration = metrics().reconcile_duration.get_or_create(&ControllerLabel { controller });
        duration.observe(start.elapsed().as_secs_f64());
        result
    };
    told.instrument(span).await
}

/// A number that no other reconcile of this or any other process is likely to have.
fn unique() -> u32 {
    use std::hash::{BuildHasher, RandomState};
    // The lower half.
    (RandomState::new().hash_one(0_u8) & u64::from(u32::MAX)).try_into().unwrap_or_default()
}

/// A reconcile came to `reason`: counted where it is trouble.
pub fn came_to(controller: &'static str, reason: Reason, stalled: bool) {
    if stalled || reason.is_error() {
        metrics().errors.get_or_create(&ErrorLabels { controller, reason: reason.as_str() }).inc();
    }
}

/// A migration was completed just now.
pub fn completed(status: &AppMigrationStatus) {
    let metrics = metrics();
    metrics.completed.inc();
    if let (Some(from), Some(to)) = (&status.stop_confirmed_at, &status.completed_at) {
        metrics.migration_duration.observe(to.0.duration_since(from.0).as_secs_f64().max(0.0));
    }
    if let Some(summary) = &status.summary {
        metrics.committed.inc_by(summary.committed.into());
        metrics.reread.inc_by(summary.reread);
        metrics.gap.inc_by(summary.gaps);
    }
}

/// Sets the gauges of what the caches hold; an operator that stands by has none.
pub fn gauges(context: Option<&Context>, metrics: &Metrics) {
    let whole = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let migrations = context.map(|c| c.migrations.state()).unwrap_or_default();
    let by_reason = count(migrations.iter().map(|m| {
        let readable = m.0.as_ref().ok();
        readable.and_then(|m| m.status.as_ref()).map(|s| s.conditions.as_slice())
    }));
    for reason in of_migrations() {
        let number = by_reason.get(&reason).copied().unwrap_or_default();
        metrics.migrations.get_or_create(&reason.into()).set(whole(number));
    }
    let replicators = context.map(|c| c.replicators.state()).unwrap_or_default();
    let by_reason = count(replicators.iter().map(|r| {
        let readable = r.0.as_ref().ok();
        readable.and_then(|r| r.status.as_ref()).map(|s| s.conditions.as_slice())
    }));
    for reason in of_replicators() {
        let number = by_reason.get(&reason).copied().unwrap_or_default();
        metrics.replicators.get_or_create(&reason.into()).set(whole(number));
    }
    let stopped = migrations.iter().filter_map(|m| {
        let status = m.0.as_ref().ok()?.status.as_ref().filter(|s| s.completed_at.is_none())?;
        status.stop_confirmed_at.as_ref().map(|since| since.0)
    });
    let longest = stopped.min().map_or(0, |since| Timestamp::now().duration_since(since).as_secs());
    metrics.longest_stop.set(longest.max(0));
    let moved = migrations.iter().filter(|m| {
        let status = m.0.as_ref().ok().and_then(|m| m.status.as_ref());
        status.is_some_and(|s| conditions::find(&s.conditions, ConditionType::SourceMoved).is_some())
    });
    metrics.source_moved.set(whole(moved.count()));
    metrics.lag.set(i64::try_from(context.map_or(0, Context::lag)).unwrap_or(i64::MAX));
    metrics.kafka_clients.set(whole(context.map_or(0, |c| c.pool.len())));
}

/// How many say which reason in `Ready`.
fn count<'a>(all: impl Iterator<Item = Option<&'a [Condition]>>) -> HashMap<Reason, usize> {
    let mut numbers = HashMap::new();
    for conditions in all {
        let ready = conditions.and_then(|c| conditions::find(c, ConditionType::Ready));
        let reason = ready.and_then(|c| Reason::parse(&c.reason)).unwrap_or(Reason::NotJudged);
        *numbers.entry(reason).or_default() += 1;
    }
    numbers
}

/// What `Ready` of a migration can say: its own reasons, and those for which an earlier condition is not True.
fn of_migrations() -> impl Iterator<Item = Reason> {
    let earlier = ConditionType::LADDER.iter().flat_map(|kind| &kind.reasons()[1..]);
    earlier.chain(ConditionType::Ready.reasons()).chain(&[Reason::NotJudged]).copied()
}

/// What `Ready` of a replicator can say.
fn of_replicators() -> impl Iterator<Item = Reason> {
    use Reason as R;
    let trouble = [R::InvalidSpec, R::SecretNotFound, R::AuthenticationFailed, R::AuthorizationFailed];
    [R::Ready, R::SourceUnavailable, R::TargetUnavailable, R::NotJudged].into_iter().chain(trouble)
}
