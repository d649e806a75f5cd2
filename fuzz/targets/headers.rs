//! Origin headers, which anybody writes who may write to the target: no value panics, what is kept of a record
//! decodes as the record did, and every record is counted once.

#![no_main]

use std::collections::{BTreeSet, HashMap};

use appmigration::{
    TopicPartition,
    api::v1alpha1::Encoding,
    mapping::{
        TargetOffset,
        digest::{Digests, TargetDigest},
        origin::{Implied, Numbers, OriginFormat, RawOrigin, decode},
    },
};
use libfuzzer_sys::fuzz_target;

/// Topic, partition, offset, pipeline.
type Headers = (Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>);

fn raw((topic, partition, offset, pipeline): &Headers) -> RawOrigin<'_> {
    RawOrigin {
        topic: topic.as_deref(),
        partition: partition.as_deref(),
        offset: offset.as_deref(),
        pipeline: pipeline.as_deref(),
    }
}

fuzz_target!(|input: (u8, Vec<Headers>)| {
    let (kind, records) = input;
    let encodings =
        [Encoding::Auto, Encoding::String, Encoding::Int64BE, Encoding::Int64LE, Encoding::Int32BE];
    let named = |bit: u8, name: &str| (kind & bit == 0).then(|| name.to_owned());
    let format = OriginFormat {
        topic: named(16, "k2k_topic"),
        partition: named(32, "k2k_partition"),
        offset: Some("k2k_offset".into()),
        pipeline: named(64, "k2k_pipeline"),
        encoding: encodings[usize::from(kind & 7) % encodings.len()],
    };
    let implied = Implied { topic: Some("orders".into()), partition: Some(0) };
    let target = TopicPartition::new("copy", 0);
    let wanted = BTreeSet::from([TopicPartition::new("orders", 0), TopicPartition::new("a", 1)]);
    let digest = TargetDigest::new(format.clone(), implied.clone(), wanted);
    let mut digests = Digests::new(HashMap::from([(target.clone(), digest)]));
    for (n, record) in records.iter().enumerate() {
        let raw = raw(record);
        for numbers in [Numbers::Decimal, Numbers::BigEndian, Numbers::LittleEndian] {
            let whole = decode(&raw, &format, &implied, numbers);
            assert_eq!(whole, decode(&raw.keep().raw(), &format, &implied, numbers));
        }
        if n % 7 == 5 {
            digests.leap(&target, TargetOffset(n as i64));
        }
        digests.record(&target, TargetOffset(n as i64), &raw, None);
    }
    let found = digests.finish().next().expect("one partition").1;
    let count = |set: &appmigration::mapping::intervals::IntervalSet| set.count_within(0, i64::MAX);
    let counted = count(&found.natives) + count(&found.undecodable) + found.with_origin;
    assert_eq!((found.records, counted), (records.len() as u64, records.len() as u64));
});
