//! What a copy is: the record, its headers, its timestamp, its place, and our headers behind its own.

use rdkafka::producer::Producer;

use crate::{
    raw,
    support::{
        DEADLINE, Repeats, Replicator, assert_complete, brokers, manifest, put, source, target, unique,
    },
};

#[test]
fn records_arrive_whole_with_their_own_headers_first() {
    let _brokers = brokers();
    let topic = unique("whole");
    source().create(&topic, 2, &[]);
    let producer = source().producer();
    let own: Vec<raw::Header> = vec![
        (b"plain".to_vec(), Some(b"value".to_vec())),
        (vec![0xff, 0xfe, b'!'], Some(vec![0, 159, 146])),
        (b"none".to_vec(), None),
        (b"empty".to_vec(), Some(vec![])),
        (b"plain".to_vec(), Some(b"again".to_vec())),
        // From a replicator before us.
        (b"k2k_offset".to_vec(), Some(b"77".to_vec())),
    ];
    let old = 1_000_000_000_000;
    raw::send(&producer, &topic, 1, (Some(b"key"), Some(b"value")), old, &own);
    raw::send(&producer, &topic, 1, (Some(b"gone"), None), old + 1, &[]);
    raw::send(&producer, &topic, 1, (None, Some(b"")), 1, &[]);
    raw::send(&producer, &topic, 1, (Some(b""), Some(b"x")), -1, &[]);
    producer.flush(DEADLINE).unwrap();

    let group = unique("g");
    let _replicator = Replicator::start(&manifest(&group, &topic, ""));
    source().wait_position_at_end(&group, &topic);
    let (originals, copies) = (source().read_all(&topic), target().read_all(&topic));
    assert_eq!(assert_complete(&originals, &copies), Repeats { rewinds: 0, records: 0 });
    assert_eq!(copies.len(), 4);
    assert_eq!(copies[0].headers[..own.len()], own);
    let ours: Vec<(String, String)> = copies[0].headers[own.len()..]
        .iter()
        .map(|(key, value)| (key.clone(), value.clone().unwrap()))
        .map(|(key, value)| (String::from_utf8(key).unwrap(), String::from_utf8(value).unwrap()))
        .collect();
    let expected = [("k2k_topic", topic.as_str()), ("k2k_partition", "1"), ("k2k_offset", "0")];
    assert_eq!(ours, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    assert_eq!(copies[1].value, None);
    assert_eq!((&copies[2].key, copies[2].value.as_deref()), (&None, Some(&b""[..])));
    assert_eq!(copies[3].timestamp, originals[3].timestamp);
}

#[test]
fn aborted_records_are_not_copied_and_the_position_passes_the_markers() {
    let _brokers = brokers();
    let topic = unique("transactions");
    source().create(&topic, 1, &[]);
    // 0 1 2 C | 4 5 A | 7 C : C and A are markers; the log ends behind one.
    let producer = source().transactional(&unique("tx"));
    for (first, count, commit) in [(0, 3, true), (100, 2, false), (3, 1, true)] {
        producer.begin_transaction().unwrap();
        put(&producer, &topic, 0, first, count);
        producer.flush(DEADLINE).unwrap();
        if commit {
            producer.commit_transaction(DEADLINE).unwrap();
        } else {
            producer.abort_transaction(DEADLINE).unwrap();
        }
    }
    let group = unique("g");
    let _replicator = Replicator::start(&manifest(&group, &topic, ""));
    source().wait_position_at_end(&group, &topic);
    assert_eq!(source().committed(&group, &topic)[&0], 9);
    let copies = target().read_all(&topic);
    assert_complete(&source().read_all(&topic), &copies);
    let values: Vec<_> =
        copies.iter().map(|copy| String::from_utf8(copy.value.clone().unwrap()).unwrap()).collect();
    assert_eq!(values, ["0", "1", "2", "3"]);

    // An open transaction holds the position; an aborted one lets it pass, though nothing was copied.
    producer.begin_transaction().unwrap();
    put(&producer, &topic, 0, 200, 1);
    producer.flush(DEADLINE).unwrap();
    assert_eq!(source().committed(&group, &topic)[&0], 9);
    producer.abort_transaction(DEADLINE).unwrap();
    source().wait_position_at_end(&group, &topic);
    assert_eq!(source().committed(&group, &topic)[&0], 11);
}

#[test]
fn timestamps_are_the_copy_s_own_where_they_are_not_kept() {
    let _brokers = brokers();
    let topic = unique("now");
    source().create(&topic, 1, &[]);
    let producer = source().producer();
    raw::send(&producer, &topic, 0, (None, Some(b"x")), 1_000, &[]);
    producer.flush(DEADLINE).unwrap();
    let group = unique("g");
    let text = manifest(&group, &topic, "")
        .replace("features: {", "features: { keepRecordCreationTimestamp: Disabled,");
    let _replicator = Replicator::start(&text);
    source().wait_position_at_end(&group, &topic);
    assert!(target().read_all(&topic)[0].timestamp.unwrap() > 1_700_000_000_000);
}

#[test]
fn a_route_renames_and_the_partitioner_puts_keys_where_their_producers_would() {
    let _brokers = brokers();
    let topic = unique("renamed");
    source().create(&topic, 2, &[]);
    source().fill(&topic, 0, 0, 50);
    source().fill(&topic, 1, 50, 50);
    let copy = format!("eu.{topic}");
    target().create(&copy, 5, &[]);
    let group = unique("g");
    let rest = "    target: { topicPrefix: eu., partition: Producer }\n";
    let _replicator = Replicator::start(&manifest(&group, &topic, rest));
    source().wait_position_at_end(&group, &topic);
    let copies = target().read_all(&copy);
    assert_eq!(copies.len(), 100);
    // By the partitioner of Java's producer, on a topic with as many partitions.
    let expected = unique("expected");
    target().create(&expected, 5, &[]);
    let producer = target().producer();
    put(&producer, &expected, -1, 0, 100);
    producer.flush(DEADLINE).unwrap();
    let placed = |records: Vec<raw::Record>| {
        let mut placed: Vec<_> = records.into_iter().map(|record| (record.key, record.partition)).collect();
        placed.sort();
        placed
    };
    assert_eq!(placed(copies), placed(target().read_all(&expected)));
}

#[test]
fn binary_headers_and_names_are_as_the_spec_says() {
    let _brokers = brokers();
    let topic = unique("binary");
    source().create(&topic, 1, &[]);
    source().fill(&topic, 0, 0, 1);
    let group = unique("g");
    let text =
        manifest(&group, &topic, "").replace("topic: Enabled", "pipeline: Enabled, topic: Enabled").replace(
            "  replication:",
            "  pipelineName: p1\n  tracing: { encoding: Int64BE, headers: { offset: o } }\n  replication:",
        );
    let _replicator = Replicator::start(&text);
    source().wait_position_at_end(&group, &topic);
    let copy = &target().read_all(&topic)[0];
    let zero = Some(vec![0; 8]);
    let expected: [raw::Header; 4] = [
        (b"k2k_topic".to_vec(), Some(topic.clone().into_bytes())),
        (b"k2k_partition".to_vec(), zero.clone()),
        (b"o".to_vec(), zero),
        (b"k2k_pipeline".to_vec(), Some(b"p1".to_vec())),
    ];
    assert_eq!(copy.headers, expected);
}
