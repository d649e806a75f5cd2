//! A topic pattern as users write it: an anchored regular expression of bounded size.

use regex::{Regex, RegexBuilder};

/// Bytes that a compiled pattern may take: far beyond any honest one, far below what hurts.
const COMPILED_SIZE_LIMIT: usize = 1 << 18;

/// An anchored regular expression that names topics. `orders` matches just the topic of that name.
#[derive(Clone, Debug)]
pub struct TopicPattern(Regex);

impl TopicPattern {
    /// Compiles `pattern`, anchored at both ends. The error is a text for the user.
    pub fn new(pattern: &str) -> Result<Self, String> {
        RegexBuilder::new(&format!("^(?:{pattern})$"))
            .size_limit(COMPILED_SIZE_LIMIT)
            .build()
            .map(Self)
            .map_err(|error| match error {
                regex::Error::CompiledTooBig(_) => format!("`{pattern}` is too large once compiled"),
                _ => format!("`{pattern}` is not a regular expression"),
            })
    }

    /// Whether the whole of `topic` matches.
    pub fn matches(&self, topic: &str) -> bool {
        self.0.is_match(topic)
    }
}

#[cfg(test)]
mod tests {
    use super::TopicPattern;

    #[test]
    fn a_pattern_is_anchored_at_both_ends() {
        let pattern = TopicPattern::new("orders|returns-.*").unwrap();
        assert!(pattern.matches("orders"));
        assert!(pattern.matches("returns-eu"));
        assert!(!pattern.matches("orders-old"));
        assert!(!pattern.matches("my-orders"));
    }

    #[test]
    fn bad_and_oversized_patterns_are_named() {
        assert!(TopicPattern::new("orders[").unwrap_err().contains("orders["));
        assert!(TopicPattern::new("(a{1000}){1000}").unwrap_err().contains("too large"));
    }
}
