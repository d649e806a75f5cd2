//! Two producers that write in transactions, some of them aborted: the source's log gets markers and records
//! that nobody may read, so that its offsets are not those of the copies.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use rdkafka::{
    ClientConfig,
    producer::{BaseProducer, BaseRecord, Producer},
};
use serde_json::json;

use crate::{
    File, Outcome, Topic,
    records::{self, Journal, Sent},
};

const DEADLINE: Duration = Duration::from_secs(30);
const PRODUCERS: u64 = 2;
/// Of so many transactions one is aborted.
const ABORTED: u64 = 6;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    at: Topic,
    /// File that every record's fate is appended to.
    #[arg(long)]
    ledger: File,
    /// How many transactions.
    #[arg(long)]
    transactions: u64,
    /// Which partitions are written to.
    #[arg(long, value_delimiter = ',')]
    partitions: Vec<i32>,
}

/// What the producers share: the next number of each partition, and the ledger.
struct Ledger {
    journal: Journal,
    next: BTreeMap<i32, u64>,
}

pub fn run(arguments: &Arguments) -> Outcome<()> {
    let mut next = BTreeMap::new();
    for sent in records::load::<Sent>(&arguments.ledger)? {
        *next.entry(sent.partition).or_default() += 1;
    }
    let before: u64 = next.values().sum();
    let journal = Journal::append(&arguments.ledger)?;
    let ledger = Arc::new(Mutex::new(Ledger { journal, next }));
    thread::scope(|scope| {
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|number| {
                let ledger = Arc::clone(&ledger);
                scope.spawn(move || produce(arguments, number, before, &ledger))
            })
            .collect();
        for producer in producers {
            producer.join().map_err(|_| "a producer panicked")??;
        }
        Ok(())
    })
}

fn produce(arguments: &Arguments, number: u64, seed: u64, ledger: &Mutex<Ledger>) -> Outcome<()> {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &arguments.at.bootstrap)
        .set("transactional.id", format!("shop-{number}"))
        .create()?;
    producer.init_transactions(DEADLINE)?;
    let mut dice = Dice(seed * PRODUCERS + number + 1);
    for transaction in 0..arguments.transactions / PRODUCERS {
        let mut batch = Vec::new();
        for partition in &arguments.partitions {
            // Two of three partitions, one to eight records each.
            let count = if dice.roll(3) == 0 { 0 } else { 1 + dice.roll(8) };
            batch.extend((0..count).map(|_| *partition));
        }
        let committed = transaction % ABORTED != ABORTED - 1;
        let sent = number_them(&batch, committed, ledger);
        producer.begin_transaction()?;
        for record in &sent {
            send(&producer, &arguments.at.topic, record, dice.roll(100))?;
        }
        producer.flush(DEADLINE)?;
        if committed {
            producer.commit_transaction(DEADLINE)?;
        } else {
            producer.abort_transaction(DEADLINE)?;
        }
        let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
        for record in &sent {
            ledger.journal.write(record)?;
        }
        ledger.journal.flush()?;
    }
    Ok(())
}

/// Gives each record an identity that no other one has.
fn number_them(partitions: &[i32], committed: bool, ledger: &Mutex<Ledger>) -> Vec<Sent> {
    let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
    let mut identity = |partition: i32| {
        let next = ledger.next.entry(partition).or_default();
        *next += 1;
        format!("{partition}-{next}")
    };
    partitions
        .iter()
        .map(|partition| Sent { partition: *partition, id: identity(*partition), committed })
        .collect()
}

fn send(producer: &BaseProducer, topic: &str, record: &Sent, customer: u64) -> Outcome<()> {
    let key = format!("customer-{customer}");
    let value = json!({ "order": record.id, "customer": customer }).to_string();
    let mut message = BaseRecord::to(topic).partition(record.partition).key(&key).payload(&value);
    while let Err((error, back)) = producer.send(message) {
        if error.rdkafka_error_code() != Some(rdkafka::types::RDKafkaErrorCode::QueueFull) {
            return Err(error.into());
        }
        message = back;
        producer.poll(Duration::from_millis(10));
    }
    Ok(())
}

/// A small generator of numbers (Knuth's MMIX constants): the same demo every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}
