//! The target takes some of a plan's offsets and not others: only those are committed again.

use std::time::Duration;

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
};

use crate::harness::{
    Case, Reason, Side, Topic,
    commits::commits,
    points::{Point, Points},
    specs,
    v1alpha1::SaslMechanism,
    wire::{self, Operation, Resource},
};

/// Waits until the broker lets `nobody` read the topic no more: rights come to it a moment later.
fn is_refused(topic: &Topic<'_>) {
    let mut config = Side::Target.config();
    config
        .set("bootstrap.servers", Side::Target.listener("SASL_PLAINTEXT"))
        .set("security.protocol", "SASL_PLAINTEXT")
        .set("sasl.mechanism", "PLAIN")
        .set("sasl.username", "nobody")
        .set("sasl.password", "nobody-secret")
        .set("group.id", format!("{}-reader", topic.case.namespace));
    let consumer: BaseConsumer = config.create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&topic.name, 0, Offset::Beginning).unwrap();
    consumer.assign(&list).unwrap();
    // Records until then.
    while consumer.poll(Duration::from_secs(20)).expect("records, or the refusal").is_ok() {
        consumer.seek(&topic.name, 0, Offset::Beginning, Duration::from_secs(20)).unwrap();
    }
}

#[test]
fn what_was_refused_is_committed_again_and_nothing_else() {
    let case = Case::alone("partial");
    let (orders, returns) = (case.topic("orders", 1), case.topic("returns", 1));
    for (topic, committed) in [(&orders, 4), (&returns, 6)] {
        topic.fill(0, 10).copy(0, 0..10);
        case.committed(topic, &[(0, committed)]);
    }
    specs::secrets(&case, "nobody");
    let target = Side::Target.bootstrap();
    wire::allow(&target, "nobody", Resource::Topic, &case.namespace, Operation::Read);
    wire::allow(&target, "nobody", Resource::Group, &case.namespace, Operation::Read);
    let points = [Point { name: "commit offsets", behind: 0, object: format!("{}/app", case.namespace) }];
    let held = Points::hold(&points);
    case.replicator(|spec| {
        spec.target = Some(specs::sasl_ssl(Side::Target, "nobody", SaslMechanism::ScramSha512));
    });
    let app = case.migrate(|_| {});
    held.wait_for_arrival(&points);
    wire::deny(&target, "nobody", Resource::Topic, &returns.name, Operation::Read);
    is_refused(&returns);
    case.expect(Side::Target, &case.group, [((orders.name.clone(), 0), 4.into())].into());
    held.release();
    app.waits(Reason::CommitFailed, &[&returns.at(0)]);
    assert_eq!(app.get().status.unwrap().summary.unwrap().progress, "1/2");

    wire::withdraw(&target, Resource::Topic, &returns.name);
    app.completes_exactly();
    app.has_named_one_plan();
    let told = &commits(Side::Target)[&case.group];
    assert_eq!(told[&(orders.name.clone(), 0)], [Some(4)], "once, the first time");
    assert_eq!(told[&(returns.name.clone(), 0)], [Some(6)], "once, the second time");
}
