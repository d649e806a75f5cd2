//! Topic patterns: none takes memory or time that matters, and none gets out of its anchors.

#![no_main]

use appmigration::api::v1alpha1::TopicPatterns;
use libfuzzer_sys::fuzz_target;

// A topic, then a pattern on each line.
fuzz_target!(|text: &str| {
    let (topic, patterns) = text.split_once('\n').unwrap_or((text, ""));
    // As the CRD bounds them.
    let bounded = |text: &&str| text.chars().count() <= 512;
    let patterns: Vec<String> = patterns.split('\n').filter(bounded).map(str::to_owned).collect();
    let Ok(compiled) = TopicPatterns::new(&patterns) else { return };
    let first = compiled.first_match(topic);
    assert_eq!(first.is_some(), compiled.matches(topic));
    // Each matches alone what it matches among the others.
    if let Some(n) = first {
        assert!(TopicPatterns::new([&patterns[n]]).expect("it compiled before").matches(topic));
    }
});
