//! Questions to a broker: what a group has committed, where the logs end.

use std::{
    collections::BTreeMap,
    thread::sleep,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
};

use crate::{Outcome, Topic, records::Committed};

const DEADLINE: Duration = Duration::from_secs(20);

/// A group that reads a topic.
#[derive(clap::Args)]
pub struct Group {
    #[command(flatten)]
    pub at: Topic,
    #[arg(long)]
    pub group: String,
}

#[derive(clap::Args)]
pub struct CaughtUp {
    #[command(flatten)]
    group: Group,
    /// Seconds after which it fails.
    #[arg(long, default_value_t = 60)]
    timeout: u64,
}

pub fn create_topic(at: &Topic, partitions: i32) -> Outcome<()> {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &at.bootstrap).create()?;
    let topic = NewTopic::new(&at.topic, partitions, TopicReplication::Fixed(1));
    let create = admin.create_topics([&topic], &AdminOptions::new());
    let results = tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(create)?;
    for result in results {
        result.map_err(|(topic, code)| format!("{topic}: {code}"))?;
    }
    Ok(())
}

/// Reads as a member would, without joining.
fn observer(group: &Group) -> Outcome<BaseConsumer> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &group.at.bootstrap).set("group.id", &group.group);
    // The end is then the last stable offset.
    config.set("isolation.level", "read_committed").set("enable.auto.commit", "false");
    Ok(config.create()?)
}

fn partitions(consumer: &BaseConsumer, topic: &str) -> Outcome<Vec<i32>> {
    let metadata = consumer.fetch_metadata(Some(topic), DEADLINE)?;
    let topic = metadata.topics().first().ok_or("no metadata")?;
    Ok(topic.partitions().iter().map(rdkafka::metadata::MetadataPartition::id).collect())
}

fn committed(consumer: &BaseConsumer, topic: &str, partitions: &[i32]) -> Outcome<BTreeMap<i32, i64>> {
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition(topic, *partition);
    }
    let list = consumer.committed_offsets(list, DEADLINE)?;
    let offset = |offset| {
        if let Offset::Offset(offset) = offset { Some(offset) } else { None }
    };
    Ok(list.elements().iter().filter_map(|e| Some((e.partition(), offset(e.offset())?))).collect())
}

pub fn print_offsets(group: &Group) -> Outcome<()> {
    let consumer = observer(group)?;
    let partitions = partitions(&consumer, &group.at.topic)?;
    for (partition, offset) in committed(&consumer, &group.at.topic, &partitions)? {
        println!("{}", serde_json::to_string(&Committed { partition, offset })?);
    }
    Ok(())
}

pub fn caught_up(arguments: &CaughtUp) -> Outcome<()> {
    let Group { at, group } = &arguments.group;
    let deadline = Instant::now() + Duration::from_secs(arguments.timeout);
    let consumer = observer(&arguments.group)?;
    loop {
        let partitions = partitions(&consumer, &at.topic)?;
        let committed = committed(&consumer, &at.topic, &partitions)?;
        let mut behind = Vec::new();
        for partition in partitions {
            let (start, end) = consumer.fetch_watermarks(&at.topic, partition, DEADLINE)?;
            let at = committed.get(&partition).copied().unwrap_or(start);
            if at < end {
                behind.push(format!("{partition} at {at} of {end}"));
            }
        }
        if behind.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            let seconds = arguments.timeout;
            return Err(
                format!("group {group} is still behind after {seconds} s: {}", behind.join(", ")).into()
            );
        }
        sleep(Duration::from_millis(100));
    }
}
