//! Text that other people chose (names of groups, brokers' words, headers) as it may be shown: on one line, and
//! without anything that a terminal would obey.

use std::{
    borrow::Cow,
    fmt::Write as _,
    io::{self, Write},
};

/// `text` with its control characters escaped: `\n`, `\u{1b}`. What reorders or hides text is escaped too.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unprintable) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_unprintable(c) {
            let _ = write!(shown, "{}", c.escape_default());
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// `1 member`, `2 members`.
pub fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// As [`printable`], line by line.
pub fn printable_lines(text: &str) -> String {
    text.split('\n').map(printable).collect::<Vec<_>>().join("\n")
}

/// Control characters, and those of Unicode that separate lines or turn the direction of writing around.
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A log on which each write, one event with the newline at its end, stays one line whatever it holds.
pub struct OneLine<W> {
    to: W,
    /// Colours are escape sequences of our own.
    colours: bool,
}

impl<W: Write> OneLine<W> {
    /// Writes to `to`. With `colours` escape characters pass.
    pub fn new(to: W, colours: bool) -> Self {
        Self { to, colours }
    }
}

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let shown = if self.colours {
            let parts: Vec<_> = line.split('\u{1b}').map(printable).collect();
            parts.join("\u{1b}")
        } else {
            printable(line).into_owned()
        };
        self.to.write_all(format!("{shown}\n").as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write as _;

    use super::{OneLine, printable, printable_lines};

    #[test]
    fn what_a_terminal_obeys_is_escaped_and_all_else_is_as_it_was() {
        assert_eq!(printable("orders, \"größer\" %s 消費者"), "orders, \"größer\" %s 消費者");
        assert_eq!(printable("a\nb\r\t\u{1b}[2J\u{0}\u{9b}"), "a\\nb\\r\\t\\u{1b}[2J\\u{0}\\u{9b}");
        assert_eq!(printable("a\u{202e}b\u{2028}"), "a\\u{202e}b\\u{2028}");
        assert_eq!(printable_lines("a\n\u{7}b\n"), "a\n\\u{7}b\n");
    }

    #[test]
    fn one_event_is_one_line() {
        let mut log = Vec::new();
        let mut lines = OneLine::new(&mut log, false);
        lines.write_all(b"INFO group a\nINFO forged\x1b[1m\n").unwrap();
        lines.write_all(b"next\n").unwrap();
        assert_eq!(String::from_utf8(log).unwrap(), "INFO group a\\nINFO forged\\u{1b}[1m\nnext\n");
    }
}
