//! Further operators beside the shared one, each a process of its own. A test that has them is alone.

use std::{fs, process::Command, time::Duration};

use super::{
    operator::TIMINGS,
    stack::{binary, stack, var},
};

/// An operator by its name. Dropped, it is gone.
pub struct Operator {
    pub name: String,
}

impl Operator {
    /// Starts it, and waits until it is ready, leading or standing by.
    pub fn start(name: &str, extra: &[(&str, &str)]) -> Self {
        let operator = Self { name: name.to_owned() };
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

    pub fn pause(&self) {
        self.tell("pause");
    }

    pub fn resume(&self) {
        self.tell("resume");
    }

    pub fn log(&self) -> String {
        fs::read_to_string(format!("{}/log/{}.log", var("STACK_DIR"), self.name)).unwrap_or_default()
    }

    /// What a probe answers: the status code and the text.
    pub fn probe(&self, path: &str) -> (String, String) {
        let url = self.tell("url");
        let out = Command::new("curl")
            .args(["-s", "-m", "5", "-w", "\n%{http_code}", &format!("{}{path}", url.trim())])
            .output()
            .unwrap();
        let text = String::from_utf8(out.stdout).unwrap();
        let (body, code) = text.rsplit_once('\n').unwrap_or_default();
        (code.to_owned(), body.to_owned())
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
