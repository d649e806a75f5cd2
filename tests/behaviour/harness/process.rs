//! A child process that ends with the test, whatever becomes of it.

use std::process::{Child, Command};

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
