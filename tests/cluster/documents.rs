//! What the documents tell people to type and to write.

use std::fs;

use crate::harness::documents::commands;

/// The command of a section that begins like this.
pub fn command(file: &str, section: &str, start: &str) -> String {
    let of_section =
        commands().into_iter().filter(|(f, s, c)| f == file && s == section && c.starts_with(start));
    let found: Vec<String> = of_section.map(|(.., command)| command).collect();
    assert_eq!(found.len(), 1, "{file}, {section}: {start}: {found:#?}");
    found.into_iter().next().unwrap()
}

/// The README's manifest of a kind, from its first migration.
pub fn manifest(kind: &str) -> String {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let mut blocks = text.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let block =
        blocks.find(|block| block.contains(&format!("kind: {kind}\n"))).expect("a block of that kind");
    // It stands in a list.
    let indent = block.len() - block.trim_start().len();
    block.lines().map(|line| line.get(indent..).unwrap_or_default()).collect::<Vec<_>>().join("\n")
}
