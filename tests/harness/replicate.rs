//! The project's own replicator as a process: `appmigration replicate`.

use std::{
    fs::{self, File},
    iter,
    path::PathBuf,
    process::{Command, Stdio},
};

use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};

use super::{
    K2KReplicator,
    process::Process,
    stack::{binary, var},
};

/// A running replicator; killed when dropped.
pub struct Replicate {
    process: Process,
    log: PathBuf,
}

impl Replicate {
    /// From the same manifest that the cluster was given, Secrets included.
    pub fn start(name: &str, replicator: &K2KReplicator, secrets: &[Secret]) -> Self {
        let others = secrets.iter().map(|secret| json!(secret));
        Self::from_documents(name, &iter::once(json!(replicator)).chain(others).collect::<Vec<_>>())
    }

    /// From a file with these documents.
    pub fn from_documents(name: &str, documents: &[Value]) -> Self {
        let dir = PathBuf::from(var("STACK_DIR"));
        let (file, log) = (dir.join(format!("{name}.yaml")), dir.join("log").join(format!("{name}.log")));
        let text: Vec<String> = documents.iter().map(Value::to_string).collect();
        fs::write(&file, text.join("\n---\n")).unwrap();
        let out = File::create(&log).unwrap();
        let mut command = Command::new(binary());
        command.arg("replicate").arg("--file").arg(&file);
        // What takes half a minute in production takes seconds here.
        command.env("APPMIGRATION_REFRESH_SECONDS", "2");
        command.stdin(Stdio::null()).stderr(out.try_clone().unwrap()).stdout(out);
        Self { process: Process::spawn(&mut command), log }
    }

    /// Ends it as Kubernetes does: its position is committed.
    pub fn stop(mut self) {
        self.process.terminate();
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.process.kill();
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Replicate {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- log of the replicator\n{}", self.log());
        }
    }
}
