//! `make bench`: how long it takes to find a group's place on the target and to prove it, beside the plain ways
//! to do so, on the same logs and in the same run. Every answer is checked.
//!
//! Each measurement is a process of its own, so that its peak memory is its own. It is repeated while it is
//! short; the median counts, the spread is the machine's noise.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod cases;
mod logs;
mod measure;
mod methods;
mod proxy;
mod table;

use std::{
    fs::{File, create_dir_all},
    io::Write,
};

use cases::{Case, LOGS};
use measure::{Figures, Job};

fn main() {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("measure") => measure::child(&arguments.next().unwrap()),
        only => all(only.unwrap_or_default()),
    }
}

/// Every case whose name contains `only`.
fn all(only: &str) {
    create_dir_all("target").unwrap();
    let mut lines = File::create("target/bench.jsonl").unwrap();
    table::head();
    for log in LOGS {
        let cases: Vec<&Case> = log.cases.iter().filter(|case| case.name.contains(only)).collect();
        if cases.is_empty() {
            continue;
        }
        logs::write(&log);
        for case in cases {
            let _proxy = (case.delay_ms > 0).then(|| proxy::start(case.delay_ms));
            for method in case.methods {
                let job = Job::new(&log, case, *method);
                let figures = Figures::median_of(&job);
                table::row(case, *method, &figures);
                writeln!(lines, "{}", figures.json(case, *method)).unwrap();
            }
        }
        logs::delete(&log);
    }
}
