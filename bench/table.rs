//! The table.

use super::{cases::Case, measure::Figures, methods::Method};

pub fn head() {
    println!(
        "{:<28} {:<34} {:>8} {:>17} {:>6} {:>7} {:>11} {:>9} {:>9}",
        "case",
        "method",
        "seconds",
        "fastest, slowest",
        "rounds",
        "probes",
        "records",
        "MB read",
        "MB memory"
    );
}

pub fn row(case: &Case, method: Method, figures: &Figures) {
    let (fastest, slowest) = figures.spread;
    let count = |n: u64| if n == 0 { "-".to_owned() } else { n.to_string() };
    println!(
        "{:<28} {:<34} {:>8.3} {:>17} {:>6} {:>7} {:>11} {:>9.1} {:>9.0}",
        case.name,
        method.name(),
        figures.seconds,
        format!("{fastest:.3} {slowest:.3} ({})", figures.runs),
        count(u64::from(figures.rounds)),
        count(figures.probes),
        figures.records,
        megabytes(figures.bytes),
        megabytes(figures.memory),
    );
}

#[allow(clippy::cast_precision_loss)] // For people.
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
