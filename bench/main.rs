//! `make bench`: how long it takes to find a group's place on the target, beside the plain ways to do it, on the
//! same logs and in the same run. Every answer is checked.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod logs;
mod methods;

use std::{
    fs::{File, create_dir_all},
    io::Write,
    time::Instant,
};

use methods::Answer;

/// One case: a topic with so many partitions and records.
const CASES: [(&str, i32, i64); 2] = [("100 x 20,000", 100, 20_000), ("1 x 2,000,000", 1, 2_000_000)];

#[tokio::main]
async fn main() {
    create_dir_all("target").unwrap();
    let mut lines = File::create("target/bench.jsonl").unwrap();
    println!(
        "{:<16} {:<28} {:>9} {:>7} {:>8} {:>12}",
        "case", "method", "seconds", "rounds", "probes", "records read"
    );
    for (case, partitions, records) in CASES {
        let topic = logs::write(partitions, records).await;
        let cluster = logs::cluster().await;
        let committed = logs::committed(partitions, records);
        for method in methods::ALL {
            let start = Instant::now();
            let Answer { positions, rounds, probes, read } =
                (method.run)(&cluster, &topic, records, &committed).await;
            let seconds = start.elapsed().as_secs_f64();
            assert_eq!(positions, committed, "{case}, {}", method.name);
            println!("{case:<16} {:<28} {seconds:>9.3} {rounds:>7} {probes:>8} {read:>12}", method.name);
            let line = serde_json::json!({
                "case": case, "method": method.name, "seconds": seconds, "rounds": rounds, "probes": probes,
                "recordsRead": read,
            });
            writeln!(lines, "{line}").unwrap();
        }
    }
}
