//! Kafka's own Java clients.

use std::process::{Command, Stdio};

use super::{
    kafka::Side,
    stack::{stack, var},
};

/// Reads `count` records as `group` with the Java console consumer, from where the group stands, and gives
/// them as `partition value` lines. `protocol` is `classic` or `consumer` (KIP-848).
pub fn console_consumer(side: Side, group: &str, topic: &str, protocol: &str, count: usize) -> Vec<String> {
    let out = Command::new(var("STACK"))
        .args(["java", "org.apache.kafka.tools.consumer.ConsoleConsumer"])
        .args(["--bootstrap-server", &side.bootstrap(), "--group", group, "--topic", topic])
        .args(["--max-messages", &count.to_string(), "--timeout-ms", "30000"])
        .args([command_property(), &format!("group.protocol={protocol}")])
        // A group without an offset must fail the test, not start somewhere.
        .args([command_property(), "auto.offset.reset=none"])
        .args([formatter_property(), "print.partition=true"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{stdout}{stderr}");
    let line = |line: &str| line.strip_prefix("Partition:").map(|rest| rest.replace('\t', " "));
    stdout.lines().filter_map(line).collect()
}

/// Has a share consumer join `group` for a moment: the group is there from then on, without members.
pub fn share_consumer(side: Side, group: &str, topic: &str) {
    let out = Command::new(var("STACK"))
        .args(["java", "org.apache.kafka.tools.consumer.ConsoleShareConsumer"])
        .args(["--bootstrap-server", &side.bootstrap(), "--group", group, "--topic", topic])
        .args(["--timeout-ms", "4000"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    println!("{}", String::from_utf8_lossy(&out.stderr));
}

/// Kafka 4 renamed the options.
fn command_property() -> &'static str {
    if var("KAFKA_VERSION").starts_with("3.") { "--consumer-property" } else { "--command-property" }
}

fn formatter_property() -> &'static str {
    if var("KAFKA_VERSION").starts_with("3.") { "--property" } else { "--formatter-property" }
}

/// Runs a class of Kafka's tools to its end and gives what it printed.
pub fn tool(class: &str, args: &[&str]) -> String {
    let args: Vec<&str> = ["java", class].iter().chain(args).copied().collect();
    stack(&args).unwrap_or_else(|error| panic!("{class}: {error}"))
}
