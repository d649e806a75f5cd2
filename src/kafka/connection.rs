//! One connection to a cluster: the handle that stands for it now, and calls on it that are made again
//! where that helps. Knows no particular call.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{
    ConnectionConfig, KafkaError,
    call::{Asked, on_handle},
    ffi::{self, Failure, code},
    handle::Handle,
    patience::Patience,
};

/// What all clones of a cluster share.
pub(super) struct Inner {
    pub(super) config: ConnectionConfig,
    pub(super) id: String,
    handle: Mutex<Arc<Handle>>,
    /// Held while a new handle is made, so that only one is. Holds when that failed last, and why.
    replacing: tokio::sync::Mutex<Option<(Instant, KafkaError)>>,
    last_used: Mutex<Instant>,
}

impl Inner {
    /// Connects; returns after the cluster has answered.
    pub(super) async fn open(config: &ConnectionConfig, deadline: Duration) -> Result<Self, KafkaError> {
        let start = Instant::now();
        let (handle, id) = open(config, start, start + deadline).await?;
        Ok(Self {
            config: config.clone(),
            id,
            handle: Mutex::new(handle),
            replacing: tokio::sync::Mutex::default(),
            last_used: Mutex::new(Instant::now()),
        })
    }

    /// Runs a call, again where that helps (see [`again`]), all of it over at `until`.
    pub(super) async fn call<T, F>(&self, asked: &Asked, until: Instant, work: F) -> Result<T, KafkaError>
    where
        F: Fn(&Handle, &Patience) -> Result<T, Failure> + Send + Sync + 'static,
        T: Send + 'static,
    {
        let work = Arc::new(work);
        let mut attempt = 0;
        let mut renewed = false;
        loop {
            self.touch();
            let mut handle = self.handle();
            if handle.is_spent() {
                self.replace(&handle, asked, until).await?;
                handle = self.handle();
            }
            let this_time = Arc::clone(&work);
            let result =
                on_handle(&handle, asked.start, until, move |handle, patience| this_time(handle, patience))
                    .await;
            self.touch();
            let failure = match result {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            match again(&failure) {
                Again::OnNewHandle if !renewed => {
                    renewed = true;
                    self.replace(&handle, asked, until).await?;
                }
                Again::AfterPause(pause) if attempt < 5 && Instant::now() + pause < until => {
                    tokio::time::sleep(pause * 2_u32.pow(attempt)).await;
                    attempt += 1;
                }
                _ => return Err(asked.explain(failure, handle.signals().cause()).of_user(&self.config)),
            }
        }
    }

    pub(super) fn handle(&self) -> Arc<Handle> {
        Arc::clone(&self.handle.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How long nobody has asked anything.
    pub(super) fn idle(&self) -> Duration {
        self.last_used.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    pub(super) fn touch(&self) {
        *self.last_used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Puts a new handle in place of `old`, unless somebody already did, or has failed to since it was asked for.
    async fn replace(&self, old: &Arc<Handle>, asked: &Asked, until: Instant) -> Result<(), KafkaError> {
        let Ok(mut failed) = tokio::time::timeout_at(until.into(), self.replacing.lock()).await else {
            return Err(asked.explain(Failure::Expired, old.signals().cause()));
        };
        if !Arc::ptr_eq(&self.handle(), old) {
            return Ok(());
        }
        if let Some((_, error)) = failed.as_ref().filter(|(at, _)| *at > asked.start) {
            return Err(error.clone());
        }
        let opened = open(&self.config, Instant::now(), until).await;
        let (handle, id) = opened.inspect_err(|error| *failed = Some((Instant::now(), error.clone())))?;
        if id != self.id {
            return Err(KafkaError::Other {
                servers: self.config.bootstrap_servers.clone(),
                what: "reconnect".into(),
                reason: format!("this is another cluster now: {id}, was {}", self.id),
                code: 0,
            });
        }
        *self.handle.lock().unwrap_or_else(PoisonError::into_inner) = handle;
        Ok(())
    }
}

/// A new handle, and the id of the cluster that answered on it.
async fn open(
    config: &ConnectionConfig,
    start: Instant,
    until: Instant,
) -> Result<(Arc<Handle>, String), KafkaError> {
    let asked = Asked { servers: config.bootstrap_servers.clone(), what: "connect".into(), start };
    let for_thread = config.clone();
    let handle = tokio::task::spawn_blocking(move || Handle::open(&for_thread))
        .await
        .map_err(|_| KafkaError::Cancelled { what: "connect".into() })??;
    match on_handle(&handle, start, until, |handle, patience| ffi::cluster_id(handle.native(), patience))
        .await
    {
        Ok(id) => Ok((handle, id)),
        Err(failure) => Err(asked.explain(failure, handle.signals().cause()).of_user(config)),
    }
}

/// Whether the same call is worth another try. All calls here may be repeated: reads, and commits of the
/// same offsets.
enum Again {
    /// The client never forgets a coordinator that has moved away, so a new client must ask for it.
    OnNewHandle,
    /// A connection that was lost under the call, a leader or coordinator that is not ready yet.
    AfterPause(Duration),
    No,
}

fn again(failure: &Failure) -> Again {
    match failure.code() {
        Some(code::NOT_COORDINATOR | code::COORDINATOR_NOT_AVAILABLE) => Again::OnNewHandle,
        Some(
            code::TRANSPORT
            | code::DESTROY_BROKER
            | code::COORDINATOR_LOADING
            | code::NOT_LEADER
            | code::LEADER_NOT_AVAILABLE,
        ) => Again::AfterPause(Duration::from_millis(100)),
        _ => Again::No,
    }
}
