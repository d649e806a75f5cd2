//! Committed offsets over Kafka's own protocol, in its plainest versions: a client that shares nothing with
//! the one under test, and that takes any metadata. Tests put offsets there and read them back through it.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    thread::sleep,
    time::{Duration, Instant},
};

const OFFSET_COMMIT: (i16, i16) = (8, 2);
const OFFSET_FETCH: (i16, i16) = (9, 2);
const OFFSET_COMMIT_WITH_EPOCH: (i16, i16) = (8, 6);
const OFFSET_FETCH_WITH_EPOCH: (i16, i16) = (9, 5);
const FIND_COORDINATOR: (i16, i16) = (10, 0);
const CREATE_ACLS: (i16, i16) = (30, 1);
const DELETE_ACLS: (i16, i16) = (31, 1);
const OFFSET_DELETE: (i16, i16) = (47, 0);

/// The pattern, and the permissions, of an ACL.
const PREFIXED: u8 = 4;
const DENY: u8 = 2;
const ALLOW: u8 = 3;

/// The coordinator is loading, not there yet, or elsewhere.
const NOT_YET: [i16; 3] = [14, 15, 16];

/// A broker that is not frozen answers within this time.
const SOON: Duration = Duration::from_secs(3);

/// What a group has on a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offset {
    pub offset: i64,
    pub metadata: Vec<u8>,
}

impl From<i64> for Offset {
    fn from(offset: i64) -> Self {
        Self { offset, metadata: Vec::new() }
    }
}

/// A group's offsets by topic and partition.
pub type Offsets = BTreeMap<(String, i32), Offset>;

/// Everything that `group` has committed.
pub fn committed(broker: &str, group: &str) -> Offsets {
    let mut body = Vec::new();
    put_string(&mut body, group.as_bytes());
    put_i32(&mut body, -1); // null: all topics
    retry(|| {
        let mut answer = Answer::new(call(broker, OFFSET_FETCH, &body));
        let mut offsets = Offsets::new();
        for _ in 0..answer.i32() {
            let topic = answer.text();
            for _ in 0..answer.i32() {
                let (partition, offset) = (answer.i32(), answer.i64());
                let metadata = answer.bytes();
                assert_eq!(answer.i16(), 0, "offset of {group} on {topic}-{partition}");
                offsets.insert((topic.clone(), partition), Offset { offset, metadata });
            }
        }
        (answer.i16(), offsets)
    })
}

/// Commits as an application without members does (`assign`). The error is the broker's code.
pub fn commit(broker: &str, group: &str, offsets: &Offsets) -> Result<(), i16> {
    let mut body = Vec::new();
    put_string(&mut body, group.as_bytes());
    put_i32(&mut body, -1); // generation
    put_string(&mut body, b""); // member
    put_i64(&mut body, -1); // retention
    put_i32(&mut body, i32::try_from(offsets.len()).unwrap());
    for ((topic, partition), offset) in offsets {
        put_string(&mut body, topic.as_bytes());
        put_i32(&mut body, 1);
        put_i32(&mut body, *partition);
        put_i64(&mut body, offset.offset);
        put_string(&mut body, &offset.metadata);
    }
    let code = retry(|| {
        let mut answer = Answer::new(call(broker, OFFSET_COMMIT, &body));
        let mut worst = 0;
        for _ in 0..answer.i32() {
            answer.text();
            for _ in 0..answer.i32() {
                answer.i32();
                // -1 is an error too.
                match answer.i16() {
                    0 => {}
                    code => worst = code,
                }
            }
        }
        (worst, worst)
    });
    if code == 0 { Ok(()) } else { Err(code) }
}

/// Commits one offset with the epoch of the leader that the record before it was read from.
pub fn commit_with_epoch(
    broker: &str,
    group: &str,
    (topic, partition): &(String, i32),
    offset: i64,
    epoch: i32,
) {
    let mut body = Vec::new();
    put_string(&mut body, group.as_bytes());
    put_i32(&mut body, -1); // generation
    put_string(&mut body, b""); // member
    put_i32(&mut body, 1);
    put_string(&mut body, topic.as_bytes());
    put_i32(&mut body, 1);
    put_i32(&mut body, *partition);
    put_i64(&mut body, offset);
    put_i32(&mut body, epoch);
    put_string(&mut body, b"");
    let code = retry(|| {
        let mut answer = Answer::new(call(broker, OFFSET_COMMIT_WITH_EPOCH, &body));
        let (_throttle, _topics, _topic) = (answer.i32(), answer.i32(), answer.text());
        let (_partitions, _partition) = (answer.i32(), answer.i32());
        let code = answer.i16();
        (code, code)
    });
    assert_eq!(code, 0, "committing for {group} on {topic}-{partition}");
}

/// The committed offset of one partition, and the leader epoch that was committed with it.
pub fn leader_epoch(broker: &str, group: &str, (topic, partition): &(String, i32)) -> (i64, i32) {
    let mut body = Vec::new();
    put_string(&mut body, group.as_bytes());
    put_i32(&mut body, 1);
    put_string(&mut body, topic.as_bytes());
    put_i32(&mut body, 1);
    put_i32(&mut body, *partition);
    retry(|| {
        let mut answer = Answer::new(call(broker, OFFSET_FETCH_WITH_EPOCH, &body));
        let (_throttle, _topics, _topic) = (answer.i32(), answer.i32(), answer.text());
        let (_partitions, _partition) = (answer.i32(), answer.i32());
        let found = (answer.i64(), answer.i32());
        let _metadata = answer.bytes();
        (answer.i16(), found)
    })
}

/// Deletes the group's offset of one partition.
pub fn delete(broker: &str, group: &str, topic: &str, partition: i32) {
    let mut body = Vec::new();
    put_string(&mut body, group.as_bytes());
    put_i32(&mut body, 1);
    put_string(&mut body, topic.as_bytes());
    put_i32(&mut body, 1);
    put_i32(&mut body, partition);
    let code = retry(|| {
        let code = Answer::new(call(broker, OFFSET_DELETE, &body)).i16();
        (code, code)
    });
    assert_eq!(code, 0, "deleting the offset of {group} on {topic}-{partition}");
}

/// The first group of a cluster makes the offsets topic: until then there is no coordinator.
fn retry<T>(mut ask: impl FnMut() -> (i16, T)) -> T {
    let start = Instant::now();
    loop {
        let (code, value) = ask();
        if !NOT_YET.contains(&code) {
            return value;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "no coordinator: error {code}");
        sleep(Duration::from_millis(100));
    }
}

/// What an ACL speaks of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    Topic = 2,
    Group = 3,
}

/// What an ACL allows. `Read` and `Write` include `Describe`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Read = 3,
    Write = 4,
    Create = 5,
    Describe = 8,
    DescribeConfigs = 10,
}

/// Allows `user` one operation on everything that begins with `prefix`.
pub fn allow(broker: &str, user: &str, resource: Resource, prefix: &str, operation: Operation) {
    create_acl(broker, user, resource, prefix, operation, ALLOW);
}

/// Denies it, whatever is allowed.
pub fn deny(broker: &str, user: &str, resource: Resource, prefix: &str, operation: Operation) {
    create_acl(broker, user, resource, prefix, operation, DENY);
}

fn create_acl(
    broker: &str,
    user: &str,
    resource: Resource,
    prefix: &str,
    operation: Operation,
    permission: u8,
) {
    let mut body = Vec::new();
    put_i32(&mut body, 1);
    body.push(resource as u8);
    put_string(&mut body, prefix.as_bytes());
    body.push(PREFIXED);
    put_string(&mut body, format!("User:{user}").as_bytes());
    put_string(&mut body, b"*");
    body.push(operation as u8);
    body.push(permission);
    let mut answer = Answer::new(exchange(&mut connect(broker), CREATE_ACLS, &body));
    let (_throttle, count) = (answer.i32(), answer.i32());
    assert_eq!((count, answer.i16()), (1, 0));
}

/// Nothing is denied any more on what begins with `prefix`.
pub fn withdraw(broker: &str, resource: Resource, prefix: &str) {
    let mut body = Vec::new();
    put_i32(&mut body, 1);
    body.push(resource as u8);
    put_string(&mut body, prefix.as_bytes());
    body.push(PREFIXED);
    body.extend([0xff; 4]); // null: any principal, any host
    body.push(1); // any operation
    body.push(DENY);
    let mut answer = Answer::new(exchange(&mut connect(broker), DELETE_ACLS, &body));
    let (_throttle, count) = (answer.i32(), answer.i32());
    assert_eq!((count, answer.i16()), (1, 0));
}

/// The node that coordinates a group, and where it listens. There may be none yet, or none at the moment.
pub fn coordinator(broker: &str, group: &str) -> (i32, String) {
    let mut name = Vec::new();
    put_string(&mut name, group.as_bytes());
    retry(|| {
        // One that is frozen takes connections and never answers.
        let ask = |server: &str| try_exchange(&mut try_connect(server, SOON)?, FIND_COORDINATOR, &name);
        let Some(answer) = broker.split(',').find_map(|server| ask(server).ok()) else {
            return (NOT_YET[0], Default::default());
        };
        let mut answer = Answer::new(answer);
        let (code, node) = (answer.i16(), answer.i32());
        let (host, port) = (answer.text(), answer.i32());
        (code, (node, format!("{host}:{port}")))
    })
}

/// To the first of these servers that is there.
fn connect(servers: &str) -> TcpStream {
    try_connect(servers, Duration::from_secs(20)).expect(servers)
}

/// The same; an answer must come within `patience`.
fn try_connect(servers: &str, patience: Duration) -> io::Result<TcpStream> {
    let addresses: Vec<SocketAddr> = servers.split(',').map(|server| server.parse().unwrap()).collect();
    let stream = TcpStream::connect(addresses.as_slice())?;
    stream.set_read_timeout(Some(patience))?;
    Ok(stream)
}

/// One request to the coordinator of `group`.
pub fn to_coordinator(broker: &str, group: &str, api: (i16, i16), body: &[u8]) -> Vec<u8> {
    exchange(&mut connect(&coordinator(broker, group).1), api, body)
}

/// The same for a request that begins with the group's name.
fn call(broker: &str, api: (i16, i16), body: &[u8]) -> Vec<u8> {
    let group = Answer::new(body).text();
    to_coordinator(broker, &group, api, body)
}

fn exchange(stream: &mut TcpStream, api: (i16, i16), body: &[u8]) -> Vec<u8> {
    try_exchange(stream, api, body).unwrap()
}

fn try_exchange(stream: &mut TcpStream, (key, version): (i16, i16), body: &[u8]) -> io::Result<Vec<u8>> {
    let mut request = Vec::new();
    request.extend(key.to_be_bytes());
    request.extend(version.to_be_bytes());
    put_i32(&mut request, 1); // correlation
    put_string(&mut request, b"behaviour-tests");
    request.extend(body);
    let mut framed = Vec::new();
    put_i32(&mut framed, i32::try_from(request.len()).unwrap());
    framed.extend(request);
    stream.write_all(&framed)?;
    let mut size = [0; 4];
    stream.read_exact(&mut size)?;
    let mut answer = vec![0; usize::try_from(i32::from_be_bytes(size)).unwrap()];
    stream.read_exact(&mut answer)?;
    Ok(answer.split_off(4))
}

fn put_i32(to: &mut Vec<u8>, value: i32) {
    to.extend(value.to_be_bytes());
}

fn put_i64(to: &mut Vec<u8>, value: i64) {
    to.extend(value.to_be_bytes());
}

fn put_string(to: &mut Vec<u8>, value: &[u8]) {
    to.extend(i16::try_from(value.len()).unwrap().to_be_bytes());
    to.extend(value);
}

/// What a broker sent or stored, and how far it was read.
pub struct Answer(Vec<u8>, usize);

impl Answer {
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into(), 0)
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let bytes = self.0[self.1..self.1 + N].try_into().unwrap();
        self.1 += N;
        bytes
    }

    pub fn i16(&mut self) -> i16 {
        i16::from_be_bytes(self.take())
    }

    pub fn i32(&mut self) -> i32 {
        i32::from_be_bytes(self.take())
    }

    pub fn i64(&mut self) -> i64 {
        i64::from_be_bytes(self.take())
    }

    fn bytes(&mut self) -> Vec<u8> {
        let length = usize::try_from(self.i16()).unwrap_or(0);
        let bytes = self.0[self.1..self.1 + length].to_vec();
        self.1 += length;
        bytes
    }

    pub fn text(&mut self) -> String {
        String::from_utf8(self.bytes()).unwrap()
    }
}
