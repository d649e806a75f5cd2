//! Further operators beside the shared one, each a process of its own. A test that has them is alone.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::Command,
    time::Duration,
};

use super::{
    operator::TIMINGS,
    process::signal,
    stack::{binary, stack, var},
};

/// An operator by its name. Dropped, it is gone.
pub struct Operator {
    pub name: String,
    /// Where its log began: an earlier one of that name has written there too.
    since: usize,
}

impl Operator {
    /// Starts it, and waits until it is ready, leading or standing by.
    pub fn start(name: &str, extra: &[(&str, &str)]) -> Self {
        let mut operator = Self { name: name.to_owned(), since: 0 };
        operator.since = operator.log().len();
        operator.launch(extra);
        operator
    }

    /// Starts it again.
    pub fn launch(&self, extra: &[(&str, &str)]) {
        let mut command = Command::new(var("STACK"));
        command.args(["operator", "start", "--name", &self.name]).env("APPMIGRATION_BIN", binary());
        command.env("APPMIGRATION_LOG_LEVEL", "info").env("NO_COLOR", "1");
        command.envs(TIMINGS).envs(extra.iter().copied());
        let out = command.output().unwrap();
        assert!(out.status.success(), "{}\n{}", String::from_utf8_lossy(&out.stderr), self.log());
    }

    fn tell(&self, what: &str) -> String {
        stack(&["operator", what, "--name", &self.name]).unwrap_or_else(|error| panic!("{what}: {error}"))
    }

    pub fn kill(&self) {
        self.tell("kill");
    }

    pub fn stop(&self) {
        self.tell("stop");
    }

    /// SIGTERM, without waiting for what comes of it.
    pub fn terminate(&self) {
        signal(&self.name, "-TERM");
    }

    pub fn is_running(&self) -> bool {
        stack(&["operator", "status", "--name", &self.name]).is_ok()
    }

    pub fn pause(&self) {
        self.tell("pause");
    }

    pub fn resume(&self) {
        self.tell("resume");
    }

    pub fn log(&self) -> String {
        let log = fs::read_to_string(format!("{}/log/{}.log", var("STACK_DIR"), self.name));
        log.unwrap_or_default().split_off(self.since)
    }

    /// It says of itself that it leads.
    pub fn leads(&self) -> bool {
        leads(&self.name)
    }

    pub fn probe(&self, path: &str, patience: Duration) -> Option<(u16, String)> {
        probe(&self.name, path, patience)
    }

    /// Waits until its log says so for the `count`th time.
    pub fn says(&self, what: &str, count: usize, deadline: Duration) {
        super::stack::eventually(deadline, &format!("{} to say `{what}` {count} times", self.name), || {
            self.log().matches(what).count() >= count
        });
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(25).collect();
            eprintln!("--- log of {}\n{}", self.name, tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
        let _ = stack(&["operator", "kill", "--name", &self.name]);
    }
}

/// What a probe answers: the status code and the text. None where it does not answer in time.
pub fn probe(name: &str, path: &str, patience: Duration) -> Option<(u16, String)> {
    let port = fs::read_to_string(format!("{}/{}.port", var("STACK_DIR"), name)).ok()?;
    let address = SocketAddr::from(([127, 0, 0, 1], port.trim().parse().ok()?));
    let mut stream = TcpStream::connect_timeout(&address, patience).ok()?;
    stream.set_read_timeout(Some(patience)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// An operator says of itself that it leads.
pub fn leads(name: &str) -> bool {
    let metrics = probe(name, "/metrics", Duration::from_millis(300));
    metrics.is_some_and(|(_, text)| text.lines().any(|line| line == "appmigration_leader 1"))
}
