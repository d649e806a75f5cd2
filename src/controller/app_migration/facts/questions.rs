//! Answers what the rules ask of the source: reads the few records that decide, `read_committed`.

use std::{
    collections::BTreeSet,
    ops::ControlFlow,
    sync::{Arc, Mutex},
};

use crate::{
    TopicPartition,
    kafka::{Cluster, HeaderNames, ScanRange},
    mapping::{Question, SourceLogs, SourceOffset},
};

use super::{
    super::super::fault::{Fault, Side},
    STALL, key_digest, locked,
};

/// Offsets that are looked at first where one record decides; then ever more.
const FIRST_STRETCH: i64 = 4_096;

/// Reads what the rules ask of the source. Where one record decides, in stretches that grow. False where the
/// log start has moved into what was asked for: what was there is not known then.
pub async fn answer(source: &Cluster, questions: &[Question], logs: &mut SourceLogs) -> Result<bool, Fault> {
    let mut stretches = Vec::new();
    for question in questions {
        let Some(log) = logs.get(&question.partition) else {
            continue;
        };
        let Some(from) = log.first_unknown(question.from, question.to) else {
            continue;
        };
        let to = if question.first_only {
            let known = from.0 - question.from.0;
            question.to.min(SourceOffset(from.0 + FIRST_STRETCH.max(known)))
        } else {
            question.to
        };
        stretches.push((question.partition.clone(), from, to, question.keys));
    }
    let ranges = stretches
        .iter()
        .map(|(q, from, to, _)| ScanRange { partition: q.clone(), from: from.0, to: to.0 })
        .collect();
    let keyed: BTreeSet<TopicPartition> =
        stretches.iter().filter(|(.., keys)| *keys).map(|(q, ..)| q.clone()).collect();
    let shared = Arc::new(Mutex::new(std::mem::take(logs)));
    let feed = Arc::clone(&shared);
    let scanned = source
        .scan(ranges, HeaderNames::default(), STALL, move |q, record| {
            let key = if keyed.contains(q) { record.key.map(key_digest) } else { None };
            let mut logs = locked(&feed);
            if let Some(log) = logs.get_mut(q) {
                log.record(SourceOffset(record.offset), key);
            }
            ControlFlow::Continue(())
        })
        .await;
    *logs = std::mem::take(&mut *locked(&shared));
    let stats = scanned.map_err(|error| Fault::kafka(Side::Source, &error))?;
    if !stats.truncated.is_empty() {
        return Ok(false);
    }
    for (q, from, to, _) in stretches {
        if let Some(log) = logs.get_mut(&q) {
            log.cover(from, to);
        }
    }
    Ok(true)
}
