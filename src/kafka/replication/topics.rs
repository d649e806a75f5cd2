//! Topic configurations, and new topics. The only calls of the replicator that change more than records and
//! its own offsets, and only ever on the target.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rdkafka::{
    admin::{
        AdminClient, AdminOptions, ConfigSource, NewTopic, OwnedResourceSpecifier, ResourceSpecifier,
        TopicReplication,
    },
    config::FromClientConfigAndContext,
    error::KafkaError as ClientError,
};

use super::refused;
use crate::kafka::{ConnectionConfig, KafkaError, Purpose, call::Asked, ffi::Failure, signals::Context};

/// How long one call may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// One configuration value of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigValue {
    /// The value in force, wherever it comes from.
    pub value: String,
    /// Whether it is set on the topic itself.
    pub explicit: bool,
}

/// A topic to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopicSpec {
    /// Its name.
    pub name: String,
    /// How many partitions.
    pub partitions: u32,
    /// Its own configuration.
    pub configs: BTreeMap<String, String>,
}

/// A client for the calls on topics. Costs some threads while it lives.
pub struct TopicAdmin {
    client: AdminClient<Context>,
    servers: String,
}

impl TopicAdmin {
    /// Makes the client; it connects by itself.
    pub fn open(connection: &ConnectionConfig) -> Result<Self, KafkaError> {
        let config = connection.client_config(Purpose::Operator);
        let client = AdminClient::from_config_and_context(&config, Context::default()).map_err(refused)?;
        Ok(Self { client, servers: connection.bootstrap_servers.clone() })
    }

    /// The configuration of each topic, by topic and name. A topic whose configuration is not shown (the right
    /// DescribeConfigs, or a topic made just now) is absent.
    pub async fn configs(
        &self,
        topics: &[String],
    ) -> Result<BTreeMap<String, BTreeMap<String, ConfigValue>>, KafkaError> {
        let asked = self.asked("read topic configurations (DescribeConfigs)");
        let resources: Vec<_> = topics.iter().map(|topic| ResourceSpecifier::Topic(topic)).collect();
        let answers = self
            .client
            .describe_configs(&resources, &options())
            .await
            .map_err(|error| asked.explain(failure(&error), None))?;
        let mut configs = BTreeMap::new();
        for (topic, answer) in topics.iter().zip(answers) {
            let resource = answer.map_err(|code| asked.explain(Failure::named(topic, code as i32), None))?;
            // The client drops a resource's own error; a topic that may be described has dozens of settings.
            if resource.entries.is_empty() {
                continue;
            }
            if let OwnedResourceSpecifier::Topic(name) = resource.specifier {
                let values = resource.entries.into_iter().filter_map(|entry| {
                    let explicit = entry.source == ConfigSource::DynamicTopic;
                    Some((entry.name, ConfigValue { value: entry.value?, explicit }))
                });
                configs.insert(name, values.collect());
            }
        }
        Ok(configs)
    }

    /// Creates a topic, or with `only_check` asks whether it could be. False where it is there already.
    pub async fn create(&self, topic: &NewTopicSpec, only_check: bool) -> Result<bool, KafkaError> {
        let asked = self.asked(&format!("create topic {}", topic.name));
        let partitions = i32::try_from(topic.partitions).unwrap_or(i32::MAX);
        // -1: the broker's default.
        let mut new = NewTopic::new(&topic.name, partitions, TopicReplication::Fixed(-1));
        for (name, value) in &topic.configs {
            new = new.set(name, value);
        }
        let options = options().validate_only(only_check);
        let answers = self
            .client
            .create_topics([&new], &options)
            .await
            .map_err(|error| asked.explain(failure(&error), None))?;
        let mut created = true;
        for answer in answers {
            match answer {
                Ok(_) => {}
                Err((_, rdkafka::types::RDKafkaErrorCode::TopicAlreadyExists)) => created = false,
                Err((name, code)) => return Err(asked.explain(Failure::named(&name, code as i32), None)),
            }
        }
        Ok(created)
    }

    fn asked(&self, what: &str) -> Asked {
        Asked { servers: self.servers.clone(), what: what.to_owned(), start: Instant::now() }
    }
}

/// Whether the target refused a topic's configuration (and not the topic).
pub fn is_invalid_config(error: &KafkaError) -> bool {
    use rdkafka::types::RDKafkaErrorCode::{InvalidConfig, InvalidRequest};
    matches!(error, KafkaError::Other { code, .. } if [InvalidConfig as i32, InvalidRequest as i32].contains(code))
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(DEADLINE)).operation_timeout(Some(DEADLINE))
}

fn failure(error: &ClientError) -> Failure {
    match error.rdkafka_error_code() {
        Some(code) => Failure::call(code as i32),
        None => Failure::Call { code: 0, reason: error.to_string() },
    }
}
