//! Which topics are compacted. Reads configurations, changes none.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Cluster, KafkaError,
    meter::{Call, measured},
    replication::TopicAdmin,
};
use crate::crash;

impl Cluster {
    /// Whether the `cleanup.policy` of each topic has `compact`. A topic whose configuration may not be described
    /// is absent.
    pub async fn compacted_topics(
        &self,
        topics: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, bool>, KafkaError> {
        if topics.is_empty() {
            return Ok(BTreeMap::new());
        }
        crash::before_call(|| format!("read topic configurations on {}", self.servers())).await;
        let names: Vec<String> = topics.iter().cloned().collect();
        let asked = async { TopicAdmin::open(&self.inner.config)?.configs(&names).await };
        let configs = measured(Call::DescribeConfigs, self.servers(), asked).await?;
        let compacted = configs.into_iter().map(|(topic, values)| {
            let compacted = values.get("cleanup.policy").is_some_and(|v| v.value.contains("compact"));
            (topic, compacted)
        });
        Ok(compacted.collect())
    }
}
