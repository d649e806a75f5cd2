//! Origins that cannot be read, records without any, routes that merge or leave out.

use crate::harness::{
    Case, Copies, NativeRecords, Reason, Reprocessing, Side, Toggle, Topic, UncommittedPartitions,
    UnreplicatedTopics,
    specs::route,
    v1alpha1::{TargetTopic, TopicSelection},
};

#[test]
fn rule_30_records_without_headers() {
    let case = Case::new("noheaders");
    let orders = case.topic("orders", 1);
    orders.fill(0, 5);
    Copies::default().native(5).write_to(&orders.name, 0);
    case.committed(&orders, &[(0, 2)]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.stalls(Reason::HeadersMissing, &[&orders.at(0), "5 records"]);
}

#[test]
fn rule_30_records_without_headers_are_no_gap_either() {
    let case = Case::new("noheaders-r");
    let orders = case.topic("orders", 1);
    orders.fill(0, 10);
    Copies::default().native(10).write_to(&orders.name, 0);
    case.committed(&orders, &[(0, 5)]);
    // The replicator's own position is known, and has passed everything.
    let own = format!("{}-k2k", case.namespace);
    case.commit(Side::Source, &own, [((orders.name.clone(), 0), 10.into())].into());
    case.replicator(|spec| spec.source.as_mut().unwrap().consumer_group = Some(own));
    let app = case.migrate(|spec| spec.policies.native_records = NativeRecords::Fail);
    app.stalls(Reason::HeadersMissing, &[&orders.at(0), "10 records"]);
}

#[test]
fn rule_30_an_undecodable_record_may_be_the_next_one() {
    let case = Case::new("undecodable");
    // source 0..6, c = 3; target 0 1 2 ? 4 5
    let orders = case.topic("orders", 1);
    orders.fill(0, 6);
    Copies::default()
        .of(&orders.name, 0, 0..3)
        .with_offset_header(&orders.name, 0, b"three")
        .of(&orders.name, 0, 4..6)
        .write_to(&orders.name, 0);
    case.committed(&orders, &[(0, 3)]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    let summary = app.completes();
    assert_eq!((summary.exact, summary.gaps), (0, 0));
    assert_eq!(app.target_offset(&orders.name, 0), Some(3));
    let plan = app.plan();
    assert_eq!(plan.target(&orders.name, 0)["undecodable"], 1);
    assert_eq!(plan.row(&orders.name, 0)["exact"], false);
}

#[test]
fn rule_23_timestamps_decide_nothing() {
    for kind in ["CreateTime", "LogAppendTime"] {
        let case = Case::new("timestamps");
        let orders = case.source_topic("orders", 1, &[]);
        Side::Target.create_topic(&orders.name, 1, &[("message.timestamp.type", kind)]);
        orders.fill(0, 20);
        Copies::default().of(&orders.name, 0, 0..20).backwards_in_time().write_to(&orders.name, 0);
        case.committed(&orders, &[(0, 7)]);
        case.replicator(|_| {});
        let app = case.migrate(|_| {});
        app.completes_exactly();
        assert_eq!(app.target_offset(&orders.name, 0), Some(7), "{kind}");
    }
}

#[test]
fn rule_26_of_a_repeated_header_the_last_instance_counts() {
    let case = Case::new("cascaded");
    let orders = case.topic("orders", 1);
    orders.fill(0, 10);
    Copies::default().of(&orders.name, 0, 0..10).by_way_of("upstream").write_to(&orders.name, 0);
    case.committed(&orders, &[(0, 4)]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.completes_exactly();
    assert_eq!(app.target_offset(&orders.name, 0), Some(4));
}

#[test]
fn rule_26_records_of_another_topic_are_no_copies() {
    let case = Case::new("foreign");
    // target 0..5, five records that came from elsewhere by way of orders, 5..10; c = 5
    let orders = case.topic("orders", 1);
    orders.fill(0, 10);
    Copies::default().of(&orders.name, 0, 0..5).write_to(&orders.name, 0);
    Copies::default().of("elsewhere", 0, 5..10).by_way_of(&orders.name).write_to(&orders.name, 0);
    orders.copy(0, 5..10);
    case.committed(&orders, &[(0, 5)]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.completes_exactly();
    assert_eq!(app.target_offset(&orders.name, 0), Some(10));
}

#[test]
fn rule_25_native_records_below_the_position() {
    let case = Case::new("natives");
    // target N N 0 1 2 3 4 5, c = 3
    let orders = case.topic("orders", 1);
    orders.fill(0, 6);
    Copies::default().native(2).of(&orders.name, 0, 0..6).write_to(&orders.name, 0);
    case.committed(&orders, &[(0, 3)]);
    case.replicator(|_| {});
    let app = case.migrate(|spec| spec.policies.native_records = NativeRecords::Fail);
    app.stalls(Reason::NativeRecordsRefused, &[&orders.at(0), "2 records", "policies.nativeRecords"]);
    app.edit(|spec| spec.policies.native_records = NativeRecords::Include);
    let summary = app.completes();
    assert_eq!((summary.natives_skipped, summary.reread), (0, 3));
    assert_eq!(app.target_offset(&orders.name, 0), Some(0));
}

#[test]
fn rule_05_reading_again_is_refused_where_the_policy_says_so() {
    let case = Case::new("reprocessing");
    // 0..10, 2..5 (a zombie that has gone), 10..12; c = 7: p = 7, and 2 3 4 lie behind it
    let orders = case.topic("orders", 1);
    orders.fill(0, 12).copy(0, (0..10).chain(2..5).chain(10..12));
    case.committed(&orders, &[(0, 7)]);
    case.replicator(|_| {});
    let app = case.migrate(|spec| spec.policies.reprocessing = Reprocessing::Fail);
    app.stalls(Reason::ReprocessingRefused, &[&orders.at(0), "3 records", "committed 7", "position 7"]);
    app.edit(|spec| spec.policies.reprocessing = Reprocessing::Accept);
    let summary = app.completes();
    assert_eq!((summary.reread, summary.exact), (3, 0));
    assert_eq!(app.target_offset(&orders.name, 0), Some(7));
}

#[test]
fn a_topic_that_no_route_covers() {
    let case = Case::new("noroute");
    let orders = case.topic("orders", 1);
    let audit = case.source_topic("audit", 1, &[]);
    orders.fill(0, 5).copy(0, 0..5);
    audit.fill(0, 5);
    case.committed(&orders, &[(0, 2)]);
    case.committed(&audit, &[(0, 2)]);
    case.replicator(|spec| spec.replication = Some(vec![route(&orders.name, TargetTopic::default())]));
    let app = case.migrate(|_| {});
    app.stalls(Reason::TopicNotReplicated, &[&audit.name]);
    app.edit(|spec| spec.policies.unreplicated_topics = UnreplicatedTopics::Ignore);
    app.completes_exactly();
    assert!(app.plan().json["leftOut"].to_string().contains(&audit.name));
    assert_eq!(app.target_offset(&audit.name, 0), None);
}

#[test]
fn a_topic_that_the_target_lacks() {
    let case = Case::new("notarget");
    let orders = case.source_topic("orders", 1, &[]);
    orders.fill(0, 5);
    case.committed(&orders, &[(0, 2)]);
    case.replicator(|_| {});
    // That is counted and named, and does not make the replicator unready.
    assert!(case.replicator_says(Reason::Ready).contains(&orders.name));
    let app = case.migrate(|_| {});
    app.stalls(Reason::TargetPartitionMissing, &[&orders.name]);
    Side::Target.create_topic(&orders.name, 1, &[]);
    orders.copy(0, 0..5);
    app.retry("created");
    app.completes_exactly();
}

#[test]
fn a_partition_that_the_target_lacks() {
    let case = Case::new("nopartition");
    let orders = case.source_topic("orders", 2, &[]);
    Side::Target.create_topic(&orders.name, 1, &[]);
    orders.fill(0, 5).fill(1, 5).copy(0, 0..5);
    case.committed(&orders, &[(0, 2), (1, 2)]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.stalls(Reason::TargetPartitionMissing, &[&orders.at(1)]);
}

#[test]
fn rule_24_two_pipelines_write_the_same_partition() {
    let case = Case::new("pipelines");
    let orders = case.topic("orders", 1);
    orders.fill(0, 6);
    Copies::default().of(&orders.name, 0, 0..3).by_pipeline("blue").write_to(&orders.name, 0);
    Copies::default().of(&orders.name, 0, 0..6).by_pipeline("green").write_to(&orders.name, 0);
    case.committed(&orders, &[(0, 2)]);
    case.replicator(|spec| spec.features.tracing_headers.pipeline = Toggle::Enabled);
    let app = case.migrate(|_| {});
    app.stalls(Reason::DuplicatePipelines, &[&orders.at(0), "blue", "green"]);
}

/// a: 2 partitions, b: 2 partitions, both copied to `all`. On all-0 a0 b0 a1 b1 a2 b2 a3 b3, all-1 is empty.
fn merged(case: &Case) -> (Topic<'_>, Topic<'_>, String) {
    let (a, b) = (case.source_topic("a", 2, &[]), case.source_topic("b", 2, &[]));
    let all = format!("{}-all", case.namespace);
    Side::Target.create_topic(&all, 2, &[]);
    a.fill(0, 4);
    b.fill(0, 4);
    let log = (0..4).fold(Copies::default(), |log, n| log.of(&a.name, 0, [n]).of(&b.name, 0, [n]));
    log.write_to(&all, 0);
    case.replicator(|spec| {
        let target = TargetTopic { topic_name: all.clone(), ..TargetTopic::default() };
        spec.replication = Some(vec![route(&format!("{}-.*", case.namespace), target)]);
    });
    (a, b, all)
}

#[test]
fn rule_09_two_topics_merged_into_one() {
    let case = Case::new("merged");
    // a-0: c = 2; b-0: none yet, then c = 3
    let (a, b, all) = merged(&case);
    case.committed(&a, &[(0, 2), (1, 0)]);
    case.committed(&b, &[(1, 0)]);
    // On a partition that it shares, leaving b-0 without a commit is impossible.
    let app = case.migrate(|_| {});
    app.stalls(Reason::UncommittedPartitions, &[&b.at(0)]);
    case.committed(&b, &[(0, 3)]);
    app.retry("committed");
    let summary = app.completes();
    // p = 4, where a2 lies; b2 lies behind it and is read again.
    assert_eq!((summary.topics, summary.partitions, summary.reread, summary.exact), (2, 4, 1, 3));
    assert_eq!(app.target_offset(&all, 0), Some(4));
}

#[test]
fn rule_16_an_excluded_topic_that_is_merged_in() {
    let case = Case::new("excluded");
    let (a, b, all) = merged(&case);
    case.committed(&a, &[(0, 2), (1, 0)]);
    case.committed(&b, &[(0, 3), (1, 0)]);
    let app = case.migrate(|spec| {
        spec.topics = Some(TopicSelection { include: vec![], exclude: vec![b.name.clone()] });
    });
    app.stalls(Reason::UncommittedPartitions, &[&b.at(0), &all]);
}

#[test]
fn rule_16_what_is_merged_in_without_a_commit_takes_part_from_its_start() {
    let case = Case::new("mergedearliest");
    // a-0: c = 2; b-0: none: p = 1, where b0 lies, and a1 is read again
    let (a, b, all) = merged(&case);
    case.committed(&a, &[(0, 2), (1, 0)]);
    case.committed(&b, &[(1, 0)]);
    let app = case.migrate(|spec| spec.policies.uncommitted_partitions = UncommittedPartitions::Earliest);
    let summary = app.completes();
    assert_eq!((summary.partitions, summary.reread, summary.exact), (4, 1, 3));
    assert_eq!(app.target_offset(&all, 0), Some(1));
}

#[test]
fn an_excluded_topic_stays_behind() {
    let case = Case::new("selected");
    let (orders, audit) = (case.topic("orders", 1), case.topic("audit", 1));
    orders.fill(0, 4).copy(0, 0..4);
    audit.fill(0, 4).copy(0, 0..4);
    case.committed(&orders, &[(0, 2)]);
    case.committed(&audit, &[(0, 3)]);
    let app = case.migrate(|spec| {
        spec.topics = Some(TopicSelection { include: vec![], exclude: vec![".*-audit".into()] });
    });
    app.waits(Reason::ReplicatorNotFound, &["k2k"]);
    case.replicator(|_| {});
    app.completes_exactly();
    assert_eq!(app.plan().offsets, format!("{},0,2\n", orders.name));
    let status = app.get().status.unwrap();
    let ready = status.conditions.iter().find(|c| c.type_ == "Ready").unwrap();
    let without = format!("; without 1 topic that it reads too: {}", audit.name);
    assert!(ready.message.ends_with(&without), "{}", ready.message);
}

#[test]
fn a_topic_that_is_misspelt_is_not_left_behind() {
    let case = Case::new("misspelt");
    let (orders, audit) = (case.topic("orders", 1), case.topic("audit", 1));
    orders.fill(0, 4).copy(0, 0..4);
    audit.fill(0, 4).copy(0, 0..4);
    case.committed(&orders, &[(0, 2)]);
    case.committed(&audit, &[(0, 3)]);
    case.replicator(|_| {});
    let including = |second: &str| TopicSelection {
        include: vec![orders.name.clone(), format!("{}-{second}", case.namespace)],
        exclude: vec![],
    };
    let app = case.migrate(|spec| {
        spec.stop_confirmed = false;
        spec.topics = Some(including("Audit"));
    });
    let words = format!(
        "spec.topics.include: no topic that the credentials may see on the source matches {}-Audit",
        case.namespace
    );
    app.comes_to_say(Reason::AwaitingStopConfirmation, &["not yet", &words]);
    app.edit(|spec| spec.stop_confirmed = true);
    app.stalls(Reason::InvalidSpec, &[&words]);
    app.delete();
    let app = case.migrate(|spec| spec.topics = Some(including("a[u]dit")));
    app.completes_exactly();
    assert_eq!(app.plan().offsets, format!("{},0,3\n{},0,2\n", audit.name, orders.name));
}

#[test]
fn rule_16_partitions_without_a_commit_as_the_policy_says() {
    let case = Case::new("uncommitted");
    let orders = case.topic("orders", 2);
    orders.fill(0, 6).fill(1, 4).copy(0, 0..6).copy(1, 0..4);
    case.committed(&orders, &[(0, 2)]);
    case.replicator(|_| {});
    for (name, policy, expected) in [
        ("skip", UncommittedPartitions::Skip, None),
        ("earliest", UncommittedPartitions::Earliest, Some(0)),
        ("latest", UncommittedPartitions::Latest, Some(4)),
    ] {
        let app = case.migrate_as(name, |spec| {
            spec.target_consumer_group = Some(format!("{}-{name}", case.group));
            spec.policies.uncommitted_partitions = policy;
        });
        app.completes_exactly();
        assert_eq!(app.target_offset(&orders.name, 1), expected, "{name}");
    }
}
