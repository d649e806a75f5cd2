//! A group, a replicator and two clusters, as the tests of the scope vary them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Finding, Inputs, Reason, Scope, Selection, TopicPartition, choose, into_one};
use crate::{
    controller::{
        app_migration::fixtures::{migration, usual_replicator},
        replicator::Replicator,
    },
    kafka::Committed,
};

/// A group, a replicator and the topics of both clusters.
pub struct World {
    pub spec: Value,
    pub replicator: Replicator,
    pub committed: Vec<(&'static str, i32, i64)>,
    pub source: Vec<(&'static str, u32)>,
    pub target: Vec<(&'static str, u32)>,
}

impl World {
    /// `orders` with two partitions on both sides, both committed.
    pub fn orders() -> Self {
        Self {
            spec: json!({}),
            replicator: usual_replicator(),
            committed: vec![("orders", 0, 4), ("orders", 1, 10)],
            source: vec![("orders", 2)],
            target: vec![("orders", 2)],
        }
    }

    /// `orders` and `returns`, one partition each, both copied into the one topic `all`.
    pub fn merged() -> Self {
        Self {
            replicator: into_one("Source", true, true),
            committed: vec![("orders", 0, 4), ("returns", 0, 5)],
            source: vec![("orders", 1), ("returns", 1)],
            target: vec![("all", 1)],
            ..Self::orders()
        }
    }

    pub fn policy(self, name: &str, value: &str) -> Self {
        let spec = json!({ "policies": { name: value }, "topics": self.spec.get("topics") });
        Self { spec, ..self }
    }

    pub fn topics(self, topics: &Value) -> Self {
        let spec = json!({ "policies": self.spec.get("policies").unwrap_or(&json!({})), "topics": topics });
        Self { spec, ..self }
    }

    pub fn choose(&self) -> Result<Scope, Vec<Finding>> {
        let object = migration(&self.spec);
        let counts = |topics: &[(&str, u32)]| -> BTreeMap<String, u32> {
            topics.iter().map(|(t, n)| ((*t).to_owned(), *n)).collect()
        };
        let commit = |(topic, partition, offset): &(&str, i32, i64)| {
            let metadata = vec![];
            (TopicPartition::new(*topic, *partition), Committed { offset: *offset, metadata })
        };
        choose(&Inputs {
            spec: &object.spec,
            selection: &Selection::new(&object.spec).unwrap(),
            replicator: &self.replicator,
            committed: &self.committed.iter().map(commit).collect(),
            source_topics: &counts(&self.source),
            target_topics: &counts(&self.target),
        })
    }

    #[track_caller]
    pub fn scope(&self) -> Scope {
        self.choose().unwrap()
    }

    /// The reasons that stand in the way, each with its partition.
    #[track_caller]
    pub fn blocked(&self) -> Vec<(Reason, String)> {
        let findings = self.choose().unwrap_err();
        findings.iter().map(|f| (f.reason, f.partition.to_string())).collect()
    }
}
