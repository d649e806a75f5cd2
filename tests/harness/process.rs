//! A child process that ends with the test, whatever becomes of it.

use std::{
    io::Write,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::stack::{DEADLINE, binary};

/// What `appmigration ARGS… --file -` prints until it ends, given these manifests, and whether it succeeds. It has
/// no Kubernetes.
pub fn with_manifests(args: &[&str], documents: &[Value]) -> (bool, String) {
    let text: Vec<String> = documents.iter().map(Value::to_string).collect();
    let mut command = Command::new(binary());
    command.args(args).args(["--file", "-"]).env_remove("KUBECONFIG");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.join("\n---\n").as_bytes()).unwrap();
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > DEADLINE {
            child.kill().unwrap();
            panic!("appmigration {args:?} does not end");
        }
        sleep(Duration::from_millis(20));
    }
    let out = child.wait_with_output().unwrap();
    (out.status.success(), String::from_utf8([out.stdout, out.stderr].concat()).unwrap())
}

use super::sockets;

/// A server of the stack that is stopped in the middle of everything; dropped, it goes on.
pub struct Frozen(String);

impl Frozen {
    pub fn new(server: &str) -> Self {
        signal(server, "-STOP");
        Self(server.to_owned())
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        signal(&self.0, "-CONT");
    }
}

/// Sends a signal to a server of the stack.
pub fn signal(server: &str, which: &str) {
    let pid = sockets::pid(server).to_string();
    assert!(Command::new("kill").args([which, &pid]).status().unwrap().success(), "{which} {server}");
}

pub struct Process(Child);

impl Process {
    pub fn spawn(command: &mut Command) -> Self {
        Self(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    /// Asks it to end, and waits.
    pub fn terminate(&mut self) {
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }

    pub fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
