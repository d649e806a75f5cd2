//! Looks into many logs at once: what comes first at or above an offset.

use std::time::Duration;

use appmigration::{
    TopicPartition,
    kafka::{Cluster, HeaderNames, ScanRange},
};

use rdkafka::producer::BaseProducer;

use crate::support::{
    at, client, create_topic, delete_records, eventually, fresh, fresh_topic, produce, produce_large,
    producer, range, source, transaction, transactional,
};

const STALL: Duration = Duration::from_secs(10);

/// What each round of looks gave: the offsets of each range, and up to where they are all.
type Rounds = Vec<Vec<(Vec<i64>, i64)>>;

async fn look(cluster: &Cluster, rounds: Vec<Vec<ScanRange>>) -> Rounds {
    let work = move |prober: &mut appmigration::kafka::Prober| {
        let mut all = Rounds::new();
        for ranges in rounds {
            let mut given = vec![Vec::new(); ranges.len()];
            let covered = prober.look(&ranges, |index, record| given[index].push(record.offset))?;
            all.push(given.into_iter().zip(covered).collect());
        }
        Ok(all)
    };
    cluster.probe(HeaderNames::default(), STALL, work).await.unwrap()
}

/// Every offset from `from` to where it is covered, and at least one.
fn is_whole(given: &(Vec<i64>, i64), from: i64) {
    let expected: Vec<i64> = (from..given.1).collect();
    assert_eq!(given.0, expected);
    assert!(!expected.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_partitions_round_after_round() {
    let (cluster, topic) = (source().await, fresh("probes"));
    create_topic(&topic, 30).await;
    let writer = producer(&[]);
    let all: Vec<TopicPartition> = (0..30).map(|n| at(&topic, n)).collect();
    for here in &all {
        produce(&writer, here, 0..500);
    }
    let froms: [i64; 4] = [300, 17, 499, 250];
    let round = |from: &i64| all.iter().map(|here| range(here, *from, 500)).collect();
    let given = look(&cluster, froms.iter().map(round).collect()).await;
    for (round, from) in given.iter().zip(froms) {
        assert_eq!(round.len(), 30);
        for given in round {
            is_whole(given, from);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn some_partitions_come_later_and_some_are_left_out() {
    let (cluster, topic) = (source().await, fresh("later"));
    create_topic(&topic, 3).await;
    let writer = producer(&[]);
    (0..3).for_each(|n| produce(&writer, &at(&topic, n), 0..50));
    let rounds = vec![
        vec![range(&at(&topic, 0), 10, 50)],
        vec![range(&at(&topic, 2), 20, 50), range(&at(&topic, 0), 5, 50)],
        vec![range(&at(&topic, 1), 30, 50), range(&at(&topic, 2), 0, 50)],
    ];
    let given = look(&cluster, rounds).await;
    is_whole(&given[0][0], 10);
    is_whole(&given[1][0], 20);
    is_whole(&given[1][1], 5);
    is_whole(&given[2][0], 30);
    is_whole(&given[2][1], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn markers_and_aborted_records_are_passed_over() {
    let here = at(&fresh_topic("marked").await, 0);
    // 0..10 | 10..15 aborted, 15 marker | 16..18, 18 marker
    produce(&producer(&[]), &here, 0..10);
    let writer = transactional(&fresh("txn"));
    transaction(&writer, &here, 10..15, false);
    transaction(&writer, &here, 16..18, true);
    let cluster = source().await;
    eventually("the last marker", || async {
        let end = cluster.last_stable_offsets(std::slice::from_ref(&here)).await.unwrap()[&here];
        (end == 19).then_some(())
    })
    .await;
    let rounds = [10, 12, 17, 18].map(|from| vec![range(&here, from, 19)]);
    let given = look(&cluster, rounds.into()).await;
    assert_eq!(given[0][0].0[0], 16);
    assert_eq!(given[1][0].0[0], 16);
    assert_eq!(given[2][0].0, [17]);
    assert_eq!(given[3][0], (vec![], 19));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_beyond_the_range_is_not_given() {
    let here = at(&fresh_topic("range").await, 0);
    produce(&producer(&[]), &here, 0..100);
    let given = look(&source().await, vec![vec![range(&here, 40, 42)], vec![range(&here, 41, 42)]]).await;
    assert_eq!(given[0][0], (vec![40, 41], 42));
    assert_eq!(given[1][0], (vec![41], 42));
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_larger_than_the_first_fetch_are_read_of_all_partitions() {
    let (cluster, topic) = (source().await, fresh("large"));
    create_topic(&topic, 8).await;
    // One batch of 900 KB in each.
    let batches = [("linger.ms", "2000"), ("batch.size", "1000000"), ("batch.num.messages", "900")];
    let writer: BaseProducer = client(&batches).create().unwrap();
    (0..8).for_each(|n| produce_large(&writer, &at(&topic, n), 900));
    let all: Vec<ScanRange> = (0..8).map(|n| range(&at(&topic, n), 400, 900)).collect();
    let given = look(&cluster, vec![all.clone(), all]).await;
    given.iter().flatten().for_each(|given| is_whole(given, 400));
}

#[tokio::test(flavor = "multi_thread")]
async fn below_the_log_start_it_says_that_nothing_is_there() {
    let here = at(&fresh_topic("gone").await, 0);
    produce(&producer(&[]), &here, 0..20);
    delete_records(&here, 10).await;
    let given = look(&source().await, vec![vec![range(&here, 5, 20)]]).await;
    assert_eq!(given[0][0], (vec![], 5));
}
