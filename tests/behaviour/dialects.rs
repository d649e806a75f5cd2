//! How replicators write the numbers of their headers: as digits or as bytes, all three headers or the offset's
//! alone. Each read by its name and, where the records decide, by `Auto`.

use serde_json::json;

use crate::harness::{
    Case, Copies, K2KReplicatorSpec, Reason, Side, Toggle, Topic,
    specs::route,
    v1alpha1::{Encoding, TargetTopic},
};

/// 0: target N 0..300, c = 290; 1: 0..5, c = 5, all read. Beyond 255, so that a byte is not enough.
fn written(case: &Case, dialect: impl Fn(Copies) -> Copies) -> Topic<'_> {
    let orders = case.topic("orders", 2);
    orders.fill(0, 300).fill(1, 5);
    let log = dialect(Copies::default().of(&orders.name, 0, 0..300)).records();
    Copies::default().native(1).write_to(&orders.name, 0);
    Side::Target.produce(&orders.name, 0, &log);
    dialect(Copies::default().of(&orders.name, 1, 0..5)).write_to(&orders.name, 1);
    case.committed(&orders, &[(0, 290), (1, 5)]);
    orders
}

/// Read as `encoding`, and then by `Auto`, it is the same.
fn reads(case: &Case, orders: &Topic<'_>, encoding: Encoding, edit: impl FnOnce(&mut K2KReplicatorSpec)) {
    case.replicator(|spec| {
        spec.tracing.encoding = encoding;
        edit(spec);
    });
    for (name, encoding) in [("named", encoding), ("auto", Encoding::Auto)] {
        case.edit_replicator(|spec| spec.tracing.encoding = encoding);
        let app = case.migrate_as(name, |spec| {
            spec.target_consumer_group = Some(format!("{}-{name}", case.group));
        });
        app.completes_exactly();
        let row =
            json!({ "below": { "offset": 290, "origin": 289 }, "at": { "offset": 291, "origin": 290 } });
        let expected = json!({ "position": 291, "undecodable": 0, "nativesSkipped": 1, "sources": [row] });
        app.plan().certifies(&orders.name, 0, &expected);
        app.plan().certifies(&orders.name, 1, &json!({ "position": 5, "kind": "End" }));
    }
}

#[test]
fn dialect_decimal_digits() {
    let case = Case::new("digits");
    let orders = written(&case, |copies| copies.encoded(Encoding::String));
    reads(&case, &orders, Encoding::String, |_| {});
}

#[test]
fn dialect_eight_bytes_big_endian() {
    let case = Case::new("int64be");
    let orders = written(&case, |copies| copies.encoded(Encoding::Int64BE));
    reads(&case, &orders, Encoding::Int64BE, |_| {});
}

#[test]
fn dialect_eight_bytes_little_endian() {
    let case = Case::new("int64le");
    let orders = written(&case, |copies| copies.encoded(Encoding::Int64LE));
    reads(&case, &orders, Encoding::Int64LE, |_| {});
}

#[test]
fn dialect_four_bytes_big_endian() {
    let case = Case::new("int32be");
    let orders = written(&case, |copies| copies.encoded(Encoding::Int32BE));
    reads(&case, &orders, Encoding::Int32BE, |_| {});
}

/// Topic and partition follow from the route.
fn offset_alone(spec: &mut K2KReplicatorSpec) {
    spec.features.tracing_headers.topic = Toggle::Disabled;
    spec.features.tracing_headers.partition = Toggle::Disabled;
}

#[test]
fn dialect_the_offset_header_alone_as_digits() {
    let case = Case::new("offsetonly");
    let orders = written(&case, Copies::offset_only);
    reads(&case, &orders, Encoding::String, offset_alone);
}

#[test]
fn dialect_the_offset_header_alone_as_bytes() {
    let case = Case::new("offsetbytes");
    let orders = written(&case, |copies| copies.encoded(Encoding::Int64BE).offset_only());
    reads(&case, &orders, Encoding::Int64BE, offset_alone);
}

#[test]
fn dialect_the_offset_header_alone_is_not_enough_where_topics_are_merged() {
    let case = Case::new("offsetmerged");
    let (a, b) = (case.source_topic("a", 1, &[]), case.source_topic("b", 1, &[]));
    let all = format!("{}-all", case.namespace);
    Side::Target.create_topic(&all, 1, &[]);
    for topic in [&a, &b] {
        topic.fill(0, 3);
        Copies::default().of(&topic.name, 0, 0..3).offset_only().write_to(&all, 0);
        case.committed(topic, &[(0, 2)]);
    }
    case.replicator(|spec| {
        offset_alone(spec);
        let target = TargetTopic { topic_name: all.clone(), ..TargetTopic::default() };
        spec.replication = Some(vec![route(&format!("{}-[ab]", case.namespace), target)]);
    });
    let app = case.migrate(|_| {});
    app.stalls(Reason::TracingHeadersDisabled, &[&all, "several source partitions"]);
}

#[test]
fn dialect_another_encoding_than_the_named_one_is_no_evidence() {
    let case = Case::new("wrongname");
    // Eight bytes read as digits: none carries an origin. In the other order: 1 is a partition that none has.
    let orders = written(&case, |copies| copies.encoded(Encoding::Int64BE));
    case.replicator(|spec| spec.tracing.encoding = Encoding::String);
    let app = case.migrate(|_| {});
    app.stalls(Reason::HeadersMissing, &[&orders.at(0), "does not decode as Decimal"]);
    case.edit_replicator(|spec| spec.tracing.encoding = Encoding::Int64LE);
    app.comes_to_say(Reason::HeadersMissing, &[&orders.at(1), "partition header holds 72057594037927936"]);
    case.edit_replicator(|spec| spec.tracing.encoding = Encoding::Int64BE);
    app.completes_exactly();
}

#[test]
fn dialect_auto_refuses_what_can_be_read_in_two_ways() {
    let case = Case::new("twoways");
    // One record, of offset 65,536: in eight bytes that is 2^40 in the other order, an offset as well.
    let orders = case.topic("orders", 1);
    orders.fill(0, 65_537);
    Copies::default().of(&orders.name, 0, [65_536]).encoded(Encoding::Int64BE).write_to(&orders.name, 0);
    Side::Source.delete_records(&orders.name, 0, 65_536);
    case.committed(&orders, &[(0, 65_536)]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.stalls(Reason::AmbiguousEncoding, &[&orders.at(0), "spec.tracing.encoding"]);
    case.edit_replicator(|spec| spec.tracing.encoding = Encoding::Int64BE);
    app.completes_exactly();
    let row = json!({ "at": { "offset": 0, "origin": 65_536 } });
    app.plan().certifies(&orders.name, 0, &json!({ "position": 0, "kind": "Start", "sources": [row] }));
}

#[test]
fn dialect_auto_refuses_a_mixture() {
    let case = Case::new("mixture");
    // target 0..5 as digits, 5..10 as bytes: the replicator was reconfigured. c = 3
    let orders = case.topic("orders", 1);
    orders.fill(0, 10).copy(0, 0..5);
    Copies::default().of(&orders.name, 0, 5..10).encoded(Encoding::Int64BE).write_to(&orders.name, 0);
    case.committed(&orders, &[(0, 3)]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.stalls(Reason::AmbiguousEncoding, &[&orders.at(0), "spec.tracing.encoding"]);
    // By name the others are undecodable, behind the position: counted, and not exact.
    case.edit_replicator(|spec| spec.tracing.encoding = Encoding::String);
    let summary = app.completes();
    assert_eq!((summary.exact, summary.reread), (0, 0));
    app.plan().certifies(&orders.name, 0, &json!({ "position": 3, "undecodable": 5 }));
}

#[test]
fn dialect_numbers_that_can_be_read_in_two_ways() {
    let case = Case::new("ambiguous");
    // Eight bytes, of which each is a plausible offset big-endian and little-endian.
    let orders = case.topic("orders", 1);
    orders.fill(0, 6);
    let odd = |n: u8| [0, 0, 0, n, 0, 1, 0, 0];
    let copies =
        (0..4).fold(Copies::default(), |copies, n| copies.with_offset_header(&orders.name, 0, &odd(n)));
    copies.write_to(&orders.name, 0);
    case.committed(&orders, &[(0, 2)]);
    case.replicator(|spec| spec.tracing.encoding = Encoding::Auto);
    let app = case.migrate(|_| {});
    app.stalls(Reason::AmbiguousEncoding, &[&orders.at(0), "encoding"]);
}
