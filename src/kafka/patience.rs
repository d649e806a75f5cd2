//! How long a blocking call may wait: a deadline and the caller's interest. Decides nothing else.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::ffi::Failure;

/// Handed to a blocking call; it looks here between its slices of waiting.
#[derive(Clone)]
pub(super) struct Patience {
    until: Instant,
    cancelled: Arc<AtomicBool>,
}

impl Patience {
    /// A deadline, and the guard that ends the patience when the caller drops it.
    pub(super) fn until(until: Instant) -> (Self, CancelOnDrop) {
        let cancelled = Arc::new(AtomicBool::new(false));
        (Self { until, cancelled: Arc::clone(&cancelled) }, CancelOnDrop(cancelled))
    }

    /// The same caller, with less time.
    pub(super) fn at_most(&self, wait: Duration) -> Self {
        Self { until: self.until.min(Instant::now() + wait), cancelled: Arc::clone(&self.cancelled) }
    }

    /// What is left of the deadline.
    pub(super) fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// True when the caller is gone.
    pub(super) fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Whether to go on waiting.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if self.cancelled() {
            Err(Failure::Cancelled)
        } else if self.left().is_zero() {
            Err(Failure::Expired)
        } else {
            Ok(())
        }
    }
}

/// Lives in the caller's future: dropping the future gives the call up.
pub(super) struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
