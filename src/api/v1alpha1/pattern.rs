//! Topic patterns as users write them: anchored regular expressions, of a size that is bounded one by one and
//! in all. Whoever may write a custom resource may write any pattern: none may cost memory or time that matters.

use regex::bytes::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};

/// Bytes that a compiled pattern may take: far beyond any honest one, far below what hurts.
const EACH: usize = 1 << 16;
/// Bytes that all patterns of one list may take together: some 5,000 names of topics.
const TOGETHER: usize = 1 << 23;

/// Anchored regular expressions that name topics. `orders` matches just the topic of that name.
#[derive(Clone, Debug)]
pub struct TopicPatterns(RegexSet);

/// Patterns that cannot be used: the first such one, or all together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternError {
    /// Which of them; none where only all together are too much.
    pub index: Option<usize>,
    /// A text for the user.
    pub reason: String,
}

impl TopicPatterns {
    /// Compiles `patterns`, each anchored at both ends.
    pub fn new<'a>(patterns: impl IntoIterator<Item = &'a String>) -> Result<Self, PatternError> {
        let mut anchored = Vec::new();
        for (index, pattern) in patterns.into_iter().enumerate() {
            check(pattern).map_err(|reason| PatternError { index: Some(index), reason })?;
            anchored.push(anchor(pattern));
        }
        let set =
            RegexSetBuilder::new(&anchored).unicode(false).size_limit(TOGETHER).build().map_err(|_| {
                let reason = format!("these {} patterns are too large together; use fewer", anchored.len());
                PatternError { index: None, reason }
            })?;
        Ok(Self(set))
    }

    /// The first pattern that matches the whole of `topic`.
    pub fn first_match(&self, topic: &str) -> Option<usize> {
        self.0.matches(topic.as_bytes()).iter().next()
    }

    /// Whether any of them matches the whole of `topic`.
    pub fn matches(&self, topic: &str) -> bool {
        self.0.is_match(topic.as_bytes())
    }

    /// The patterns, as they were written, that match none of `topics`.
    pub fn unmatched<'a>(&self, topics: impl IntoIterator<Item = &'a str>) -> Vec<&str> {
        let mut matched = vec![false; self.0.len()];
        for topic in topics {
            self.0.matches(topic.as_bytes()).iter().for_each(|index| matched[index] = true);
        }
        let unmatched = self.0.patterns().iter().zip(matched).filter(|(_, matched)| !matched);
        unmatched.map(|(anchored, _)| &anchored[ANCHORS.0.len()..anchored.len() - ANCHORS.1.len()]).collect()
    }
}

/// What is put around each pattern.
const ANCHORS: (&str, &str) = ("^(?:", ")$");

fn anchor(pattern: &str) -> String {
    format!("{}{pattern}{}", ANCHORS.0, ANCHORS.1)
}

/// Checks one pattern alone, so that no more than one that is too large is ever in memory. What holds neither a
/// class, a group nor a count cannot become large and must be right once it compiles with the others.
fn check(pattern: &str) -> Result<(), String> {
    if !pattern.contains(['\\', '[', '(', ')', '{', '*', '+', '?']) {
        return Ok(());
    }
    // Alone first: `a)|(b` is one only between the parentheses of the anchor, and then it is not anchored.
    build(pattern).and_then(|_| build(&anchor(pattern))).map(drop).map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => format!("`{pattern}` is too large once compiled"),
        _ => format!("`{pattern}` is not a regular expression"),
    })
}

fn build(pattern: &str) -> Result<Regex, regex::Error> {
    // Names of topics are ASCII: a class of all of Unicode would only be a hundred times as large.
    RegexBuilder::new(pattern).unicode(false).size_limit(EACH).build()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{PatternError, TopicPatterns};

    fn patterns(texts: &[&str]) -> Result<TopicPatterns, PatternError> {
        TopicPatterns::new(&texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_pattern_is_anchored_at_both_ends() {
        let pattern = patterns(&["orders|returns-.*"]).unwrap();
        assert!(pattern.matches("orders"));
        assert!(pattern.matches("returns-eu"));
        assert!(!pattern.matches("orders-old"));
        assert!(!pattern.matches("my-orders"));
        assert!(!pattern.matches("orders\n"));
    }

    #[test]
    fn nothing_gets_out_of_the_anchors() {
        for text in ["a)|(?:.*", "a)|(.*", "a)|.*(?:b", "(?x)a #"] {
            let error = patterns(&["fine", text]).unwrap_err();
            assert_eq!(error.index, Some(1), "{text}");
        }
        assert!(!patterns(&["(?m)a$|^b"]).unwrap().matches("c\nb"));
    }

    #[test]
    fn the_first_that_matches_is_told() {
        let pattern = patterns(&["a", "b.*", "bc"]).unwrap();
        assert_eq!(pattern.first_match("bc"), Some(1));
        assert_eq!(pattern.first_match("c"), None);
        // Covered by another one or not, it is met.
        assert_eq!(pattern.unmatched(["bc", "d"]), ["a"]);
    }

    #[test]
    fn bad_and_oversized_patterns_are_named() {
        assert!(patterns(&["orders["]).unwrap_err().reason.contains("orders["));
        for text in ["(a{1000}){1000}", r"(?u)\w{200}", r"(?iu)\pL{60}", "((((a{9}){9}){9}){9}){9}"] {
            assert!(patterns(&[text]).unwrap_err().reason.contains("too large"), "{text}");
        }
    }

    #[test]
    fn thousands_of_plain_names_are_fine() {
        let names: Vec<String> = (0..5_000).map(|n| format!("payments.orders-{n:04}.v1")).collect();
        let all = TopicPatterns::new(&names).unwrap();
        assert_eq!(all.first_match("payments.orders-4999.v1"), Some(4999));
    }

    /// 8,192 of the largest that pass one by one would take half a gigabyte.
    #[test]
    fn many_large_patterns_are_too_large_together() {
        let pattern = r"[a-z0-9]{400}.{400}".to_owned();
        TopicPatterns::new([&pattern]).unwrap();
        let many = vec![pattern; 2_000];
        let error = TopicPatterns::new(&many).unwrap_err();
        assert!(error.index.is_none() && error.reason.contains("2000 patterns are too large together"));
    }

    /// Nested repetitions, the ruin of matchers that backtrack, cost a pass over the name.
    #[test]
    fn nested_repetitions_match_in_linear_time() {
        let pattern = patterns(&["(a*)*b", "(a|a)*b", "(a|aa)+$", "(.*)*x"]).unwrap();
        for _ in 0..1_000 {
            assert!(!pattern.matches(&format!("{}!", "a".repeat(248))));
        }
    }
}
