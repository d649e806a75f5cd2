//! Which topics are compacted. Reads configurations, changes none.

use std::collections::BTreeSet;

use super::{Cluster, KafkaError, replication::TopicAdmin};

impl Cluster {
    /// Those of `topics` whose `cleanup.policy` has `compact`. Needs the right to describe their
    /// configurations.
    pub async fn compacted_topics(&self, topics: &BTreeSet<String>) -> Result<BTreeSet<String>, KafkaError> {
        if topics.is_empty() {
            return Ok(BTreeSet::new());
        }
        let names: Vec<String> = topics.iter().cloned().collect();
        let configs = TopicAdmin::open(&self.inner.config)?.configs(&names).await?;
        let compacted = configs
            .into_iter()
            .filter(|(_, values)| values.get("cleanup.policy").is_some_and(|v| v.value.contains("compact")));
        Ok(compacted.map(|(topic, _)| topic).collect())
    }
}
