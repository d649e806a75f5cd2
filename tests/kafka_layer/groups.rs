//! Consumer groups: who is in them, what they have committed, and committing for them.

use std::time::Duration;

use appmigration::kafka::{Cluster, CommitOffset, GroupKind, GroupState, KafkaError};
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer},
    producer::Producer,
};

use crate::support::{
    DEADLINE, Member, at, client, create_topic, create_topic_with, eventually, fresh, fresh_topic,
    from_stack, source, transactional,
};

fn offset(topic: &str, partition: i32, offset: i64, metadata: &[u8]) -> CommitOffset {
    CommitOffset { partition: at(topic, partition), offset, metadata: metadata.to_vec() }
}

#[tokio::test]
async fn an_unknown_group_is_dead_and_has_committed_nothing() {
    let (cluster, group) = (source().await, fresh("unknown"));
    let described = cluster.group(&group).await.unwrap();
    assert!(described.not_found() && !described.is_active(), "{described:?}");
    assert!(cluster.committed(&group).await.unwrap().is_empty());
}

#[tokio::test]
async fn metadata_survives_byte_for_byte() {
    let (cluster, group, topic) = (source().await, fresh("meta"), fresh("meta"));
    create_topic(&topic, 4).await;
    let offsets = [
        offset(&topic, 0, 5, b"plain"),
        offset(&topic, 1, 6, b"a\0b\0"),
        offset(&topic, 2, 7, "snow \u{2603}\0".as_bytes()),
        offset(&topic, 3, 0, b""),
    ];
    let results = cluster.commit(&group, &offsets).await.unwrap();
    assert_eq!(results.len(), 4);
    assert!(results.values().all(Result::is_ok), "{results:?}");
    let committed = cluster.committed(&group).await.unwrap();
    for wanted in &offsets {
        let found = &committed[&wanted.partition];
        assert_eq!((found.offset, &found.metadata), (wanted.offset, &wanted.metadata), "{wanted:?}");
    }
    // What is not UTF-8 is sent as it is; a broker of Apache Kafka decodes it, so it is the broker that
    // replaces it, on the source already, when the application commits.
    cluster.commit(&group, &[offset(&topic, 2, 7, &[0xff, 0x00, 0xc3, 0x28])]).await.unwrap();
    let replaced = &cluster.committed(&group).await.unwrap()[&at(&topic, 2)].metadata;
    assert_eq!(replaced, "\u{fffd}\0\u{fffd}(".as_bytes());
    let described = cluster.group(&group).await.unwrap();
    assert_eq!((described.state, described.kind), (GroupState::Empty, GroupKind::Classic));
    assert!(!described.is_active() && !described.not_found());
}

/// A leader epoch of the source would make consumers of the target loop: see it as Java clients would.
#[tokio::test]
async fn a_commit_carries_no_leader_epoch() {
    let (cluster, group, topic) = (source().await, fresh("epoch"), fresh_topic("epoch").await);
    cluster.commit(&group, &[offset(&topic, 0, 3, b"")]).await.unwrap();
    let consumer: BaseConsumer = client(&[("group.id", group.as_str())]).create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition(&topic, 0);
    let list = consumer.committed_offsets(list, DEADLINE).unwrap();
    assert_eq!(list.elements()[0].offset(), Offset::Offset(3));
    let shown = format!("{:?}", list.elements()[0]);
    assert!(!shown.contains("leader_epoch") || shown.contains("-1"), "{shown}");
}

#[tokio::test]
async fn failures_are_told_per_partition_and_the_others_are_committed() {
    let (cluster, group, topic) = (source().await, fresh("partial"), fresh_topic("partial").await);
    let offsets = [
        offset(&topic, 0, 5, b"fine"),
        offset(&topic, 9, 5, b""),
        offset(&fresh("absent"), 0, 5, b""),
        offset(&topic, 10, 5, &vec![b'x'; 40_000]),
    ];
    let results = cluster.commit(&group, &offsets).await.unwrap();
    assert_eq!(results[&offsets[0].partition], Ok(()));
    for unknown in &offsets[1..3] {
        let result = &results[&unknown.partition];
        assert!(matches!(result, Err(KafkaError::UnknownTopicOrPartition { .. })), "{result:?}");
    }
    let result = &results[&offsets[3].partition];
    assert!(matches!(result, Err(KafkaError::MetadataTooLarge { bytes: 40_000, .. })), "{result:?}");
    assert_eq!(cluster.committed(&group).await.unwrap().len(), 1);
}

#[tokio::test]
async fn metadata_above_the_broker_s_limit_fails_that_partition_only() {
    let (cluster, group, topic) = (source().await, fresh("large"), fresh("large"));
    create_topic(&topic, 2).await;
    // offset.metadata.max.bytes is 4096 by default.
    let offsets = [offset(&topic, 0, 1, &[b'x'; 5_000]), offset(&topic, 1, 1, &[b'x'; 4_000])];
    let results = cluster.commit(&group, &offsets).await.unwrap();
    let large = &results[&at(&topic, 0)];
    assert!(matches!(large, Err(KafkaError::MetadataTooLarge { bytes: 5_000, .. })), "{large:?}");
    assert_eq!(results[&at(&topic, 1)], Ok(()));
    let text = large.as_ref().unwrap_err().to_string();
    assert!(text.contains("offset.metadata.max.bytes"), "{text}");
}

async fn refuses_a_live_group(more: &[(&str, &str)], kind: GroupKind) {
    let (cluster, group, topic) = (source().await, fresh("live"), fresh("live"));
    create_topic(&topic, 2).await;
    let member = Member::join(&group, &topic, more);
    let described = eventually("a described assignment", || async {
        let described = cluster.group(&group).await.unwrap();
        (described.members.first().is_some_and(|member| member.assignment.len() == 2)).then_some(described)
    })
    .await;
    assert!(described.is_active());
    assert_eq!(described.kind, kind);
    let one = &described.members[0];
    assert_eq!(one.client_id, "the-app");
    assert!(!one.member_id.is_empty() && one.host.contains("127.0.0.1"), "{one:?}");
    assert_eq!(one.assignment, [at(&topic, 0), at(&topic, 1)]);

    let error = cluster.commit(&group, &[offset(&topic, 0, 1, b"")]).await.unwrap_err();
    assert!(matches!(error, KafkaError::GroupActive { .. }), "{error}");
    assert!(cluster.committed(&group).await.unwrap().is_empty());

    drop(member);
    eventually("an empty group", || async {
        let described = cluster.group(&group).await.unwrap();
        (!described.is_active()).then_some(())
    })
    .await;
    let results = cluster.commit(&group, &[offset(&topic, 0, 1, b"")]).await.unwrap();
    assert_eq!(results[&at(&topic, 0)], Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_classic_group_with_members_is_active_and_takes_no_commit() {
    refuses_a_live_group(&[("client.id", "the-app")], GroupKind::Classic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kip_848_group_with_members_is_active_and_takes_no_commit() {
    if from_stack("KAFKA_VERSION").starts_with("3.") {
        return; // The protocol is a preview there, and off.
    }
    let protocol = [("client.id", "the-app"), ("group.protocol", "consumer")];
    refuses_a_live_group(&protocol, GroupKind::Consumer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_static_member_shows_its_instance_id() {
    let (cluster, group, topic) = (source().await, fresh("static"), fresh_topic("static").await);
    let _member = Member::join(&group, &topic, &[("group.instance.id", "pod-0")]);
    let described = cluster.group(&group).await.unwrap();
    assert_eq!(described.members[0].instance_id.as_deref(), Some("pod-0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_that_a_transaction_holds_are_not_read() {
    let (cluster, group, topic) = (source().await, fresh("pending"), fresh("pending"));
    create_topic(&topic, 2).await;
    cluster.commit(&group, &[offset(&topic, 0, 1, b""), offset(&topic, 1, 1, b"")]).await.unwrap();

    let consumer: BaseConsumer = client(&[("group.id", group.as_str())]).create().unwrap();
    let producer = transactional(&fresh("txn"));
    producer.begin_transaction().unwrap();
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(&topic, 1, Offset::Offset(8)).unwrap();
    let group_metadata = consumer.group_metadata().unwrap();
    producer.send_offsets_to_transaction(&offsets, &group_metadata, DEADLINE).unwrap();

    let error = cluster.committed(&group).await.unwrap_err();
    assert!(error.is_retriable());
    let KafkaError::UnstableOffsets { partitions, .. } = &error else { panic!("{error}") };
    assert_eq!(partitions, &[at(&topic, 1)]);

    producer.commit_transaction(DEADLINE).unwrap();
    let committed = eventually("stable offsets", || async { cluster.committed(&group).await.ok() }).await;
    assert_eq!(committed[&at(&topic, 1)].offset, 8);
    assert_eq!(committed[&at(&topic, 0)].offset, 1);
}

#[tokio::test]
async fn what_an_application_committed_is_read() {
    let (cluster, group, topic) = (source().await, fresh("app"), fresh("app"));
    create_topic(&topic, 3).await;
    let consumer: BaseConsumer = client(&[("group.id", group.as_str())]).create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&topic, 1, Offset::Offset(42)).unwrap();
    consumer.commit(&list, CommitMode::Sync).unwrap();
    let committed = cluster.committed(&group).await.unwrap();
    assert_eq!(committed.len(), 1);
    assert_eq!(committed[&at(&topic, 1)].offset, 42);
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_partitions_are_committed_and_read() {
    let (cluster, group, topic) = (source().await, fresh("many"), fresh("many"));
    // Small segments' indexes: the logs would else preallocate gigabytes of sparse files.
    let settings = [("segment.index.bytes", "1024"), ("segment.jitter.ms", "0")];
    create_topic_with(&topic, 1_000, &settings).await;
    let cluster: Cluster = cluster.with_deadline(Duration::from_mins(1));
    eventually("all leaders", || async {
        let all: Vec<_> = (0..1_000).map(|partition| at(&topic, partition)).collect();
        cluster.log_starts(&all).await.ok().filter(|starts| starts.len() == 1_000)
    })
    .await;
    let offsets: Vec<_> =
        (0..1_000).map(|partition| offset(&topic, partition, i64::from(partition), &[b'm'; 400])).collect();
    let results = cluster.commit(&group, &offsets).await.unwrap();
    assert_eq!(results.len(), 1_000);
    assert!(results.values().all(Result::is_ok));
    let committed = cluster.committed(&group).await.unwrap();
    assert_eq!(committed.len(), 1_000);
    assert!(committed.iter().all(|(at, found)| found.offset == i64::from(at.partition)));
    let admin = crate::support::admin();
    admin.delete_topics(&[&topic], &rdkafka::admin::AdminOptions::new()).await.unwrap();
}
