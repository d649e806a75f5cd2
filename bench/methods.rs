//! The ways to find positions.

use std::{
    collections::BTreeMap,
    future::Future,
    ops::ControlFlow,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use appmigration::{
    TopicPartition,
    api::v1alpha1::Encoding,
    kafka::{Cluster, HeaderNames, LogRecord, Prober, ScanRange},
    mapping::{
        SourceOffset, TargetOffset,
        origin::{Implied, OriginFormat},
    },
    search::{self, Wanted},
};

use super::logs::SOURCE;

const STALL: Duration = Duration::from_secs(30);

/// The position of each partition, and what it took.
pub struct Answer {
    pub positions: Vec<i64>,
    pub rounds: u32,
    pub probes: u64,
    pub read: u64,
}

type Run = for<'a> fn(&'a Cluster, &'a str, i64, &'a [i64]) -> Pin<Box<dyn Future<Output = Answer> + 'a>>;

/// One way.
pub struct Method {
    pub name: &'static str,
    pub run: Run,
}

pub const ALL: [Method; 3] = [
    Method { name: "search (ours)", run: |c, t, n, committed| Box::pin(searched(c, t, n, committed)) },
    Method {
        name: "binary search, one by one",
        run: |c, t, n, committed| Box::pin(one_by_one(c, t, n, committed)),
    },
    Method { name: "scan of every header", run: |c, t, n, committed| Box::pin(scanned(c, t, n, committed)) },
];

fn names() -> HeaderNames {
    let name = |name: &str| Some(name.to_owned());
    HeaderNames {
        topic: name("k2k_topic"),
        partition: name("k2k_partition"),
        offset: name("k2k_offset"),
        pipeline: None,
    }
}

fn at(topic: &str, partition: usize) -> TopicPartition {
    TopicPartition::new(topic, i32::try_from(partition).unwrap())
}

fn origin(record: &LogRecord<'_>) -> i64 {
    let offset = record.origin().offset.flatten().unwrap();
    std::str::from_utf8(offset).unwrap().parse().unwrap()
}

async fn searched(cluster: &Cluster, topic: &str, records: i64, committed: &[i64]) -> Answer {
    let names = names();
    let format = OriginFormat {
        topic: names.topic.clone(),
        partition: names.partition.clone(),
        offset: names.offset.clone(),
        pipeline: None,
        encoding: Encoding::Auto,
    };
    let wanted = |(n, c): (usize, &i64)| {
        let (start, end) = (TargetOffset(0), TargetOffset(records));
        let committed = BTreeMap::from([(at(SOURCE, n), SourceOffset(*c))]);
        (at(topic, n), Wanted { start, end, implied: Implied::default(), committed })
    };
    let wanted: BTreeMap<_, _> = committed.iter().enumerate().map(wanted).collect();
    let work = move |prober: &mut Prober| search::search(prober, &format, &wanted);
    let found = cluster.probe(names, STALL, work).await.unwrap();
    assert!(found.unfit.is_empty(), "{:?}", found.unfit);
    Answer {
        positions: (0..committed.len()).map(|n| found.guesses[&at(topic, n)].position().unwrap().0).collect(),
        rounds: found.rounds,
        probes: found.guesses.values().map(|g| u64::from(g.probes)).sum(),
        read: found.guesses.values().map(|g| g.records).sum(),
    }
}

/// As a person would write it: the first record at the middle, until the interval is empty.
async fn one_by_one(cluster: &Cluster, topic: &str, records: i64, committed: &[i64]) -> Answer {
    let (topic, committed) = (topic.to_owned(), committed.to_vec());
    let work = move |prober: &mut Prober| {
        let (mut positions, mut probes, mut read) = (Vec::new(), 0, 0);
        for (n, c) in committed.iter().enumerate() {
            let (mut low, mut high) = (0, records);
            while low < high {
                let middle = low + (high - low) / 2;
                let mut first = None;
                let range = ScanRange { partition: at(&topic, n), from: middle, to: records };
                prober.look(&[range], |_, record| {
                    read += 1;
                    first.get_or_insert(origin(record));
                })?;
                probes += 1;
                if first.is_none_or(|s| s >= *c) { high = middle } else { low = middle + 1 }
            }
            positions.push(low);
        }
        Ok(Answer { positions, rounds: u32::try_from(probes).unwrap(), probes, read })
    };
    cluster.probe(names(), STALL, work).await.unwrap()
}

async fn scanned(cluster: &Cluster, topic: &str, records: i64, committed: &[i64]) -> Answer {
    let range = |n: usize| ScanRange { partition: at(topic, n), from: 0, to: records };
    let found = Arc::new(Mutex::new(vec![None; committed.len()]));
    let (feed, wanted) = (Arc::clone(&found), committed.to_vec());
    let stats = cluster
        .scan((0..committed.len()).map(range).collect(), names(), STALL, move |at, record| {
            let n = usize::try_from(at.partition).unwrap();
            if origin(record) >= wanted[n] {
                feed.lock().unwrap()[n].get_or_insert(record.offset);
            }
            ControlFlow::Continue(())
        })
        .await
        .unwrap();
    let positions = found.lock().unwrap().iter().map(|p| p.unwrap()).collect();
    Answer { positions, rounds: 1, probes: 0, read: stats.records }
}
