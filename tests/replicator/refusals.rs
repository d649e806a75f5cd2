//! What cannot work ends the process with a word that helps; nothing is skipped.

use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;

use crate::support::{Replicator, brokers, env, manifest, source, target, unique};

/// Starts, expects a failure, and gives what it said.
fn refused(text: &str, env: &[(&str, &str)]) -> String {
    let mut replicator = Replicator::start_with(text, env);
    let status = replicator.wait_exit();
    assert_eq!(status.code(), Some(1), "{}", replicator.log());
    replicator.log()
}

/// The source over TLS and SASL, as this user.
fn secured(group: &str, topic: &str) -> String {
    let plain =
        format!("source: {{ bootstrapServers: \"{}\", consumerGroup: {group} }}", env("SOURCE_BOOTSTRAP"));
    let secured = format!(
        "source:\n    bootstrapServers: \"{}\"\n    consumerGroup: {group}\n    \
         tls: {{ enabled: true, caSecretRef: {{ name: eu-ca, key: ca.crt }} }}\n    \
         sasl: {{ mechanism: SCRAM-SHA-512, username: migrator, passwordSecretRef: {{ name: eu-user, key: password }} }}",
        env("SOURCE_SASL_SSL")
    );
    let text = manifest(group, topic, "");
    assert!(text.contains(&plain));
    text.replace(&plain, &secured)
}

fn ca() -> String {
    std::fs::read_to_string(format!("{}/ca.crt", env("PKI_DIR"))).unwrap()
}

#[test]
fn secrets_from_the_environment_open_a_secured_cluster() {
    let _brokers = brokers();
    let topic = unique("secured");
    source().create(&topic, 1, &[]);
    source().fill(&topic, 0, 0, 10);
    let group = unique("g");
    let secrets = [
        ("APPMIGRATION_SECRET_EU_CA_CA_CRT", ca()),
        ("APPMIGRATION_SECRET_EU_USER_PASSWORD", "migrator-secret\n".to_owned()),
    ];
    let secrets: Vec<(&str, &str)> = secrets.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let _replicator = Replicator::start_with(&secured(&group, &topic), &secrets);
    source().wait_position_at_end(&group, &topic);
    assert_eq!(target().read_all(&topic).len(), 10);
}

#[test]
fn a_wrong_password_is_named_and_not_shown() {
    let _brokers = brokers();
    let secrets = [
        ("APPMIGRATION_SECRET_EU_CA_CA_CRT", ca()),
        ("APPMIGRATION_SECRET_EU_USER_PASSWORD", "hunter2".to_owned()),
    ];
    let secrets: Vec<(&str, &str)> = secrets.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let log = refused(&secured("g", "t"), &secrets);
    assert!(log.contains("refused the credentials") && log.contains(&env("SOURCE_SASL_SSL")), "{log}");
    assert!(!log.contains("hunter2"), "{log}");
}

#[test]
fn a_missing_secret_names_the_field() {
    let log = refused(&secured("g", "t"), &[]);
    assert!(log.contains("spec.source.tls.caSecretRef: Secret `eu-ca` was not found"), "{log}");
}

#[test]
fn an_unreachable_cluster_is_named() {
    let log = refused(&manifest("g", "t", "").replace(&env("TARGET_BOOTSTRAP"), "127.0.0.1:1"), &[]);
    assert!(log.contains("127.0.0.1:1 is unreachable"), "{log}");
}

#[test]
fn a_misspelt_field_is_named() {
    let log = refused(&manifest("g", "t", "").replace("tracingHeaders", "tracingHeader"), &[]);
    assert!(log.contains("spec.features.tracingHeader is not a field"), "{log}");
}

#[test]
fn the_group_is_required() {
    let log = refused(&manifest("g", "t", "").replace(", consumerGroup: g", ""), &[]);
    assert!(log.contains("spec.source.consumerGroup is missing"), "{log}");
}

/// Where it joined, it would take partitions from the application, and take for copied what the application read.
#[test]
fn the_group_of_an_application_is_not_joined() {
    let _brokers = brokers();
    let topic = unique("orders");
    source().create(&topic, 2, &[]);
    source().fill(&topic, 0, 0, 10);
    let group = unique("orders-app");
    let application = source().application(&group, &topic);
    let mut replicator = Replicator::start(&manifest(&group, &topic, ""));
    replicator.wait_log(&format!("{group}, is the group of an application"));
    assert!(
        replicator.log().contains(&format!("its members are {group}-client at ")),
        "{}",
        replicator.log()
    );
    // Nor does it try in the next seconds.
    let until = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until {
        let _ = application.poll(Duration::from_millis(50));
        assert_eq!(application.assignment().unwrap().count(), 2, "the application keeps its partitions");
    }
    assert!(target().read_all(&topic).is_empty());
    // One that waits can be stopped.
    let mut other = Replicator::start(&manifest(&group, &topic, ""));
    other.wait_log("is the group of an application");
    let (status, ..) = other.terminate();
    assert!(status.success(), "{status}");

    // It has stopped, and has committed nothing: the name is free.
    drop(application);
    source().wait_position_at_end(&group, &topic);
    assert_eq!(target().read_all(&topic).len(), 10);
    // One that comes while it is at work gets all partitions, as the replicator goes; and it comes back.
    let application = source().application(&group, &topic);
    source().fill(&topic, 0, 10, 5);
    drop(application);
    source().wait_position_at_end(&group, &topic);
    assert_eq!(target().read_all(&topic).len(), 15);
}

/// An application that was stopped, for its migration say: its place would be lost.
#[test]
fn the_offsets_of_an_application_are_not_overwritten() {
    let _brokers = brokers();
    let topic = unique("orders");
    source().create(&topic, 1, &[]);
    source().fill(&topic, 0, 0, 10);
    let group = unique("orders-app");
    source().commit(&group, &topic, 0, 4);
    let text = manifest(&group, &topic, "");
    let mut replicator = Replicator::start(&text);
    replicator
        .wait_log(&format!("is the group of an application: no replicator has committed {topic}-0 at 4 "));
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(source().committed(&group, &topic), [(0, 4)].into());
    drop(replicator);

    // Somebody knows better, and from then on it is the replicator's.
    let replicator = Replicator::start_with(&text, &[("APPMIGRATION_TAKE_GROUP", "true")]);
    source().wait_position_at_end(&group, &topic);
    drop(replicator);
    source().fill(&topic, 0, 10, 5);
    let _replicator = Replicator::start(&text);
    source().wait_position_at_end(&group, &topic);
    assert_eq!(target().read_all(&topic).len(), 11);
}

#[test]
fn copying_in_a_circle_is_refused() {
    let _brokers = brokers();
    let topic = unique("circle");
    source().create(&topic, 1, &[]);
    let text = manifest(&unique("g"), &topic, "").replace(&env("TARGET_BOOTSTRAP"), &env("SOURCE_BOOTSTRAP"));
    let log = refused(&text, &[]);
    assert!(log.contains("source and target are the same cluster"), "{log}");
}

#[test]
fn a_record_too_large_for_the_target_is_named_and_not_passed() {
    let _brokers = brokers();
    let topic = unique("large");
    source().create(&topic, 1, &[]);
    target().create(&topic, 1, &[("max.message.bytes", "20000")]);
    let producer = source().producer();
    // Small ones in one batch beyond the limit are no trouble; one that is too large is.
    crate::support::put(&producer, &topic, 0, 0, 5_000);
    // Xorshift: nothing that compresses.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    })
    .take(60_000)
    .collect();
    crate::raw::send(&producer, &topic, 0, (None, Some(&noise)), 0, &[]);
    crate::support::put(&producer, &topic, 0, 5_001, 10);
    rdkafka::producer::Producer::flush(&producer, crate::support::DEADLINE).unwrap();
    let group = unique("g");
    let log = refused(&manifest(&group, &topic, ""), &[]);
    assert!(log.contains(&format!("{topic}-0 offset 5000 cannot be copied to {topic}")), "{log}");
    assert!(log.contains("raise max.message.bytes of the target topic"), "{log}");
    let committed = source().committed(&group, &topic);
    assert!(committed.get(&0).is_none_or(|position| *position <= 5_000), "{committed:?}");
}

#[test]
fn a_batch_that_cannot_be_read_is_named_and_not_passed() {
    let _brokers = brokers();
    let topic = unique("rotten");
    source().create(&topic, 1, &[]);
    let dir = format!("{}/kafka/source/data/{topic}-0/00000000000000000000.log", env("STACK_DIR"));
    // 0..99, 100..199, 200..299: the second is damaged on the disk.
    source().fill(&topic, 0, 0, 100);
    source().fill(&topic, 0, 100, 100);
    let end = std::fs::metadata(&dir).unwrap().len();
    source().fill(&topic, 0, 200, 100);
    let mut bytes = std::fs::read(&dir).unwrap();
    bytes[usize::try_from(end).unwrap() - 3] ^= 0x55;
    std::fs::write(&dir, bytes).unwrap();

    let group = unique("g");
    let log = refused(&manifest(&group, &topic, ""), &[]);
    assert!(log.contains(&format!("{topic}-0 cannot be read at offset ")), "{log}");
    let committed = source().committed(&group, &topic).get(&0).copied().unwrap_or(0);
    let copied = target().end(&topic, 0);
    assert!(committed < 200 && copied < 200, "committed {committed}, copied {copied}");
}
