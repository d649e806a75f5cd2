//! Routes: which target topic a source topic is copied to. Pure.

use std::{collections::BTreeMap, sync::Arc};

use crate::api::v1alpha1::{PatternError, Replication, TargetPartitioning, TargetTopic, TopicPatterns};

/// Longest topic name that Kafka accepts, in characters.
const MAX_TOPIC_LENGTH: usize = 249;

/// Topics of Kafka's own: a wide pattern is not meant for them.
const INTERNAL: &[&str] =
    &["__consumer_offsets", "__transaction_state", "__share_group_state", "__cluster_metadata"];

/// The routes of a replicator, compiled. The first that matches a topic wins.
#[derive(Clone, Debug)]
pub struct Routes {
    /// Of all entries, in their order.
    patterns: TopicPatterns,
    /// By index of a pattern: where it leads to.
    targets: Vec<Arc<TargetTopic>>,
}

/// Patterns that are named in a message.
const LISTED: usize = 5;

/// Where a source topic goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The target topic.
    pub topic: String,
    /// How the target partition is chosen.
    pub partitioning: TargetPartitioning,
}

/// A route that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// A topic pattern does not compile.
    #[error("spec.replication[{index}].topics: {reason}")]
    Pattern {
        /// Index within `spec.replication`.
        index: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The patterns cannot be used together.
    #[error("spec.replication: {reason}")]
    Patterns {
        /// Why.
        reason: String,
    },
    /// The target names contradict each other.
    #[error(
        "spec.replication[{index}].target: topicName stands alone, it cannot be combined with topicPrefix or topicSuffix"
    )]
    Contradiction {
        /// Index within `spec.replication`.
        index: usize,
    },
    /// The target name has characters that Kafka does not allow in a topic's name.
    #[error(
        "spec.replication[{index}].target: `{name}` is no part of a topic's name: letters, digits, `.`, `_` and `-` are allowed"
    )]
    Name {
        /// Index within `spec.replication`.
        index: usize,
        /// The name or the part of a name.
        name: String,
    },
}

impl Routes {
    /// Compiles the entries of `spec.replication`.
    pub fn new(replication: &[Replication]) -> Result<Self, RouteError> {
        let (mut targets, mut entries) = (Vec::new(), Vec::new());
        for (index, entry) in replication.iter().enumerate() {
            check_target(index, &entry.target)?;
            let target = Arc::new(entry.target.clone());
            targets.resize(targets.len() + entry.topics.len(), target);
            entries.resize(targets.len(), index);
        }
        let patterns = TopicPatterns::new(replication.iter().flat_map(|entry| &entry.topics));
        let patterns = patterns.map_err(|PatternError { index, reason }| match index {
            Some(n) => RouteError::Pattern { index: entries[n], reason },
            None => RouteError::Patterns { reason },
        })?;
        Ok(Self { patterns, targets })
    }

    /// Where `source_topic` goes; none where no route covers it.
    pub fn route(&self, source_topic: &str) -> Option<Route> {
        let target = &self.targets[self.patterns.first_match(source_topic)?];
        let topic = if target.topic_name.is_empty() {
            format!("{}{source_topic}{}", target.topic_prefix, target.topic_suffix)
        } else {
            target.topic_name.clone()
        };
        Some(Route { topic, partitioning: target.partition })
    }

    /// All of `source_topics` that a route covers, by source topic; Kafka's own are left out.
    pub fn resolve<'a>(&self, source_topics: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, Route> {
        let routed = |topic: &str| Some((topic.to_owned(), self.route(topic)?));
        source_topics.into_iter().filter(is_an_applications).filter_map(routed).collect()
    }

    /// In words: the first few patterns that none of `source_topics` matches. None where each has its topics.
    pub fn unmatched<'a>(&self, source_topics: impl IntoIterator<Item = &'a str>) -> Option<String> {
        let patterns = self.patterns.unmatched(source_topics.into_iter().filter(is_an_applications));
        let listed = patterns.iter().take(LISTED).copied().collect::<Vec<_>>().join(", ");
        let more = if patterns.len() > LISTED { ", …" } else { "" };
        (!patterns.is_empty()).then(|| format!("no topic of the source matches {listed}{more}"))
    }
}

/// Not one of Kafka's own.
fn is_an_applications(topic: &&str) -> bool {
    !INTERNAL.contains(topic)
}

fn check_target(index: usize, target: &TargetTopic) -> Result<(), RouteError> {
    if !target.topic_name.is_empty() && (!target.topic_prefix.is_empty() || !target.topic_suffix.is_empty()) {
        return Err(RouteError::Contradiction { index });
    }
    for name in [&target.topic_name, &target.topic_prefix, &target.topic_suffix] {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if !name.chars().all(legal) || name.len() > MAX_TOPIC_LENGTH {
            return Err(RouteError::Name { index, name: name.clone() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{RouteError, Routes};
    use crate::api::v1alpha1::{Replication, TargetPartitioning, TargetTopic};

    fn entry(topics: &[&str], target: TargetTopic) -> Replication {
        Replication { topics: topics.iter().map(|t| (*t).to_owned()).collect(), target }
    }

    #[test]
    fn a_wide_pattern_is_not_meant_for_topics_of_kafkas_own() {
        let routes = Routes::new(&[entry(&[".*"], TargetTopic::default())]).unwrap();
        let resolved = routes.resolve(["__consumer_offsets", "__transaction_state", "__mine", "orders"]);
        assert_eq!(resolved.keys().collect::<Vec<_>>(), ["__mine", "orders"]);
    }

    #[test]
    fn the_first_route_that_matches_wins() {
        let routes = Routes::new(&[
            entry(&["orders"], TargetTopic { topic_suffix: "-copy".into(), ..TargetTopic::default() }),
            entry(
                &["orders", "returns-.*"],
                TargetTopic { topic_prefix: "eu.".into(), ..TargetTopic::default() },
            ),
        ])
        .unwrap();
        assert_eq!(routes.route("orders").unwrap().topic, "orders-copy");
        assert_eq!(routes.route("returns-1").unwrap().topic, "eu.returns-1");
        assert_eq!(routes.route("returns"), None);
    }

    #[test]
    fn one_fixed_topic_takes_all() {
        let target = TargetTopic {
            topic_name: "all".into(),
            partition: TargetPartitioning::Producer,
            ..TargetTopic::default()
        };
        let routes = Routes::new(&[entry(&[".*"], target)]).unwrap();
        let route = routes.route("orders").unwrap();
        assert_eq!((route.topic.as_str(), route.partitioning), ("all", TargetPartitioning::Producer));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let bad = Routes::new(&[entry(&["a["], TargetTopic::default())]).unwrap_err();
        assert!(bad.to_string().starts_with("spec.replication[0].topics: `a[`"), "{bad}");
        let target = TargetTopic { topic_prefix: "a/".into(), ..TargetTopic::default() };
        assert!(matches!(Routes::new(&[entry(&["a"], target)]), Err(RouteError::Name { index: 0, .. })));
    }
}
