//! A plan as a table and as lines. Pure.

use std::fmt::Write as _;

use comfy_table::{Table, presets};
use jiff::Timestamp;

use crate::{
    mapping::{
        Plan,
        plan::{ProvenBy, RecordRef, SourceCertificate, TargetPlan},
    },
    printable::printable,
};

/// A time as people read it; what is none as it is.
fn to_the_second(time: &str) -> String {
    time.parse::<Timestamp>()
        .map_or_else(|_| printable(time).into_owned(), |time| time.strftime("%FT%TZ").to_string())
}

/// For a person: what is committed where, and why it is right there.
pub fn for_people(plan: &Plan, state: &str) -> String {
    let rows: Vec<_> = rows(plan).collect();
    let exact = rows.iter().filter(|(_, row)| row.exact).count();
    let mut text = format!(
        "Plan of {}: group {} goes on as {}\n  computed  {}\n  hash      {}\n  state     {state}\n  exact     {exact} of {}\n\n",
        printable(&plan.migration),
        printable(&plan.group),
        printable(&plan.target_group),
        to_the_second(&plan.computed_at),
        plan.hash(),
        rows.len(),
    );
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "SOURCE",
        "COMMITTED",
        "TARGET",
        "POSITION",
        "KIND",
        "BELOW",
        "AT",
        "REREAD",
        "GAP",
        "EXACT",
        "COMPLETE BY",
        "VERIFIED",
        "READ",
        "PROBES",
    ]);
    for (t, row) in &rows {
        table.add_row([
            format!("{}-{}", row.topic, row.partition),
            committed(row),
            t.target().to_string(),
            t.kept.map_or(t.position.to_string(), |kept| format!("{} (left at {kept})", t.position)),
            format!("{:?}", t.kind),
            record(row.below),
            record(row.at),
            row.reread.to_string(),
            row.gap.to_string(),
            if row.exact { "yes" } else { "no" }.to_owned(),
            proof(row.proven_by).to_owned(),
            printable(&row.verified).into_owned(),
            t.records_read.to_string(),
            t.probes.to_string(),
        ]);
    }
    let _ = writeln!(text, "{}", table.trim_fmt());
    let inexact: Vec<_> = rows.iter().filter(|(_, row)| !row.exact).collect();
    if !inexact.is_empty() {
        text.push_str("\nNot exact:\n");
        for (t, row) in inexact {
            let _ =
                writeln!(text, "  {}-{} on {}: {}", row.topic, row.partition, t.target(), row.why.join("; "));
        }
    }
    if !plan.left_out.is_empty() {
        text.push_str("\nLeft out:\n");
        for left in &plan.left_out {
            let partition = left.partition.map_or(String::new(), |n| format!("-{n}"));
            let _ = writeln!(text, "  {}{partition}: {}", left.topic, left.why);
        }
    }
    text.push_str(
        "\nBELOW and AT are the records on both sides of the position, as target offset (source offset): the group \
         has read the one below, and reads the one at first.\n",
    );
    text
}

/// For machines: a header and a line for each source and target partition.
pub fn csv(plan: &Plan) -> String {
    let mut text =
        "sourceTopic,sourcePartition,committed,targetTopic,targetPartition,position,kind,belowOffset,\
                    belowOrigin,atOffset,atOrigin,reread,gap,exact,provenBy,verified,recordsRead,probes\n"
            .to_owned();
    for (t, row) in rows(plan) {
        let pair = |r: Option<RecordRef>| r.map_or(",".to_owned(), |r| format!("{},{}", r.offset, r.origin));
        let _ = writeln!(
            text,
            "{},{},{},{},{},{},{:?},{},{},{},{},{},{},{},{},{}",
            row.topic,
            row.partition,
            row.committed,
            t.topic,
            t.partition,
            t.position,
            t.kind,
            pair(row.below),
            pair(row.at),
            row.reread,
            row.gap,
            row.exact,
            proof(row.proven_by),
            row.verified,
            t.records_read,
            t.probes
        );
    }
    text
}

fn rows(plan: &Plan) -> impl Iterator<Item = (&TargetPlan, &SourceCertificate)> {
    plan.targets.iter().flat_map(|t| t.sources.iter().map(move |row| (t, row)))
}

fn committed(row: &SourceCertificate) -> String {
    match &row.assumed {
        Some(policy) => format!("{} (none; {policy})", row.committed),
        None => row.committed.to_string(),
    }
}

fn record(record: Option<RecordRef>) -> String {
    record.map_or("-".to_owned(), |r| format!("{} ({})", r.offset, r.origin))
}

fn proof(proof: ProvenBy) -> &'static str {
    match proof {
        ProvenBy::ReplicatorPosition => "replicatorPosition",
        ProvenBy::Witness => "witness",
        ProvenBy::SourceExhausted => "sourceExhausted",
        ProvenBy::Waived => "waived",
    }
}
