//! The quiet period: committed offsets must be equal in two reads that lie it apart. Pure but for the clock,
//! which is passed in. In memory: a restart merely starts it anew.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::{TopicPartition, api::v1alpha1::HiddenTopics, kafka::Committed};

use super::seen::Quiet;

/// The first of the two reads.
#[derive(Debug, Default)]
pub struct QuietWatch {
    first: Option<(Instant, BTreeMap<TopicPartition, Committed>)>,
    hidden: HiddenTopics,
}

impl QuietWatch {
    /// The group is active, or nobody waits for it: forgets the first read.
    pub fn begin_anew(&mut self) {
        self.first = None;
    }

    /// Topics that members were seen to read and that may not be described; in status too, for a restart.
    pub fn hidden(&mut self) -> &mut HiddenTopics {
        &mut self.hidden
    }

    /// Another read of the group's offsets, at `now`.
    pub fn look(
        &mut self,
        committed: &BTreeMap<TopicPartition, Committed>,
        period: Duration,
        now: Instant,
    ) -> Quiet {
        let Some((since, first)) = &self.first else {
            self.first = Some((now, committed.clone()));
            return Quiet::Running(period);
        };
        let offset =
            |offsets: &BTreeMap<TopicPartition, Committed>, q| offsets.get(q).map(|c: &Committed| c.offset);
        // The same offset with other metadata was committed anew too.
        let moved = committed.keys().chain(first.keys()).find(|q| first.get(*q) != committed.get(*q));
        if let Some(q) = moved {
            let show = |offset: Option<i64>| offset.map_or("none".to_owned(), |o| o.to_string());
            let (was, is) = (show(offset(first, q)), show(offset(committed, q)));
            let what = if was == is {
                format!("offset {is} was committed again with other metadata")
            } else {
                format!("the committed offset moved from {was} to {is}")
            };
            let text = format!(
                "{q}: {what} though the group has no members; something still commits (an application that uses \
                 assign, as Flink and Spark do): stop it"
            );
            self.first = Some((now, committed.clone()));
            return Quiet::Moving(text, period);
        }
        match period.checked_sub(now - *since) {
            Some(left) if !left.is_zero() => Quiet::Running(left),
            _ => Quiet::Still,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        time::{Duration, Instant},
    };

    use super::{Quiet, QuietWatch};
    use crate::{TopicPartition, kafka::Committed};

    fn at(offset: i64) -> BTreeMap<TopicPartition, Committed> {
        BTreeMap::from([(TopicPartition::new("orders", 0), Committed { offset, metadata: vec![] })])
    }

    #[test]
    fn two_equal_reads_a_period_apart_and_no_less() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut watch = QuietWatch::default();
        assert!(matches!(watch.look(&at(5), 10 * second, start), Quiet::Running(d) if d == 10 * second));
        assert!(
            matches!(watch.look(&at(5), 10 * second, start + 9 * second), Quiet::Running(d) if d == second)
        );
        assert!(matches!(watch.look(&at(5), 10 * second, start + 10 * second), Quiet::Still));
        assert!(
            matches!(watch.look(&at(6), 10 * second, start + 11 * second), Quiet::Moving(text, _) if text.contains("from 5 to 6"))
        );
        // A move starts the period anew.
        assert!(matches!(watch.look(&at(6), 10 * second, start + 20 * second), Quiet::Running(_)));
        assert!(matches!(watch.look(&at(6), 10 * second, start + 21 * second), Quiet::Still));
    }
}
