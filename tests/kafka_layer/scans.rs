//! Scans: exactly the records that a `read_committed` consumer is given, between the ends asked for.

use std::{
    ops::ControlFlow,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use appmigration::kafka::{HeaderNames, KafkaError};
use rdkafka::producer::Producer;

use crate::{
    raw,
    support::{
        DEADLINE, at, create_topic, delete_records, eventually, fresh, fresh_topic, produce, produce_large,
        producer, range, scan, source, transaction, transactional,
    },
};

/// 0..9 plain | 10..14 committed, 15 marker | 16..20 aborted, 21 marker | 22..23 committed, 24 marker |
/// 25..27 aborted, 28 marker: the last stable offset is 29.
async fn with_transactions() -> appmigration::TopicPartition {
    let here = at(&fresh_topic("txns").await, 0);
    produce(&producer(&[]), &here, 0..10);
    let writer = transactional(&fresh("txn"));
    transaction(&writer, &here, 10..15, true);
    transaction(&writer, &here, 16..21, false);
    transaction(&writer, &here, 22..24, true);
    transaction(&writer, &here, 25..28, false);
    here
}

#[tokio::test(flavor = "multi_thread")]
async fn gives_committed_records_only_and_ends_in_a_marker() {
    let (cluster, here) = (source().await, with_transactions().await);
    let end = eventually("the last marker", || async {
        let end = cluster.last_stable_offsets(std::slice::from_ref(&here)).await.unwrap()[&here];
        (end == 29).then_some(end)
    })
    .await;
    let started = Instant::now();
    let (given, stats) = scan(&cluster, vec![range(&here, 0, end)]).await.unwrap();
    let offsets: Vec<_> = given.iter().map(|(_, offset, _)| *offset).collect();
    let expected: Vec<_> = (0..15).chain(22..24).collect();
    assert_eq!(offsets, expected);
    assert!(given.iter().all(|(_, offset, key)| *key == format!("k{offset}")));
    assert_eq!((stats.records, stats.stopped, stats.truncated.len()), (17, false, 0));
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());

    // Each pair of ends gives what lies between, wherever they fall: records, markers, aborted ones.
    for (from, to) in
        [(0, 1), (3, 7), (9, 11), (14, 16), (15, 17), (16, 22), (17, 23), (23, 29), (25, 29), (28, 29)]
    {
        let (given, _) = scan(&cluster, vec![range(&here, from, to)]).await.unwrap();
        let offsets: Vec<_> = given.iter().map(|(_, offset, _)| *offset).collect();
        let expected: Vec<_> = expected.iter().copied().filter(|o| (from..to).contains(o)).collect();
        assert_eq!(offsets, expected, "{from}..{to}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_is_not_waited_for() {
    let (cluster, topic) = (source().await, fresh_topic("open").await);
    let here = at(&topic, 0);
    produce(&producer(&[]), &here, 0..5);
    let open = transactional(&fresh("txn"));
    open.begin_transaction().unwrap();
    produce(&open, &here, 5..8);
    let (given, _) = scan(&cluster, vec![range(&here, 0, 5)]).await.unwrap();
    assert_eq!(given.len(), 5);
    open.abort_transaction(DEADLINE).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_partitions_each_in_order_each_to_its_own_end() {
    let (cluster, topic) = (source().await, fresh("many"));
    create_topic(&topic, 20).await;
    let writer = producer(&[]);
    for partition in 0..20 {
        produce(&writer, &at(&topic, partition), 0..500);
    }
    let ranges: Vec<_> =
        (0..20).map(|p| range(&at(&topic, p), i64::from(p) * 10, 500 - i64::from(p) * 10)).collect();
    let (given, stats) = scan(&cluster, ranges).await.unwrap();
    for partition in 0..20 {
        let offsets: Vec<_> = given.iter().filter(|(p, ..)| *p == partition).map(|(_, o, _)| *o).collect();
        let expected: Vec<_> = (i64::from(partition) * 10..500 - i64::from(partition) * 10).collect();
        assert_eq!(offsets, expected, "partition {partition}");
    }
    assert_eq!(stats.records, given.len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_topics_are_told_apart() {
    let cluster = source().await;
    let (one, two) = (at(&fresh_topic("one").await, 0), at(&fresh_topic("two").await, 0));
    produce(&producer(&[]), &one, 0..30);
    produce(&producer(&[]), &two, 0..20);
    let counts = Arc::new(Mutex::new(std::collections::BTreeMap::new()));
    let sink = Arc::clone(&counts);
    let ranges = vec![range(&one, 0, 30), range(&two, 5, 20), range(&at("absent-and-empty", 0), 7, 7)];
    cluster
        .scan(ranges, HeaderNames::default(), DEADLINE, move |at, _| {
            *sink.lock().unwrap().entry(at.clone()).or_insert(0) += 1;
            ControlFlow::Continue(())
        })
        .await
        .unwrap();
    assert_eq!(*counts.lock().unwrap(), [(one, 30), (two, 15)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_begins_later_is_read_from_its_start_and_says_so() {
    let (cluster, topic) = (source().await, fresh("deleted"));
    create_topic(&topic, 3).await;
    for partition in 0..3 {
        produce(&producer(&[]), &at(&topic, partition), 0..10);
    }
    delete_records(&at(&topic, 0), 4).await;
    delete_records(&at(&topic, 1), 10).await;
    let ranges = (0..3).map(|p| range(&at(&topic, p), 1, 10)).collect();
    let (given, stats) = scan(&cluster, ranges).await.unwrap();
    let of = |p| given.iter().filter(|(at, ..)| *at == p).map(|(_, o, _)| *o).collect::<Vec<_>>();
    assert_eq!(of(0), (4..10).collect::<Vec<_>>());
    assert_eq!(of(1), Vec::<i64>::new());
    assert_eq!(of(2), (1..10).collect::<Vec<_>>());
    assert_eq!(stats.truncated, [(at(&topic, 0), 4), (at(&topic, 1), 10)].into());
}

/// Retention overtakes a slow reader: it gets what it had fetched, then what is left, and is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_start_that_moves_under_the_scan_is_followed() {
    let (cluster, topic) = (source().await, fresh_topic("overtaken").await);
    let here = at(&topic, 0);
    let (count, start) = (60_000, 59_000);
    produce_large(&producer(&[]), &here, count);
    let (deleted, wait) = std::sync::mpsc::channel::<()>();
    let given = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&given);
    let reader = tokio::spawn({
        let ranges = vec![range(&here, 0, count)];
        let first = Mutex::new(Some(wait));
        async move {
            cluster
                .scan(ranges, HeaderNames::default(), DEADLINE, move |_, record| {
                    if let Some(wait) = first.lock().unwrap().take() {
                        wait.recv().unwrap();
                    }
                    sink.lock().unwrap().push(record.offset);
                    ControlFlow::Continue(())
                })
                .await
        }
    });
    tokio::time::sleep(Duration::from_secs(2)).await;
    delete_records(&here, start).await;
    deleted.send(()).unwrap();
    let stats = reader.await.unwrap().unwrap();
    assert_eq!(stats.truncated, [(here, start)].into());
    let given = given.lock().unwrap();
    assert!(given.is_sorted_by(|a, b| a < b), "out of order or twice");
    let fetched = given.iter().filter(|offset| **offset < start).count();
    assert_eq!(given[..fetched], (0..i64::try_from(fetched).unwrap()).collect::<Vec<_>>());
    assert_eq!(given[fetched..], (start..count).collect::<Vec<_>>());
    assert!(fetched < 50_000, "{fetched} were buffered: memory is not bounded");
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_end_is_an_error_and_never_a_jump() {
    let (cluster, topic) = (source().await, fresh_topic("beyond").await);
    let here = at(&topic, 0);
    produce(&producer(&[]), &here, 0..10);
    // From above the end: out of range. To above the end: the log never gets there.
    for (from, to) in [(11, 20), (0, 20), (10, 12)] {
        let error = scan(&cluster, vec![range(&here, from, to)]).await.unwrap_err();
        let KafkaError::OffsetOutOfRange { partition, .. } = &error else { panic!("{from}..{to}: {error}") };
        assert_eq!(*partition, here);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_grows_to_the_end_in_time_is_no_error() {
    let (cluster, topic) = (source().await, fresh_topic("grows").await);
    let here = at(&topic, 0);
    produce(&producer(&[]), &here, 0..10);
    let later = here.clone();
    let writer = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        produce(&producer(&[]), &later, 10..20);
    });
    let (given, _) = scan(&cluster, vec![range(&here, 0, 20)]).await.unwrap();
    assert_eq!(given.len(), 20);
    writer.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_does_not_exist_is_an_error() {
    let cluster = source().await;
    let error = scan(&cluster, vec![range(&at(&fresh("absent"), 0), 0, 1)]).await.unwrap_err();
    assert!(
        matches!(error, KafkaError::UnknownTopicOrPartition { .. } | KafkaError::Timeout { .. }),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_are_bytes_and_the_last_instance_counts() {
    let (cluster, topic) = (source().await, fresh_topic("headers").await);
    let here = at(&topic, 0);
    let writer = producer(&[]);
    let odd = [0xff, 0xfe, b'k'];
    raw::produce(
        &writer,
        &here,
        &[
            (b"offset", Some(b"1")),
            (b"topic", Some(b"cascade")),
            (&odd, Some(&[0x00, 0xff])),
            (b"topic", Some(b"orders")),
            (b"offset", Some(b"2")),
            (b"null", None),
            (b"empty", Some(b"")),
        ],
    );
    raw::produce(&writer, &here, &[]);
    raw::produce(&writer, &here, &[(b"offset", Some(b"3")), (b"offset", None)]);
    let names = HeaderNames {
        topic: Some("topic".into()),
        partition: Some("partition".into()),
        offset: Some("offset".into()),
        pipeline: None,
    };
    let seen = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&seen);
    let stats = cluster
        .scan(vec![range(&here, 0, 3)], names, DEADLINE, move |_, record| {
            let origin = record.origin();
            match record.offset {
                0 => {
                    assert_eq!(origin.topic, Some(Some(&b"orders"[..])));
                    assert_eq!(origin.offset, Some(Some(&b"2"[..])));
                    assert_eq!((origin.partition, origin.pipeline), (None, None));
                    assert_eq!(record.header(&[0xff, 0xfe, b'k']), Some(Some(&[0x00, 0xff][..])));
                    assert_eq!(record.header(b"null"), Some(None));
                    assert_eq!(record.header(b"empty"), Some(Some(&b""[..])));
                    assert_eq!(record.header(b"absent"), None);
                    assert_eq!(record.headers().count(), 7);
                }
                1 => assert_eq!(record.headers().count(), 0),
                _ => assert_eq!(origin.offset, Some(None)),
            }
            assert_eq!((record.key, record.value_len), (None, None));
            assert!(record.timestamp_ms.is_some());
            count.fetch_add(1, Ordering::Relaxed);
            ControlFlow::Continue(())
        })
        .await
        .unwrap();
    assert_eq!((stats.records, seen.load(Ordering::Relaxed)), (3, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_receiver_may_stop_it() {
    let (cluster, topic) = (source().await, fresh_topic("stop").await);
    let here = at(&topic, 0);
    produce(&producer(&[]), &here, 0..100);
    let stats = cluster
        .scan(vec![range(&here, 0, 100)], HeaderNames::default(), DEADLINE, |_, record| {
            if record.offset == 9 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .await
        .unwrap();
    assert!(stats.stopped);
    assert_eq!(stats.records, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_future_ends_it() {
    let (cluster, topic) = (source().await, fresh_topic("drop").await);
    let here = at(&topic, 0);
    produce(&producer(&[]), &here, 0..1_000);
    let alive = Arc::new(AtomicU64::new(0));
    let inside = Arc::clone(&alive);
    let reading =
        cluster.scan(vec![range(&here, 0, 1_000)], HeaderNames::default(), DEADLINE, move |_, _| {
            inside.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(20));
            ControlFlow::Continue(())
        });
    tokio::time::timeout(Duration::from_secs(2), reading).await.expect_err("it takes 20 s");
    assert!(alive.load(Ordering::Relaxed) > 0);
    let dropped = Instant::now();
    eventually("the closure dropped", || async { (Arc::strong_count(&alive) == 1).then_some(()) }).await;
    assert!(dropped.elapsed() < Duration::from_secs(1), "{:?}", dropped.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_panics_is_an_error_not_a_hang() {
    let (cluster, topic) = (source().await, fresh_topic("panic").await);
    let here = at(&topic, 0);
    produce(&producer(&[]), &here, 0..1);
    let error = cluster
        .scan(vec![range(&here, 0, 1)], HeaderNames::default(), DEADLINE, |_, _| panic!("on purpose"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("ended early"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_of_nothing_opens_nothing() {
    let cluster = source().await;
    let nothing = cluster.scan(vec![], HeaderNames::default(), DEADLINE, |_, _| ControlFlow::Continue(()));
    assert_eq!(nothing.await.unwrap().records, 0);
}
