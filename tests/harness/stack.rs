//! The environment of `tests/stack/stack run`, and the runtime for everything asynchronous.

use std::{
    env,
    future::Future,
    process::{Command, Output},
    sync::OnceLock,
    thread::sleep,
    time::{Duration, Instant},
};

use kube::Client;
use tokio::runtime::Runtime;

/// Long enough for a loaded machine; a test that passes waits far less.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// A variable of the stack's environment. Without it there is nothing to test: never a skipped test.
pub fn var(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run `tests/stack/stack run cargo test --test behaviour` (see tests/stack/README.md)")
    })
}

/// Kafka 3.9 has KIP-848 groups as a preview, whose heartbeats librdkafka does not speak. The whole list of
/// what that line lacks is in tests/README.md.
pub fn lacks_kip848() -> bool {
    var("KAFKA_VERSION").starts_with("3.")
}

/// Share and streams groups are there from Kafka 4.2 on.
pub fn lacks_share_groups() -> bool {
    lacks_kip848()
}

/// The binary under test: what `APPMIGRATION_BIN` names, else the one that cargo built with the tests.
pub fn binary() -> String {
    env::var("APPMIGRATION_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_appmigration").to_owned())
}

pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
    })
}

pub fn block_on<F: Future>(future: F) -> F::Output {
    runtime().block_on(future)
}

/// The cluster admin's client: what the user may do, the operator has its own.
pub fn kube() -> Client {
    static CLIENT: OnceLock<Client> = OnceLock::new();
    let client = CLIENT.get_or_init(|| {
        var("KUBECONFIG");
        block_on(Client::try_default()).expect("the stack's API server")
    });
    client.clone()
}

/// Waits until `what` has come to be.
pub fn eventually(deadline: Duration, what: &str, mut is: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is() {
        assert!(start.elapsed() < deadline, "waited {} s for {what}", deadline.as_secs());
        sleep(Duration::from_millis(50));
    }
}

/// Runs a program of the stack and gives its output, whatever it was.
pub fn run(program: &str, args: &[&str]) -> Output {
    Command::new(program).args(args).output().unwrap_or_else(|error| panic!("{program}: {error}"))
}

/// Runs `kubectl` as the user does. The error is what it printed.
pub fn kubectl(args: &[&str]) -> Result<String, String> {
    text(&run(&var("KUBECTL"), args))
}

/// Runs the stack's own script.
pub fn stack(args: &[&str]) -> Result<String, String> {
    text(&run(&var("STACK"), args))
}

fn text(output: &Output) -> Result<String, String> {
    let say = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(say(&output.stdout))
    } else {
        Err(say(&output.stderr) + &say(&output.stdout))
    }
}
