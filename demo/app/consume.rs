//! The application: reads committed records in a group, commits as it goes. On the source it holds at given
//! counts, as one that was stopped there would have.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer},
    error::KafkaError,
    message::{BorrowedMessage, Headers},
};
use serde_json::Value;

use crate::{
    File, Outcome,
    broker::Group,
    records::{Journal, Read},
};

/// Records between two commits.
const COMMIT_EVERY: usize = 20;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    group: Group,
    /// File that every record read is appended to.
    #[arg(long)]
    out: File,
    /// Partitions on which to hold after so many records, as `0=90,1=57`.
    #[arg(long, value_delimiter = ',', value_parser = hold)]
    hold: Vec<(i32, usize)>,
}

fn hold(text: &str) -> Result<(i32, usize), String> {
    let parse = |(partition, count): (&str, &str)| Some((partition.parse().ok()?, count.parse().ok()?));
    text.split_once('=').and_then(parse).ok_or_else(|| "must be PARTITION=COUNT".to_owned())
}

struct Application {
    consumer: BaseConsumer,
    topic: String,
    journal: Journal,
    hold: BTreeMap<i32, usize>,
    /// Records handled, by partition.
    handled: BTreeMap<i32, usize>,
    /// What is to be committed: the next record of each partition.
    next: BTreeMap<i32, i64>,
    uncommitted: usize,
    /// Partitions where nothing more is done for now.
    resting: BTreeSet<i32>,
}

pub fn run(arguments: &Arguments) -> Outcome<()> {
    let stop = stop_on_signal()?;
    let group = &arguments.group;
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &group.at.bootstrap)
        .set("group.id", &group.group)
        .set("client.id", "orders-app")
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()?;
    consumer.subscribe(&[&group.at.topic])?;
    let mut application = Application {
        consumer,
        topic: group.at.topic.clone(),
        journal: Journal::append(&arguments.out)?,
        hold: arguments.hold.iter().copied().collect(),
        handled: BTreeMap::new(),
        next: BTreeMap::new(),
        uncommitted: 0,
        resting: BTreeSet::new(),
    };
    while !stop.load(Ordering::Relaxed) {
        application.turn()?;
    }
    application.commit()
}

impl Application {
    fn turn(&mut self) -> Outcome<()> {
        // The message borrows the consumer; what is needed of it is taken out first.
        let (partition, record) = match self.consumer.poll(Duration::from_millis(50)) {
            None => return Ok(()),
            Some(Err(KafkaError::PartitionEOF(partition))) => (partition, None),
            Some(Err(error)) => return Err(error.into()),
            Some(Ok(message)) => (message.partition(), Some(read(&message)?)),
        };
        let Some(record) = record else {
            return self.rest(partition);
        };
        let handled = self.handled.entry(partition).or_default();
        if self.hold.get(&partition).is_some_and(|limit| *handled >= *limit) {
            self.pause(partition)?;
            return self.rest(partition);
        }
        *handled += 1;
        self.next.insert(partition, record.offset + 1);
        self.uncommitted += 1;
        self.journal.write(&record)?;
        if self.uncommitted >= COMMIT_EVERY { self.commit() } else { Ok(()) }
    }

    /// Nothing more to do on this partition for now.
    fn rest(&mut self, partition: i32) -> Outcome<()> {
        self.commit()?;
        let assigned = self.consumer.assignment()?.count();
        if self.resting.insert(partition) && self.resting.len() == assigned {
            println!("settled");
        }
        Ok(())
    }

    fn pause(&self, partition: i32) -> Outcome<()> {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, partition);
        Ok(self.consumer.pause(&list)?)
    }

    fn commit(&mut self) -> Outcome<()> {
        self.journal.flush()?;
        if self.uncommitted == 0 {
            return Ok(());
        }
        let mut list = TopicPartitionList::new();
        for (partition, next) in &self.next {
            list.add_partition_offset(&self.topic, *partition, Offset::Offset(*next))?;
        }
        self.consumer.commit(&list, CommitMode::Sync)?;
        self.uncommitted = 0;
        Ok(())
    }
}

fn read(message: &BorrowedMessage<'_>) -> Outcome<Read> {
    let value: Value = serde_json::from_slice(message.payload().unwrap_or_default())?;
    let header = |name: &str| {
        let headers = message.headers()?;
        let value = headers.iter().filter(|header| header.key == name).last()?.value?;
        std::str::from_utf8(value).ok()?.parse().ok()
    };
    Ok(Read {
        partition: message.partition(),
        offset: message.offset(),
        id: value["order"].as_str().ok_or("a record without an order")?.to_owned(),
        origin: header("k2k_offset"),
    })
}

/// Set once SIGTERM or SIGINT has come.
fn stop_on_signal() -> Outcome<Arc<AtomicBool>> {
    use tokio::signal::unix::{SignalKind, signal};
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (mut terminate, mut interrupt) = runtime.block_on(async {
        Ok::<_, std::io::Error>((signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?))
    })?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        });
        flag.store(true, Ordering::Relaxed);
    });
    Ok(stop)
}
