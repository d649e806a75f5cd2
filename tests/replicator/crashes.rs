//! Death, restart, and outages: nothing is lost, the order stays, repeats only.

use std::{process::Command, time::Duration};

use crate::support::{
    Replicator, assert_complete, brokers, env, manifest, quiet, source, target, unique, wait_for,
};

const PARTITIONS: i32 = 3;
const RECORDS: usize = 20_000;

fn filled(topic: &str) {
    source().create(topic, PARTITIONS, &[]);
    for partition in 0..PARTITIONS {
        source().fill(topic, partition, 0, RECORDS);
    }
}

/// Slow enough to be interrupted.
fn slow(text: &str) -> String {
    let target = format!("target: {{ bootstrapServers: \"{}\" }}", env("TARGET_BOOTSTRAP"));
    let properties = "properties: { batch.num.messages: \"1\", compression.type: none }";
    text.replace(&target, &target.replace(" }", &format!(", {properties} }}")))
}

fn copied(topic: &str) -> i64 {
    if target().partitions(topic) == 0 {
        return 0;
    }
    (0..PARTITIONS).map(|partition| target().end(topic, partition)).sum()
}

#[test]
fn kill_9_in_the_midst_loses_nothing_and_only_repeats() {
    let _brokers = brokers();
    let topic = unique("killed");
    filled(&topic);
    let group = unique("g");
    let text = manifest(&group, &topic, "");
    for kill in 1..=2 {
        let replicator = Replicator::start(&slow(&text));
        let enough = i64::from(kill) * 13_000;
        wait_for("some copies", || (copied(&topic) > enough).then_some(()));
        replicator.kill();
    }
    let before = copied(&topic);
    assert!(
        before < i64::try_from(RECORDS).unwrap() * i64::from(PARTITIONS),
        "killed too late to show anything"
    );
    let _replicator = Replicator::start(&text);
    source().wait_position_at_end(&group, &topic);
    let repeats = assert_complete(&source().read_all(&topic), &target().read_all(&topic));
    println!("{repeats:?}");
    assert!(repeats.rewinds <= 2 * PARTITIONS as usize, "{repeats:?}");
}

#[test]
fn sigterm_in_the_midst_is_clean_and_repeats_nothing() {
    let _brokers = brokers();
    let topic = unique("stopped");
    filled(&topic);
    let group = unique("g");
    let text = manifest(&group, &topic, "");
    let replicator = Replicator::start(&slow(&text));
    wait_for("some copies", || (copied(&topic) > 6_000).then_some(()));
    let (status, took, log) = replicator.terminate();
    assert!(status.success() && took < Duration::from_secs(8), "{status} after {took:?}:\n{log}");
    assert!(log.contains("stopped"), "{log}");
    let committed: i64 = source().committed(&group, &topic).values().sum();
    assert_eq!(committed, copied(&topic), "everything that was copied is committed");
    let _replicator = Replicator::start(&text);
    source().wait_position_at_end(&group, &topic);
    let repeats = assert_complete(&source().read_all(&topic), &target().read_all(&topic));
    assert_eq!(repeats.records, 0);
}

/// A broker that is down, until dropped: a test that fails must not fail the others.
struct Down(&'static str);

impl Down {
    fn new(action: &str, cluster: &'static str) -> Self {
        broker(action, cluster);
        Self(cluster)
    }
}

impl Drop for Down {
    fn drop(&mut self) {
        broker("start", self.0);
    }
}

fn broker(action: &str, cluster: &str) {
    let status = Command::new(env("STACK")).args(["broker", action, cluster]).status().unwrap();
    assert!(status.success(), "{action} {cluster}");
}

#[test]
fn a_target_that_stops_and_comes_back_is_waited_for() {
    let _alone = quiet();
    let topic = unique("outage");
    filled(&topic);
    let group = unique("g");
    let mut replicator = Replicator::start(&slow(&manifest(&group, &topic, "")));
    wait_for("some copies", || (copied(&topic) > 6_000).then_some(()));
    let down = Down::new("stop", "target");
    replicator.wait_log("cluster=\"target\"");
    std::thread::sleep(Duration::from_secs(12));
    assert!(replicator.runs());
    replicator.wait_log("none was acknowledged for ");
    drop(down);
    source().wait_position_at_end(&group, &topic);
    assert_complete(&source().read_all(&topic), &target().read_all(&topic));
}

#[test]
fn a_source_that_stops_and_comes_back_is_waited_for() {
    let _alone = quiet();
    let topic = unique("outage");
    filled(&topic);
    let group = unique("g");
    let mut replicator = Replicator::start(&slow(&manifest(&group, &topic, "")));
    wait_for("some copies", || (copied(&topic) > 6_000).then_some(()));
    let down = Down::new("kill", "source");
    replicator.wait_log("cluster=\"source\"");
    std::thread::sleep(Duration::from_secs(12));
    assert!(replicator.runs());
    drop(down);
    source().wait_position_at_end(&group, &topic);
    assert_complete(&source().read_all(&topic), &target().read_all(&topic));
}

#[test]
fn sigterm_while_the_target_is_away_ends_within_seconds() {
    let _alone = quiet();
    let topic = unique("away");
    filled(&topic);
    let group = unique("g");
    let text = manifest(&group, &topic, "");
    let replicator = Replicator::start(&slow(&text));
    wait_for("some copies", || (copied(&topic) > 6_000).then_some(()));
    let down = Down::new("stop", "target");
    std::thread::sleep(Duration::from_secs(2));
    let (status, took, log) = replicator.terminate();
    drop(down);
    assert!(status.success() && took < Duration::from_secs(12), "{status} after {took:?}:\n{log}");
    assert!(log.contains("not sent yet"), "{log}");
    let _replicator = Replicator::start(&text);
    source().wait_position_at_end(&group, &topic);
    assert_complete(&source().read_all(&topic), &target().read_all(&topic));
}
