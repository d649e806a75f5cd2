//! Reads ranges of many logs once, as a `read_committed` consumer is given them, on a consumer and a
//! thread of its own (`scan_worker`). Interprets nothing: records go to the caller's closure.

use std::{ops::ControlFlow, thread, time::Duration};

use tokio::sync::oneshot;

use crate::runtime::metrics::{Reading, metrics};

use super::{
    Cluster, HeaderNames, KafkaError, LogRecord, ScanRange, ScanStats, TopicPartition,
    ffi::{Failure, code},
    meter::{Call, measured},
    patience::Patience,
    scan_progress::Ranges,
    scan_worker::{Scan, Trouble},
};
use crate::crash;

/// A scan as a whole has no deadline, only one without progress.
const FOR_EVER: Duration = Duration::from_hours(365 * 24);

impl Cluster {
    /// Reads each range once and gives its records to `on`, in offset order within a partition: those of
    /// committed transactions and those outside any, with `from <= offset < to`. Ends when every
    /// partition has reached its `to`; markers and aborted records there need no record behind them. An
    /// empty range is skipped.
    ///
    /// A log that begins above `from` by now is read from its start, see [`ScanStats::truncated`]. One
    /// that ends below `to` and stays there is [`KafkaError::OffsetOutOfRange`]. `on` runs on the scan's
    /// thread and may end the scan by breaking; dropping the future ends it within 50 ms, without
    /// waiting for it.
    pub async fn scan<F>(
        &self,
        ranges: Vec<ScanRange>,
        header_names: HeaderNames,
        deadline_without_progress: Duration,
        on: F,
    ) -> Result<ScanStats, KafkaError>
    where
        F: FnMut(&TopicPartition, &LogRecord<'_>) -> ControlFlow<()> + Send + 'static,
    {
        let ranges = Ranges::new(ranges);
        if ranges.all_done() {
            return Ok(ScanStats::default());
        }
        let what = format!("read {} partitions", ranges.len());
        crash::before_call(|| format!("{what} on {}", self.servers())).await;
        let asked = self.asked(what);
        let (patience, _gives_up_when_dropped) = Patience::until(asked.start + FOR_EVER);
        let scan = Scan {
            questions: self.inner.lease(&asked, self.until()).await?,
            patience,
            stall: deadline_without_progress,
            ranges,
            names: header_names,
            on,
            stats: ScanStats::default(),
        };
        let (answer, result) = oneshot::channel();
        let config = self.inner.config.clone();
        let broken = |reason: String| Failure::Call { code: code::DESTROY, reason };
        thread::Builder::new()
            .name("kafka-scan".into())
            .spawn(move || scan.run(&config, answer))
            .map_err(|error| asked.explain(broken(error.to_string()), None))?;
        let outcome = async {
            match result.await {
                Ok(Ok(stats)) => Ok(stats),
                Ok(Err(Trouble::Refused(error))) => Err(error),
                Ok(Err(Trouble::Failed(failure, cause))) => Err(asked.explain(failure, cause)),
                Err(_) => Err(asked.explain(broken("the scan's thread ended early".into()), None)),
            }
        };
        let stats = measured(Call::Scan, self.servers(), outcome).await;
        self.inner.touch();
        let stats = stats?;
        metrics().read.get_or_create(&Reading { by: "scan" }).inc_by(stats.records);
        Ok(stats)
    }
}
