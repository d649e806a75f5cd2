//! Ours, as the operator does it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::ControlFlow,
    sync::{Arc, Mutex},
    time::Duration,
};

use appmigration::{
    TopicPartition,
    api::v1alpha1::Encoding,
    kafka::{Cluster, HeaderNames, Prober, ScanRange},
    mapping::{
        SourceOffset, TargetOffset,
        digest::{Digests, TargetDigest},
        origin::{Implied, OriginFormat},
    },
    search::{self, Wanted, raw_origin},
};

use super::{Answer, at};
use crate::{logs::SOURCE, measure::Job};

const STALL: Duration = Duration::from_secs(30);

fn format() -> OriginFormat {
    let name = |name: &str| Some(name.to_owned());
    OriginFormat {
        topic: name("k2k_topic"),
        partition: name("k2k_partition"),
        offset: name("k2k_offset"),
        pipeline: None,
        encoding: Encoding::Auto,
    }
}

fn names() -> HeaderNames {
    let OriginFormat { topic, partition, offset, pipeline, .. } = format();
    HeaderNames { topic, partition, offset, pipeline }
}

pub async fn search(cluster: &Cluster, job: &Job, committed: &[i64]) -> Answer {
    let format = format();
    let wanted = |(n, c): (usize, &i64)| {
        let (start, end) = (TargetOffset(0), TargetOffset(job.records));
        let committed = BTreeMap::from([(at(SOURCE, n), SourceOffset(*c))]);
        (
            at(&job.topic, n),
            Wanted { start, end, implied: Implied::default(), committed, hints: BTreeMap::new() },
        )
    };
    let wanted: BTreeMap<_, _> = committed.iter().enumerate().map(wanted).collect();
    let work = move |prober: &mut Prober| search::search(prober, &format, &wanted);
    let found = cluster.probe(names(), STALL, work).await.unwrap();
    assert!(found.unfit.is_empty(), "{:?}", found.unfit);
    for (n, c) in committed.iter().enumerate() {
        assert_eq!(found.guesses[&at(&job.topic, n)].position(), Some(TargetOffset(*c)), "partition {n}");
    }
    Answer {
        rounds: found.rounds,
        probes: found.guesses.values().map(|g| u64::from(g.probes)).sum(),
        records: found.guesses.values().map(|g| g.records).sum(),
    }
}

/// Reads the backlog of each partition and takes every record in, as the mapping does.
pub async fn proof(cluster: &Cluster, job: &Job, committed: &[i64]) -> Answer {
    let digest = |n: usize| {
        let digest = TargetDigest::new(format(), Implied::default(), BTreeSet::from([at(SOURCE, n)]));
        (at(&job.topic, n), digest)
    };
    let digests: HashMap<TopicPartition, TargetDigest> = (0..committed.len()).map(digest).collect();
    let range =
        |(n, from): (usize, &i64)| ScanRange { partition: at(&job.topic, n), from: *from, to: job.records };
    let ranges = committed.iter().enumerate().map(range).collect();
    let shared = Arc::new(Mutex::new(Digests::new(digests)));
    let feed = Arc::clone(&shared);
    let stats = cluster
        .scan(ranges, names(), STALL, move |target, record| {
            let raw = raw_origin(record.origin());
            feed.lock().unwrap().record(target, TargetOffset(record.offset), &raw, None);
            ControlFlow::Continue(())
        })
        .await
        .unwrap();
    let digests = std::mem::take(&mut *shared.lock().unwrap());
    for (target, found) in digests.finish() {
        let n = usize::try_from(target.partition).unwrap();
        let seen = found.sources[&at(SOURCE, n)].records;
        assert_eq!(seen, (job.records - committed[n]).unsigned_abs(), "{target}");
    }
    Answer { rounds: 0, probes: 0, records: stats.records }
}
