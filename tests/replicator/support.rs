//! What the tests share: the two clusters, a replicator as a process, and the proof that nothing was lost.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    path::PathBuf,
    process::{Child, Command, ExitStatus},
    sync::{
        RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, CommitMode, Consumer},
    producer::{BaseProducer, BaseRecord, Producer},
    topic_partition_list::Offset,
};

use crate::raw::{self, Record};

/// Long enough for a busy machine; a test that waits so long fails.
pub const DEADLINE: Duration = Duration::from_secs(90);

static BROKERS: RwLock<()> = RwLock::new(());

/// Held by a test that needs both brokers up.
pub fn brokers() -> RwLockReadGuard<'static, ()> {
    BROKERS.read().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Held by a test that stops a broker.
pub fn quiet() -> RwLockWriteGuard<'static, ()> {
    BROKERS.write().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A variable of the test stack.
pub fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run `tests/stack/stack run cargo test --test replicator`")
    })
}

/// A name that no other test uses.
pub fn unique(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{name}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Waits until `done` gives something.
pub fn wait_for<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(Instant::now() < until, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// One of the two clusters.
pub struct Cluster {
    pub bootstrap: String,
}

pub fn source() -> Cluster {
    Cluster { bootstrap: env("SOURCE_BOOTSTRAP") }
}

pub fn target() -> Cluster {
    Cluster { bootstrap: env("TARGET_BOOTSTRAP") }
}

impl Cluster {
    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        config
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.config().create().unwrap()
    }

    /// Old timestamps are part of the tests: nothing is deleted unless a test says so.
    pub fn create(&self, topic: &str, partitions: i32, configs: &[(&str, &str)]) {
        let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        if !configs.iter().any(|(name, _)| *name == "retention.ms") {
            new = new.set("retention.ms", "-1");
        }
        for (name, value) in configs {
            new = new.set(name, value);
        }
        let options = AdminOptions::new().operation_timeout(Some(DEADLINE));
        let created = futures::executor::block_on(self.admin().create_topics([&new], &options)).unwrap();
        created[0].as_ref().unwrap();
    }

    pub fn grow(&self, topic: &str, partitions: usize) {
        let more = NewPartitions::new(topic, partitions);
        let options = AdminOptions::new().operation_timeout(Some(DEADLINE));
        let grown = futures::executor::block_on(self.admin().create_partitions([&more], &options)).unwrap();
        grown[0].as_ref().unwrap();
    }

    /// Moves the log's start, as retention does.
    pub fn delete_up_to(&self, topic: &str, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset)).unwrap();
        let options = AdminOptions::new().operation_timeout(Some(DEADLINE));
        futures::executor::block_on(self.admin().delete_records(&list, &options)).unwrap();
    }

    /// A topic's configuration in force.
    pub fn configs(&self, topic: &str) -> HashMap<String, String> {
        let options = AdminOptions::new();
        let what = [ResourceSpecifier::Topic(topic)];
        let answer = futures::executor::block_on(self.admin().describe_configs(&what, &options)).unwrap();
        let entries = answer.into_iter().next().unwrap().unwrap().entries.into_iter();
        entries.filter_map(|entry| Some((entry.name, entry.value?))).collect()
    }

    /// How many partitions a topic has; 0 where there is none.
    pub fn partitions(&self, topic: &str) -> usize {
        let consumer: BaseConsumer = self.config().create().unwrap();
        let metadata = consumer.fetch_metadata(None, DEADLINE).unwrap();
        metadata.topics().iter().find(|t| t.name() == topic).map_or(0, |t| t.partitions().len())
    }

    pub fn producer(&self) -> BaseProducer {
        self.config().set("linger.ms", "5").set("partitioner", "murmur2_random").create().unwrap()
    }

    pub fn transactional(&self, id: &str) -> BaseProducer {
        let producer: BaseProducer = self.config().set("transactional.id", id).create().unwrap();
        producer.init_transactions(DEADLINE).unwrap();
        producer
    }

    /// Writes records `first..first + count` to one partition: value and key are the number.
    pub fn fill(&self, topic: &str, partition: i32, first: usize, count: usize) {
        let producer = self.producer();
        put(&producer, topic, partition, first, count);
        producer.flush(DEADLINE).unwrap();
    }

    /// Everything that a `read_committed` reader gets from the start of each partition on.
    pub fn read_all(&self, topic: &str) -> Vec<Record> {
        let mut config = self.config();
        config
            .set("group.id", "replicator-test-reader")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("fetch.queue.backoff.ms", "5")
            .set("isolation.level", "read_committed");
        let consumer: BaseConsumer = config.create().unwrap();
        let partitions = self.partitions(topic);
        let mut all = Vec::new();
        for partition in 0..i32::try_from(partitions).unwrap() {
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
            consumer.assign(&list).unwrap();
            // Ends with the end-of-partition event.
            while let Some(record) = raw::poll(&consumer, DEADLINE) {
                all.push(record);
            }
        }
        all
    }

    /// What a group has committed for a topic, by partition.
    pub fn committed(&self, group: &str, topic: &str) -> BTreeMap<i32, i64> {
        let consumer: BaseConsumer = self.config().set("group.id", group).create().unwrap();
        let mut list = TopicPartitionList::new();
        for partition in 0..i32::try_from(self.partitions(topic)).unwrap() {
            list.add_partition(topic, partition);
        }
        // A coordinator that was started just now may not know its groups yet.
        let committed =
            wait_for("the committed offsets", || consumer.committed_offsets(list.clone(), DEADLINE).ok());
        let of = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| match element.offset()
        {
            Offset::Offset(offset) => Some((element.partition(), offset)),
            _ => None,
        };
        committed.elements().iter().filter_map(of).collect()
    }

    /// Commits an offset for a group without members.
    pub fn commit(&self, group: &str, topic: &str, partition: i32, offset: i64) {
        let consumer: BaseConsumer = self.config().set("group.id", group).create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset)).unwrap();
        wait_for("a commit", || consumer.commit(&list, CommitMode::Sync).ok());
    }

    /// An application that holds all partitions of the topic. It commits nothing.
    pub fn application(&self, group: &str, topic: &str) -> BaseConsumer {
        let mut config = self.config();
        config.set("group.id", group).set("client.id", format!("{group}-client"));
        config.set("enable.auto.commit", "false").set("auto.offset.reset", "earliest");
        let consumer: BaseConsumer = config.create().unwrap();
        consumer.subscribe(&[topic]).unwrap();
        let partitions = self.partitions(topic);
        wait_for("the application has its partitions", || {
            let _ = consumer.poll(Duration::from_millis(50));
            (consumer.assignment().unwrap().count() == partitions).then_some(())
        });
        consumer
    }

    /// The end of a partition for a reader of everything, markers included.
    pub fn end(&self, topic: &str, partition: i32) -> i64 {
        let consumer: BaseConsumer = self.config().create().unwrap();
        // A topic that was made just now may have no leader yet.
        wait_for("the end of a log", || consumer.fetch_watermarks(topic, partition, DEADLINE).ok()).1
    }

    /// Waits until the group's position on each partition is the log's end.
    pub fn wait_position_at_end(&self, group: &str, topic: &str) {
        let partitions = i32::try_from(self.partitions(topic)).unwrap();
        wait_for(&format!("{group} reaches the end of {topic}"), || {
            let committed = self.committed(group, topic);
            (0..partitions).all(|p| committed.get(&p) == Some(&self.end(topic, p))).then_some(())
        });
    }
}

/// Queues records as [`Cluster::fill`] does.
pub fn put(producer: &BaseProducer, topic: &str, partition: i32, first: usize, count: usize) {
    for number in first..first + count {
        let text = number.to_string();
        loop {
            let record = BaseRecord::to(topic).partition(partition).key(&text).payload(&text);
            match producer.send(record) {
                Ok(()) => break,
                Err(_) => {
                    producer.poll(Duration::from_millis(10));
                }
            }
        }
    }
}

/// A manifest: `spec` in YAML flow or block style below `spec:`, indented by two.
pub fn manifest(group: &str, topics: &str, rest: &str) -> String {
    let (source, target) = (env("SOURCE_BOOTSTRAP"), env("TARGET_BOOTSTRAP"));
    format!(
        "apiVersion: k2k.dev/v1alpha1\nkind: K2KReplicator\nmetadata: {{ name: eu-to-us }}\nspec:\n  \
         source: {{ bootstrapServers: \"{source}\", consumerGroup: {group} }}\n  \
         target: {{ bootstrapServers: \"{target}\" }}\n  \
         features: {{ tracingHeaders: {{ topic: Enabled, partition: Enabled, offset: Enabled }} }}\n  \
         replication:\n  - topics: [\"{topics}\"]\n{rest}"
    )
}

/// A replicator that runs. Killed when dropped.
pub struct Replicator {
    child: Child,
    folder: PathBuf,
}

impl Replicator {
    pub fn start(manifest: &str) -> Self {
        Self::start_with(manifest, &[])
    }

    pub fn start_with(manifest: &str, env: &[(&str, &str)]) -> Self {
        let folder = std::env::temp_dir().join(unique("appmigration-replicator"));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("replicator.yaml"), manifest).unwrap();
        let log = File::create(folder.join("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_appmigration"))
            .args(["replicate", "--refresh-seconds", "2", "--progress-seconds", "1", "--file"])
            .arg(folder.join("replicator.yaml"))
            .envs(env.iter().copied())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, folder }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Waits for a line with this text.
    pub fn wait_log(&mut self, text: &str) {
        let until = Instant::now() + DEADLINE;
        while !self.log().contains(text) {
            assert!(Instant::now() < until, "no `{text}` in:\n{}", self.log());
            if let Some(status) = self.child.try_wait().unwrap() {
                assert!(self.log().contains(text), "{status} without `{text}`:\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and how it ended.
    pub fn terminate(mut self) -> (ExitStatus, Duration, String) {
        let start = Instant::now();
        let signal = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status().unwrap();
        assert!(signal.success());
        let status = self.wait_exit();
        (status, start.elapsed(), self.log())
    }

    /// Waits until it ends by itself.
    pub fn wait_exit(&mut self) -> ExitStatus {
        wait_for("the replicator ends", || self.child.try_wait().unwrap())
    }

    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Replicator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- log of the replicator\n{}", self.log());
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// How often the copies went back to repeat.
#[derive(Debug, PartialEq, Eq)]
pub struct Repeats {
    pub rewinds: usize,
    pub records: usize,
}

/// The proof for a copy with the same partitions: each source record has a copy with the same key, value and
/// timestamp, and on each target partition the origins run through the source's records one after the other,
/// but for rewinds, which repeat and never skip.
pub fn assert_complete(source: &[Record], target: &[Record]) -> Repeats {
    let mut repeats = Repeats { rewinds: 0, records: 0 };
    let mut by_partition: BTreeMap<i32, Vec<&Record>> = BTreeMap::new();
    for record in source {
        by_partition.entry(record.partition).or_default().push(record);
    }
    for (partition, originals) in by_partition {
        let mut next = 0;
        let mut furthest = 0;
        for copy in target.iter().filter(|copy| copy.partition == partition) {
            let (origin_partition, origin) = copy.origin();
            assert_eq!(origin_partition, partition);
            let place = originals.binary_search_by_key(&origin, |original| original.offset);
            let place =
                place.unwrap_or_else(|_| panic!("offset {origin} is no record of the source: {copy:?}"));
            assert!(place <= next, "{partition}: after {next} comes {place}: something was skipped");
            if place < next {
                repeats.rewinds += 1;
            }
            if place < furthest {
                repeats.records += 1;
            }
            let original = originals[place];
            assert_eq!((&copy.key, &copy.value), (&original.key, &original.value));
            assert_eq!(copy.timestamp, original.timestamp, "{copy:?}");
            next = place + 1;
            furthest = furthest.max(next);
        }
        assert_eq!(furthest, originals.len(), "partition {partition}: copied, of how many there are");
    }
    repeats
}
