//! Applications: consumers that are members of a group.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, CommitMode, Consumer},
};

use super::kafka::{Received, Side, received};

/// A consumer that subscribes and polls in the background, commits nothing of itself, and leaves the group
/// when dropped.
pub struct Member {
    stop: Arc<AtomicBool>,
    read: Arc<Mutex<Vec<Received>>>,
    thread: Option<JoinHandle<()>>,
}

impl Member {
    /// A member by the classic protocol.
    pub fn classic(side: Side, group: &str, topic: &str) -> Self {
        Self::start(settings(side, group), topic)
    }

    /// A member by the new consumer protocol (KIP-848).
    pub fn kip848(side: Side, group: &str, topic: &str) -> Self {
        let mut config = settings(side, group);
        config.remove("session.timeout.ms");
        config.set("group.protocol", "consumer");
        Self::start(config, topic)
    }

    /// A static member: the group keeps its place until its session ends, also when it has gone.
    pub fn fixed(side: Side, group: &str, topic: &str, instance: &str, session: Duration) -> Self {
        let mut config = settings(side, group);
        config.set("group.instance.id", instance);
        config.set("session.timeout.ms", session.as_millis().to_string());
        Self::start(config, topic)
    }

    /// With any settings. Returns once the group has given it its partitions.
    #[allow(clippy::needless_pass_by_value)]
    pub fn start(config: ClientConfig, topic: &str) -> Self {
        let consumer: BaseConsumer = config.create().unwrap();
        consumer.subscribe(&[topic]).unwrap();
        let (stop, read) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let start = Instant::now();
        while consumer.assignment().unwrap().count() == 0 {
            poll(&consumer, &read);
            assert!(start.elapsed() < Duration::from_secs(30), "no assignment for {topic}");
        }
        let (stopped, seen) = (Arc::clone(&stop), Arc::clone(&read));
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                poll(&consumer, &seen);
            }
        });
        Self { stop, read, thread: Some(thread) }
    }

    /// What it has read so far.
    pub fn read(&self) -> Vec<Received> {
        self.read.lock().unwrap().clone()
    }

    /// Waits until it has read `count` records, and gives them all.
    pub fn wait_for(&self, count: usize) -> Vec<Received> {
        let start = Instant::now();
        loop {
            let read = self.read();
            if read.len() >= count {
                return read;
            }
            assert!(start.elapsed() < Duration::from_secs(30), "{} of {count} records", read.len());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Leaves the group, and waits until it has.
    pub fn leave(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.end();
    }
}

fn poll(consumer: &BaseConsumer, read: &Mutex<Vec<Received>>) {
    if let Some(Ok(message)) = consumer.poll(Duration::from_millis(50)) {
        read.lock().unwrap().push(received(&message));
    }
}

fn settings(side: Side, group: &str) -> ClientConfig {
    let mut config = side.config();
    config
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("session.timeout.ms", "6000")
        .set("fetch.wait.max.ms", "50");
    config
}

/// An application run: reads at least `count` records of `topic` as a member, some of each partition, commits
/// what it read, and leaves.
pub fn consume(side: Side, group: &str, topic: &str, count: usize, partitions: usize) -> Vec<Received> {
    let consumer: BaseConsumer = settings(side, group).create().unwrap();
    consumer.subscribe(&[topic]).unwrap();
    let (mut records, mut seen) = (Vec::new(), BTreeSet::new());
    let start = Instant::now();
    while records.len() < count || seen.len() < partitions {
        assert!(start.elapsed() < Duration::from_secs(40), "{} of {count} records", records.len());
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            let record = received(&message.unwrap());
            seen.insert(record.partition);
            records.push(record);
        }
    }
    consumer.commit_consumer_state(CommitMode::Sync).unwrap();
    records
}
