//! A streams group (KIP-1071), made over Kafka's own protocol: no client at hand has one.

use super::{kafka::Side, wire};

const STREAMS_GROUP_HEARTBEAT: (i16, i16) = (88, 0);
const MEMBER: &str = "a-streams-member";

/// A member of a Streams application joins `group`, which reads `topic`, and leaves: the group is there from then
/// on, without members.
pub fn group(side: Side, group: &str, topic: &str) {
    heartbeat(side, group, 0, &joining(topic));
    // All unchanged.
    let mut leaving = vec![0, 0];
    leaving.extend((-1_i32).to_be_bytes());
    leaving.push(0xff); // topology
    leaving.extend([0, 0, 0, 0]); // active, standby and warm-up tasks, process id
    leaving.push(0xff); // endpoint
    leaving.extend([0, 0, 0, 0, 0]); // tags, offsets, end offsets, shutdown; no tagged fields
    heartbeat(side, group, -1, &leaving);
}

/// From `instance_id` on: a topology of one subtopology that reads one topic.
fn joining(topic: &str) -> Vec<u8> {
    let mut body = vec![0, 0]; // instance and rack
    body.extend(60_000_i32.to_be_bytes());
    body.push(1); // topology
    body.extend(0_i32.to_be_bytes());
    body.push(2); // one subtopology
    put(&mut body, "0");
    body.push(2); // one source topic
    put(&mut body, topic);
    body.extend([1; 5]); // no pattern, changelog, sink, repartition topic, copartition group
    body.extend([0, 0]); // no tagged fields, of the subtopology and of the topology
    body.extend([1; 3]); // no tasks yet
    put(&mut body, "a-process");
    body.push(0xff); // endpoint
    body.extend([1, 0, 0, 0, 0]); // no tags, offsets, end offsets, shutdown; no tagged fields
    body
}

fn heartbeat(side: Side, group: &str, epoch: i32, rest: &[u8]) {
    let mut body = vec![0]; // no tagged fields of the header
    put(&mut body, group);
    put(&mut body, MEMBER);
    body.extend(epoch.to_be_bytes());
    body.extend(0_i32.to_be_bytes()); // endpoint information epoch
    body.extend(rest);
    let answer = wire::to_coordinator(&side.bootstrap(), group, STREAMS_GROUP_HEARTBEAT, &body);
    // Tagged fields of the header, throttle time, error code.
    assert_eq!(answer[5..7], [0, 0], "{}", String::from_utf8_lossy(&answer));
}

/// A compact string.
fn put(to: &mut Vec<u8>, text: &str) {
    to.push(u8::try_from(text.len() + 1).unwrap());
    assert!(text.len() < 127);
    to.extend(text.as_bytes());
}
