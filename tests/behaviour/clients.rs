//! Other clients than the operator's resume where it says: Java and librdkafka, both group protocols.

use crate::harness::{Case, Member, Side, Topic, java, stack::lacks_kip848};

/// source 0 1 2 3 M 5 6 7 8 9 10 11 (M a marker), c = 5; target 3 natives, then the data: 5 is at 7.
fn shifted(case: &Case) -> Topic<'_> {
    let orders = case.topic("orders", 1);
    orders.transaction(0, 4, true).fill(0, 7);
    let log = crate::harness::Copies::default().native(3);
    log.of(&orders.name, 0, (0..4).chain(5..12)).write_to(&orders.name, 0);
    case.committed(&orders, &[(0, 5)]);
    case.replicator(|_| {});
    orders
}

const UNREAD: [&str; 3] = ["0:5", "0:6", "0:7"];

#[test]
fn a_java_consumer_of_the_classic_protocol_resumes() {
    java_resumes("classic");
}

#[test]
fn a_java_consumer_of_the_new_protocol_resumes() {
    java_resumes("consumer");
}

fn java_resumes(protocol: &str) {
    let case = Case::new(&format!("java-{protocol}"));
    let orders = shifted(&case);
    let app = case.migrate(|_| {});
    app.completes_exactly();
    assert_eq!(app.target_offset(&orders.name, 0), Some(7));
    let read = java::console_consumer(Side::Target, &case.group, &orders.name, protocol, UNREAD.len());
    assert_eq!(read, UNREAD.map(|value| format!("0 {value}")));
}

#[test]
fn a_librdkafka_consumer_resumes() {
    for (name, new_protocol) in [("classic", false), ("kip848", true)] {
        if new_protocol && lacks_kip848() {
            continue;
        }
        let case = Case::new(&format!("librdkafka-{name}"));
        let orders = shifted(&case);
        let app = case.migrate(|spec| spec.target_consumer_group = Some(format!("{}-there", case.group)));
        app.completes_exactly();
        let group = format!("{}-there", case.group);
        let member = if new_protocol {
            Member::kip848(Side::Target, &group, &orders.name)
        } else {
            Member::classic(Side::Target, &group, &orders.name)
        };
        let read: Vec<String> = member.wait_for(UNREAD.len()).into_iter().map(|r| r.value).collect();
        assert_eq!(read[..UNREAD.len()], UNREAD);
    }
}

#[test]
fn offsets_csv_is_what_kafkas_own_tool_reads() {
    let case = Case::new("tool");
    let orders = shifted(&case);
    let app = case.migrate(|_| {});
    app.completes_exactly();
    let file = format!("{}/{}.csv", crate::harness::stack::var("STACK_DIR"), case.namespace);
    std::fs::write(&file, app.plan().offsets).unwrap();
    let other = format!("{}-by-hand", case.group);
    java::tool(
        "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
        &[
            "--bootstrap-server",
            &Side::Target.bootstrap(),
            "--group",
            &other,
            "--reset-offsets",
            "--from-file",
            &file,
            "--execute",
        ],
    );
    let (by_hand, by_operator) = (case.offsets(Side::Target, &other), app.target_offsets());
    let plain = |offsets: crate::harness::wire::Offsets| {
        offsets.into_iter().map(|(k, v)| (k, v.offset)).collect::<Vec<_>>()
    };
    assert_eq!(plain(by_hand), plain(by_operator));
    assert_eq!(app.target_offset(&orders.name, 0), Some(7));
}
