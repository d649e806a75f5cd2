//! What can be asked of one cluster. Never writes, except `commit`, which is in `commit.rs`.

use std::{
    collections::BTreeMap,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Committed, ConnectionConfig, DEFAULT_DEADLINE, GroupDescription, GroupKind, GroupState, KafkaError,
    TopicPartition,
    call::Asked,
    connection::Inner,
    ffi::{self, Failure, Isolation, OffsetSpec, code},
    handle::Handle,
    meter::{Call, measured},
    patience::Patience,
};
use crate::crash;

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
    pub(super) deadline: Duration,
    not_after: Option<Instant>,
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
        crash::before_call(|| format!("connect to {}", config.bootstrap_servers)).await;
        let connecting = Inner::open(config, deadline);
        let inner = measured(Call::Connect, &config.bootstrap_servers, connecting).await?;
        Ok(Self { inner: Arc::new(inner), deadline: DEFAULT_DEADLINE, not_after: None })
    }

    /// The same client, with another deadline for each of its calls.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self { deadline, ..self.clone() }
    }

    /// The same client; nothing is sent on it after `until`, however long the call was held up before.
    #[must_use]
    pub fn not_after(&self, until: Instant) -> Self {
        Self { not_after: Some(until), ..self.clone() }
    }

    /// When a call that begins now must be over.
    pub(super) fn until(&self) -> Instant {
        let until = Instant::now() + self.deadline;
        self.not_after.map_or(until, |not_after| not_after.min(until))
    }

    /// The cluster's id, as it was when the connection was made.
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// The cluster's id, asked now: another one when the servers' names lead to another cluster since.
    pub async fn current_id(&self) -> Result<String, KafkaError> {
        self.call(Call::ClusterId, "ask for the cluster id", |handle, patience| {
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
        self.call(Call::ListTopics, "list the topics", |handle, patience| {
            ffi::list_topics(handle.native(), patience)
        })
        .await
    }

    /// Ids and partition counts of these topics. One that does not exist is absent; one that the
    /// principal may not Describe is an error that names it.
    pub async fn describe_topics(
        &self,
        names: &[String],
    ) -> Result<BTreeMap<String, TopicDescription>, KafkaError> {
        let names = names.to_vec();
        self.call(Call::DescribeTopics, "describe topics", move |handle, patience| {
            ffi::describe_topics(handle.native(), &names, patience)
        })
        .await
    }

    /// The names of all groups that the principal may see, in order.
    pub async fn groups(&self) -> Result<Vec<String>, KafkaError> {
        let listed = self.call(Call::ListGroups, "list groups", |handle, patience| {
            ffi::list_groups(handle.native(), patience)
        });
        let mut names = listed.await?;
        names.sort();
        Ok(names)
    }

    /// State, protocol and members of a group. One that does not exist is `Dead`, see
    /// [`GroupDescription::not_found`].
    pub async fn group(&self, group: &str) -> Result<GroupDescription, KafkaError> {
        let name = group.to_owned();
        self.call(Call::DescribeGroup, format!("describe group {group}"), move |handle, patience| {
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
            Call::CommittedOffsets,
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
            Call::LogStarts,
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
            Call::LastStableOffsets,
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
            Call::HighWatermarks,
            "read high watermarks",
            partitions,
            OffsetSpec::Latest,
            Isolation::ReadUncommitted,
        )
        .await
    }

    async fn offsets(
        &self,
        call: Call,
        what: &str,
        partitions: &[TopicPartition],
        spec: OffsetSpec,
        isolation: Isolation,
    ) -> Result<BTreeMap<TopicPartition, i64>, KafkaError> {
        let partitions = partitions.to_vec();
        self.call(call, what, move |handle, patience| {
            ffi::list_offsets(handle.native(), &partitions, spec, isolation, patience)
        })
        .await
    }

    pub(super) fn asked(&self, what: impl Into<String>) -> Asked {
        Asked { servers: self.servers().to_owned(), what: what.into(), start: Instant::now() }
    }

    /// Runs a call within this cluster's deadline.
    pub(super) async fn call<T, F>(
        &self,
        call: Call,
        what: impl Into<String>,
        work: F,
    ) -> Result<T, KafkaError>
    where
        F: Fn(&Handle, &Patience) -> Result<T, Failure> + Send + Sync + 'static,
        T: Send + 'static,
    {
        let what = what.into();
        crash::before_call(|| format!("{what} on {}", self.servers())).await;
        let asked = self.asked(what);
        measured(call, self.servers(), self.inner.call(&asked, self.until(), work)).await
    }
}
