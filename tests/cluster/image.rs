//! What a Pod runs: the files of an image, and what its last stage says of the process.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::harness::stack::{binary, var};

/// An image, by the parts that running it takes.
#[derive(Clone)]
pub struct Image {
    /// Its files, each from one of this machine; none where it has those of the machine itself.
    pub files: Option<Vec<(PathBuf, String)>>,
    pub env: BTreeMap<String, String>,
    pub entrypoint: Vec<String>,
    pub command: Vec<String>,
    pub user: u32,
}

impl Image {
    /// The operator's, as the Dockerfile describes it, around the binary under test. That one is a debug build, which
    /// takes its libraries from the machine that built it.
    pub fn of_the_operator() -> Self {
        let dockerfile = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Dockerfile")).unwrap();
        let stage = dockerfile.rsplit_once("\nFROM ").expect("a last stage").1;
        let of = |word: &'static str| {
            stage.lines().filter_map(move |line| line.strip_prefix(word)?.strip_prefix(' '))
        };
        let list = |word: &'static str| serde_json::from_str(of(word).next_back().unwrap()).unwrap();
        let binary = PathBuf::from(binary());
        let mut files = libraries(&binary);
        files.push((binary, "/appmigration".into()));
        files.push((roots(), "/etc/ssl/certs/ca-certificates.crt".into()));
        Self {
            files: Some(files),
            env: of("ENV")
                .filter_map(|line| line.split_once('='))
                .map(|(k, v)| (k.into(), v.into()))
                .collect(),
            entrypoint: list("ENTRYPOINT"),
            command: list("CMD"),
            user: of("USER").next().unwrap().split(':').next().unwrap().parse().unwrap(),
        }
    }

    /// The tools of Kafka, with the files of this machine: what stands for a user's application.
    pub fn of_kafka() -> Self {
        let entrypoint = vec![var("STACK"), "java".to_owned()];
        let of_the_stack = ["HOME", "STACK_DIR", "APPMIGRATION_CACHE"];
        let env = of_the_stack.into_iter().filter_map(|name| Some((name.to_owned(), env::var(name).ok()?)));
        Self { files: None, env: env.collect(), entrypoint, command: Vec::new(), user: 65532 }
    }

    /// Puts its files below `root`.
    pub fn unpack(&self, root: &Path) {
        for (from, to) in self.files.iter().flatten() {
            let to = root.join(to.trim_start_matches('/'));
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(from, &to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        }
    }
}

/// The shared libraries of a program, and their loader, where they are on this machine.
fn libraries(program: &Path) -> Vec<(PathBuf, String)> {
    let output = Command::new("ldd").arg(program).output().expect("ldd");
    let text = String::from_utf8(output.stdout).unwrap();
    let paths = text.split_whitespace().filter(|word| word.starts_with('/'));
    paths.map(|path| (PathBuf::from(path), path.to_owned())).collect()
}

/// The authorities that this machine trusts.
fn roots() -> PathBuf {
    let known =
        ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem"];
    known.iter().map(PathBuf::from).find(|path| path.exists()).expect("the system's CA certificates")
}
