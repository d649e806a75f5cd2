//! The data plane: `appmigration replicate`. Copies records from the source to the target cluster, marks each
//! copy with its origin, and commits its own position on the source.
//!
//! - `settings`: what it was told, checked once.
//! - `lookout`: which topics there are; has missing target topics made (`provision`, `creation`).
//! - `session`: the copy loop; the only place where records move.
//! - `position`, `partitions`: how far each source partition is copied.
//! - `election`: of several instances, which one works.
//! - `headers`, `table`, `progress`, `shared`: what the names say.
//!
//! Guarantees:
//! - *Nothing is lost*: the position moves only over what the target has acknowledged (`acks=all`). After
//!   `kill -9` the next instance goes on from the last position, and writes again what was copied since.
//! - *Order*: records of a source partition arrive in their order on each target partition; a restart is a
//!   rewind of at most about a second and what was in flight, never a reordering.
//! - *Only what is committed*: the source is read with `read_committed`.
//! - *The position reaches the end*: on an idle source it is the last stable offset, transaction markers at
//!   the end of the log included.
//! - *Outages and missing rights are waited out*, on either side, for ever. Only what time does not cure ends the process.

pub mod creation;
pub mod election;
mod error;
pub mod headers;
mod lookout;
pub mod partitions;
pub mod position;
mod progress;
mod provision;
mod session;
mod settings;
mod shared;
pub mod table;

use std::{
    sync::{Arc, atomic::Ordering, mpsc},
    time::{Duration, Instant},
};

pub use error::ReplicateError;
pub use settings::{Arguments, Settings};

use self::{
    lookout::Lookout,
    session::{End, Session},
    shared::Shared,
};

/// Before new clients are made after they broke; doubled up to the longest for those that break soon again and have
/// copied nothing.
const RENEW_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Runs until SIGTERM or SIGINT, or until something is wrong that time does not cure.
pub fn run(arguments: &Arguments) -> Result<(), ReplicateError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let shared = Arc::new(Shared::default());
    stop_on_signal(&runtime, Arc::clone(&shared))?;
    let settings = Arc::new(runtime.block_on(Settings::read(arguments))?);
    if !settings.headers.has_offset() {
        tracing::warn!(
            "spec.features.tracingHeaders.offset is Disabled: no consumer group can be migrated by these copies"
        );
    }
    let mut lookout = runtime.block_on(Lookout::connect(Arc::clone(&settings)))?;
    let mut table = Arc::new(runtime.block_on(lookout.resolve())?);
    tracing::info!(topics = table.topics.len(), group = settings.group, "connected to both clusters");
    let largest_batch = runtime.block_on(lookout.largest_batch(&table));
    let source = lookout.source().clone();
    let (sender, news) = mpsc::channel();
    runtime.spawn(lookout.watch(Arc::clone(&shared), sender, Arc::clone(&table)));
    let (mut pause, mut copied) = (RENEW_PAUSE, 0);
    let outcome = loop {
        let opened = Instant::now();
        let strangers = runtime.block_on(lookout::strangers(&source, &settings));
        let ended = match strangers {
            _ if shared.stopping() => break Ok(()),
            Some(strangers) => Ok((End::Renew(strangers), Arc::clone(&table))),
            None => Session::open(&settings, &shared, &news, Arc::clone(&table), largest_batch)
                .and_then(Session::run),
        };
        match ended {
            Ok((End::Stopped, _)) => break Ok(()),
            Ok((End::Renew(reason), now)) => {
                tracing::warn!(reason, "trying again");
                table = now;
                let before = std::mem::replace(&mut copied, shared.records.load(Ordering::Relaxed));
                if copied != before || opened.elapsed() > LONGEST_PAUSE {
                    pause = RENEW_PAUSE;
                }
                shared.sleep(pause);
                pause = (2 * pause).min(LONGEST_PAUSE);
            }
            Err(error) => break Err(error),
        }
    };
    // Not waiting for a call that is under way.
    runtime.shutdown_background();
    if outcome.is_ok() {
        tracing::info!("stopped");
    }
    outcome
}

/// Installs the handlers, then watches in the background.
fn stop_on_signal(runtime: &tokio::runtime::Runtime, shared: Arc<Shared>) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let _entered = runtime.enter();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    runtime.spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        shared.stop();
    });
    Ok(())
}
