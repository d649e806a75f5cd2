//! The ways to find positions and to prove them. Each checks its own answer.

mod ours;
mod plain;

use std::time::Instant;

use appmigration::TopicPartition;
use serde::{Deserialize, Serialize};

use super::{
    logs::{cluster, committed},
    measure::Job,
};

/// One way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Method {
    /// Ours: all partitions together.
    Search,
    /// The first record at the middle, until the interval is empty; one partition after another. With small
    /// fetches that come at once, and with the client's default settings.
    QuickBinary,
    DefaultBinary,
    /// Every header of every record.
    QuickScan,
    DefaultScan,
    /// Ours: the backlog read and taken in. The group lags behind by so many per cent of the log.
    Proof {
        lag: i64,
    },
    /// The same records by the bare client, which looks at none of them.
    Consume {
        lag: i64,
    },
}

impl Method {
    pub fn name(self) -> String {
        match self {
            Self::Search => "search (ours)".into(),
            Self::QuickBinary => "binary search, quick fetches".into(),
            Self::DefaultBinary => "binary search, default settings".into(),
            Self::QuickScan => "scan, quick fetches".into(),
            Self::DefaultScan => "scan, default settings".into(),
            Self::Proof { lag } => format!("proof (ours), lag {lag} %"),
            Self::Consume { lag } => format!("bare consume, lag {lag} %"),
        }
    }
}

/// What it took, besides time.
#[derive(Default)]
pub struct Answer {
    pub rounds: u32,
    pub probes: u64,
    pub records: u64,
}

/// Does the job: how many seconds it took, the set-up of its own clients included.
pub async fn run(job: &Job) -> (f64, Answer) {
    let wanted = match job.method {
        Method::Proof { lag } | Method::Consume { lag } => {
            vec![job.records - job.records * lag / 100; usize::try_from(job.partitions).unwrap()]
        }
        _ => committed(job.partitions, job.records),
    };
    // The operator is connected anyway.
    let connected = match job.method {
        Method::Search | Method::Proof { .. } => Some(cluster(&job.bootstrap).await),
        _ => None,
    };
    let start = Instant::now();
    let answer = match (job.method, &connected) {
        (Method::Search, Some(cluster)) => ours::search(cluster, job, &wanted).await,
        (Method::Proof { .. }, Some(cluster)) => ours::proof(cluster, job, &wanted).await,
        (Method::QuickBinary | Method::DefaultBinary, _) => plain::binary(job, &wanted),
        (Method::Consume { .. }, _) => plain::consume(job, &wanted),
        _ => plain::scan(job, &wanted),
    };
    (start.elapsed().as_secs_f64(), answer)
}

fn at(topic: &str, partition: usize) -> TopicPartition {
    TopicPartition::new(topic, i32::try_from(partition).unwrap())
}
