//! The verdict: every record that a producer committed must have been read exactly once, over both clusters.
//! Counted by the records' own identities, not by offsets.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::IsTerminal as _,
};

use crate::{
    File, Outcome,
    records::{self, Committed, Read, Sent},
};

#[derive(clap::Args)]
pub struct Arguments {
    /// What the producers wrote down.
    #[arg(long)]
    ledger: File,
    /// How many lines of it there were when the application was stopped.
    #[arg(long)]
    sent_before: usize,
    /// What the application read on the source.
    #[arg(long)]
    source: File,
    /// What it read on the target.
    #[arg(long)]
    target: File,
    /// The group's offsets on the source.
    #[arg(long)]
    committed: File,
    /// The group's offsets on the target, before the application started there.
    #[arg(long)]
    positions: File,
}

/// One line of the table.
#[derive(Default)]
struct Row {
    expected: BTreeSet<String>,
    /// How many of them were there when the application was stopped.
    before: usize,
    /// How often each record was read.
    times: BTreeMap<String, usize>,
    last_on_source: Option<i64>,
    first_on_target: Option<(i64, Option<i64>)>,
    on_source: usize,
    on_target: usize,
}

impl Row {
    fn lost(&self) -> usize {
        self.expected.iter().filter(|id| !self.times.contains_key(*id)).count()
    }

    fn again(&self) -> usize {
        self.times.values().map(|times| times - 1).sum()
    }

    /// Records of aborted transactions that were read.
    fn alien(&self) -> usize {
        self.times.keys().filter(|id| !self.expected.contains(*id)).count()
    }

    fn note(&self) -> &'static str {
        match self.on_source {
            0 => "never started",
            read if read >= self.before => "read to its end",
            _ => "stopped in the middle",
        }
    }
}

pub fn run(arguments: &Arguments) -> Outcome<()> {
    let rows = collect(arguments)?;
    let offsets = |file| -> Outcome<BTreeMap<i32, i64>> {
        Ok(records::load::<Committed>(file)?.into_iter().map(|c| (c.partition, c.offset)).collect())
    };
    let (committed, positions) = (offsets(&arguments.committed)?, offsets(&arguments.positions)?);
    print_table(&rows, &committed, &positions);
    verdict(&rows)
}

fn collect(arguments: &Arguments) -> Outcome<BTreeMap<i32, Row>> {
    let mut rows: BTreeMap<i32, Row> = BTreeMap::new();
    for (line, sent) in records::load::<Sent>(&arguments.ledger)?.into_iter().enumerate() {
        let row = rows.entry(sent.partition).or_default();
        if sent.committed {
            row.before += usize::from(line < arguments.sent_before);
            row.expected.insert(sent.id);
        }
    }
    for read in records::load::<Read>(&arguments.source)? {
        let row = rows.entry(read.partition).or_default();
        row.on_source += 1;
        row.last_on_source = row.last_on_source.max(Some(read.offset));
        *row.times.entry(read.id).or_default() += 1;
    }
    for read in records::load::<Read>(&arguments.target)? {
        let row = rows.entry(read.partition).or_default();
        row.on_target += 1;
        row.first_on_target.get_or_insert((read.offset, read.origin));
        *row.times.entry(read.id).or_default() += 1;
    }
    Ok(rows)
}

fn print_table(rows: &BTreeMap<i32, Row>, committed: &BTreeMap<i32, i64>, positions: &BTreeMap<i32, i64>) {
    let show = |offset: Option<&i64>| offset.map_or("-".to_owned(), ToString::to_string);
    println!("               source                target");
    println!("  partition    last read  committed  position   first read           lost   read again");
    for (partition, row) in rows {
        let first = match row.first_on_target {
            None => "-".to_owned(),
            Some((offset, None)) => offset.to_string(),
            Some((offset, Some(origin))) => format!("{offset} (source {origin})"),
        };
        println!(
            "  {partition:<12} {:<10} {:<10} {:<10} {first:<20} {} {}   {}",
            show(row.last_on_source.as_ref()),
            show(committed.get(partition)),
            show(positions.get(partition)),
            count(row.lost(), 6),
            count(row.again(), 10),
            row.note(),
        );
    }
}

/// Green where it is nothing, red where it is something; on a terminal.
fn count(number: usize, width: usize) -> String {
    paint(number == 0, &format!("{number:<width$}"))
}

fn paint(good: bool, text: &str) -> String {
    if !std::io::stdout().is_terminal() || std::env::var_os("NO_COLOR").is_some() {
        return text.to_owned();
    }
    format!("\x1b[{}m{text}\x1b[0m", if good { 32 } else { 31 })
}

fn verdict(rows: &BTreeMap<i32, Row>) -> Outcome<()> {
    let sum = |of: fn(&Row) -> usize| rows.values().map(of).sum::<usize>();
    let (lost, again, alien) = (sum(Row::lost), sum(Row::again), sum(Row::alien));
    let good = lost == 0 && again == 0 && alien == 0;
    let (expected, source, target) =
        (sum(|row| row.expected.len()), sum(|row| row.on_source), sum(|row| row.on_target));
    println!();
    println!(
        "  {expected} records were committed by the producers; the application read {source} on the source and {target} on the target."
    );
    let verdict = format!("lost {lost}, read again {again}, read of aborted transactions {alien}");
    println!("  {}", paint(good, &format!("{}: {verdict}", if good { "EXACT" } else { "NOT EXACT" })));
    if good { Ok(()) } else { Err("records were lost or read again".into()) }
}
