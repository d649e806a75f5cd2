//! One connection to a cluster: the handle that stands for it now, and calls on it that are made again
//! where that helps. Knows no particular call.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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
    handle: Arc<Slot>,
    /// Held while a new handle is made, so that only one is. Holds when that failed last, and why.
    opening: tokio::sync::Mutex<Option<(Instant, KafkaError)>>,
    last_used: Mutex<Instant>,
}

/// The handle of the moment; none after a call was given up that the client may still be at. It would go on with it
/// for as long as the handle is open, and while the broker that it is for is away connect to that without any pause.
struct Slot(Mutex<Option<Arc<Handle>>>);

impl Slot {
    fn get(&self) -> Option<Arc<Handle>> {
        self.lock().clone()
    }

    fn put(&self, handle: Arc<Handle>) {
        *self.lock() = Some(handle);
    }

    /// Nothing new is asked on this handle: it is closed once those are done that are at work on it.
    fn let_go(&self, handle: &Arc<Handle>) {
        self.lock().take_if(|now| Arc::ptr_eq(now, handle));
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Handle>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A handle to work with.
#[derive(Clone)]
pub(super) struct Lease {
    handle: Arc<Handle>,
    slot: Arc<Slot>,
}

impl Lease {
    /// Blocks while `work` does.
    pub(super) fn work<T>(&self, work: impl FnOnce(&Handle) -> Result<T, Failure>) -> Result<T, Failure> {
        let result = work(&self.handle);
        if matches!(result, Err(Failure::Expired | Failure::Cancelled)) {
            self.slot.let_go(&self.handle);
        }
        result
    }
}

impl Inner {
    /// Connects; returns after the cluster has answered.
    pub(super) async fn open(config: &ConnectionConfig, deadline: Duration) -> Result<Self, KafkaError> {
        let start = Instant::now();
        let (handle, id) = open(config, start, start + deadline).await?;
        Ok(Self {
            config: config.clone(),
            id,
            handle: Arc::new(Slot(Mutex::new(Some(handle)))),
            opening: tokio::sync::Mutex::default(),
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
            let lease = self.lease(asked, until).await?;
            let (this_time, leased) = (Arc::clone(&work), lease.clone());
            let handle = &lease.handle;
            let result = on_handle(handle, asked.start, until, move |_, patience| {
                leased.work(|handle| this_time(handle, patience))
            })
            .await;
            self.touch();
            let failure = match result {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            match again(&failure) {
                Again::OnNewHandle if !renewed => {
                    renewed = true;
                    self.handle.let_go(handle);
                }
                Again::AfterPause(pause) if attempt < 5 && Instant::now() + pause < until => {
                    tokio::time::sleep(pause * 2_u32.pow(attempt)).await;
                    attempt += 1;
                }
                _ => return Err(asked.explain(failure, handle.signals().cause()).in_view_of(&self.config)),
            }
        }
    }

    /// How long nobody has asked anything.
    pub(super) fn idle(&self) -> Duration {
        self.last_used.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    pub(super) fn touch(&self) {
        *self.last_used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// The handle of the moment, or a new one: who waited while another failed to open one shares that failure.
    pub(super) async fn lease(&self, asked: &Asked, until: Instant) -> Result<Lease, KafkaError> {
        let lease = |handle| Lease { handle, slot: Arc::clone(&self.handle) };
        if let Some(handle) = self.handle.get() {
            return Ok(lease(handle));
        }
        let Ok(mut failed) = tokio::time::timeout_at(until.into(), self.opening.lock()).await else {
            return Err(asked.explain(Failure::Expired, None));
        };
        if let Some(handle) = self.handle.get() {
            return Ok(lease(handle));
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
        self.handle.put(Arc::clone(&handle));
        Ok(lease(handle))
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
        Err(failure) => Err(asked.explain(failure, handle.signals().cause()).in_view_of(config)),
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
