//! The stored plan, read as a user reads it: by the contract, not by the operator's own types.

use std::{collections::BTreeMap, fmt::Write as _, io::Read as _};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use flate2::read::GzDecoder;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{AppMigration, Case, Side};

/// A plan's ConfigMap.
pub struct StoredPlan {
    pub config_map: ConfigMap,
    /// `offsets.csv`
    pub offsets: String,
    /// `plan.json`
    pub json: Value,
    /// `snapshot.json`
    pub snapshot: Value,
}

impl StoredPlan {
    /// Reads `<name>-plan`, and the further parts that its index lists.
    pub fn read(case: &Case, name: &str) -> Self {
        let config_map = case.config_map(name).expect("a stored plan");
        let file = |file: &str| {
            let plain = config_map.data.iter().flatten().find(|(key, _)| *key == file);
            let Some((_, text)) = plain else {
                return unpacked(case, &config_map, file);
            };
            text.clone()
        };
        Self {
            offsets: file("offsets.csv"),
            json: serde_json::from_str(&file("plan.json")).unwrap(),
            snapshot: serde_json::from_str(&file("snapshot.json")).unwrap(),
            config_map,
        }
    }

    /// The certificate of a target partition.
    pub fn target(&self, topic: &str, partition: i32) -> &Value {
        let targets = self.json["targets"].as_array().unwrap();
        let wanted = |t: &&Value| t["topic"] == topic && t["partition"] == partition;
        targets.iter().find(wanted).unwrap_or_else(|| panic!("no {topic}-{partition} in {:#}", self.json))
    }

    /// The row of the only source partition of a target partition.
    pub fn row(&self, topic: &str, partition: i32) -> &Value {
        let rows = self.target(topic, partition)["sources"].as_array().unwrap();
        assert_eq!(rows.len(), 1, "{rows:?}");
        &rows[0]
    }

    /// The certificate of a target partition says all of `expected`, and may say more.
    pub fn certifies(&self, topic: &str, partition: i32, expected: &Value) {
        let target = self.target(topic, partition);
        assert!(says(target, expected), "expected {expected:#}, the certificate is {target:#}");
    }

    /// Why the row of the only source partition is not exact.
    pub fn why(&self, topic: &str, partition: i32) -> Vec<&str> {
        self.row(topic, partition)["why"].as_array().unwrap().iter().filter_map(Value::as_str).collect()
    }

    /// The hash as api.md defines it, from what the plan says and from what the clusters call themselves.
    pub fn hash(&self, migration: &AppMigration) -> String {
        let group = &migration.spec.consumer_group;
        let target_group = migration.spec.target_consumer_group.as_ref().unwrap_or(group);
        let mut lines = format!(
            "{group}\n{target_group}\n{}\n{}\n",
            Side::Source.cluster_id(),
            Side::Target.cluster_id()
        );
        let mut targets: Vec<(String, i64, i64, Vec<u8>)> = self.json["targets"]
            .as_array()
            .unwrap()
            .iter()
            .map(|t| {
                let metadata = BASE64.decode(t["metadata"].as_str().unwrap()).unwrap();
                let number = |field: &str| t[field].as_i64().unwrap();
                let topic = t["topic"].as_str().unwrap().to_owned();
                (topic, number("partition"), number("position"), metadata)
            })
            .collect();
        targets.sort();
        for (topic, partition, position, metadata) in targets {
            let metadata = BASE64.encode(metadata);
            writeln!(lines, "{topic}\t{partition}\t{position}\t{metadata}").unwrap();
        }
        let digest = Sha256::digest(lines.as_bytes());
        digest.iter().fold("sha256:".to_owned(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
    }
}

/// Objects may have more fields than expected; everything else is equal.
fn says(actual: &Value, expected: &Value) -> bool {
    match (actual, expected) {
        (Value::Object(actual), Value::Object(expected)) => {
            expected.iter().all(|(field, value)| actual.get(field).is_some_and(|there| says(there, value)))
        }
        (Value::Array(actual), Value::Array(expected)) => {
            actual.len() == expected.len() && actual.iter().zip(expected).all(|(a, e)| says(a, e))
        }
        _ => actual == expected,
    }
}

/// A file that was too large: `index.json` tells which ConfigMap has which piece `<file>.gz.<n>`.
fn unpacked(case: &Case, first: &ConfigMap, file: &str) -> String {
    let data = first.data.clone().unwrap_or_default();
    let index = data.get("index.json").unwrap_or_else(|| panic!("no {file} in {:?}", data.keys()));
    let index: BTreeMap<String, String> = serde_json::from_str(index).unwrap();
    let prefix = format!("{file}.gz.");
    let numbers = index.keys().filter_map(|key| key.strip_prefix(&prefix)?.parse::<usize>().ok());
    let packed = (0..numbers.count()).flat_map(|n| {
        let key = format!("{prefix}{n}");
        let part = case.config_map(&index[&key]).expect("a further part");
        part.binary_data.unwrap()[&key].0.clone()
    });
    let mut text = String::new();
    GzDecoder::new(packed.collect::<Vec<u8>>().as_slice()).read_to_string(&mut text).unwrap();
    text
}
