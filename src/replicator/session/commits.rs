//! The position, committed under the replicator's own group. The only thing that is written to the source.

use std::time::{Duration, Instant};

use super::{ReplicateError, Session};
use crate::{
    TopicPartition,
    kafka::replication::{GroupChange, describe},
};

/// Between two commits.
const EVERY: Duration = Duration::from_secs(1);
/// A commit without an answer is not waited for longer; the positions are sent again.
const ANSWER: Duration = Duration::from_secs(10);

/// The commit under way.
pub(super) struct Commit {
    due: Instant,
    /// Until when the answer is waited for.
    answer_by: Option<Instant>,
}

impl Commit {
    pub(super) fn new() -> Self {
        Self { due: Instant::now() + EVERY, answer_by: None }
    }

    /// True once in each period.
    pub(super) fn is_due(&mut self) -> bool {
        let now = Instant::now();
        let due = now >= self.due;
        if due {
            self.due = now + EVERY;
        }
        due
    }
}

impl Session<'_> {
    /// Sends what is safe and was not committed yet. One commit at a time: a later one must not be overtaken.
    pub(super) fn commit(&mut self) -> Result<(), ReplicateError> {
        match self.commit.answer_by {
            Some(answer_by) if Instant::now() < answer_by => return Ok(()),
            Some(_) => self.forget_commits(),
            None => {}
        }
        let held = self.partitions.held();
        let safe = held.filter_map(|slot| Some((slot.partition.clone(), slot.position.take_uncommitted()?)));
        let positions: Vec<(TopicPartition, i64)> = safe.collect();
        if positions.is_empty() {
            return Ok(());
        }
        self.commit.answer_by = Some(Instant::now() + ANSWER);
        Ok(self.source.commit(&positions)?)
    }

    /// Commits what is safe now, and gives the source so long to answer.
    pub(super) fn commit_and_wait(&mut self, patience: Duration) -> Result<(), ReplicateError> {
        let until = Instant::now() + patience;
        self.await_answer(until)?;
        self.commit()?;
        self.await_answer(until)?;
        if self.commit.answer_by.take().is_some() && !self.partitions.is_empty() {
            tracing::warn!("the source did not answer the last commit in time");
        }
        Ok(())
    }

    fn await_answer(&mut self, until: Instant) -> Result<(), ReplicateError> {
        while self.commit.answer_by.is_some() && Instant::now() < until {
            match self.source.poll_group(Duration::from_millis(20)) {
                Some(GroupChange::Committed(result)) => self.commit_answered(result),
                Some(GroupChange::Trouble(trouble)) => self.judge(&trouble, "source")?,
                // No generation begins before the partitions of this one are given back.
                _ => {}
            }
        }
        Ok(())
    }

    /// A commit that failed is sent again with the next one: nothing is lost meanwhile.
    pub(super) fn commit_answered(&mut self, result: Result<(), Vec<(TopicPartition, i32)>>) {
        self.commit.answer_by = None;
        let Err(failed) = result else { return };
        if let Some((partition, code)) = failed.first() {
            let reason = describe(*code);
            tracing::warn!(%partition, partitions = failed.len(), "positions not committed, will try again: {reason}");
        }
        self.forget_commits();
    }

    fn forget_commits(&mut self) {
        self.partitions.held().for_each(|slot| slot.position.commit_failed());
    }
}
