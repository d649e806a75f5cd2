//! Which instance works. Pure.
//!
//! All instances are members of the replicator's group and subscribe to the same topics: those that are
//! copied. The group's protocol gives each partition to one member of a generation; whoever gets the *token*,
//! partition 0 of the first of the topics, works and copies **all** partitions. The others stand by. Nothing
//! is written for that, and no right is needed beyond those of any consumer.
//!
//! (A member that subscribes to nothing would do as well, but librdkafka does not join a group without a topic
//! that exists. Subscribing to one topic alone would do too, but a broker lets the positions of topics expire
//! that no member of a group subscribes to.)
//!
//! What is guaranteed:
//! - *One at a time*: a generation has one holder of the token. Before the next generation begins, the one at
//!   work has settled what was in flight and committed; a new instance that joins may thus take over, without
//!   a repeat.
//! - *Somebody works*: when the one at work dies, its session times out (10 s), and the next generation gives
//!   the token to somebody else.
//! - *Never a loss*: a position is committed only for what the target has acknowledged, and the broker takes
//!   a commit only from a member of the current generation. An instance that was taken for dead may still
//!   write for a moment, and two instances that see different topics (one of them was created just now) may
//!   both work for about a second: what they write twice are repeats.

use std::collections::BTreeMap;

use crate::TopicPartition;

/// The partition whose holder works, for these source topics.
pub fn token<T>(topics: &BTreeMap<String, T>) -> Option<TopicPartition> {
    topics.keys().next().map(|first| TopicPartition::new(first.clone(), 0))
}

/// Whether a member with this assignment works.
pub fn works<T>(assigned: &[TopicPartition], topics: &BTreeMap<String, T>) -> bool {
    token(topics).is_some_and(|token| assigned.contains(&token))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use super::{token, works};
    use crate::TopicPartition;

    #[test]
    fn one_of_the_members_of_a_generation_works() {
        let topics: BTreeMap<_, _> = [("b".to_owned(), 1), ("a".to_owned(), 2)].into();
        let of = |of: &[(&str, i32)]| of.iter().map(|(t, p)| TopicPartition::new(*t, *p)).collect::<Vec<_>>();
        assert_eq!(token(&topics).unwrap().to_string(), "a-0");
        assert!(works(&of(&[("a", 0), ("b", 0)]), &topics));
        assert!(!works(&of(&[("a", 1), ("b", 1)]), &topics));
        assert!(!works(&[], &topics));
        assert!(!works(&of(&[("a", 0)]), &BTreeMap::<String, i32>::new()));
    }
}
