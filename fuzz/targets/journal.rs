//! The journal, which anybody may alter who may write ConfigMaps in the namespace: nothing in it panics or
//! unpacks to more than its bound, and what is read is written back as it was.

#![no_main]

use std::{collections::BTreeMap, io::Write as _};

use appmigration::{
    api::v1alpha1::AppMigration,
    controller::journal::{self, decode, encode},
};
use flate2::{Compression, write::GzEncoder};
use k8s_openapi::{ByteString, api::core::v1::ConfigMap};
use libfuzzer_sys::fuzz_target;

fn migration() -> AppMigration {
    let json = r#"{"metadata":{"name":"app","namespace":"a","uid":"u"},
        "spec":{"replicatorRef":{"name":"k2k"},"consumerGroup":"g"}}"#;
    serde_json::from_str(json).expect("a migration")
}

fn map(name: &str, data: BTreeMap<String, String>, pieces: BTreeMap<String, Vec<u8>>) -> ConfigMap {
    let mut map = ConfigMap {
        data: Some(data),
        binary_data: Some(pieces.into_iter().map(|(key, bytes)| (key, ByteString(bytes))).collect()),
        ..ConfigMap::default()
    };
    map.metadata.name = Some(name.to_owned());
    map
}

fn packed(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).expect("memory");
    encoder.finish().expect("memory")
}

// How it is stored, then the plan, the snapshot, the index and a packed piece, with a NUL between them.
fuzz_target!(|bytes: &[u8]| {
    let Some((how, rest)) = bytes.split_first() else { return };
    let mut parts = rest.splitn(4, |byte| *byte == 0);
    let mut part = || parts.next().unwrap_or_default();
    let (plan, snapshot, index, bytes) = (part(), part(), part(), part().to_vec());
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let (plan, snapshot, index) = (text(plan), text(snapshot), text(index));
    let mut data = BTreeMap::new();
    let mut pieces = BTreeMap::new();
    if !snapshot.is_empty() {
        data.insert("snapshot.json".to_owned(), snapshot);
    }
    if how & 1 == 0 {
        data.insert("plan.json".to_owned(), plan);
    } else {
        let index = if how & 2 == 0 { r#"{"plan.json.gz.0":"app-plan-1"}"#.to_owned() } else { index };
        data.insert("index.json".to_owned(), index);
        pieces.insert("plan.json.gz.0".to_owned(), if how & 4 == 0 { packed(&plan) } else { bytes });
    }
    let (first, part) = (map("app-plan", data, BTreeMap::new()), map("app-plan-1", BTreeMap::new(), pieces));
    let _ = journal::part_names(&first);
    let Ok(journal) = decode(&first, &[part]) else { return };
    let Ok(maps) = encode(&migration(), &journal) else { return };
    let (first, parts) = maps.split_last().expect("one at least");
    let again = decode(first, parts).expect("what was written");
    assert_eq!((again.plan, again.snapshot), (journal.plan, journal.snapshot));
});
