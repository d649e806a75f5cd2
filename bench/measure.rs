//! A measurement: a process of its own that does the job once and tells what it took.

use std::{
    future::Future,
    io::Write,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    cases::{Case, Log},
    logs,
    methods::{self, Answer, Method},
};

/// A measurement is repeated while all of them take less than this, at most [`REPEATS`] times.
const PATIENCE: Duration = Duration::from_secs(15);
const REPEATS: usize = 5;

/// What a child process is told to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    pub bootstrap: String,
    pub topic: String,
    pub partitions: i32,
    pub records: i64,
    pub method: Method,
    /// Through the proxy everything passes the loopback interface twice.
    proxied: bool,
}

impl Job {
    pub fn new(log: &Log, case: &Case, method: Method) -> Self {
        let proxied = case.delay_ms > 0;
        Self {
            bootstrap: logs::address(if proxied { "TARGET_PROXY" } else { "TARGET_BOOTSTRAP" }),
            topic: log.topic.to_owned(),
            partitions: case.partitions,
            records: case.records,
            method,
            proxied,
        }
    }
}

/// What it took.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figures {
    pub seconds: f64,
    pub rounds: u32,
    pub probes: u64,
    /// Records read.
    pub records: u64,
    /// What passed the loopback interface, both ways.
    pub bytes: u64,
    /// The process's largest resident memory, in bytes.
    pub memory: u64,
    /// The fastest and the slowest of all runs.
    #[serde(default)]
    pub spread: (f64, f64),
    #[serde(default)]
    pub runs: usize,
}

impl Figures {
    /// The run of the median duration.
    pub fn median_of(job: &Job) -> Self {
        let start = Instant::now();
        let mut runs = vec![run(job)];
        while runs.len() < REPEATS && start.elapsed() < PATIENCE {
            runs.push(run(job));
        }
        runs.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
        let spread = (runs[0].seconds, runs[runs.len() - 1].seconds);
        let memory = runs.iter().map(|r| r.memory).max().unwrap_or_default();
        Self { spread, memory, runs: runs.len(), ..runs[(runs.len() - 1) / 2].clone() }
    }

    pub fn json(&self, case: &Case, method: Method) -> serde_json::Value {
        json!({
            "case": case.name, "method": method.name(), "seconds": self.seconds, "rounds": self.rounds,
            "probes": self.probes, "bytes": self.bytes, "peakMemory": self.memory, "recordsRead": self.records,
            "fastest": self.spread.0, "slowest": self.spread.1, "runs": self.runs,
        })
    }
}

fn run(job: &Job) -> Figures {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["measure", &serde_json::to_string(job).unwrap()])
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(child.status.success(), "{job:?}");
    serde_json::from_slice(&child.stdout).unwrap()
}

/// The child: does the job, checks the answer, prints the figures.
pub fn child(job: &str) {
    let job: Job = serde_json::from_str(job).unwrap();
    let before = loopback();
    let (seconds, answer) = block_on(methods::run(&job));
    let bytes = loopback().saturating_sub(before) / if job.proxied { 2 } else { 1 };
    let Answer { rounds, probes, records } = answer;
    let figures =
        Figures { seconds, rounds, probes, records, bytes, memory: peak(), spread: (0.0, 0.0), runs: 1 };
    std::io::stdout().write_all(&serde_json::to_vec(&figures).unwrap()).unwrap();
}

/// Bytes that have passed the loopback interface; whatever else runs on the machine is in them.
fn loopback() -> u64 {
    let read = std::fs::read_to_string("/sys/class/net/lo/statistics/rx_bytes");
    read.ok().and_then(|text| text.trim().parse().ok()).unwrap_or_default()
}

/// The largest resident memory of this process, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or_default() * 1_024
}

pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(work)
}
