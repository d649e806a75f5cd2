//! Faults that a real broker cannot be made to show on demand, on librdkafka's mock cluster.

use std::time::{Duration, Instant};

use appmigration::kafka::{Cluster, ConnectionConfig, KafkaError};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    mocking::MockCluster,
    types::{RDKafkaApiKey, RDKafkaRespErr},
};

use crate::support::{DEADLINE, at};

type Mock = MockCluster<'static, rdkafka::producer::DefaultProducerContext>;

const NOT_COORDINATOR: RDKafkaRespErr = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_COORDINATOR;
const NOT_AVAILABLE: RDKafkaRespErr = RDKafkaRespErr::RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE;

async fn mock(brokers: i32) -> (Mock, Cluster) {
    let mock = MockCluster::new(brokers).unwrap();
    mock.create_topic("t", 4, 1).unwrap();
    let config = ConnectionConfig::plaintext(mock.bootstrap_servers());
    let cluster = Cluster::connect(&config, DEADLINE).await.unwrap();
    (mock, cluster)
}

/// librdkafka issue 5040: on a handle without a `group.id` this ends the process with SIGSEGV.
#[tokio::test]
async fn a_moved_coordinator_crashes_nothing_and_is_found_anew() {
    let (mock, cluster) = mock(3).await;
    for error in [NOT_COORDINATOR, NOT_AVAILABLE] {
        mock.request_errors(RDKafkaApiKey::OffsetFetch, &[error]);
        assert!(cluster.committed("g").await.unwrap().is_empty());
    }
}

/// librdkafka issue 4605: a call for a group that runs out of time while its coordinator is away uses what it has
/// freed once that is back, which ends the process by an assertion, if by nothing worse.
#[tokio::test]
async fn a_coordinator_that_comes_back_after_calls_were_given_up_crashes_nothing() {
    let (mock, cluster) = mock(1).await;
    let impatient = cluster.with_deadline(Duration::from_millis(300));
    for _ in 0..3 {
        assert!(cluster.committed("g").await.unwrap().is_empty());
        mock.broker_down(1).unwrap();
        let offsets =
            [appmigration::kafka::CommitOffset { partition: at("t", 0), offset: 5, metadata: vec![] }];
        let reads = futures::future::join_all((0..20).map(|_| impatient.committed("g")));
        let commits = futures::future::join_all((0..20).map(|_| impatient.commit("g", &offsets)));
        let (reads, commits) = futures::join!(reads, commits);
        assert!(reads.iter().all(Result::is_err) && commits.iter().all(Result::is_err));
        mock.broker_up(1).unwrap();
    }
    assert!(cluster.committed("g").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_coordinator_that_keeps_moving_is_told() {
    let (mock, cluster) = mock(1).await;
    mock.request_errors(RDKafkaApiKey::OffsetFetch, &[NOT_COORDINATOR; 20]);
    let error = cluster.committed("g").await.unwrap_err();
    assert!(matches!(error, KafkaError::CoordinatorMoved { .. }), "{error}");
    assert!(error.is_retriable());
    mock.clear_request_errors(RDKafkaApiKey::OffsetFetch);
    assert!(cluster.committed("g").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_commit_to_a_moved_coordinator_is_sent_again() {
    let (mock, cluster) = mock(3).await;
    mock.request_errors(RDKafkaApiKey::OffsetCommit, &[NOT_COORDINATOR]);
    let offsets = [appmigration::kafka::CommitOffset { partition: at("t", 0), offset: 5, metadata: vec![] }];
    let results = cluster.commit("g", &offsets).await.unwrap();
    assert_eq!(results[&at("t", 0)], Ok(()));
    // The mock lists no offsets unless asked for partitions by name.
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", mock.bootstrap_servers())
        .set("group.id", "g")
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition("t", 0);
    let list = consumer.committed_offsets(list, DEADLINE).unwrap();
    assert_eq!(list.elements()[0].offset(), Offset::Offset(5));
}

#[tokio::test]
async fn a_coordinator_that_loads_is_waited_for() {
    let (mock, cluster) = mock(1).await;
    let loading = RDKafkaRespErr::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS;
    mock.request_errors(RDKafkaApiKey::OffsetFetch, &[loading, loading]);
    assert!(cluster.committed("g").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_moved_leader_is_asked_again() {
    let (mock, cluster) = mock(3).await;
    let moved = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION;
    mock.request_errors(RDKafkaApiKey::ListOffsets, &[moved]);
    assert_eq!(cluster.high_watermarks(&[at("t", 0)]).await.unwrap()[&at("t", 0)], 0);
}

#[tokio::test]
async fn a_lost_connection_does_not_fail_a_call() {
    let (mock, cluster) = mock(1).await;
    for _ in 0..3 {
        mock.broker_down(1).unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        mock.broker_up(1).unwrap();
        cluster.current_id().await.unwrap();
    }
    // Under the call: it comes back within the time that a call waits.
    mock.broker_down(1).unwrap();
    let call = tokio::spawn(async move { cluster.current_id().await });
    tokio::time::sleep(Duration::from_millis(800)).await;
    mock.broker_up(1).unwrap();
    call.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_cluster_that_is_gone_is_told_before_the_deadline() {
    let (mock, cluster) = mock(1).await;
    let cluster = cluster.with_deadline(Duration::from_mins(1));
    mock.broker_down(1).unwrap();
    let started = Instant::now();
    let error = cluster.current_id().await.unwrap_err();
    assert!(matches!(error, KafkaError::Unreachable { .. }), "{error}");
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    // The same, when it was known to be gone.
    let started = Instant::now();
    let error = cluster.topics().await.unwrap_err();
    assert!(matches!(error, KafkaError::Unreachable { .. }), "{error}");
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
}

#[tokio::test]
async fn slow_is_not_broken() {
    let (mock, cluster) = mock(1).await;
    mock.broker_round_trip_time(1, Duration::from_millis(700)).unwrap();
    cluster.current_id().await.unwrap();
    let started = Instant::now();
    let error = cluster.with_deadline(Duration::from_millis(300)).current_id().await.unwrap_err();
    assert!(matches!(error, KafkaError::Timeout { .. }), "{error}");
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}

/// The target's broker, since the other tests read from the source's.
fn broker(action: &str) {
    let stack = crate::support::from_stack("STACK");
    let done = std::process::Command::new(stack).args(["broker", action, "target"]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// A real broker stops and starts under one client: a call fails precisely while it is away, and a scan
/// that was under way and the same client's calls go on when it is back.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_restarts_is_found_again() {
    let target = crate::support::from_stack("TARGET_BOOTSTRAP");
    let topic = crate::support::fresh("restart");
    let config = ConnectionConfig::plaintext(&target);
    let cluster = Cluster::connect(&config, DEADLINE).await.unwrap();
    let more = [("bootstrap.servers", target.as_str())];
    let admin: rdkafka::admin::AdminClient<_> = crate::support::client(&more).create().unwrap();
    let new = rdkafka::admin::NewTopic::new(&topic, 1, rdkafka::admin::TopicReplication::Fixed(1));
    admin.create_topics([&new], &rdkafka::admin::AdminOptions::new()).await.unwrap();
    let here = at(&topic, 0);
    crate::support::produce_large(&crate::support::producer(&more), &here, 60_000);
    let (read, seen) = std::sync::mpsc::channel();
    let scan = tokio::spawn({
        let (cluster, ranges) = (cluster.clone(), vec![crate::support::range(&here, 0, 60_000)]);
        let mut count = 0_u64;
        async move {
            cluster
                .scan(
                    ranges,
                    appmigration::kafka::HeaderNames::default(),
                    Duration::from_mins(1),
                    move |_, _| {
                        count += 1;
                        if count == 1_000 {
                            read.send(()).unwrap();
                            std::thread::sleep(Duration::from_secs(1));
                        }
                        std::ops::ControlFlow::Continue(())
                    },
                )
                .await
        }
    });
    seen.recv().unwrap();
    broker("stop");
    let started = Instant::now();
    let error = cluster.current_id().await.unwrap_err();
    assert!(matches!(error, KafkaError::Unreachable { .. }), "{error}");
    assert!(started.elapsed() < Duration::from_secs(9), "{:?}", started.elapsed());
    broker("start");
    // The coordinator of a broker that has just come back may still be settling: that alone may be tried again.
    let started = Instant::now();
    let committed = loop {
        match cluster.committed("nobody-here").await {
            Ok(committed) => break committed,
            Err(KafkaError::CoordinatorMoved { .. }) if started.elapsed() < Duration::from_secs(30) => {}
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(committed.len(), 0);
    assert_eq!(scan.await.unwrap().unwrap().records, 60_000);
}
