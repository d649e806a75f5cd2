//! What every call costs: a span, a line at debug level, and metrics under names of a closed set. Knows no
//! particular call's arguments: names of topics and groups stay out.

use std::time::Instant;

use tracing::Instrument as _;

use crate::{
    runtime::metrics::{CallLabel, KafkaLabels, metrics},
    telemetry::CALLS,
};

use super::KafkaError;

/// What is asked of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Open a client and hear from the cluster.
    Connect,
    /// The cluster's id.
    ClusterId,
    /// All topics.
    ListTopics,
    /// Some topics.
    DescribeTopics,
    /// Settings of topics.
    DescribeConfigs,
    /// All groups.
    ListGroups,
    /// A group's state and members.
    DescribeGroup,
    /// A group's committed offsets.
    CommittedOffsets,
    /// Where logs begin.
    LogStarts,
    /// Where logs end for a `read_committed` consumer.
    LastStableOffsets,
    /// Where logs end.
    HighWatermarks,
    /// Commit offsets for a group.
    CommitOffsets,
    /// Look into logs.
    Search,
    /// Read stretches of logs.
    Scan,
}

impl Call {
    /// Its name, as a label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::ClusterId => "cluster_id",
            Self::ListTopics => "list_topics",
            Self::DescribeTopics => "describe_topics",
            Self::DescribeConfigs => "describe_configs",
            Self::ListGroups => "list_groups",
            Self::DescribeGroup => "describe_group",
            Self::CommittedOffsets => "committed_offsets",
            Self::LogStarts => "log_starts",
            Self::LastStableOffsets => "last_stable_offsets",
            Self::HighWatermarks => "high_watermarks",
            Self::CommitOffsets => "commit_offsets",
            Self::Search => "search",
            Self::Scan => "scan",
        }
    }
}

/// Measures a call, whatever becomes of it.
pub(super) async fn measured<T>(
    call: Call,
    servers: &str,
    work: impl Future<Output = Result<T, KafkaError>>,
) -> Result<T, KafkaError> {
    let span = tracing::debug_span!(target: CALLS, "kafka", call = call.as_str(), servers);
    let mut under_way = UnderWay { call, servers, start: Instant::now(), outcome: "cancelled" };
    async move {
        let result = work.await;
        under_way.ended(result.as_ref().map_or_else(KafkaError::kind, |_| "ok"));
        result
    }
    .instrument(span)
    .await
}

/// A call under way. One that its caller gives up is counted too.
struct UnderWay<'a> {
    call: Call,
    servers: &'a str,
    start: Instant,
    outcome: &'static str,
}

impl UnderWay<'_> {
    fn ended(&mut self, outcome: &'static str) {
        self.outcome = outcome;
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let (call, outcome, took) = (self.call.as_str(), self.outcome, self.start.elapsed());
        let metrics = metrics();
        metrics.kafka_calls.get_or_create(&KafkaLabels { call, outcome }).inc();
        metrics.kafka_call_duration.get_or_create(&CallLabel { call }).observe(took.as_secs_f64());
        tracing::debug!(call, outcome, servers = self.servers, seconds = took.as_secs_f64(), "kafka call");
    }
}
