//! The pool: one client per connection, one connect however many ask, nothing kept that nobody needs.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use appmigration::kafka::{ClusterPool, ConnectionConfig, KafkaError};
use futures::future::join_all;

use crate::support::{eventually, plaintext};

/// Client threads of this kind in this process: one `kafka-poll` each.
fn polled() -> usize {
    std::fs::read_dir("/proc/self/task")
        .unwrap()
        .filter(|task| {
            let comm = task.as_ref().unwrap().path().join("comm");
            std::fs::read_to_string(comm).is_ok_and(|name| name.trim() == "kafka-poll")
        })
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_ask_share_one_connect_and_one_failure() {
    let pool = ClusterPool::new();
    let clusters = join_all((0..50).map(|_| async { pool.get(&plaintext()).await })).await;
    assert!(clusters.iter().all(Result::is_ok));
    assert_eq!(pool.len(), 1);

    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dead = ConnectionConfig::plaintext(free.to_string());
    let started = Instant::now();
    let errors = join_all((0..50).map(|_| pool.get(&dead))).await;
    assert!(errors.iter().all(|error| matches!(error, Err(KafkaError::Unreachable { .. }))));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_eq!(pool.len(), 1, "a failure is not kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_clients_are_closed_and_held_ones_are_not() {
    let pool = ClusterPool::new();
    let mut config = plaintext();
    config.properties.insert("client.id".into(), "pooled".into());
    let held = pool.get(&config).await.unwrap();
    assert_eq!(pool.evict_idle(Duration::ZERO), 0);
    drop(held);
    assert_eq!(pool.evict_idle(Duration::from_mins(1)), 0);
    assert_eq!(pool.evict_idle(Duration::ZERO), 1);
    assert!(pool.is_empty());

    let first = pool.get(&config).await.unwrap();
    pool.invalidate(&config);
    assert!(pool.is_empty());
    first.current_id().await.unwrap();
    pool.get(&config).await.unwrap();
    assert_eq!(pool.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_who_gives_up_takes_nobody_down() {
    let (pool, config) = (ClusterPool::new(), plaintext());
    let impatient = tokio::time::timeout(Duration::ZERO, pool.get(&config)).await;
    assert!(impatient.is_err());
    pool.get(&config).await.unwrap();
    assert_eq!(pool.len(), 1);
}

/// Alone in this process would be exact; beside other tests the count can only be seen to come down.
#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_client_takes_its_threads_along() {
    let clusters = join_all((0..30).map(|_| async {
        appmigration::kafka::Cluster::connect(&plaintext(), Duration::from_secs(20)).await.unwrap()
    }))
    .await;
    assert!(polled() >= 30);
    let started = Instant::now();
    drop(clusters);
    assert!(started.elapsed() < Duration::from_millis(50), "closing blocked: {:?}", started.elapsed());
    eventually("threads gone", || async { (polled() < 30).then_some(()) }).await;
}
