//! The whole way: a transactional source, the real replicator, an application that stops on one cluster and
//! goes on on the other. Nothing is lost and nothing is read twice.

use std::collections::BTreeSet;

use crate::harness::{
    Case, K2KReplicatorSpec, Member, Side, Topic, kafka::Received, member::consume, replicate::Replicate,
    specs, v1alpha1::SaslMechanism,
};

const PARTITIONS: i32 = 3;

#[test]
fn over_plain_text() {
    whole_way("full", |_| {}, "migrator");
}

#[test]
fn over_tls_with_scram() {
    let edit = |spec: &mut K2KReplicatorSpec| {
        spec.source.as_mut().unwrap().cluster =
            specs::sasl_ssl(Side::Source, "migrator", SaslMechanism::ScramSha512);
        spec.target = Some(specs::sasl_ssl(Side::Target, "migrator", SaslMechanism::ScramSha512));
    };
    whole_way("full-scram", edit, "migrator");
}

#[test]
fn over_mutual_tls() {
    let edit = |spec: &mut K2KReplicatorSpec| {
        spec.source.as_mut().unwrap().cluster = specs::mutual_tls(Side::Source);
        spec.target = Some(specs::mutual_tls(Side::Target));
    };
    whole_way("full-mtls", edit, "migrator");
}

/// Transactions of 5 records, every third one aborted; what a `read_committed` reader is given is numbered
/// by its place on the source.
fn produce(orders: &Topic<'_>, rounds: i64) {
    for round in 0..rounds {
        for partition in 0..PARTITIONS {
            orders.transaction(partition, 5, round % 3 != 2);
        }
    }
}

fn whole_way(name: &str, connect: impl Fn(&mut K2KReplicatorSpec), user: &str) {
    let case = Case::new(name);
    let orders = case.topic("orders", PARTITIONS);
    let secrets = specs::secrets(&case, user);
    let own_group = format!("{}-k2k", case.namespace);
    produce(&orders, 4);
    let replicator = case.replicator(|spec| {
        connect(spec);
        spec.source.as_mut().unwrap().consumer_group = Some(own_group.clone());
    });
    let replicate = Replicate::start(&case.namespace, &replicator, &secrets);

    // The application reads some of it, and is stopped. Of 4 rounds 3 are committed: 15 records a partition.
    let before = consume(Side::Source, &case.group, &orders.name, 25, 3);
    produce(&orders, 3);
    case.settled(Side::Source, &case.group);
    let app = case.migrate(|_| {});
    app.completes_exactly();

    // It goes on on the target. Of 7 rounds 5 are committed: 25 records a partition.
    let total = usize::try_from(PARTITIONS).unwrap() * 25;
    let member = Member::classic(Side::Target, &case.group, &orders.name);
    let after = member.wait_for(total - before.len());
    let (read, again) = (places(&before), places(&after));
    assert_eq!(read.intersection(&again).count(), 0, "read again");
    assert_eq!(read.len() + again.len(), total, "lost");
    for partition in 0..PARTITIONS {
        let first = after.iter().find(|r| r.partition == partition).unwrap();
        let unread: Vec<String> = Side::Source
            .read_from(
                &orders.name,
                partition,
                case.offsets(Side::Source, &case.group)[&(orders.name.clone(), partition)].offset,
            )
            .into_iter()
            .map(|r| r.value)
            .collect();
        assert_eq!(
            Some(&first.value),
            unread.first(),
            "the first record read on the target, of partition {partition}"
        );
    }
    replicate.stop();
}

/// Each record tells its place on the source.
fn places(records: &[Received]) -> BTreeSet<String> {
    let places: BTreeSet<String> = records.iter().map(|r| r.value.clone()).collect();
    assert_eq!(places.len(), records.len(), "a record twice in one run");
    places
}

#[test]
fn the_replicator_is_killed_and_writes_again() {
    let case = Case::new("full-kill");
    let orders = case.topic("orders", PARTITIONS);
    let own_group = format!("{}-k2k", case.namespace);
    produce(&orders, 4);
    let replicator = case.replicator(|spec| {
        spec.source.as_mut().unwrap().consumer_group = Some(own_group.clone());
    });
    let replicate = Replicate::start(&case.namespace, &replicator, &[]);
    wait_for_copies(&orders);
    replicate.kill();
    let before = consume(Side::Source, &case.group, &orders.name, 25, 3);
    case.settled(Side::Source, &case.group);
    produce(&orders, 3);
    let _replicate = Replicate::start(&format!("{}-2", case.namespace), &replicator, &[]);
    let app = case.migrate(|_| {});
    app.completes();
    let total = usize::try_from(PARTITIONS).unwrap() * 25;
    // Copies of unread records that the replicator wrote twice may be there twice: none may be missing.
    let member = Member::classic(Side::Target, &case.group, &orders.name);
    let read: BTreeSet<String> = before.into_iter().map(|r| r.value).collect();
    let start = std::time::Instant::now();
    loop {
        let both: BTreeSet<String> = member.read().into_iter().map(|r| r.value).chain(read.clone()).collect();
        if both.len() == total {
            return;
        }
        assert!(start.elapsed().as_secs() < 30, "{} of {total} records were read", both.len());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// Until something has arrived on every partition of the target.
fn wait_for_copies(orders: &Topic<'_>) {
    let start = std::time::Instant::now();
    while (0..PARTITIONS).any(|p| Side::Target.bounds(&orders.name, p).1 == 0) {
        assert!(start.elapsed().as_secs() < 30, "nothing is copied");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}
