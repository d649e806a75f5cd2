//! Records that anybody may write to the target: headers of any kind and size, and offsets that are none. They
//! are judged like any other, in bounded memory.

use std::fs;

use rdkafka::producer::{BaseProducer, Producer};

use crate::{
    harness::{
        Case, Copies, NativeRecords, Reason, Side, Topic, operator,
        stack::{DEADLINE, stack},
        v1alpha1::{Encoding, HeaderNames},
    },
    raw::{self, Header},
};

fn producer(side: Side) -> BaseProducer {
    let mut config = side.config();
    config.set("enable.idempotence", "true").set("message.max.bytes", "1048576");
    config.set("linger.ms", "0");
    config.create().unwrap()
}

fn headers(names: [(&[u8], Option<&[u8]>); 3]) -> Vec<Header> {
    names.into_iter().map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec))).collect()
}

/// Headers of the copy of `offset`, of partition 0.
fn copy(topic: &str, offset: i64) -> Vec<Header> {
    let offset = offset.to_string();
    headers([
        (b"k2k_topic", Some(topic.as_bytes())),
        (b"k2k_partition", Some(b"0")),
        (b"k2k_offset", Some(offset.as_bytes())),
    ])
}

fn write(topic: &Topic<'_>, records: &[Vec<Header>]) {
    let producer = producer(Side::Target);
    let before = Side::Target.bounds(&topic.name, 0).1;
    for headers in records {
        raw::send(
            &producer,
            &topic.name,
            0,
            (None, Some(b"value")),
            jiff::Timestamp::now().as_millisecond(),
            headers,
        );
        // The local queue takes 100,000 records, not any number of bytes.
        if producer.in_flight_count() > 50 {
            producer.flush(DEADLINE).unwrap();
        }
    }
    producer.flush(DEADLINE).unwrap();
    let end = Side::Target.bounds(&topic.name, 0).1;
    assert_eq!(end - before, i64::try_from(records.len()).unwrap(), "all were taken");
}

/// Of the operator, in MiB: the most that it had, and what it has.
fn memory() -> (u64, u64) {
    let running = stack(&["operator", "status"]).unwrap();
    let pid = running.trim().rsplit(' ').next().unwrap();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    };
    (field("VmHWM:"), field("VmRSS:"))
}

/// Headers that are no origin stand among those that are one: the last of a name counts, whatever else is there.
#[test]
fn headers_of_any_kind_beside_an_origin() {
    let case = Case::new("oddheaders");
    let orders = case.topic("orders", 1);
    orders.fill(0, 10);
    let many: Vec<Header> =
        (0..5_000_usize).map(|n| (format!("h{}", n % 7).into_bytes(), Some(vec![0; n % 9]))).collect();
    let records: Vec<Vec<Header>> = (0..10)
        .map(|offset| {
            let mut headers: Vec<Header> = match offset % 5 {
                0 => vec![(b"\xff\xfe\x80".to_vec(), Some(b"\xff".to_vec())), (b"".to_vec(), None)],
                1 => many.clone(),
                2 => vec![(b"large".to_vec(), Some(vec![b'x'; 900_000]))],
                3 => vec![(b"k2k_offset".to_vec(), Some(vec![b'9'; 500_000])), (b"k2k_topic".to_vec(), None)],
                _ => vec![(b"\nFORGED".to_vec(), Some(b"\r\n\x1b[2J".to_vec()))],
            };
            headers.extend(copy(&orders.name, offset));
            headers
        })
        .collect();
    write(&orders, &records);
    case.committed(&orders, &[(0, 4)]);
    case.replicator(|_| {});
    case.migrate(|_| {}).completes_exactly();
}

/// Header names are any text.
#[test]
fn header_names_of_any_kind() {
    let case = Case::new("headernames");
    let orders = case.topic("orders", 1);
    orders.fill(0, 10);
    let names = ["k2k topic\n", "größe \u{1b}[2J", "%s,\"x\" \u{202e}", "\u{fffd}"];
    let records: Vec<Vec<Header>> = (0..10)
        .map(|offset| {
            let named = copy(&orders.name, offset).into_iter().zip(names);
            named.map(|((_, value), name)| (name.as_bytes().to_vec(), value)).collect()
        })
        .collect();
    write(&orders, &records);
    case.committed(&orders, &[(0, 4)]);
    case.replicator(|spec| {
        let [topic, partition, offset, pipeline] = names.map(str::to_owned);
        spec.tracing.headers = HeaderNames { topic, partition, offset, pipeline };
        spec.pipeline_name = Some("\nFORGED\u{0}".into());
    });
    case.migrate(|_| {}).completes_exactly();
}

/// Offsets, partitions and topics that are none are undecodable, and no sum of them overflows.
#[test]
fn origins_that_are_none_are_undecodable() {
    let case = Case::new("oddorigins");
    let orders = case.topic("orders", 1);
    orders.fill(0, 10).copy(0, 0..10);
    let long = vec![b'a'; 900_000];
    let junk = [
        headers([
            (b"k2k_topic", Some(orders.name.as_bytes())),
            (b"k2k_partition", Some(b"0")),
            (b"k2k_offset", Some(b"9223372036854775807")),
        ]),
        headers([
            (b"k2k_topic", Some(orders.name.as_bytes())),
            (b"k2k_partition", Some(b"0")),
            (b"k2k_offset", Some(b"99999999999999999999999")),
        ]),
        headers([
            (b"k2k_topic", Some(orders.name.as_bytes())),
            (b"k2k_partition", Some(b"2147483648")),
            (b"k2k_offset", Some(b"3")),
        ]),
        headers([(b"k2k_topic", Some(&long)), (b"k2k_partition", Some(b"0")), (b"k2k_offset", Some(b"3"))]),
        headers([(b"k2k_topic", Some(b"\xff\n\x00")), (b"k2k_partition", Some(b"")), (b"k2k_offset", None)]),
        headers([(b"k2k_topic", None), (b"k2k_partition", None), (b"k2k_offset", Some(&long))]),
    ];
    write(&orders, &junk);
    orders.fill(0, 1).copy(0, 10..11);
    case.committed(&orders, &[(0, 4)]);
    case.replicator(|_| {});
    let app = case.migrate(|spec| spec.policies.native_records = NativeRecords::Report);
    app.completes();
    let plan = app.plan();
    let target = plan.target(&orders.name, 0);
    assert_eq!((&target["position"], &target["undecodable"]), (&4.into(), &6.into()), "{target:#}");
}

/// A committed offset that no log has.
#[test]
fn a_committed_offset_beyond_every_log() {
    let case = Case::new("faroffset");
    let orders = case.topic("orders", 1);
    orders.fill(0, 10).copy(0, 0..10);
    case.committed(&orders, &[(0, i64::MAX)]);
    case.replicator(|_| {});
    case.migrate(|_| {}).stalls(Reason::SourceOffsetOutOfRange, &[&orders.at(0), "9223372036854775807"]);
}

/// 400 MB of header values that are no origin, on a partition whose encoding is still to be decided: what is kept
/// until then is a few bytes of each.
#[test]
fn alone_headers_of_a_megabyte_take_no_memory() {
    let case = Case::alone("junkheaders");
    let orders = case.topic("orders", 1);
    orders.fill(0, 10);
    Copies::default().of(&orders.name, 0, 0..10).encoded(Encoding::Int64BE).write_to(&orders.name, 0);
    let junk = vec![b'j'; 1_000_000];
    let record = headers([
        (b"k2k_topic", Some(orders.name.as_bytes())),
        (b"k2k_partition", Some(b"0")),
        (b"k2k_offset", Some(&junk)),
    ]);
    write(&orders, &vec![record; 400]);
    orders.fill(0, 1);
    Copies::default().of(&orders.name, 0, 10..11).encoded(Encoding::Int64BE).write_to(&orders.name, 0);
    case.committed(&orders, &[(0, 4)]);
    // Its memory until now is that of other tests.
    operator::restart();
    let idle = memory();
    case.replicator(|spec| spec.tracing.encoding = Encoding::Auto);
    let app = case.migrate(|_| {});
    app.completes();
    let plan = app.plan();
    let target = plan.target(&orders.name, 0);
    assert_eq!((&target["position"], &target["undecodable"]), (&4.into(), &400.into()), "{target:#}");
    let (most, now) = memory();
    println!("operator: {} MiB idle, {most} MiB at most, {now} MiB afterwards", idle.1);
    // The client's own queues have 16 MiB and one answer more for each connection.
    assert!(most < 192, "{most} MiB");
}
