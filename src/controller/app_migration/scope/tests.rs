//! Which partitions take part, by rule 16 and the routes.

mod world;

use serde_json::{Value, json};

use super::{Inputs, Scope, Selection, choose};
use crate::{
    TopicPartition,
    api::v1alpha1::Reason,
    controller::replicator::Replicator,
    mapping::{Finding, origin::Implied},
};

use super::super::fixtures::{headers, replicator, usual_replicator};
use world::World;

/// Every topic into `all`.
fn into_one(partition: &str, topic_header: bool, partition_header: bool) -> Replicator {
    let target = json!({ "topicName": "all", "partition": partition });
    replicator(&json!([{ "topics": [".*"], "target": target }]), &headers(topic_header, partition_header))
}

fn names<'a>(partitions: impl IntoIterator<Item = &'a TopicPartition>) -> Vec<String> {
    partitions.into_iter().map(ToString::to_string).collect()
}

fn left_out(scope: &Scope) -> Vec<(&str, Option<i32>)> {
    scope.left_out.iter().map(|l| (l.topic.as_str(), l.partition)).collect()
}

#[test]
fn every_committed_partition_goes_to_its_own_place() {
    let scope = World::orders().scope();
    assert_eq!(names(scope.sources.keys()), ["orders-0", "orders-1"]);
    assert_eq!(names(scope.targets.keys()), ["orders-0", "orders-1"]);
    assert!(scope.left_out.is_empty());
    let orders_1 = &scope.sources[&TopicPartition::new("orders", 1)];
    assert_eq!(orders_1.committed.as_ref().unwrap().offset, 10);
    assert_eq!(names(&orders_1.targets), ["orders-1"]);
}

#[test]
fn a_prefix_and_a_suffix_name_the_target() {
    let world = World {
        replicator: replicator(
            &json!([{ "topics": ["orders"], "target": { "topicPrefix": "eu.", "topicSuffix": "-v1" } }]),
            &headers(true, true),
        ),
        target: vec![("eu.orders-v1", 2)],
        ..World::orders()
    };
    assert_eq!(names(world.scope().targets.keys()), ["eu.orders-v1-0", "eu.orders-v1-1"]);
}

#[test]
fn topics_are_included_and_excluded_by_anchored_patterns() {
    let world = World {
        committed: vec![("orders", 0, 4), ("orders-old", 0, 5), ("returns", 0, 6)],
        source: vec![("orders", 1), ("orders-old", 1), ("returns", 1)],
        target: vec![("orders", 1), ("orders-old", 1), ("returns", 1)],
        ..World::orders()
    };
    let taken = |topics: Value| {
        let world = World {
            spec: json!({ "topics": topics }),
            replicator: usual_replicator(),
            committed: world.committed.clone(),
            source: world.source.clone(),
            target: world.target.clone(),
        };
        let scope = world.scope();
        assert!(scope.left_out.iter().all(|l| l.why == "spec.topics"));
        names(scope.sources.keys())
    };
    assert_eq!(taken(json!({ "include": ["orders"] })), ["orders-0"]);
    assert_eq!(taken(json!({ "exclude": ["orders"] })), ["orders-old-0", "returns-0"]);
    assert_eq!(taken(json!({ "include": ["orders.*"], "exclude": [".*-old"] })), ["orders-0"]);
    assert_eq!(taken(json!({})).len(), 3);
}

#[test]
fn rule_16_a_partition_without_a_commit_is_skipped_or_takes_part() {
    let uncommitted = |policy| {
        World { committed: vec![("orders", 0, 4)], ..World::orders() }
            .policy("uncommittedPartitions", policy)
            .scope()
    };
    let scope = uncommitted("Skip");
    assert_eq!(names(scope.sources.keys()), ["orders-0"]);
    assert_eq!(left_out(&scope), [("orders", Some(1))]);
    for policy in ["Earliest", "Latest"] {
        let scope = uncommitted(policy);
        assert_eq!(names(scope.sources.keys()), ["orders-0", "orders-1"]);
        assert_eq!(scope.sources[&TopicPartition::new("orders", 1)].committed, None);
        assert!(scope.left_out.is_empty());
    }
}

#[test]
fn rule_16_none_is_left_out_of_a_target_partition_that_it_shares() {
    // returns-0 has no commit, and is copied into all-0 as orders-0 is; its other partition has one.
    let world = |policy| {
        World {
            committed: vec![("orders", 0, 4), ("returns", 1, 5)],
            source: vec![("orders", 1), ("returns", 2)],
            target: vec![("all", 2)],
            ..World::merged()
        }
        .policy("uncommittedPartitions", policy)
    };
    assert_eq!(world("Skip").blocked(), [(Reason::UncommittedPartitions, "returns-0".into())]);
    for policy in ["Earliest", "Latest"] {
        assert_eq!(world(policy).scope().sources.len(), 3);
    }
}

#[test]
fn rule_16_a_partition_of_a_topic_that_is_spread_shares_with_its_own_others() {
    let world = World {
        replicator: replicator(
            &json!([{ "topics": ["orders"], "target": { "partition": "Producer" } }]),
            &headers(true, true),
        ),
        committed: vec![("orders", 0, 4)],
        ..World::orders()
    };
    assert_eq!(world.blocked(), [(Reason::UncommittedPartitions, "orders-1".into())]);
}

#[test]
fn rule_16_an_excluded_topic_that_a_route_merges_in_is_blocked() {
    let world = World::merged().topics(&json!({ "exclude": ["returns"] }));
    assert_eq!(world.blocked(), [(Reason::UncommittedPartitions, "returns-0".into())]);
    // Where it has a target topic of its own, it stays behind without harm.
    let apart = World { replicator: usual_replicator(), target: vec![("orders", 1)], ..World::merged() };
    let scope = apart.topics(&json!({ "exclude": ["returns"] })).scope();
    assert_eq!(left_out(&scope), [("returns", None)]);
}

#[test]
fn an_excluded_topic_shares_only_the_partitions_that_it_has() {
    // returns has one partition: it is copied into all-0, and only orders-1 takes part.
    let world = World {
        committed: vec![("orders", 1, 4), ("returns", 0, 5)],
        source: vec![("orders", 2), ("returns", 1)],
        target: vec![("all", 2)],
        ..World::merged()
    };
    let scope = world.topics(&json!({ "exclude": ["returns"] })).scope();
    assert_eq!(names(scope.sources.keys()), ["orders-1"]);
}

#[test]
fn a_topic_that_no_route_covers_blocks_or_is_left_out() {
    let world = |policy| {
        World {
            replicator: replicator(&json!([{ "topics": ["orders"] }]), &headers(true, true)),
            committed: vec![("orders", 0, 4), ("orders", 1, 10), ("returns", 3, 5)],
            source: vec![("orders", 2), ("returns", 4)],
            ..World::orders()
        }
        .policy("unreplicatedTopics", policy)
    };
    assert_eq!(world("Fail").blocked(), [(Reason::TopicNotReplicated, "returns-3".into())]);
    let scope = world("Ignore").scope();
    assert_eq!(left_out(&scope), [("returns", None)]);
    assert_eq!(scope.sources.len(), 2);
    // An excluded one is nobody's business.
    let scope = world("Fail").topics(&json!({ "exclude": ["returns"] })).scope();
    assert_eq!(left_out(&scope), [("returns", None)]);
}

#[test]
fn a_missing_target_topic_or_partition_is_named() {
    let missing = World { target: vec![], ..World::orders() };
    let both = ["orders-0", "orders-1"].map(|q| (Reason::TargetPartitionMissing, q.to_owned()));
    assert_eq!(missing.blocked(), both);
    let fewer = World { target: vec![("orders", 1)], ..World::orders() };
    assert_eq!(fewer.blocked(), both[1..]);
    assert!(fewer.choose().unwrap_err()[0].message.contains("orders has only 1 partitions"));
}

#[test]
fn a_committed_offset_of_a_topic_or_partition_that_is_gone_blocks() {
    let deleted = World { source: vec![], ..World::orders() };
    let both = ["orders-0", "orders-1"].map(|q| (Reason::SourceOffsetOutOfRange, q.to_owned()));
    assert_eq!(deleted.blocked(), both);
    let fewer = World { source: vec![("orders", 1)], ..World::orders() };
    assert_eq!(fewer.blocked(), both[1..]);
    assert!(fewer.choose().unwrap_err()[0].message.contains("committed 10"));
}

#[test]
fn by_the_producers_partitioner_every_target_partition_can_hold_copies() {
    let world = World {
        replicator: replicator(
            &json!([{ "topics": ["orders"], "target": { "partition": "Producer" } }]),
            &headers(true, true),
        ),
        // More, and fewer, than the source has.
        target: vec![("orders", 3)],
        ..World::orders()
    };
    let scope = world.scope();
    for chosen in scope.sources.values() {
        assert_eq!(names(&chosen.targets), ["orders-0", "orders-1", "orders-2"]);
    }
    let one = World { target: vec![("orders", 1)], ..world };
    assert_eq!(names(one.scope().targets.keys()), ["orders-0"]);
}

#[test]
fn one_topic_name_merges_partition_by_partition() {
    let scope = World::merged().scope();
    assert_eq!(names(scope.targets.keys()), ["all-0"]);
    assert!(scope.sources.values().all(|c| names(&c.targets) == ["all-0"]));
    assert_eq!(scope.targets.values().next(), Some(&Implied::default()));
}

#[test]
fn what_a_header_does_not_tell_follows_from_the_route() {
    for (topic, partition) in [(false, true), (true, false), (false, false)] {
        let world = World {
            replicator: replicator(&json!([{ "topics": [".*"] }]), &headers(topic, partition)),
            ..World::orders()
        };
        let scope = world.scope();
        let implied = &scope.targets[&TopicPartition::new("orders", 1)];
        assert_eq!(implied.partition, Some(1));
        assert_eq!(implied.topic.as_deref(), Some("orders"));
    }
}

#[test]
fn without_a_header_what_the_route_cannot_tell_is_blocked() {
    let disabled = |q: &str| vec![(Reason::TracingHeadersDisabled, q.to_owned())];
    let merged =
        |topic, partition| World { replicator: into_one("Source", topic, partition), ..World::merged() };
    assert_eq!(merged(false, true).blocked(), disabled("all-0"));
    // The partition is still that of the target, whichever topic it is.
    assert_eq!(merged(true, false).scope().targets[&TopicPartition::new("all", 0)].partition, Some(0));
    // A topic that the group does not read counts too: its records are there.
    let foreign = World { committed: vec![("orders", 0, 4)], ..merged(false, true) };
    assert_eq!(foreign.blocked(), disabled("all-0"));
    let spread = |topic, partition| World {
        replicator: into_one("Producer", topic, partition),
        committed: vec![("orders", 0, 4)],
        source: vec![("orders", 1)],
        target: vec![("all", 1)],
        ..World::orders()
    };
    assert_eq!(spread(true, false).blocked(), disabled("all-0"));
    assert_eq!(spread(false, true).scope().sources.len(), 1);
}

#[test]
fn everything_that_stands_in_the_way_is_told_at_once() {
    let world = World {
        committed: vec![("orders", 0, 4), ("returns", 0, 1), ("gone", 0, 1)],
        source: vec![("orders", 1), ("returns", 1)],
        target: vec![("orders", 1)],
        ..World::orders()
    };
    assert_eq!(
        world.blocked(),
        [
            (Reason::SourceOffsetOutOfRange, "gone-0".into()),
            (Reason::TargetPartitionMissing, "returns-0".into()),
        ]
    );
}
