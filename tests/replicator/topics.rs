//! Target topics: created like their sources, or waited for; new topics and partitions are picked up.

use crate::support::{Replicator, assert_complete, brokers, manifest, source, target, unique, wait_for};

#[test]
fn a_missing_topic_is_created_like_its_source() {
    let _brokers = brokers();
    let topic = unique("like");
    let settings = [
        ("cleanup.policy", "compact"),
        ("retention.ms", "123456789"),
        ("max.message.bytes", "2000000"),
        ("segment.ms", "7200000"),
        ("min.compaction.lag.ms", "60000"),
    ];
    source().create(&topic, 3, &settings);
    source().fill(&topic, 2, 0, 10);
    let group = unique("g");
    let _replicator = Replicator::start(&manifest(&group, &topic, ""));
    source().wait_position_at_end(&group, &topic);
    assert_eq!(target().partitions(&topic), 3);
    let configs = target().configs(&topic);
    for (name, value) in settings {
        assert_eq!(configs[name], value, "{name}");
    }
    assert_eq!(configs["message.timestamp.type"], "CreateTime");
}

#[test]
fn retention_by_the_source_s_default_holds_on_the_target() {
    // The source's default is set on the topic: the target's own may be shorter.
    let _brokers = brokers();
    let topic = unique("default");
    source().create(&topic, 1, &[]);
    source().fill(&topic, 0, 0, 1);
    let group = unique("g");
    let _replicator = Replicator::start(&manifest(&group, &topic, ""));
    source().wait_position_at_end(&group, &topic);
    for name in ["retention.ms", "retention.bytes", "cleanup.policy"] {
        assert_eq!(target().configs(&topic)[name], source().configs(&topic)[name], "{name}");
    }
}

#[test]
fn new_topics_and_partitions_are_picked_up() {
    let _brokers = brokers();
    let prefix = unique("grow");
    let (first, second) = (format!("{prefix}-b"), format!("{prefix}-a"));
    source().create(&first, 1, &[]);
    source().fill(&first, 0, 0, 10);
    let group = unique("g");
    let mut replicator = Replicator::start(&manifest(&group, &format!("{prefix}-.*"), ""));
    source().wait_position_at_end(&group, &first);

    // Sorts before the first: the token moves.
    source().create(&second, 2, &[]);
    source().fill(&second, 1, 0, 10);
    source().wait_position_at_end(&group, &second);

    source().grow(&first, 3);
    source().fill(&first, 2, 0, 10);
    replicator.wait_log(&format!("{first} has 3 partitions and {first} on the target 1"));
    target().grow(&first, 3);
    source().wait_position_at_end(&group, &first);
    for topic in [&first, &second] {
        let repeats = assert_complete(&source().read_all(topic), &target().read_all(topic));
        assert_eq!(repeats.records, 0, "settled before each change");
    }
}

#[test]
fn it_waits_for_a_topic_that_does_not_exist_yet() {
    let _brokers = brokers();
    let topic = unique("later");
    let group = unique("g");
    let mut replicator = Replicator::start(&manifest(&group, &topic, ""));
    replicator.wait_log(&format!("no topic of the source matches {topic}"));
    replicator.wait_log("no topic to copy yet");
    source().create(&topic, 1, &[]);
    source().fill(&topic, 0, 0, 5);
    wait_for("the copies", || (target().partitions(&topic) == 1).then_some(()));
    source().wait_position_at_end(&group, &topic);
    assert_complete(&source().read_all(&topic), &target().read_all(&topic));
}

#[test]
fn several_topics_go_into_one() {
    let _brokers = brokers();
    let (prefix, all) = (unique("many"), unique("all"));
    for (name, partitions) in [("a", 1), ("b", 4)] {
        let topic = format!("{prefix}-{name}");
        source().create(&topic, partitions, &[]);
        source().fill(&topic, partitions - 1, 0, 20);
    }
    let group = unique("g");
    let rest = format!("    target: {{ topicName: {all} }}\n");
    let _replicator = Replicator::start(&manifest(&group, &format!("{prefix}-.*"), &rest));
    for name in ["a", "b"] {
        source().wait_position_at_end(&group, &format!("{prefix}-{name}"));
    }
    assert_eq!(target().partitions(&all), 4);
    let copies = target().read_all(&all);
    let of = |name: &str| {
        copies.iter().filter(|c| c.header("k2k_topic") == Some(format!("{prefix}-{name}"))).count()
    };
    assert_eq!((of("a"), of("b"), copies.len()), (20, 20, 40));
}

#[test]
fn what_retention_took_before_it_was_copied_is_said() {
    let _brokers = brokers();
    let topic = unique("retention");
    source().create(&topic, 1, &[]);
    source().fill(&topic, 0, 0, 100);
    let group = unique("g");
    let text = manifest(&group, &topic, "");
    let replicator = Replicator::start(&text);
    source().wait_position_at_end(&group, &topic);
    replicator.terminate();
    source().fill(&topic, 0, 100, 100);
    source().delete_up_to(&topic, 0, 150);
    let mut replicator = Replicator::start(&text);
    replicator.wait_log(&format!("{topic}-0: the log begins at 150, copied is up to 100"));
    source().wait_position_at_end(&group, &topic);
    assert_eq!(target().read_all(&topic).len(), 150);
}
