//! What is stored is read back, whatever its size; what was altered, or is there in part only, is not taken
//! for a journal. The hash and the offsets file are what the API's documentation says, computed apart.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{ByteString, api::core::v1::ConfigMap};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{COMPRESS_ABOVE, INDEX_FILE, Journal, JournalError, OFFSETS_FILE, PLAN_FILE, SNAPSHOT_FILE};
use super::{Snapshot, decode, encode, further_parts, part_names};
use crate::{
    TopicPartition,
    api::v1alpha1::AppMigration,
    kafka::Committed,
    mapping::{Plan, TargetOffset},
};

use super::super::fixtures::{UID, announced, committed, migration, plan, snapshot, target_plan};

/// What the API server takes.
const MEBIBYTE: usize = 1 << 20;

fn object() -> AppMigration {
    migration(&json!({}))
}

fn small() -> Journal {
    Journal { snapshot: Some(snapshot(&object())), plan: Some(plan()), ..Journal::default() }
}

/// Bytes that do not compress.
fn noise(seed: usize, length: usize) -> Vec<u8> {
    let blocks = (0..length.div_ceil(32)).map(|n| Sha256::digest(format!("{seed} {n}")));
    blocks.flatten().take(length).collect()
}

/// 10,000 target partitions, each with a certificate and with metadata of so many bytes.
fn large(metadata: usize) -> Journal {
    let mut plan = announced();
    let topic = |n: i32| format!("orders-of-region-{}", n / 100);
    plan.targets =
        (0..10_000).map(|n| target_plan(&topic(n), n % 100, 1_000_000 + i64::from(n) * 7_919)).collect();
    let mut offsets = BTreeMap::new();
    for (n, t) in plan.targets.iter_mut().enumerate() {
        t.metadata = noise(n, metadata);
        let metadata = t.metadata.clone();
        offsets.insert(t.target(), Committed { offset: t.position.0, metadata });
    }
    let stable = offsets.keys().map(|q| (q.clone(), 9_000_000)).collect();
    let snapshot = Snapshot::new(&object().spec, &offsets, &stable, "2026-11-22T09:59:00Z".into());
    Journal { snapshot: Some(snapshot), plan: Some(plan), ..Journal::default() }
}

/// What a reader finds: the first ConfigMap, and those that it names.
fn read(maps: &[ConfigMap]) -> Result<Journal, JournalError> {
    let by_name = by_name(maps);
    let first = &by_name["app-plan"];
    let parts: Vec<ConfigMap> =
        part_names(first)?.iter().filter_map(|name| by_name.get(name).cloned()).collect();
    decode(first, &parts)
}

/// The ConfigMaps as they stand in the cluster when these were written one after the other.
fn by_name(written: &[ConfigMap]) -> BTreeMap<String, ConfigMap> {
    let named = |map: &ConfigMap| (map.metadata.name.clone().unwrap(), map.clone());
    written.iter().map(named).collect()
}

/// As `read` tells it: what was stored, and where.
fn stored(journal: &Journal, maps: &[ConfigMap]) -> Journal {
    Journal { parts: further_parts(maps), ..journal.clone() }
}

#[test]
fn a_small_journal_is_one_config_map_that_people_can_read() {
    let maps = encode(&object(), &small()).unwrap();
    assert_eq!(maps.len(), 1);
    let files: Vec<&str> = maps[0].data.as_ref().unwrap().keys().map(String::as_str).collect();
    assert_eq!(files, [OFFSETS_FILE, PLAN_FILE, SNAPSHOT_FILE]);
    assert_eq!(maps[0].binary_data, None);
    assert_eq!(read(&maps), Ok(small()));
}

#[test]
fn a_journal_is_what_was_written_so_far() {
    let nothing = Journal::default();
    assert_eq!(read(&encode(&object(), &nothing).unwrap()), Ok(nothing));
    let snapshot_only = Journal { plan: None, ..small() };
    let maps = encode(&object(), &snapshot_only).unwrap();
    assert!(!maps[0].data.as_ref().unwrap().contains_key(OFFSETS_FILE));
    assert_eq!(read(&maps), Ok(snapshot_only));
}

#[test]
fn every_config_map_is_controlled_by_its_migration() {
    for maps in [encode(&object(), &small()), encode(&object(), &large(0))] {
        for map in maps.unwrap() {
            let owner = &map.metadata.owner_references.as_ref().unwrap()[0];
            let owner = (owner.kind.as_str(), owner.uid.as_str(), owner.controller);
            assert_eq!(owner, ("AppMigration", UID, Some(true)));
            assert_eq!(map.metadata.namespace.as_deref(), Some("payments"));
        }
    }
}

#[test]
fn ten_thousand_partitions_are_split_each_part_below_what_the_server_takes() {
    let journal = large(120);
    let maps = encode(&object(), &journal).unwrap();
    assert!(maps.len() > 4, "{} parts: too few to show anything", maps.len());
    for map in &maps {
        let size = serde_json::to_vec(map).unwrap().len();
        assert!(size < MEBIBYTE, "{:?}: {size}", map.metadata.name);
    }
    assert_eq!(read(&maps), Ok(stored(&journal, &maps)));
}

#[test]
fn just_below_the_limit_one_config_map_is_small_enough_too() {
    let whole = large(0).plan.unwrap();
    let maps = |partitions: usize| {
        let mut plan = whole.clone();
        plan.targets.truncate(partitions);
        let journal = Journal { plan: Some(plan), ..Journal::default() };
        encode(&object(), &journal).unwrap()
    };
    let counts: Vec<usize> = (400..800).collect();
    let most = counts.partition_point(|n| maps(*n).len() == 1);
    assert!((1..counts.len()).contains(&most));
    let size = serde_json::to_vec(&maps(counts[most - 1])).unwrap().len();
    assert!((COMPRESS_ABOVE..MEBIBYTE).contains(&size), "{size}");
}

#[test]
fn the_index_is_written_last_and_names_every_part() {
    let maps = encode(&object(), &large(0)).unwrap();
    let names: Vec<String> = maps.iter().map(|m| m.metadata.name.clone().unwrap()).collect();
    let (last, parts) = names.split_last().unwrap();
    assert_eq!(last, "app-plan");
    for (n, name) in parts.iter().enumerate() {
        assert_eq!(*name, format!("app-plan-{}", n + 1));
    }
    let indexed = part_names(maps.last().unwrap()).unwrap();
    assert_eq!(indexed, parts.iter().cloned().collect::<BTreeSet<_>>());
    assert_eq!(indexed, further_parts(&maps));
}

/// Snapshot, then plan, then the announcement: each is written over the one before. Whoever dies in between
/// leaves the former journal, whole.
#[test]
fn a_journal_that_is_being_replaced_is_whole_at_every_moment() {
    let whole = large(60);
    let mut former = Journal { plan: None, ..whole.clone() };
    let mut written = encode(&object(), &former).unwrap();
    former.parts = further_parts(&written);
    assert!(!former.parts.is_empty());
    for _ in 0..3 {
        let next = Journal { parts: former.parts.clone(), ..whole.clone() };
        let maps = encode(&object(), &next).unwrap();
        assert!(further_parts(&maps).is_disjoint(&former.parts));
        for map in &maps {
            assert_eq!(read(&written).as_ref(), Ok(&former));
            written.push(map.clone());
        }
        former = stored(&whole, &maps);
        assert_eq!(read(&written).as_ref(), Ok(&former));
    }
    // The names are used again: their number does not grow with the writes.
    let parts = former.parts.len();
    assert!(by_name(&written).len() <= 2 * parts + 1);
}

#[test]
fn a_part_that_is_missing_or_emptied_is_noticed() {
    let journal = large(120);
    let maps = encode(&object(), &journal).unwrap();
    for n in 0..maps.len() - 1 {
        let mut some = maps.clone();
        some.remove(n);
        assert!(read(&some).is_err(), "part {n} is missing");
        let mut some = maps.clone();
        some[n].binary_data = None;
        assert!(read(&some).is_err(), "part {n} is empty");
    }
}

#[test]
fn a_piece_that_was_altered_is_noticed() {
    let maps = encode(&object(), &large(120)).unwrap();
    for n in 0..maps.len() - 1 {
        if maps[n].binary_data.as_ref().unwrap().keys().any(|key| key.starts_with(OFFSETS_FILE)) {
            // Written for people, never read back.
            continue;
        }
        let mut altered = maps.clone();
        let pieces = altered[n].binary_data.as_mut().unwrap();
        for ByteString(bytes) in pieces.values_mut() {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0xff;
        }
        assert!(read(&altered).is_err(), "part {n}");
    }
}

/// Whoever may write ConfigMaps in the namespace may write the journal too.
#[test]
fn an_index_names_parts_of_its_own_journal_alone() {
    let with = |index: serde_json::Value| {
        let data = BTreeMap::from([(INDEX_FILE.to_owned(), index.to_string())]);
        let mut map = ConfigMap { data: Some(data), ..ConfigMap::default() };
        map.metadata.name = Some("app-plan".into());
        part_names(&map)
    };
    assert_eq!(with(json!({ "plan.json.gz.0": "app-plan-12" })).unwrap().len(), 1);
    for other in [
        "kube-root-ca.crt",
        "app-plan",
        "app-plan-",
        "app-plan-1a",
        "app-plan--1",
        "my-app-plan-1",
        "app-plan-9999999999",
    ] {
        let error = with(json!({ "plan.json.gz.0": other })).unwrap_err().to_string();
        assert!(error.contains(&format!("`{other}` is no part of this plan")), "{error}");
    }
    let many: BTreeMap<String, String> =
        (0..300).map(|n| (format!("k{n}"), format!("app-plan-{n}"))).collect();
    assert!(with(json!(many)).unwrap_err().to_string().contains("300 parts"));
}

#[test]
fn a_file_that_unpacks_to_too_much_is_refused() {
    // 64 MiB of spaces are 64 KiB.
    let packed = super::gzip(&vec![b' '; 129 << 20]);
    assert!(packed.len() < 200 * 1024);
    let index = json!({ "plan.json.gz.0": "app-plan-1" }).to_string();
    let mut first =
        ConfigMap { data: Some(BTreeMap::from([(INDEX_FILE.to_owned(), index)])), ..ConfigMap::default() };
    first.metadata.name = Some("app-plan".into());
    let mut part = ConfigMap {
        binary_data: Some(BTreeMap::from([("plan.json.gz.0".to_owned(), ByteString(packed))])),
        ..ConfigMap::default()
    };
    part.metadata.name = Some("app-plan-1".into());
    let error = decode(&first, &[part]).unwrap_err().to_string();
    assert!(error.contains("plan.json") && error.contains("unpacks to more than"), "{error}");
}

#[test]
fn a_file_or_an_index_that_does_not_parse_is_named() {
    for file in [PLAN_FILE, SNAPSHOT_FILE] {
        let mut maps = encode(&object(), &small()).unwrap();
        maps[0].data.as_mut().unwrap().insert(file.into(), "{".into());
        let error = read(&maps).unwrap_err().to_string();
        assert!(error.starts_with(&format!("ConfigMap app-plan: {file} cannot be read")), "{error}");
    }
    let mut maps = encode(&object(), &large(0)).unwrap();
    let first = maps.last_mut().unwrap();
    first.data.as_mut().unwrap().insert(INDEX_FILE.into(), "[".into());
    assert!(read(&maps).is_err());
}

#[test]
fn a_plan_is_committed_where_its_announcement_was_sealed() {
    let sealed = |plan: Plan| {
        let journal = Journal { plan: Some(plan), ..small() };
        let mut maps = encode(&object(), &journal).unwrap();
        let open = read(&maps).unwrap();
        assert_eq!(open.committed_plan(), None);
        maps[0].immutable = Some(true);
        // Immutable alone it can be made by anybody.
        assert_eq!(read(&maps).unwrap().committed_plan(), None);
        let hash = journal.plan.as_ref().unwrap().hash();
        let annotation = (crate::api::v1alpha1::COMMITTED_ANNOTATION.to_owned(), hash);
        maps[0].metadata.annotations = Some(BTreeMap::from([annotation]));
        read(&maps).unwrap().committed_plan().is_some()
    };
    assert!(sealed(announced()));
    assert!(!sealed(plan()));
}

#[test]
fn the_hash_is_that_of_the_canonical_lines() {
    let mut plan = plan();
    plan.group = "app".into();
    plan.target_group = "app-us".into();
    // Out of order, ten after nine, and metadata of any bytes.
    plan.targets =
        vec![target_plan("returns", 0, 7), target_plan("orders", 10, 3), target_plan("orders", 9, 0)];
    plan.targets[1].metadata = vec![0, 0xff, b'\n', b'\t'];
    plan.targets[2].metadata = b"hello".to_vec();
    let lines = "app\napp-us\nS\nT\norders\t9\t0\taGVsbG8=\norders\t10\t3\tAP8KCQ==\nreturns\t0\t7\t\n";
    let digest: Vec<String> = Sha256::digest(lines).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(plan.hash(), format!("sha256:{}", digest.concat()));
}

#[test]
fn the_hash_covers_what_is_committed_and_nothing_else() {
    let hash = plan().hash();
    let with = |change: fn(&mut Plan)| {
        let mut plan = plan();
        change(&mut plan);
        plan.hash()
    };
    let relevant: [fn(&mut Plan); 6] = [
        |p| p.group = "x".into(),
        |p| p.target_group = "x".into(),
        |p| p.made_for.source_cluster_id = "x".into(),
        |p| p.made_for.target_cluster_id = "x".into(),
        |p| p.targets[0].position = TargetOffset(5),
        |p| p.targets[0].metadata = vec![0],
    ];
    for change in relevant {
        assert_ne!(with(change), hash);
    }
    // A partial failure, or a second look, does not change it.
    let irrelevant: [fn(&mut Plan); 4] = [
        |p| p.commit_begun_at = Some("2026-11-22T10:00:01Z".into()),
        |p| p.computed_at = "later".into(),
        |p| p.targets[0].kept = Some(TargetOffset(9)),
        |p| p.targets.reverse(),
    ];
    for change in irrelevant {
        assert_eq!(with(change), hash);
    }
}

#[test]
fn the_offsets_file_has_what_the_group_has_in_the_end() {
    let mut plan = plan();
    plan.targets[1].kept = Some(TargetOffset(15));
    let journal = Journal { plan: Some(plan), ..small() };
    let maps = encode(&object(), &journal).unwrap();
    assert_eq!(maps[0].data.as_ref().unwrap()[OFFSETS_FILE], "orders,0,4\norders,1,15\n");
    let kept = read(&maps).unwrap().plan.unwrap().targets[1].kept;
    assert_eq!(kept, Some(TargetOffset(15)));
}

#[test]
fn metadata_is_base64_in_the_files_and_any_bytes_in_the_plan() {
    let mut plan = plan();
    plan.targets[0].metadata = vec![0, 0xff, 0];
    let journal = Journal { plan: Some(plan), ..small() };
    let maps = encode(&object(), &journal).unwrap();
    assert!(maps[0].data.as_ref().unwrap()[PLAN_FILE].contains(r#""metadata": "AP8A""#));
    assert_eq!(read(&maps), Ok(journal));
}

#[test]
fn a_snapshot_knows_what_was_there_at_the_confirmation() {
    let snapshot = snapshot(&object());
    let q = |n| TopicPartition::new("orders", n);
    assert_eq!(snapshot.last_stable(&q(1)), Some(20));
    assert_eq!(snapshot.last_stable(&q(2)), None);
    let now = committed("orders", &[(1, 12), (2, 0)]);
    let gone: Vec<_> = snapshot.gone(&now).collect();
    assert_eq!(gone, [(q(0), 4)]);
}
