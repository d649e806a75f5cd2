//! Who this process is among others: by its Pod, or on its machine. Two that live at the same time never have the
//! same identity; and of one on this very machine it can be seen whether it still lives.

use std::{fs, io};

/// The Pod's name and its uid. A container that is started again in its Pod finds what it had to be its own: the
/// kubelet starts it only after the one before has ended. Outside of a Pod each process is another one.
pub fn own() -> String {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let name = variable("POD_NAME").or_else(|| variable("HOSTNAME")).unwrap_or_else(|| "operator".to_owned());
    // Ids of processes mean nothing beyond one machine, and a cluster has many.
    let in_cluster = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    let unique = || here(std::process::id()).filter(|_| !in_cluster).unwrap_or_else(random);
    format!("{name}_{}", variable("POD_UID").unwrap_or_else(unique))
}

/// Whether whoever has this identity is known to have ended: a process of this machine, and it is not there any
/// more. A stopped one lives.
pub fn has_ended(identity: &str) -> bool {
    let Some((machine, process)) = identity.rsplit_once('_').and_then(|(_, unique)| unique.split_once('/'))
    else {
        return false;
    };
    let Some((pid, start)) = process.split_once('/') else { return false };
    let (Some(here), Ok(pid), Ok(start)) = (machine_id(), pid.parse(), start.parse::<u64>()) else {
        return false;
    };
    machine == here
        && match stat(pid) {
            Ok(stat) => stat.start != start || (stat.state == "Z" && stat.threads <= 1),
            // Where others' processes are hidden (hidepid), that of the first is too.
            Err(error) => error.kind() == io::ErrorKind::NotFound && stat(1).is_ok(),
        }
}

/// `<machine>/<pid>/<start>`, the start in clock ticks since the machine's.
fn here(pid: u32) -> Option<String> {
    let start = stat(pid).ok()?.start;
    Some(format!("{}/{pid}/{start}", machine_id()?))
}

struct Stat {
    state: String,
    threads: u64,
    start: u64,
}

/// See proc(5): what stands behind the name, which may hold anything.
fn stat(pid: u32) -> io::Result<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let number = |index: usize| fields.get(index).and_then(|field| field.parse().ok());
    match (fields.first(), number(17), number(19)) {
        (Some(state), Some(threads), Some(start)) => Ok(Stat { state: (*state).to_owned(), threads, start }),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// One boot of one machine, and the namespace in which process ids are counted.
fn machine_id() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let ids = fs::read_link("/proc/self/ns/pid").ok()?;
    let ids: String = ids.to_str()?.chars().filter(char::is_ascii_digit).collect();
    Some(format!("{}.{ids}", boot.trim()))
}

fn random() -> String {
    use std::hash::{BuildHasher, RandomState};
    format!("{:016x}", RandomState::new().hash_one(std::process::id()))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::{has_ended, here, own};

    #[test]
    fn a_process_of_this_machine_is_seen_to_end() {
        let mut child = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();
        let identity = format!("operator_{}", here(child.id()).unwrap());
        assert!(!has_ended(&identity));
        // Stopped is not ended.
        let signal =
            |name: &str| Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
        assert!(signal("-STOP").success());
        assert!(!has_ended(&identity));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(has_ended(&identity));
        assert!(!has_ended(&own()));
    }

    #[test]
    fn of_others_nothing_is_known() {
        let mine = here(std::process::id()).unwrap();
        let elsewhere = mine.replacen(|c: char| c.is_ascii_hexdigit(), "z", 1);
        for identity in ["", "pod_0c9f", "a/b/c", "x_a/b/c", &format!("operator_{elsewhere}")] {
            assert!(!has_ended(identity), "{identity}");
        }
        // A process id that was given anew is another process.
        let (machine, _) = mine.rsplit_once('/').unwrap();
        assert!(has_ended(&format!("operator_{machine}/1")));
    }
}
