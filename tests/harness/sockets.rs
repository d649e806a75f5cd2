//! Open connections of a process, from /proc.

use std::{
    collections::{BTreeSet, HashSet},
    fs,
};

use super::stack::var;

/// The process id of a server of the stack, by its name.
pub fn pid(name: &str) -> u32 {
    fs::read_to_string(format!("{}/{name}.pid", var("STACK_DIR"))).unwrap().trim().parse().unwrap()
}

/// The remote ports of loopback that the process has a connection to, in whatever state.
pub fn connected_to(pid: u32) -> BTreeSet<u16> {
    let inodes: HashSet<String> = fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .filter_map(|fd| fs::read_link(fd.ok()?.path()).ok())
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let table =
        ["tcp", "tcp6"].map(|file| fs::read_to_string(format!("/proc/{pid}/net/{file}")).unwrap_or_default());
    let lines = table.iter().flat_map(|text| text.lines().skip(1));
    lines
        .filter_map(|line| {
            // sl local remote state queues timer retransmits uid timeout inode
            let columns: Vec<&str> = line.split_whitespace().collect();
            let port = u16::from_str_radix(columns.get(2)?.rsplit(':').next()?, 16).ok()?;
            (port != 0 && inodes.contains(*columns.get(9)?)).then_some(port)
        })
        .collect()
}

/// The ports that brokers of the stack listen on.
pub fn of_brokers() -> BTreeSet<u16> {
    let listeners = ["BOOTSTRAP", "SSL", "MTLS", "SASL_SSL", "SASL_PLAINTEXT", "PROXIED"];
    let names = ["SOURCE", "TARGET"].into_iter().flat_map(|side| listeners.map(|l| format!("{side}_{l}")));
    names.map(|name| var(&name).rsplit(':').next().unwrap().parse().unwrap()).collect()
}

/// Threads and resident memory (kB) of a process.
pub fn size(pid: u32) -> (usize, u64) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let number = |key: &str| {
        let line = status.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    (usize::try_from(number("Threads:")).unwrap(), number("VmRSS:"))
}
