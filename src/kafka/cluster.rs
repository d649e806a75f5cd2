//! What can be asked of one cluster. Never writes, except `commit`, which is in `commit.rs`.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rdkafka::consumer::Consumer;

use super::{
    Committed, ConnectionConfig, DEFAULT_DEADLINE, GroupDescription, GroupKind, GroupState, KafkaError,
    TopicPartition,
    call::{Asked, on_handle},
    ffi::{self, Failure, Isolation, OffsetSpec, code},
    handle::Handle,
    patience::Patience,
};

/// A topic as the cluster describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    /// The topic's id as Kafka's tools print it; another one after the topic was deleted and recreated.
    /// A cluster older than Kafka 2.8 has none and gives `AAAAAAAAAAAAAAAAAAAAAA`.
    pub id: String,
    /// How many partitions it has.
    pub partitions: u32,
}

/// One cluster as one principal sees it. Clones share one client; dropping the last one closes it, on a
/// thread of its own.
#[derive(Clone)]
pub struct Cluster {
    pub(super) inner: Arc<Inner>,
    deadline: Duration,
}

pub(super) struct Inner {
    pub(super) config: ConnectionConfig,
    id: String,
    handle: Mutex<Arc<Handle>>,
    /// Held while a new handle is made, so that only one is.
    replacing: tokio::sync::Mutex<()>,
    last_used: Mutex<Instant>,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("id", &self.inner.id)
            .field("config", &self.inner.config)
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// Connects, and returns after the cluster has answered. A wrong password, an untrusted certificate
    /// or a refused connection is an error as early as it is known, not only at the deadline.
    pub async fn connect(config: &ConnectionConfig, deadline: Duration) -> Result<Self, KafkaError> {
        config.check()?;
        let start = Instant::now();
        let (handle, id) = open(config, start, start + deadline).await?;
        let inner = Inner {
            config: config.clone(),
            id,
            handle: Mutex::new(handle),
            replacing: tokio::sync::Mutex::default(),
            last_used: Mutex::new(Instant::now()),
        };
        Ok(Self {
            inner: Arc::new(inner),
            deadline: DEFAULT_DEADLINE,
        })
    }

    /// The same client, with another deadline for each of its calls.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            deadline,
        }
    }

    /// The cluster's id, as it was when the connection was made.
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// The cluster's id, asked now: another one when the servers' names lead to another cluster since.
    pub async fn current_id(&self) -> Result<String, KafkaError> {
        self.call("ask for the cluster id", |handle, patience| {
            ffi::cluster_id(handle.native(), patience)
        })
        .await
    }

    /// The bootstrap servers, for messages.
    pub fn servers(&self) -> &str {
        &self.inner.config.bootstrap_servers
    }

    /// All topics that the principal may see, with their partition counts.
    pub async fn topics(&self) -> Result<BTreeMap<String, u32>, KafkaError> {
        self.call("list the topics", list_topics).await
    }

    /// Ids and partition counts of these topics. One that does not exist is absent; one that the
    /// principal may not Describe is an error that names it.
    pub async fn describe_topics(
        &self,
        names: &[String],
    ) -> Result<BTreeMap<String, TopicDescription>, KafkaError> {
        let names = names.to_vec();
        self.call("describe topics", move |handle, patience| {
            ffi::describe_topics(handle.native(), &names, patience)
        })
        .await
    }

    /// State, protocol and members of a group. One that does not exist is `Dead`, see
    /// [`GroupDescription::not_found`].
    pub async fn group(&self, group: &str) -> Result<GroupDescription, KafkaError> {
        let name = group.to_owned();
        self.call(format!("describe group {group}"), move |handle, patience| {
            match ffi::describe_group(handle.native(), &name, patience) {
                // KIP-1043: newer versions of the request answer this instead of "Dead".
                Err(failure) if failure.code() == Some(code::GROUP_ID_NOT_FOUND) => Ok(GroupDescription {
                    state: GroupState::Dead,
                    kind: GroupKind::Unknown,
                    members: Vec::new(),
                }),
                other => other,
            }
        })
        .await
    }

    /// All committed offsets of a group; empty for an unknown one. Offsets that an open transaction holds
    /// are [`KafkaError::UnstableOffsets`]. **The broker silently leaves out topics that the principal
    /// may not Describe.**
    pub async fn committed(&self, group: &str) -> Result<BTreeMap<TopicPartition, Committed>, KafkaError> {
        let name = group.to_owned();
        self.call(
            format!("read the committed offsets of group {group}"),
            move |handle, patience| ffi::committed(handle.native(), &name, patience),
        )
        .await
    }

    /// The first offset that each log still holds.
    pub async fn log_starts(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, i64>, KafkaError> {
        self.offsets(
            "read log starts",
            partitions,
            OffsetSpec::Earliest,
            Isolation::ReadUncommitted,
        )
        .await
    }

    /// The end of each log as a `read_committed` consumer sees it.
    pub async fn last_stable_offsets(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, i64>, KafkaError> {
        self.offsets(
            "read last stable offsets",
            partitions,
            OffsetSpec::Latest,
            Isolation::ReadCommitted,
        )
        .await
    }

    /// The end of each log, open transactions included.
    pub async fn high_watermarks(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, i64>, KafkaError> {
        self.offsets(
            "read high watermarks",
            partitions,
            OffsetSpec::Latest,
            Isolation::ReadUncommitted,
        )
        .await
    }

    async fn offsets(
        &self,
        what: &str,
        partitions: &[TopicPartition],
        spec: OffsetSpec,
        isolation: Isolation,
    ) -> Result<BTreeMap<TopicPartition, i64>, KafkaError> {
        let partitions = partitions.to_vec();
        self.call(what, move |handle, patience| {
            ffi::list_offsets(handle.native(), &partitions, spec, isolation, patience)
        })
        .await
    }

    /// Runs a call, again where that helps (see [`again`]), all within one deadline.
    pub(super) async fn call<T, F>(&self, what: impl Into<String>, work: F) -> Result<T, KafkaError>
    where
        F: Fn(&Handle, &Patience) -> Result<T, Failure> + Send + Sync + 'static,
        T: Send + 'static,
    {
        let asked = self.asked(what);
        let until = asked.start + self.deadline;
        let work = Arc::new(work);
        let mut attempt = 0;
        let mut renewed = false;
        loop {
            self.inner.touch();
            let handle = self.inner.handle();
            let this_time = Arc::clone(&work);
            let result = on_handle(&handle, asked.start, until, move |handle, patience| {
                this_time(handle, patience)
            })
            .await;
            self.inner.touch();
            let failure = match result {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            match again(&failure) {
                Again::OnNewHandle if !renewed => {
                    renewed = true;
                    self.inner.replace(&handle, until).await?;
                }
                Again::AfterPause(pause) if attempt < 5 && Instant::now() + pause < until => {
                    tokio::time::sleep(pause * 2_u32.pow(attempt)).await;
                    attempt += 1;
                }
                _ => return Err(asked.explain(failure, handle.signals().cause())),
            }
        }
    }

    pub(super) fn asked(&self, what: impl Into<String>) -> Asked {
        Asked {
            servers: self.servers().to_owned(),
            what: what.into(),
            start: Instant::now(),
        }
    }

    /// How long nobody has asked anything.
    pub(super) fn idle(&self) -> Duration {
        self.inner
            .last_used
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .elapsed()
    }
}

impl Inner {
    pub(super) fn handle(&self) -> Arc<Handle> {
        Arc::clone(&self.handle.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn touch(&self) {
        *self.last_used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Puts a new handle in place of `old`, unless somebody already did.
    async fn replace(&self, old: &Arc<Handle>, until: Instant) -> Result<(), KafkaError> {
        let _only_one = self.replacing.lock().await;
        if !Arc::ptr_eq(&self.handle(), old) {
            return Ok(());
        }
        let (handle, id) = open(&self.config, Instant::now(), until).await?;
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
    let asked = Asked {
        servers: config.bootstrap_servers.clone(),
        what: "connect".into(),
        start,
    };
    let for_thread = config.clone();
    let handle = tokio::task::spawn_blocking(move || Handle::open(&for_thread))
        .await
        .map_err(|_| KafkaError::Cancelled {
            what: "connect".into(),
        })??;
    match on_handle(&handle, start, until, |handle, patience| {
        ffi::cluster_id(handle.native(), patience)
    })
    .await
    {
        Ok(id) => Ok((handle, id)),
        Err(failure) => Err(asked.explain(failure, handle.signals().cause())),
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

fn list_topics(handle: &Handle, patience: &Patience) -> Result<BTreeMap<String, u32>, Failure> {
    patience.check()?;
    let metadata = handle
        .consumer()
        .fetch_metadata(None, patience.left())
        .map_err(|error| {
            Failure::call(
                error
                    .rdkafka_error_code()
                    .map_or(code::BAD_MSG, |code| code as i32),
            )
        })?;
    let topics = metadata.topics().iter();
    Ok(topics
        // A topic that is being deleted has an error and no partitions.
        .filter(|topic| topic.error().is_none() || !topic.partitions().is_empty())
        .map(|topic| {
            (
                topic.name().to_owned(),
                u32::try_from(topic.partitions().len()).unwrap_or(u32::MAX),
            )
        })
        .collect())
}
