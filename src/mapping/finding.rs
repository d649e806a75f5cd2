//! Something that stands in the way: its reason, where, and a text with the numbers.

use crate::{TopicPartition, api::v1alpha1::Reason};

/// Something that stands in the way of a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The reason, as it stands in a condition.
    pub reason: Reason,
    /// The partition it concerns, source or target.
    pub partition: TopicPartition,
    /// What is the matter, with the numbers and what would end it.
    pub message: String,
    /// Records that replication still has to copy, where that would end it; else 0.
    pub lag: u64,
}

impl Finding {
    /// A finding on `partition`.
    pub fn new(reason: Reason, partition: &TopicPartition, message: impl Into<String>) -> Self {
        Self { reason, partition: partition.clone(), message: message.into(), lag: 0 }
    }

    /// The findings of one reason as one message: the first one, and how many more there are.
    pub fn summarize(findings: &[&Self]) -> String {
        let Some(first) = findings.first() else {
            return String::new();
        };
        let text = format!("{}: {}", first.partition, first.message);
        match findings.len() - 1 {
            0 => text,
            1 => format!("{text} (and 1 more partition: {})", findings[1].partition),
            more => format!("{text} (and {more} more partitions, next {})", findings[1].partition),
        }
    }
}
