//! The commands of the documents: taken out of the text, and run as they stand there.

use std::{
    cell::RefCell,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{
    Case, Side,
    stack::{binary, lacks_share_groups, var},
};

/// A part of a document: its file, and its heading.
pub type Section = (&'static str, &'static str);

/// Every command for users that the documents have, in their order: where it stands, and its text.
pub fn commands() -> Vec<(String, String, String)> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<String> =
        ["README.md", "CONTRIBUTING.md", "SECURITY.md", "charts/appmigration/README.md"]
            .map(Into::into)
            .into();
    for folder in ["docs", "docs/from"] {
        let found = fs::read_dir(project.join(folder)).unwrap().map(|entry| entry.unwrap().file_name());
        let mut found: Vec<String> = found.map(|name| format!("{folder}/{}", name.display())).collect();
        found.retain(|name| Path::new(name).extension().is_some_and(|e| e == "md"));
        found.sort();
        files.extend(found);
    }
    let of_file = |file: String| {
        let text = fs::read_to_string(project.join(&file)).unwrap();
        in_text(&text).into_iter().map(move |(section, command)| (file.clone(), section, command))
    };
    files.into_iter().flat_map(of_file).collect()
}

/// The commands of one document, each with the heading that it stands below.
fn in_text(text: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let (mut section, mut fence, mut here) = (String::new(), None, None);
    for line in text.lines() {
        let bare = line.trim_start();
        let indent = line.len() - bare.len();
        match (&fence, bare.strip_prefix("```")) {
            (None, Some(language)) => fence = Some((language == "sh", indent)),
            (Some(_), Some(_)) => fence = None,
            (Some((true, indent)), None) => {
                let line = line.get(*indent..).unwrap_or_default();
                // What is indented, or in a here-document, goes on with the command above it.
                if line.starts_with(' ') || here.is_some() {
                    let (_, command) = found.last_mut().expect("a command to go on with");
                    *command = format!("{command}\n{line}");
                } else if !line.is_empty() && !line.starts_with('#') {
                    found.push((section.clone(), line.to_owned()));
                }
                here = match &here {
                    None => line.split_once("<<").map(|(_, end)| end.trim_matches('\'').to_owned()),
                    Some(end) => Some(end.clone()).filter(|end| line != end),
                };
            }
            (Some((false, _)), None) => {}
            (None, None) => {
                if let Some(heading) = line.strip_prefix('#') {
                    heading.trim_start_matches('#').trim().clone_into(&mut section);
                } else {
                    let spans = line.split('`').skip(1).step_by(2).filter(|span| is_command(span));
                    found.extend(spans.map(|span| (section.clone(), span.to_owned())));
                }
            }
        }
    }
    found
}

/// Whether code within a sentence is a command, and not just the name of one.
fn is_command(code: &str) -> bool {
    let words: Vec<&str> = code.split_whitespace().collect();
    match words[..] {
        ["kubectl" | "helm" | "appmigration" | "docker", _, _, ..] => true,
        [program, _, ..] => program.starts_with("kafka-") || ["make", "cargo"].contains(&program),
        _ => false,
    }
}

/// A shell for a case, in which the documents' names are the case's own.
pub struct Shell<'c> {
    case: &'c Case,
    pub folder: PathBuf,
    /// Commands that are not run anywhere.
    left_out: fn(&str) -> bool,
    /// What must have been run in the end.
    to_run: RefCell<Vec<Section>>,
}

impl<'c> Shell<'c> {
    pub fn new(case: &'c Case, to_run: &[Section], left_out: fn(&str) -> bool) -> Self {
        let folder = PathBuf::from(format!("{}/documents-{}", var("STACK_DIR"), case.namespace));
        let programs = folder.join("bin");
        fs::create_dir_all(&programs).unwrap();
        symlink(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy"), folder.join("deploy")).unwrap();
        for name in ["appmigration", "kubectl-appmig"] {
            symlink(binary(), programs.join(name)).unwrap();
        }
        Self { case, folder, left_out, to_run: RefCell::new(to_run.to_vec()) }
    }

    /// A text of the documents with the names of the case.
    pub fn named(&self, text: &str) -> String {
        let (case, ns) = (self.case, &self.case.namespace);
        let topic = |name: &str| format!("{ns}-{name}");
        // Longer names first; one that is a part of a longer one must not be found in it again.
        let names = [
            ("orders-app", "\u{1}".to_owned()),
            ("k2k-eu-to-us", "\u{2}".to_owned()),
            ("orders", topic("orders")),
            ("returns-", topic("returns-")),
            ("\u{1}", case.group.clone()),
            ("\u{2}", format!("{ns}-k2k")),
            ("eu-to-us", "k2k".to_owned()),
            ("payments", ns.clone()),
            ("kafka-eu:9092", Side::Source.bootstrap()),
            ("kafka-us:9092", Side::Target.bootstrap()),
            // On the stack `migrator` may do anything.
            ("User:migrator", "User:nobody".to_owned()),
        ];
        names.iter().fold(text.to_owned(), |text, (theirs, ours)| text.replace(theirs, ours))
    }

    /// Runs all commands of a section, which must succeed, and gives what they print.
    pub fn run(&self, section: Section) -> String {
        let (succeeds, told) = self.try_run(section);
        assert!(succeeds, "{section:?} fails:\n{told}");
        told
    }

    /// Runs a section that tells by its exit code that something is in the way.
    pub fn is_refused(&self, section: Section) -> String {
        let (succeeds, told) = self.try_run(section);
        assert!(!succeeds, "{section:?} succeeds:\n{told}");
        told
    }

    fn try_run(&self, section: Section) -> (bool, String) {
        let mut to_run = self.to_run.borrow_mut();
        let place = to_run.iter().position(|s| *s == section);
        to_run.remove(place.unwrap_or_else(|| panic!("{section:?} is not this test's, or was run before")));
        drop(to_run);
        let of_section =
            commands().into_iter().filter(|(file, heading, _)| (file.as_str(), heading.as_str()) == section);
        let to_run = of_section.map(|(.., command)| command).filter(|command| !(self.left_out)(command));
        // Kafka 3.9 has no such tool.
        let to_run =
            to_run.filter(|command| !(lacks_share_groups() && command.starts_with("kafka-groups.sh")));
        let script = self.named(&to_run.collect::<Vec<_>>().join("\n"));
        let (succeeds, told) = self.sh(&script);
        println!("--- {section:?}\n{script}\n--- says\n{told}");
        (succeeds, told)
    }

    /// Whether a script succeeds, and what it prints.
    pub fn sh(&self, script: &str) -> (bool, String) {
        // kubectl and Kafka's tools are the stack's, as in the demo that is kept.
        let (ours, theirs) = (self.folder.join("bin"), std::env::var("PATH").unwrap());
        let path = format!("{}:{}/bin:{theirs}", ours.display(), var("STACK_DIR"));
        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", script]).current_dir(&self.folder);
        let out = bash.env("PATH", path).env("NO_COLOR", "1").stdin(Stdio::null()).output().unwrap();
        (out.status.success(), String::from_utf8([out.stdout, out.stderr].concat()).unwrap())
    }
}

impl Drop for Shell<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.to_run.borrow().is_empty(), "not run: {:?}", self.to_run.borrow());
        }
    }
}
