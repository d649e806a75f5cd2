//! The ends of logs: starts, last stable offsets, high watermarks; topic ids.

use rdkafka::{admin::AdminOptions, producer::Producer};

use crate::support::{
    DEADLINE, admin, at, create_topic, delete_records, eventually, fresh, fresh_topic, produce, producer,
    source, transactional,
};

#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_parts_the_two_ends() {
    let (cluster, topic) = (source().await, fresh_topic("ends").await);
    let here = at(&topic, 0);
    produce(&producer(&[]), &here, 0..10);
    let open = transactional(&fresh("txn"));
    open.begin_transaction().unwrap();
    produce(&open, &here, 10..15);

    let all = [here.clone()];
    assert_eq!(cluster.log_starts(&all).await.unwrap()[&here], 0);
    assert_eq!(cluster.last_stable_offsets(&all).await.unwrap()[&here], 10);
    assert_eq!(cluster.high_watermarks(&all).await.unwrap()[&here], 15);

    open.commit_transaction(DEADLINE).unwrap();
    eventually("the marker", || async {
        (cluster.last_stable_offsets(&all).await.unwrap()[&here] == 16).then_some(())
    })
    .await;
}

#[tokio::test]
async fn deleted_records_move_the_start() {
    let (cluster, topic) = (source().await, fresh_topic("start").await);
    let here = at(&topic, 0);
    produce(&producer(&[]), &here, 0..10);
    delete_records(&here, 4).await;
    assert_eq!(cluster.log_starts(std::slice::from_ref(&here)).await.unwrap()[&here], 4);
}

#[tokio::test]
async fn a_partition_that_does_not_exist_is_named() {
    let (cluster, topic) = (source().await, fresh_topic("one").await);
    for missing in [at(&topic, 5), at(&fresh("absent"), 0)] {
        let error = cluster.log_starts(&[at(&topic, 0), missing.clone()]).await.unwrap_err();
        assert!(error.to_string().contains(&missing.to_string()), "{error}");
    }
    assert!(cluster.log_starts(&[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_recreated_topic_has_another_id() {
    let (cluster, topic) = (source().await, fresh_topic("again").await);
    let names = [topic.clone()];
    let before = cluster.describe_topics(&names).await.unwrap()[&topic].id.clone();
    admin().delete_topics(&[&topic], &AdminOptions::new()).await.unwrap();
    eventually("the topic gone", || async {
        cluster.describe_topics(&names).await.unwrap().is_empty().then_some(())
    })
    .await;
    create_topic(&topic, 2).await;
    let after = eventually("the topic back", || async {
        cluster.describe_topics(&names).await.unwrap().get(&topic).cloned()
    })
    .await;
    assert_ne!(before, after.id);
    assert_eq!(after.partitions, 2);
}
