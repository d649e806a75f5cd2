//! The logs of a real cluster, as the search looks into them.

use super::{Log, Probe};
use crate::{
    kafka::{LookFailed, OriginHeaders, Prober, ScanRange},
    mapping::{TargetOffset, origin::RawOrigin},
};

impl Log for Prober {
    type Error = LookFailed;

    fn look(
        &mut self,
        probes: &[Probe],
        on: &mut dyn FnMut(usize, TargetOffset, &RawOrigin<'_>),
    ) -> Result<Vec<TargetOffset>, LookFailed> {
        let range = |p: &Probe| ScanRange { partition: p.target.clone(), from: p.from.0, to: p.to.0 };
        let ranges: Vec<ScanRange> = probes.iter().map(range).collect();
        let covered = Self::look(self, &ranges, |index, record| {
            on(index, TargetOffset(record.offset), &raw_origin(record.origin()));
        })?;
        Ok(covered.into_iter().map(TargetOffset).collect())
    }
}

/// The header values as the rules take them: a null is no bytes.
pub fn raw_origin(headers: OriginHeaders<'_>) -> RawOrigin<'_> {
    let bytes = |value: Option<Option<_>>| value.map(Option::unwrap_or_default);
    RawOrigin {
        topic: bytes(headers.topic),
        partition: bytes(headers.partition),
        offset: bytes(headers.offset),
        pipeline: bytes(headers.pipeline),
    }
}
