//! What the group's generations bring: work, or standing by; and settling before work is handed on.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{CLOSE, ReplicateError, Session};
use crate::{TopicPartition, kafka::replication::GroupChange, replicator::election};

/// How long all that was queued may take to arrive before work is handed on.
const DRAIN: Duration = Duration::from_secs(2);
/// After that the queue is thrown out; how long what is on its way may take.
const DRAIN_SENT: Duration = Duration::from_secs(3);

impl Session<'_> {
    pub(super) fn serve_group(&mut self, change: GroupChange) -> Result<(), ReplicateError> {
        match change {
            GroupChange::Assigned(partitions) => self.begin(&partitions),
            GroupChange::Revoked { lost: false } => self.give_back(),
            GroupChange::Revoked { lost: true } => self.lose(),
            GroupChange::Committed(result) => {
                self.commit_answered(result);
                Ok(())
            }
            GroupChange::Trouble(trouble) => self.judge(&trouble, "source"),
            GroupChange::Nothing => Ok(()),
        }
    }

    /// A new generation of the group: works or stands by, see [`election`].
    fn begin(&mut self, assigned: &[TopicPartition]) -> Result<(), ReplicateError> {
        self.shared.nudge.notify_one();
        let group = &self.settings.group;
        if election::works(assigned, &self.table.topics) {
            tracing::info!(group, topics = self.table.topics.len(), "at work");
            return self.take_over();
        }
        let token = election::token(&self.table.topics).map(|token| token.to_string()).unwrap_or_default();
        tracing::info!(group, token, "standing by: another member of the group holds the token and works");
        Ok(self.source.assign(&[])?)
    }

    /// Takes all partitions that have a place to go.
    fn take_over(&mut self) -> Result<(), ReplicateError> {
        let partitions = self.table.partitions();
        for at in &partitions {
            if let Some(copying) = self.table.topics.get(&at.topic) {
                let topic = self.sink.topic(&copying.target)?;
                self.partitions.hold(at.clone(), topic, copying.target_partition(at.partition));
            }
        }
        self.source.assign(&partitions)?;
        self.working = Some(partitions);
        self.show_positions();
        Ok(())
    }

    /// Hands everything back, settled: nothing of this instance arrives on the target after the next one has
    /// begun, and what has arrived is committed.
    pub(super) fn give_back(&mut self) -> Result<(), ReplicateError> {
        self.drop_waiting();
        self.drain(DRAIN)?;
        let slow = self.partitions.in_flight();
        if slow > 0 {
            tracing::info!(
                records = slow,
                "the target is slow: giving up what was not sent yet, it will be read again"
            );
            self.sink.purge_queue();
            self.drain(DRAIN_SENT)?;
            self.renew = Some("the producer's queue was thrown out to hand work on in time".to_owned());
        }
        match self.partitions.in_flight() {
            0 => {}
            left => tracing::warn!(records = left, "not acknowledged in time; they will be copied again"),
        }
        self.commit_and_wait(CLOSE)?;
        self.let_go()
    }

    /// The group has taken this instance for dead: another one may be at work already, and no commit would be
    /// taken. What is queued is thrown out; what is on its way may arrive twice.
    fn lose(&mut self) -> Result<(), ReplicateError> {
        if self.working.is_some() {
            tracing::warn!("the group took this instance for dead; some records may be copied twice");
            self.sink.purge_queue();
            self.renew = Some("the group took this instance for dead".to_owned());
        }
        self.let_go()
    }

    fn let_go(&mut self) -> Result<(), ReplicateError> {
        self.waiting = None;
        self.working = None;
        self.partitions.release_all();
        self.show_positions();
        Ok(self.source.unassign()?)
    }

    fn drain(&mut self, patience: Duration) -> Result<(), ReplicateError> {
        let until = Instant::now() + patience;
        while self.partitions.in_flight() > 0 && Instant::now() < until {
            self.serve_reports()?;
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}
