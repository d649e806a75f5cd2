//! A target broker that takes less commit metadata than the source: one partition fails, the others are
//! committed. The limit is a setting of the broker, so that it must be started anew.

use std::{collections::BTreeMap, fs};

use crate::harness::{
    Case, Reason, Side,
    stack::{stack, var},
    wire::{Offset, Offsets},
};

/// The target broker with one more line in its settings; dropped, it is as it was.
struct Limited {
    file: String,
    before: String,
}

impl Limited {
    fn new(line: &str) -> Self {
        let file = format!("{}/kafka/target/server.properties", var("STACK_DIR"));
        // Without what a test that was killed may have left.
        let all = fs::read_to_string(&file).unwrap();
        let name = line.split_once('=').unwrap().0;
        let kept: Vec<&str> = all.lines().filter(|line| !line.starts_with(name)).collect();
        let before = kept.join("\n") + "\n";
        fs::write(&file, format!("{before}{line}\n")).unwrap();
        restart();
        Self { file, before }
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        fs::write(&self.file, &self.before).unwrap();
        restart();
    }
}

fn restart() {
    stack(&["broker", "stop", "target"]).unwrap();
    stack(&["broker", "start", "target"]).unwrap();
}

#[test]
fn alone_rule_20_metadata_that_the_target_does_not_take() {
    let case = Case::alone("metadatalimit");
    let orders = case.topic("orders", 2);
    let mut offsets = BTreeMap::new();
    for (partition, metadata) in [(0, "short"), (1, "longer than eight")] {
        orders.fill(partition, 3).copy(partition, 0..3);
        offsets.insert((orders.name.clone(), partition), Offset { offset: 2, metadata: metadata.into() });
    }
    case.commit(Side::Source, &case.group, offsets);
    let limited = Limited::new("offset.metadata.max.bytes=8");
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    // The others are committed: what is there in the end is not nothing.
    let first: Offsets =
        [((orders.name.clone(), 0), Offset { offset: 2, metadata: b"short".to_vec() })].into();
    case.expect(Side::Target, &case.group, first);
    app.stalls(Reason::CommitFailed, &[&orders.at(1), "offset.metadata.max.bytes"]);
    let summary = app.get().status.unwrap().summary.unwrap();
    assert_eq!(summary.progress, "1/2");
    let hash = app.get().status.unwrap().plan.unwrap().hash;
    drop(limited);
    app.retry("limit raised");
    app.completes_exactly();
    assert_eq!(
        app.get().status.unwrap().plan.unwrap().hash,
        hash,
        "hash and files do not change after a partial failure"
    );
}
