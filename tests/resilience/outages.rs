//! A cluster goes away while a migration is under way, and comes back. Brokers are shared: alone.

use crate::harness::{
    Case, Reason, Side,
    migration::ready_reason,
    stack::{DEADLINE, stack},
};

/// A broker that is down; dropped, it is up again.
struct Down(&'static str);

impl Down {
    fn new(broker: &'static str) -> Self {
        stack(&["broker", "stop", broker]).unwrap();
        Self(broker)
    }
}

impl Drop for Down {
    fn drop(&mut self) {
        stack(&["broker", "start", self.0]).unwrap();
    }
}

fn goes_down(broker: &'static str, unavailable: &str) {
    let case = Case::alone(&format!("outage-{broker}"));
    let orders = case.topic("orders", 1);
    orders.fill(0, 10).copy(0, 0..3);
    case.committed(&orders, &[(0, 7)]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.waits(Reason::ReplicationBehind, &[&orders.at(0)]);
    let down = Down::new(broker);
    let object = app.wait(unavailable, DEADLINE, |o| {
        ready_reason(o).is_some_and(|reason| [unavailable, "ReplicatorNotReady"].contains(&reason))
    });
    let text = serde_json::to_string(&object.status).unwrap();
    assert!(text.contains(unavailable) || text.contains("NotJudged"), "{text}");
    drop(down);
    app.waits(Reason::ReplicationBehind, &[&orders.at(0)]);
    orders.copy(0, 3..10);
    app.completes_exactly();
    assert_eq!(app.target_offset(&orders.name, 0), Some(7));
    assert_eq!(case.offsets(Side::Source, &case.group), case.expected_offsets(Side::Source, &case.group));
}

#[test]
fn the_source_goes_down_and_comes_back() {
    goes_down("source", "SourceUnavailable");
}

#[test]
fn the_target_goes_down_and_comes_back() {
    goes_down("target", "TargetUnavailable");
}
