//! The journal: the ConfigMap `<name>-plan` with the snapshot of the confirmation and the plan. Written
//! before the first commit, read after every restart.

mod snapshot;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read as _, Write as _},
};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use k8s_openapi::{
    ByteString,
    api::core::v1::ConfigMap,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::{Resource, ResourceExt};

use crate::{
    api::v1alpha1::{AppMigration, COMMITTED_ANNOTATION},
    mapping::Plan,
};

pub use snapshot::Snapshot;

/// Past this many bytes the files are compressed.
const COMPRESS_ABOVE: usize = 512 * 1024;
/// Bytes of compressed data in one ConfigMap: the API server takes 1 MiB, base64 included.
const PART: usize = 600 * 1024;
/// Decompressed, no file is larger: 10,000 partitions take some 10 MiB, with the longest metadata that a broker
/// takes by default 120 MiB. Whoever may write ConfigMaps in the
/// namespace may put one there that unpacks to a thousand times its size.
const MAX_UNPACKED: u64 = 128 << 20;
/// No journal has more parts: ten times what 10,000 partitions with the longest metadata take.
const MAX_PARTS: usize = 256;

/// The key of the plan.
pub const PLAN_FILE: &str = "plan.json";
/// The key of the offsets.
pub const OFFSETS_FILE: &str = "offsets.csv";
/// The key of the snapshot.
pub const SNAPSHOT_FILE: &str = "snapshot.json";
/// The key of the list of further parts.
const INDEX_FILE: &str = "index.json";

/// What the journal holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Journal {
    /// The snapshot, once it was taken.
    pub snapshot: Option<Snapshot>,
    /// The plan, once it was stored.
    pub plan: Option<Plan>,
    /// The further ConfigMaps that the first one lists.
    pub parts: BTreeSet<String>,
    /// The plan was committed and read back: the first one is immutable and says so.
    pub sealed: bool,
}

impl Journal {
    /// The plan, where it was committed and read back.
    pub fn committed_plan(&self) -> Option<&Plan> {
        self.plan.as_ref().filter(|plan| self.sealed && plan.commit_begun_at.is_some())
    }
}

/// A journal that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// A file does not parse, or a part is missing.
    #[error("ConfigMap {name}: {file} cannot be read: {why}")]
    Unreadable {
        /// The ConfigMap.
        name: String,
        /// The file.
        file: &'static str,
        /// Why.
        why: String,
    },
}

/// The ConfigMaps of a journal, in the order in which they are to be written: the one that holds the index of
/// the others last. None of the others is one of `journal.parts`, which stay whole until then.
pub fn encode(object: &AppMigration, journal: &Journal) -> Result<Vec<ConfigMap>, JournalError> {
    let name = name(object);
    let unreadable = |file| {
        let name = name.clone();
        move |error: serde_json::Error| JournalError::Unreadable { name, file, why: error.to_string() }
    };
    let mut files = BTreeMap::new();
    if let Some(snapshot) = &journal.snapshot {
        files.insert(SNAPSHOT_FILE, serde_json::to_vec_pretty(snapshot).map_err(unreadable(SNAPSHOT_FILE))?);
    }
    if let Some(plan) = &journal.plan {
        files.insert(PLAN_FILE, serde_json::to_vec_pretty(plan).map_err(unreadable(PLAN_FILE))?);
        files.insert(OFFSETS_FILE, plan.offsets_csv().into_bytes());
    }
    // What could not be read again is never stored.
    if let Some((file, bytes)) = files.iter().find(|(_, bytes)| bytes.len() as u64 > MAX_UNPACKED) {
        let why = format!("it would have {} bytes, at most {MAX_UNPACKED} are possible", bytes.len());
        return Err(JournalError::Unreadable { name, file, why });
    }
    let size: usize = files.values().map(Vec::len).sum();
    if size <= COMPRESS_ABOVE {
        let text =
            |(file, bytes): (&str, Vec<u8>)| (file.to_owned(), String::from_utf8_lossy(&bytes).into_owned());
        let data = files.into_iter().map(text).collect();
        return Ok(vec![ConfigMap { data: Some(data), ..config_map(object, &name) }]);
    }
    let maps = split(object, &name, files, &journal.parts);
    if maps.len() > MAX_PARTS {
        let why = format!("it would take {} ConfigMaps, at most {MAX_PARTS} are possible", maps.len());
        return Err(JournalError::Unreadable { name, file: PLAN_FILE, why });
    }
    Ok(maps)
}

/// Compresses the files and spreads them over as many ConfigMaps as it takes, none of them `in_use`.
fn split(
    object: &AppMigration,
    name: &str,
    files: BTreeMap<&'static str, Vec<u8>>,
    in_use: &BTreeSet<String>,
) -> Vec<ConfigMap> {
    let mut parts: Vec<(String, Vec<u8>)> = Vec::new();
    for (file, bytes) in files {
        for (n, chunk) in gzip(&bytes).chunks(PART).enumerate() {
            parts.push((format!("{file}.gz.{n}"), chunk.to_vec()));
        }
    }
    let mut maps: Vec<ConfigMap> = Vec::new();
    let mut index = BTreeMap::new();
    let free = (1_u32..).map(|n| format!("{name}-{n}")).filter(|part| !in_use.contains(part));
    for ((key, chunk), part) in parts.into_iter().zip(free) {
        index.insert(key.clone(), part.clone());
        maps.push(ConfigMap {
            binary_data: Some(BTreeMap::from([(key, ByteString(chunk))])),
            ..config_map(object, &part)
        });
    }
    let index = serde_json::json!(index).to_string();
    maps.push(ConfigMap {
        data: Some(BTreeMap::from([(INDEX_FILE.to_owned(), index)])),
        ..config_map(object, name)
    });
    // The index is written last: who reads it finds every part.
    maps
}

/// The names of all but the last of `maps`, which holds the index.
pub fn further_parts(maps: &[ConfigMap]) -> BTreeSet<String> {
    let further = maps.split_last().map_or(&[][..], |(_, further)| further);
    further.iter().map(ResourceExt::name_any).collect()
}

/// The names of the further parts that the first ConfigMap lists.
pub fn part_names(first: &ConfigMap) -> Result<BTreeSet<String>, JournalError> {
    Ok(index(first)?.into_values().collect())
}

/// Where each piece of a file is: its key, and the name of the ConfigMap that holds it.
fn index(first: &ConfigMap) -> Result<BTreeMap<String, String>, JournalError> {
    let Some(index) = first.data.as_ref().and_then(|d| d.get(INDEX_FILE)) else {
        return Ok(BTreeMap::new());
    };
    let name = first.name_any();
    let unreadable = |why: String| JournalError::Unreadable { name: name.clone(), file: INDEX_FILE, why };
    let index: BTreeMap<String, String> =
        serde_json::from_str(index).map_err(|error| unreadable(error.to_string()))?;
    if index.len() > MAX_PARTS {
        return Err(unreadable(format!("it lists {} parts, a plan has at most {MAX_PARTS}", index.len())));
    }
    // What it names is read, replaced and sealed: nothing but parts of this very journal.
    match index.values().find(|part| !is_part(part, &name)) {
        Some(part) => Err(unreadable(format!("`{part}` is no part of this plan"))),
        None => Ok(index),
    }
}

/// Whether a ConfigMap has the name of a further part of the journal `name`.
fn is_part(part: &str, name: &str) -> bool {
    let number = part.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
    number.is_some_and(|n| !n.is_empty() && n.len() < 10 && n.bytes().all(|b| b.is_ascii_digit()))
}

/// The pieces that the index lists, by key. Each must be there.
fn pieces<'a>(first: &ConfigMap, parts: &'a [ConfigMap]) -> Result<BTreeMap<String, &'a [u8]>, JournalError> {
    let held = |part: &str, key: &str| {
        let map = parts.iter().find(|map| map.metadata.name.as_deref() == Some(part))?;
        Some(map.binary_data.as_ref()?.get(key)?.0.as_slice())
    };
    let piece = |(key, part): (String, String)| match held(&part, &key) {
        Some(bytes) => Ok((key, bytes)),
        None => Err(JournalError::Unreadable {
            name: first.name_any(),
            file: INDEX_FILE,
            why: format!("{part} does not hold {key}"),
        }),
    };
    index(first)?.into_iter().map(piece).collect()
}

/// Reads a journal from its first ConfigMap and the further parts.
pub fn decode(first: &ConfigMap, parts: &[ConfigMap]) -> Result<Journal, JournalError> {
    let name = first.name_any();
    let pieces = pieces(first, parts)?;
    let file = |file: &'static str| -> Result<Option<Vec<u8>>, JournalError> {
        if let Some(text) = first.data.as_ref().and_then(|d| d.get(file)) {
            return Ok(Some(text.clone().into_bytes()));
        }
        let piece = |n: usize| pieces.get(&format!("{file}.gz.{n}"));
        let packed: Vec<&[u8]> = (0..).map_while(piece).copied().collect();
        if packed.is_empty() {
            return Ok(None);
        }
        let why = |error: std::io::Error| JournalError::Unreadable {
            name: name.clone(),
            file,
            why: error.to_string(),
        };
        gunzip(&packed.concat()).map(Some).map_err(why)
    };
    let unreadable = |file, error: &serde_json::Error| JournalError::Unreadable {
        name: name.clone(),
        file,
        why: error.to_string(),
    };
    let snapshot = match file(SNAPSHOT_FILE)? {
        Some(bytes) => Some(serde_json::from_slice(&bytes).map_err(|e| unreadable(SNAPSHOT_FILE, &e))?),
        None => None,
    };
    let plan = match file(PLAN_FILE)? {
        Some(bytes) => Some(serde_json::from_slice(&bytes).map_err(|e| unreadable(PLAN_FILE, &e))?),
        None => None,
    };
    let hash = plan.as_ref().map(Plan::hash);
    // Anybody may make a ConfigMap immutable; the hash is written with it after the offsets were read back.
    let sealed =
        first.immutable == Some(true) && first.annotations().get(COMMITTED_ANNOTATION) == hash.as_ref();
    Ok(Journal { snapshot, plan, parts: part_names(first)?, sealed })
}

/// The name of the journal's first ConfigMap.
pub fn name(object: &AppMigration) -> String {
    format!("{}-plan", object.name_any())
}

fn config_map(object: &AppMigration, name: &str) -> ConfigMap {
    let owner = OwnerReference {
        api_version: AppMigration::api_version(&()).into_owned(),
        kind: AppMigration::kind(&()).into_owned(),
        name: object.name_any(),
        uid: object.uid().unwrap_or_default(),
        controller: Some(true),
        // Left unset: setting it would need the right to update the migration's finalizers.
        block_owner_deletion: None,
    };
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: object.namespace(),
            owner_references: Some(vec![owner]),
            labels: Some(BTreeMap::from([(
                "app.kubernetes.io/managed-by".to_owned(),
                "appmigration-operator".to_owned(),
            )])),
            ..ObjectMeta::default()
        },
        ..ConfigMap::default()
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // Writing to memory cannot fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

fn gunzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut unpacked = Vec::new();
    GzDecoder::new(bytes).take(MAX_UNPACKED + 1).read_to_end(&mut unpacked)?;
    if unpacked.len() as u64 > MAX_UNPACKED {
        return Err(std::io::Error::other(format!("it unpacks to more than {MAX_UNPACKED} bytes")));
    }
    Ok(unpacked)
}

#[cfg(test)]
mod tests;
