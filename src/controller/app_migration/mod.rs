//! The `AppMigration` controller. One reconcile walks down the ladder of [`decide`]: look, decide, act, until
//! there is nothing more to do now; then it reports.

mod afterwards;
mod confirmed;
mod decide;
mod execute;
mod existing;
mod facts;
#[cfg(test)]
mod fixtures;
pub mod journal;
mod live;
mod observe;
mod quiet;
mod report;
mod rungs;
mod scope;
mod seen;
mod step;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use kube::{ResourceExt, runtime::controller::Action};

use crate::{
    api::v1alpha1::{ALLOW_REWIND_ANNOTATION, AppMigration, RETRY_ANNOTATION},
    crash,
};

use crate::runtime::pace;

use super::{Context, KubeError, lanes::Work};
use decide::decide;
use live::Live;
use rungs::Rungs;
use step::{Act, Look, Next, Rest, Step};

pub use confirmed::Confirmations;
pub use facts::Standstill;
pub use observe::{Foreseen, foresee};
pub use quiet::QuietWatch;

/// Longest delay between two looks at an object that waits for something that may happen at any time.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// An object is looked at for at most one part in so many of the time.
const SHARE: u32 = 10;
/// But that alone never makes it wait for longer.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// The preview is renewed at growing intervals while nothing changes, but no more seldom than that.
const LONGEST_PREVIEW: Duration = Duration::from_hours(1);
/// More steps than any way down the ladder takes.
const MAX_STEPS: usize = 64;

/// One look at a migration.
pub async fn reconcile(object: Arc<AppMigration>, context: Arc<Context>) -> Result<Action, KubeError> {
    let work = crash::reconciling(object.as_ref(), in_turn(Arc::clone(&object), context));
    drop(object);
    work.await
}

/// When it is due, and has its place.
async fn in_turn(object: Arc<AppMigration>, context: Arc<Context>) -> Result<Action, KubeError> {
    let uid = object.uid().unwrap_or_default();
    if object.metadata.deletion_timestamp.is_some() {
        context.forget(&uid);
        return Ok(Action::await_change());
    }
    context.filled().await;
    let fingerprint = fingerprint(&object, &context);
    if let Some(rest) = context.pace(&uid, |pace| pace.rest(&fingerprint, Instant::now())) {
        return Ok(Action::requeue(rest));
    }
    let (lane, mut work) = live::lane(&object);
    if context.confirmations.count(&object, Instant::now()) {
        work = Work::Migration;
    }
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    // It may wait for long, and be another one by then.
    drop(object);
    let _place = tokio::select! {
        place = context.lanes.look(&lane, work) => place,
        () = context.stopped() => return Ok(Action::await_change()),
    };
    let Some(mut object) = context.migrations.get(&namespace, &name) else {
        return Ok(Action::await_change());
    };
    object.spec.stop_confirmed |= context.confirmations.count(&object, Instant::now());
    // Boxed: many wait for their place, few walk.
    Box::pin(walk(object, &context, &uid)).await
}

/// Down the ladder.
async fn walk(object: AppMigration, context: &Context, uid: &str) -> Result<Action, KubeError> {
    let mut started = Instant::now();
    let mut live = Live::new(object);
    for _ in 0..MAX_STEPS {
        if context.stopping() {
            return Ok(Action::await_change());
        }
        match decide(&live.object, &live.seen) {
            Step::Look(Look::Mapping) => {
                if !observe::mapping(&mut live, context).await? {
                    return Ok(Action::requeue(Duration::ZERO));
                }
            }
            Step::Look(Look::Preview) => {
                if !observe::preview(&mut live, context).await? {
                    return Ok(Action::requeue(Duration::ZERO));
                }
            }
            // Nothing is lost with a look.
            Step::Look(what) => tokio::select! {
                looked = observe::look(what, &mut live, context) => looked?,
                () = context.stopped() => return Ok(Action::await_change()),
            },
            Step::Act(what, rungs) => {
                execute::act(what, &rungs, &mut live, context).await?;
                // What led to the plan is not done again: the next look takes only what comes after this.
                if what == Act::StorePlan {
                    started = Instant::now();
                }
            }
            Step::Rest(rest) => {
                report::rest(&mut live, context, &rest.rungs).await?;
                if let Some(elapsed) = afterwards::elapsed(&live.object) {
                    return afterwards(&mut live, context, elapsed).await;
                }
                return Ok(schedule(&rest, uid, context, started.elapsed()));
            }
        }
    }
    tracing::error!("no end of steps; looking again later");
    let rest = Rest { rungs: Rungs::default(), next: Next::BackOff };
    Ok(schedule(&rest, uid, context, started.elapsed()))
}

/// A finished object: its source group is looked at when it is time, and seldom.
async fn afterwards(live: &mut Live, context: &Context, elapsed: Duration) -> Result<Action, KubeError> {
    let uid = live.object.uid().unwrap_or_default();
    let first = context.options.source_watch;
    if elapsed >= first {
        afterwards::look(live, context).await?;
    }
    let Some(delay) = afterwards::next(elapsed, first) else {
        context.forget(&uid);
        return Ok(Action::await_change());
    };
    Ok(Action::requeue(context.pace(&uid, |pace| pace.after(delay, Instant::now()))))
}

/// What a stalled or waiting object waits for in Kubernetes: itself, and its replicator. A status that is gone is
/// told anew.
fn fingerprint(object: &AppMigration, context: &Context) -> String {
    let annotation = |name| object.annotations().get(name).cloned().unwrap_or_default();
    let namespace = object.namespace().unwrap_or_default();
    let replicator = context.replicators.get(&namespace, &object.spec.replicator_ref.name).map(|r| {
        let ready = r.status.as_ref().and_then(|s| s.conditions.iter().find(|c| c.type_ == "Ready"));
        (
            r.uid(),
            r.metadata.generation,
            ready.map(|c| (c.status.clone(), c.reason.clone(), c.observed_generation)),
            r.status.as_ref().and_then(|s| s.summary),
        )
    });
    let told = object.status.as_ref().is_some_and(|status| !status.conditions.is_empty());
    format!(
        "{:?} {told} {} {} {replicator:?}",
        object.metadata.generation,
        annotation(RETRY_ANNOTATION),
        annotation(ALLOW_REWIND_ANNOTATION)
    )
}

/// The shortest time until a look that is going to take so long.
fn pause(takes: Duration) -> Duration {
    takes.saturating_mul(SHARE).min(LONGEST_PAUSE)
}

/// When the object is looked at next. Looks that take long are not repeated soon.
fn schedule(rest: &Rest, uid: &str, context: &Context, took: Duration) -> Action {
    let options = &context.options;
    let now = Instant::now();
    let delay = match rest.next {
        Next::Never => {
            if rest.rungs.suspended {
                context.park(uid);
            } else {
                context.forget(uid);
            }
            return Action::await_change();
        }
        Next::After(delay) => context.pace(uid, |pace| pace.after(delay, now)),
        Next::BackOff => {
            let error = rest.rungs.ready().reason.is_error();
            let cap = if error { options.backoff_max } else { options.backoff_max.min(LONGEST_WAIT) };
            context.pace(uid, |pace| {
                // Waiting in vain for a cluster is no work.
                let pause = if error { Duration::ZERO } else { pause(pace.expects(took)) };
                pace.failed(error);
                let delay = pace.back_off(cap, pace::jitter(), now).max(pause);
                pace.due_after(delay, now)
            })
        }
        Next::Preview => {
            let first = options.preview_recheck;
            context.pace(uid, |pace| {
                let pause = pause(pace.expects(took));
                let delay = pace.grow(pace::spread(first), LONGEST_PREVIEW.max(first), now).max(pause);
                pace.due_after(delay, now)
            })
        }
        Next::Seldom => context.pace(uid, |pace| pace.after(pace::spread(options.stalled_recheck), now)),
    };
    Action::requeue(delay)
}
