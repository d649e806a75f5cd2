//! From the source to the target: one record after the other, and the reports on them.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{ReplicateError, Session};
use crate::{
    TopicPartition,
    kafka::replication::{
        Arrival, Delivery, Failed, Parcel, Rejected, SourceRecord, TargetTopic, describe, lost,
    },
    replicator::{partitions::SlotId, shared::Shared},
};

/// Records between two looks at the group and at the reports.
const BATCH: usize = 512;
/// How long to wait for a record: short while reports are awaited, since they are looked at in between.
const WAIT_BUSY: Duration = Duration::from_millis(5);
const WAIT_IDLE: Duration = Duration::from_millis(50);

impl Session<'_> {
    pub(super) fn copy(&mut self) -> Result<(), ReplicateError> {
        if let Some((topic, parcel)) = self.waiting.take() {
            self.send(topic, *parcel)?;
        }
        if self.waiting.is_some() {
            // The target is slower: leave the records with the source's client.
            thread::sleep(Duration::from_millis(1));
            return Ok(());
        }
        let mut wait = if self.partitions.in_flight() > 0 { WAIT_BUSY } else { WAIT_IDLE };
        for _ in 0..BATCH {
            match self.source.poll_record(wait) {
                Some(Arrival::Record(record)) => self.forward(record)?,
                Some(Arrival::End { partition, offset }) => self.reached_end(&partition, offset),
                Some(Arrival::Trouble(trouble)) => self.judge(&trouble, "source")?,
                None => break,
            }
            if self.waiting.is_some() {
                break;
            }
            wait = Duration::ZERO;
        }
        Ok(())
    }

    fn forward(&mut self, record: SourceRecord) -> Result<(), ReplicateError> {
        let (partition, offset) = (record.partition(), record.offset());
        let Some(id) = self.partitions.find(record.topic_address(), partition, || record.topic()) else {
            return Ok(());
        };
        let Some(ticket) = self.partitions.ticket(id, offset) else {
            return Ok(());
        };
        Shared::count(&self.shared.bytes, record.size());
        match self.pack(record, id, ticket, offset)? {
            Some((topic, parcel)) => self.send(topic, parcel),
            None => Ok(()),
        }
    }

    fn pack(
        &mut self,
        record: SourceRecord,
        id: SlotId,
        ticket: usize,
        offset: i64,
    ) -> Result<Option<(TargetTopic, Parcel)>, ReplicateError> {
        let headers = &self.settings.headers;
        let timestamp = if self.settings.keep_timestamps { kept(record.timestamp_ms()) } else { 0 };
        let Some(slot) = self.partitions.slot(id) else {
            return Ok(None);
        };
        let TopicPartition { topic: name, partition } = &slot.partition;
        let mut written = Ok(());
        let parcel = Parcel::new(record, headers.len(), slot.target_partition, timestamp, ticket, |add| {
            written = headers.each(name, *partition, offset, add);
        });
        match (parcel, written) {
            (Ok(parcel), Ok(())) => Ok(Some((slot.topic, parcel))),
            (Err(reason), _) => Err(self.refused(ticket, 0, &reason)),
            (_, Err(does_not_fit)) => Err(self.refused(ticket, 0, &does_not_fit.to_string())),
        }
    }

    fn send(&mut self, topic: TargetTopic, parcel: Parcel) -> Result<(), ReplicateError> {
        let ticket = parcel.ticket();
        match self.sink.send(topic, parcel) {
            Ok(()) => Ok(()),
            Err(Rejected::Full(parcel)) => {
                self.waiting = Some((topic, parcel));
                Ok(())
            }
            Err(Rejected::Refused { code, reason }) => self.failed(ticket, code, &reason),
        }
    }

    /// A record that found no room is read again by whoever goes on.
    pub(super) fn drop_waiting(&mut self) {
        if let Some((_, parcel)) = self.waiting.take() {
            self.partitions.drop_record(parcel.ticket());
        }
    }

    fn reached_end(&mut self, partition: &TopicPartition, offset: i64) {
        if let Some(slot) = self.partitions.named(partition).and_then(|id| self.partitions.slot(id)) {
            slot.position.reached_end(offset);
        }
    }

    pub(super) fn serve_reports(&mut self) -> Result<(), ReplicateError> {
        while let Some(delivery) = self.sink.poll() {
            match delivery {
                Delivery::Reports(reports) => {
                    for (ticket, code) in reports {
                        self.serve_report(ticket, code)?;
                    }
                }
                Delivery::Trouble(trouble) if trouble.is_fatal() => self.renew = Some(trouble.reason),
                Delivery::Trouble(trouble) => self.log_trouble(&trouble, "target"),
                Delivery::Nothing => {}
            }
        }
        Ok(())
    }

    fn serve_report(&mut self, ticket: usize, code: i32) -> Result<(), ReplicateError> {
        if code == 0 {
            self.partitions.acknowledge(ticket);
            self.acknowledged = Instant::now();
            Shared::count(&self.shared.records, 1);
            return Ok(());
        }
        self.failed(ticket, code, &describe(code))
    }

    /// A record was not written. An error where time does not cure it; else it is sent again.
    fn failed(&mut self, ticket: usize, code: i32, reason: &str) -> Result<(), ReplicateError> {
        match Failed::new(code) {
            Failed::Dropped => {
                self.partitions.drop_record(ticket);
            }
            Failed::Session => {
                self.partitions.drop_record(ticket);
                self.renew = Some(lost(code, reason));
            }
            // The right may be granted yet.
            Failed::NotAllowed => self.renew = Some(self.refused(ticket, code, reason).to_string()),
            _ => return Err(self.refused(ticket, code, reason)),
        }
        Ok(())
    }

    /// The record cannot be written, ever. Not skipped: the position stays below it.
    fn refused(&mut self, ticket: usize, code: i32, reason: &str) -> ReplicateError {
        let record = self.partitions.record(ticket);
        let at = record.map(|(slot, offset)| (slot.partition.clone(), offset, slot.topic));
        self.partitions.drop_record(ticket);
        let (partition, offset, topic) =
            at.unwrap_or((TopicPartition::new("?", -1), -1, TargetTopic::default()));
        ReplicateError::record(partition, offset, self.sink.name(topic), code, reason)
    }
}

/// A record's own timestamp. The client takes 0 for "now": a record of the first millisecond of 1970 gets the
/// second one. A record without a timestamp (-1) stays without.
fn kept(timestamp_ms: Option<i64>) -> i64 {
    match timestamp_ms {
        Some(0) => 1,
        Some(timestamp_ms) => timestamp_ms,
        None => -1,
    }
}
