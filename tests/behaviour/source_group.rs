//! Is the consumer really stopped? The group on the source.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    producer::{BaseProducer, Producer},
};

use crate::harness::{
    Case, Member, Reason, Side, Topic, java,
    migration::condition,
    stack::{DEADLINE, lacks_kip848, lacks_share_groups},
    streams,
    v1alpha1::ConditionType,
};

/// 0: 0..10 on both sides, c = 4.
fn plain(case: &Case) -> Topic<'_> {
    let orders = case.topic("orders", 1);
    orders.fill(0, 10).copy(0, 0..10);
    case.committed(&orders, &[(0, 4)]);
    case.replicator(|_| {});
    orders
}

#[test]
fn an_unknown_group() {
    let case = Case::new("nogroup");
    case.topic("orders", 1);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.waits(Reason::GroupNotFound, &[&case.group]);
}

#[test]
fn an_active_classic_group() {
    let case = Case::new("active");
    let orders = plain(&case);
    let member = Member::classic(Side::Source, &case.group, &orders.name);
    let app = case.migrate(|_| {});
    app.waits(Reason::GroupActive, &[&case.group]);
    member.leave();
    app.completes_exactly();
}

#[test]
fn an_active_group_of_the_new_protocol() {
    if lacks_kip848() {
        return;
    }
    let case = Case::new("active848");
    let orders = plain(&case);
    let member = Member::kip848(Side::Source, &case.group, &orders.name);
    let app = case.migrate(|_| {});
    app.waits(Reason::GroupActive, &[&case.group]);
    member.leave();
    app.completes_exactly();
}

#[test]
fn a_static_member_that_has_gone_holds_its_place() {
    let case = Case::new("static");
    let orders = plain(&case);
    let session = Duration::from_secs(12);
    Member::fixed(Side::Source, &case.group, &orders.name, "till-7", session).leave();
    let app = case.migrate(|_| {});
    // How long it will stay nobody can ask: the bounds are what can be told.
    let bounds = ["session.timeout.ms", "45 s", "group.max.session.timeout.ms"];
    app.waits(Reason::GroupActive, &[&["static member till-7"], &bounds[..]].concat());
    app.completes_exactly();
}

#[test]
fn a_static_member_of_the_new_protocol_holds_its_place() {
    if lacks_kip848() {
        return;
    }
    let case = Case::new("static848");
    let orders = plain(&case);
    let mut config = Side::Source.config();
    config.set("group.id", &case.group).set("group.protocol", "consumer").set("group.instance.id", "till-8");
    config.set("enable.auto.commit", "false");
    Member::start(config, &orders.name).leave();
    let app = case.migrate(|_| {});
    let words = ["static member till-8", "group.consumer.session.timeout.ms"];
    app.waits(Reason::GroupActive, &words);
    app.completes_exactly();
}

#[test]
fn a_share_group_cannot_be_moved() {
    if lacks_share_groups() {
        return;
    }
    let case = Case::new("share");
    let orders = case.topic("orders", 1);
    orders.fill(0, 10).copy(0, 0..10);
    case.replicator(|_| {});
    let there = || java::tool(GROUPS, &["--bootstrap-server", &Side::Source.bootstrap(), "--list"]);
    java::share_consumer(Side::Source, &case.group, &orders.name);
    assert!(there().lines().any(|line| line.contains(&case.group) && line.contains("Share")), "{}", there());
    // No call that the client has tells it from a group that is not there.
    let app = case.migrate(|_| {});
    app.waits(Reason::GroupNotFound, &[&case.group, "share and streams groups have none"]);
}

#[test]
fn a_streams_group_cannot_be_moved() {
    if lacks_share_groups() {
        return;
    }
    let case = Case::new("streams");
    let orders = case.topic("orders", 1);
    orders.fill(0, 10).copy(0, 0..10);
    case.replicator(|_| {});
    streams::group(Side::Source, &case.group, &orders.name);
    // Unlike a share group it has committed offsets.
    case.committed(&orders, &[(0, 4)]);
    let there = java::tool(GROUPS, &["--bootstrap-server", &Side::Source.bootstrap(), "--list"]);
    assert!(there.lines().any(|line| line.contains(&case.group) && line.contains("Streams")), "{there}");
    let app = case.migrate(|spec| spec.stop_confirmed = false);
    // Before anybody stops it.
    app.comes_to_say(Reason::AwaitingStopConfirmation, &["not yet", "UnsupportedGroupType"]);
    app.edit(|spec| spec.stop_confirmed = true);
    app.stalls(Reason::UnsupportedGroupType, &[&case.group, "streams", "only consumer groups can be moved"]);
}

#[test]
fn a_topic_that_was_deleted_under_its_reader_is_not_hidden() {
    let case = Case::new("deletedtopic");
    plain(&case);
    let other = case.topic("other", 1);
    let reader = Member::classic(Side::Source, &case.group, &other.name);
    Side::Source.delete_topic(&other.name);
    let app = case.migrate(|_| {});
    let told = app.waits(Reason::GroupActive, &[&case.group]);
    assert!(!told.contains("grant Describe"), "{told}");
    reader.leave();
    app.completes_exactly();
}

/// Lists groups of every kind with their type.
const GROUPS: &str = "org.apache.kafka.tools.GroupsCommand";

#[test]
fn offsets_that_move_without_a_member() {
    let case = Case::new("moving");
    let orders = plain(&case);
    let stop = AtomicBool::new(false);
    // Own code with assign(): commits, and is no member.
    thread::scope(|scope| {
        let running = StopOnDrop(&stop);
        scope.spawn(|| {
            for offset in (4..9).cycle().take_while(|_| !stop.load(Ordering::Relaxed)) {
                case.committed(&orders, &[(0, offset)]);
                thread::sleep(Duration::from_millis(150));
            }
        });
        let app = case.migrate(|_| {});
        app.waits(Reason::OffsetsMoving, &[&orders.at(0)]);
        drop(running);
        app.completes_exactly();
        let committed = case.offsets(Side::Source, &case.group)[&(orders.name.clone(), 0)].offset;
        assert_eq!(app.target_offset(&orders.name, 0), Some(committed));
    });
}

/// Ends the thread also where the test fails.
pub struct StopOnDrop<'a>(pub &'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn rule_21_a_pending_transactional_commit() {
    for commit in [true, false] {
        let case = Case::new("pending");
        let orders = plain(&case);
        // The application works exactly-once; its last transaction, which would move it to 6, is still open.
        let producer: BaseProducer = Side::Source
            .config()
            .set("transactional.id", &case.group)
            .set("transaction.timeout.ms", "60000")
            .create()
            .unwrap();
        producer.init_transactions(DEADLINE).unwrap();
        producer.begin_transaction().unwrap();
        let consumer: BaseConsumer = Side::Source.config().set("group.id", &case.group).create().unwrap();
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(&orders.name, 0, Offset::Offset(6)).unwrap();
        producer
            .send_offsets_to_transaction(&offsets, &consumer.group_metadata().unwrap(), DEADLINE)
            .unwrap();
        let app = case.migrate(|_| {});
        app.waits(Reason::SourceTransactionPending, &[&orders.at(0)]);
        if commit {
            producer.commit_transaction(DEADLINE).unwrap();
        } else {
            producer.abort_transaction(DEADLINE).unwrap();
        }
        let offset = if commit { 6 } else { 4 };
        case.expect(Side::Source, &case.group, [((orders.name.clone(), 0), offset.into())].into());
        app.completes_exactly();
        assert_eq!(app.target_offset(&orders.name, 0), Some(offset));
    }
}

#[test]
fn rule_31_an_offset_that_expires_while_waiting() {
    let case = Case::new("gone");
    let orders = case.topic("orders", 2);
    orders.fill(0, 10).fill(1, 10).copy(0, 0..2).copy(1, 0..10);
    case.committed(&orders, &[(0, 4), (1, 5)]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.waits(Reason::ReplicationBehind, &[&orders.at(0)]);
    case.forget_offset(Side::Source, &case.group, &orders, 1);
    app.stalls(Reason::SourceOffsetsGone, &[&orders.at(1), "was at 5"]);
    // The user puts it back.
    case.committed(&orders, &[(1, 5)]);
    orders.copy(0, 2..10);
    app.completes_exactly();
}

#[test]
fn a_commit_on_the_source_after_the_end_is_told() {
    let case = Case::new("moved");
    let orders = plain(&case);
    let app = case.migrate(|_| {});
    app.completes_exactly();
    let before = app.get();
    // Past the first look, at which nothing has moved.
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(app.get().metadata.resource_version, before.metadata.resource_version);
    case.committed(&orders, &[(0, 9)]);
    let object = app.wait("SourceMoved", DEADLINE, |o| condition(o, ConditionType::SourceMoved).is_some());
    let moved = condition(&object, ConditionType::SourceMoved).unwrap();
    assert_eq!((moved.status.as_str(), moved.reason.as_str()), ("True", "SourceMovedAfterMigration"));
    let numbers = [orders.at(0).as_str(), "9", "4"].map(|word| moved.message.contains(word));
    assert_eq!(numbers, [true; 3], "{}", moved.message);
    assert_eq!(app.shows(ConditionType::Ready), "True Completed");
    assert_eq!(app.target_offset(&orders.name, 0), Some(4));
}
