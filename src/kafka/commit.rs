//! The one call that writes: offsets for a group without members. Whoever calls it has journalled first.

use std::{collections::BTreeMap, time::Instant};

use super::{
    Cluster, CommitOffset, KafkaError, TopicPartition,
    call::is_active_group,
    ffi::{self, Failure, code},
    meter::Call,
};

/// The wire format's limit for a string, in bytes.
const MAX_METADATA: usize = 32_767;
/// How much goes into one request, in bytes, roughly: the broker writes each request as one batch into
/// its offsets topic and refuses one above 1 MiB.
const REQUEST_BYTES: usize = 400 * 1024;
/// A record in the offsets topic costs about this much beside names and metadata.
const RECORD_BYTES: usize = 120;

type Results = BTreeMap<TopicPartition, Result<(), KafkaError>>;

impl Cluster {
    /// Commits offsets for a group without members, with leader epoch -1 and the metadata byte for byte.
    /// One deadline holds for all of it. The outcome is per partition. `Err` means that nothing is known to be
    /// committed: [`KafkaError::GroupActive`] when the group has members; after a timeout or a lost connection
    /// the broker may have committed all the same, so read back before anything else.
    pub async fn commit(&self, group: &str, offsets: &[CommitOffset]) -> Result<Results, KafkaError> {
        let what = format!("commit offsets for group {group}");
        let (sendable, too_large): (Vec<_>, Vec<_>) =
            offsets.iter().cloned().partition(|offset| offset.metadata.len() <= MAX_METADATA);
        let mut results = Results::new();
        for offset in too_large {
            results.insert(offset.partition.clone(), Err(self.metadata_too_large(&what, &offset)));
        }
        // On a connection of its own, closed with the call: none that is given up is sent later.
        let until = self.until();
        let left = until.saturating_duration_since(Instant::now());
        let own = Self::connect(&self.inner.config, left).await?.not_after(until);
        if own.id() != self.id() {
            let reason = format!("this is another cluster now: {}, was {}", own.id(), self.id());
            return Err(KafkaError::Other { servers: self.servers().to_owned(), what, reason, code: 0 });
        }
        // The way to the group's coordinator is found before, so that nothing but the commit itself is between the
        // last look at the clock and the broker.
        own.committed(group).await?;
        let mut any_answer = false;
        let mut broken = None;
        for request in requests(sendable) {
            let answer = match &broken {
                Some(error) => Err(KafkaError::clone(error)),
                None => own.commit_request(group, &what, &request).await,
            };
            match answer {
                Ok(answer) => {
                    any_answer = true;
                    results.extend(answer);
                }
                Err(error) if !any_answer => return Err(error),
                Err(error) => {
                    results.extend(request.into_iter().map(|offset| (offset.partition, Err(error.clone()))));
                    broken = Some(error);
                }
            }
        }
        Ok(results)
    }

    async fn commit_request(
        &self,
        group: &str,
        what: &str,
        request: &[CommitOffset],
    ) -> Result<Results, KafkaError> {
        let (name, offsets) = (group.to_owned(), request.to_vec());
        let codes = self
            .call(Call::CommitOffsets, what, move |handle, patience| {
                let codes = ffi::alter_offsets(handle.native(), &name, &offsets, patience)?;
                match common_failure(&codes) {
                    Some(code) => Err(Failure::call(code)),
                    None => Ok(codes),
                }
            })
            .await?;
        let asked = self.asked(what);
        let metadata: BTreeMap<_, _> = request.iter().map(|offset| (&offset.partition, offset)).collect();
        let result = |partition: &TopicPartition, code| match (code, metadata.get(partition)) {
            (0, _) => Ok(()),
            (code::OFFSET_METADATA_TOO_LARGE, Some(offset)) => Err(self.metadata_too_large(what, offset)),
            (code, _) => Err(asked.explain(Failure::named(partition, code), None)),
        };
        Ok(codes
            .into_iter()
            .map(|(partition, code)| {
                let result = result(&partition, code);
                (partition, result)
            })
            .collect())
    }

    fn metadata_too_large(&self, what: &str, offset: &CommitOffset) -> KafkaError {
        KafkaError::MetadataTooLarge {
            servers: self.servers().to_owned(),
            what: what.to_owned(),
            partition: offset.partition.clone(),
            bytes: offset.metadata.len(),
        }
    }
}

/// The code that says "the group as a whole", where every partition failed with it: the request's own
/// error field does not exist, the broker repeats the code for each partition.
fn common_failure(codes: &[(TopicPartition, i32)]) -> Option<i32> {
    let &(_, first) = codes.first()?;
    let whole_group = is_active_group(first)
        || matches!(
            first,
            code::GROUP_AUTHORIZATION
                | code::COORDINATOR_LOADING
                | code::COORDINATOR_NOT_AVAILABLE
                | code::NOT_COORDINATOR
        );
    (whole_group && codes.iter().all(|(_, code)| *code == first)).then_some(first)
}

/// Cuts the offsets into requests of a bearable size, in their order.
fn requests(offsets: Vec<CommitOffset>) -> Vec<Vec<CommitOffset>> {
    let mut requests: Vec<Vec<CommitOffset>> = Vec::new();
    let mut room = 0;
    for offset in offsets {
        let size = RECORD_BYTES + offset.partition.topic.len() + offset.metadata.len();
        match requests.last_mut() {
            Some(request) if size <= room => request.push(offset),
            _ => {
                requests.push(vec![offset]);
                room = REQUEST_BYTES;
            }
        }
        room = room.saturating_sub(size);
    }
    requests
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_commits_are_cut_and_nothing_is_lost() {
        let offsets: Vec<_> = (0..10_000)
            .map(|p| CommitOffset {
                partition: TopicPartition::new("topic", p),
                offset: 1,
                metadata: vec![b'x'; 100],
            })
            .collect();
        let cut = requests(offsets.clone());
        assert!(cut.len() > 1);
        assert_eq!(cut.concat(), offsets);
    }

    #[test]
    fn only_a_failure_of_the_whole_group_fails_the_call() {
        let at = |p, code| (TopicPartition::new("t", p), code);
        let active = code::UNKNOWN_MEMBER_ID;
        assert_eq!(common_failure(&[at(0, active), at(1, active)]), Some(active));
        assert_eq!(common_failure(&[at(0, active), at(1, 0)]), None);
        assert_eq!(common_failure(&[at(0, code::OFFSET_METADATA_TOO_LARGE)]), None);
        assert_eq!(common_failure(&[]), None);
    }
}
