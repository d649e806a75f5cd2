//! What the documents tell people to type and to write.

use std::fs;

/// A file of the project.
pub fn read(file: &str) -> String {
    let path = format!("{}/{file}", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The fenced blocks of a language below a heading, up to the next of the same rank.
pub fn blocks(file: &str, heading: &str, language: &str) -> Vec<String> {
    let text = read(file);
    let start = text.find(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("{file} has no {heading}"));
    let rank = heading.split(' ').next().unwrap();
    let section = &text[start + heading.len() + 2..];
    let section = section.find(&format!("\n{rank} ")).map_or(section, |end| &section[..end]);
    let mut found = Vec::new();
    let mut lines = section.lines();
    while let Some(line) = lines.next() {
        let Some(indent) = line.strip_suffix(&format!("```{language}")).filter(|i| i.trim().is_empty())
        else {
            continue;
        };
        let body = lines.by_ref().take_while(|line| line.trim() != "```");
        found.push(body.map(|line| line.strip_prefix(indent).unwrap_or(line)).collect::<Vec<_>>().join("\n"));
    }
    found
}

/// The one of them that says this.
pub fn block(file: &str, heading: &str, language: &str, says: &str) -> String {
    let all = blocks(file, heading, language);
    let mut with: Vec<&String> = all.iter().filter(|block| block.contains(says)).collect();
    assert_eq!(with.len(), 1, "{file}, {heading}: {} blocks with {says}: {all:#?}", with.len());
    with.remove(0).clone()
}
