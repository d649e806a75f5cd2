//! The logs of a real cluster, as the search looks into them.

use super::{Glimpse, Log, Probe};
use crate::{
    kafka::{LookFailed, OriginHeaders, Prober, ScanRange},
    mapping::{TargetOffset, origin::RawOrigin},
};

impl Log for Prober {
    type Error = LookFailed;

    fn look(&mut self, probes: &[Probe]) -> Result<Vec<Glimpse>, LookFailed> {
        let range = |p: &Probe| ScanRange { partition: p.target.clone(), from: p.from.0, to: p.to.0 };
        let ranges: Vec<ScanRange> = probes.iter().map(range).collect();
        let mut glimpses = vec![Glimpse::default(); probes.len()];
        let covered = Self::look(self, &ranges, |index, record| {
            glimpses[index].records.push((TargetOffset(record.offset), raw_origin(&record.origin())));
        })?;
        for (glimpse, to) in glimpses.iter_mut().zip(covered) {
            glimpse.covered_to = TargetOffset(to);
        }
        Ok(glimpses)
    }
}

/// The header values as the rules take them: a null is no bytes.
pub fn raw_origin(headers: &OriginHeaders<'_>) -> RawOrigin {
    let bytes = |value: Option<Option<&[u8]>>| value.map(|bytes| bytes.unwrap_or_default().to_vec());
    RawOrigin {
        topic: bytes(headers.topic),
        partition: bytes(headers.partition),
        offset: bytes(headers.offset),
        pipeline: bytes(headers.pipeline),
    }
}
