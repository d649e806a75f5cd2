//! The operator as a process of the stack, shared by the tests: started on first need. A test that kills it
//! or starts it otherwise has it alone.

use std::{
    fs,
    process::Command,
    sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    thread::sleep,
    time::{Duration, Instant},
};

use super::stack::{binary, var};

static GATE: RwLock<()> = RwLock::new(());
static STARTED: Mutex<bool> = Mutex::new(false);

/// Short waits: what takes minutes in production takes seconds here.
pub const TIMINGS: [(&str, &str); 5] = [
    ("APPMIGRATION_BACKOFF_MAX", "2s"),
    ("APPMIGRATION_STALLED_RECHECK", "10s"),
    ("APPMIGRATION_REPLICATOR_RECHECK", "5s"),
    ("APPMIGRATION_SOURCE_WATCH", "3s"),
    ("APPMIGRATION_PREVIEW_RECHECK", "2s"),
];

/// The right to use the operator, with others or alone.
pub enum Gate {
    Shared { _lock: RwLockReadGuard<'static, ()> },
    Alone { _lock: RwLockWriteGuard<'static, ()> },
}

impl Gate {
    pub fn shared() -> Self {
        Self::Shared { _lock: GATE.read().unwrap_or_else(PoisonError::into_inner) }
    }

    pub fn alone() -> Self {
        Self::Alone { _lock: GATE.write().unwrap_or_else(PoisonError::into_inner) }
    }

    pub fn is_alone(&self) -> bool {
        matches!(self, Self::Alone { .. })
    }
}

/// Makes sure that it was started once.
pub fn ensure() {
    let mut started = lock();
    if !*started {
        launch(&[]);
        *started = true;
    }
}

/// Starts it with these variables in its environment, and waits until it is ready.
pub fn start(extra: &[(&str, &str)]) {
    let mut started = lock();
    launch(extra);
    *started = true;
}

/// Ends it, and it is not started again before the test is over.
pub fn stay_away() {
    let mut started = lock();
    stop();
    *started = true;
}

/// Ends it and starts it anew, as all tests but those alone expect it.
pub fn restart() {
    stop();
    start(&[]);
}

fn lock() -> MutexGuard<'static, bool> {
    STARTED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts it where it cannot become ready yet.
pub fn start_without_waiting(extra: &[(&str, &str)]) {
    let mut started = lock();
    launch_with(&["--no-wait"], extra);
    *started = true;
}

fn launch(extra: &[(&str, &str)]) {
    launch_with(&[], extra);
}

fn launch_with(arguments: &[&str], extra: &[(&str, &str)]) {
    let mut command = Command::new(var("STACK"));
    command.args(["operator", "start"]).args(arguments).env("APPMIGRATION_BIN", binary());
    command.env("APPMIGRATION_LOG_LEVEL", "info").env("NO_COLOR", "1");
    command.envs(TIMINGS).envs(extra.iter().copied());
    let out = command.output().unwrap();
    assert!(
        out.status.success(),
        "the operator does not start: {}\n{}",
        String::from_utf8_lossy(&out.stderr),
        log_tail(30)
    );
}

/// SIGKILL.
pub fn kill() {
    super::stack::stack(&["operator", "kill"]).unwrap();
}

/// SIGTERM, and waits for its end.
pub fn stop() {
    super::stack::stack(&["operator", "stop"]).unwrap();
}

pub fn is_running() -> bool {
    super::stack::stack(&["operator", "status"]).is_ok()
}

/// Waits until it has ended by itself.
pub fn wait_for_end(deadline: Duration) {
    let start = Instant::now();
    while is_running() {
        assert!(start.elapsed() < deadline, "the operator still runs\n{}", log_tail(40));
        sleep(Duration::from_millis(100));
    }
}

pub fn log() -> String {
    fs::read_to_string(format!("{}/log/operator.log", var("STACK_DIR"))).unwrap_or_default()
}

/// The end of its log.
pub fn log_tail(lines: usize) -> String {
    tail(&log(), lines, |_| true)
}

/// The end of its log, of what names `word`.
pub fn log_about(word: &str, lines: usize) -> String {
    tail(&log(), lines, |line| line.contains(word))
}

fn tail(log: &str, lines: usize, wanted: impl Fn(&str) -> bool) -> String {
    let all: Vec<&str> = log.lines().filter(|line| wanted(line)).collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
