//! `kubectl appmig`, by kubectl itself.

use std::{fs, os::unix::fs::symlink, process::Command};

use appmigration::api::v1alpha1::K2KReplicator;
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::harness::{
    Case, Member, Reason, Reprocessing, Side, specs,
    stack::{DEADLINE, binary, block_on, var},
};

/// Exit code, stdout, stderr.
fn appmig(case: &Case, arguments: &[&str]) -> (i32, String, String) {
    kubectl(case, &[&["appmig"], arguments, &["-n", &case.namespace]].concat())
}

/// kubectl with the plugin on its PATH, under both names.
fn kubectl(case: &Case, arguments: &[&str]) -> (i32, String, String) {
    let folder = format!("{}/plugin-{}", var("STACK_DIR"), case.namespace);
    let _ = fs::create_dir(&folder);
    for name in ["kubectl-appmig", "kubectl_complete-appmig"] {
        let _ = symlink(binary(), format!("{folder}/{name}"));
    }
    let output = Command::new(var("KUBECTL"))
        .args(arguments)
        .env("PATH", format!("{folder}:{}", std::env::var("PATH").unwrap()))
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// What it prints; it must have succeeded.
fn shown(case: &Case, arguments: &[&str]) -> String {
    let (code, out, err) = appmig(case, arguments);
    assert_eq!(code, 0, "{out}{err}");
    out
}

#[test]
fn from_the_list_to_the_plan() {
    let case = Case::new("plugin");
    let (code, out, err) = appmig(&case, &["list"]);
    assert_eq!((code, out.as_str()), (0, ""));
    assert!(err.contains(&format!("There is no AppMigration in {}.", case.namespace)), "{err}");
    let orders = case.topic("orders", 2);
    for partition in 0..2 {
        orders.fill(partition, 10).copy(partition, 0..10);
    }
    case.committed(&orders, &[(0, 4), (1, 10)]);
    case.replicator(|_| {});
    let app = case.migrate(|spec| spec.stop_confirmed = false);
    app.wait("its preview", DEADLINE, |o| o.status.as_ref().is_some_and(|s| s.preview.is_some()));

    let list = shown(&case, &["list"]);
    assert!(list.contains("REASON") && list.contains("AwaitingStopConfirmation"), "{list}");
    let list: Value = serde_json::from_str(&shown(&case, &["list", "-o", "json"])).unwrap();
    assert_eq!((&list[0]["name"], &list[0]["standing"]), (&"app".into(), &"Waits".into()));
    let story = shown(&case, &["status", "app"]);
    assert!(story.contains("  ✓ ReplicatorReady      Ready\n"), "{story}");
    assert!(
        story.contains("  … StopConfirmed        AwaitingStopConfirmation: stop the application"),
        "{story}"
    );
    assert!(story.contains("UTC): 2 partitions, 2 of them exact"), "{story}");

    // Nobody is there to be asked.
    let before = app.get();
    let (code, _, err) = appmig(&case, &["confirm", "app"]);
    assert_eq!(code, 1);
    assert!(err.contains("--yes confirms without a question"), "{err}");
    assert_eq!(app.get().metadata.annotations, before.metadata.annotations);
    assert!(!app.get().spec.stop_confirmed);
    // The application has read on since, and replication has not.
    orders.fill(1, 5);
    case.committed(&orders, &[(0, 4), (1, 13)]);
    // Somebody forgot one.
    let forgotten = Member::classic(Side::Source, &case.group, &orders.name);
    let (code, _, err) = appmig(&case, &["confirm", "app", "--yes"]);
    assert_eq!(code, 0, "{err}");
    assert!(err.contains(", 3 still to be replicated"), "{err}");
    assert!(
        err.contains("\nWhat is in the way keeps it from going on, with the application stopped.\n"),
        "{err}"
    );
    assert!(err.contains("Confirmed.\nGroupActive: ") && err.contains("has 1 member:"), "{err}");
    orders.copy(1, 10..15);
    forgotten.leave();
    let told = shown(&case, &["status", "app", "--watch", "--timeout", "60s"]);
    assert!(told.contains("✓ OffsetsCommitted     Committed"), "{told}");
    assert!(
        told.trim_end().ends_with("2/2 partitions, 2 of them exact; 0 records read again, 0 missing"),
        "{told}"
    );
    app.completes_exactly();
    let plan = shown(&case, &["plan", "app"]);
    assert!(plan.contains("committed and read back") && plan.contains("orders-1"), "{plan}");
    let (code, _, err) = appmig(&case, &["confirm", "app", "--yes"]);
    assert_eq!(code, 1);
    assert!(err.contains("AppMigration app is done"), "{err}");
}

#[test]
fn no_confirmation_of_what_waiting_does_not_end() {
    let case = Case::new("plugin-refuses");
    case.replicator(|_| {});
    // A group that nobody knows.
    let app = case.migrate(|spec| spec.stop_confirmed = false);
    app.wait("its preview", DEADLINE, |o| o.status.as_ref().is_some_and(|s| s.preview.is_some()));
    let (code, _, err) = appmig(&case, &["confirm", "app", "--yes"]);
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("GroupNotFound: ") && err.contains("kubectl appmig candidates k2k"), "{err}");
    assert!(err.contains("not confirmed: waiting does not end"), "{err}");
    assert!(!app.get().spec.stop_confirmed);

    app.edit(|spec| spec.suspend = true);
    let (code, _, err) = appmig(&case, &["confirm", "app", "--yes"]);
    assert!(code == 1 && err.contains("is suspended, nobody looks at it"), "{err}");
    assert!(!app.get().spec.stop_confirmed);
    app.edit(|spec| spec.suspend = false);
    let (code, _, err) = appmig(&case, &["confirm", "app", "--yes", "--force"]);
    assert!(code == 0 && err.contains("Confirmed.\nGroupNotFound: "), "{err}");
    assert!(err.contains("is fixed by the confirmation"), "{err}");
}

#[test]
fn candidates_are_the_groups_of_the_source() {
    let case = Case::new("candidates");
    let orders = case.topic("orders", 2);
    let elsewhere = format!("outside-{}", case.namespace);
    Side::Source.create_topic(&elsewhere, 1, &[]);
    orders.fill(0, 10).fill(1, 10);
    let [idle, busy] = ["idle", "busy"].map(|name| format!("{}-{name}", case.group));
    let at = |offset: i64, topic: &str, partition| ((topic.to_owned(), partition), offset.into());
    case.commit(
        Side::Source,
        &idle,
        [at(4, &orders.name, 0), at(10, &orders.name, 1), at(0, &elsewhere, 0)].into(),
    );
    let member = Member::classic(Side::Source, &busy, &orders.name);
    case.replicator(|_| {});
    let app = case.migrate_as("mine", |spec| {
        spec.consumer_group.clone_from(&idle);
        spec.stop_confirmed = false;
    });
    let all: Value = serde_json::from_str(&shown(&case, &["candidates", "k2k", "-o", "json"])).unwrap();
    let of = |group: &str| all.as_array().unwrap().iter().find(|g| g["group"] == group).unwrap().clone();
    let idle_is = json!({
        "group": idle, "state": "Empty", "members": 0, "partitions": 3, "lag": 6,
        "routedTopics": [orders.name], "unroutedTopics": [elsewhere], "migration": app.name,
    });
    assert_eq!(of(&idle), idle_is);
    assert_eq!((&of(&busy)["members"], &of(&busy)["migration"]), (&json!(1), &Value::Null));
    let table = shown(&case, &["candidates", "k2k"]);
    assert!(table.lines().any(|line| line.starts_with(&idle) && line.contains(&elsewhere)), "{table}");
    member.leave();
    // By another replicator, whose own group is no candidate.
    let theirs = format!("{}-replicator", case.group);
    case.commit(Side::Source, &theirs, [at(4, &orders.name, 0)].into());
    assert!(shown(&case, &["candidates", "k2k"]).contains(&theirs));
    let mut spec = specs::replicator(&orders.name);
    spec.source.as_mut().unwrap().consumer_group = Some(theirs.clone());
    block_on(case.api().create(&PostParams::default(), &K2KReplicator::new("other", spec))).unwrap();
    case.migrate_as("yours", |spec| {
        spec.replicator_ref.name = "other".into();
        spec.consumer_group.clone_from(&idle);
        spec.stop_confirmed = false;
    });
    let table = shown(&case, &["candidates", "k2k"]);
    assert!(table.contains("mine, yours (by other)") && !table.contains(&theirs), "{table}");
    let (code, _, err) = appmig(&case, &["candidates", "nothing"]);
    assert!(code == 1 && err.contains("there is no K2KReplicator nothing in namespace"), "{err}");
}

#[test]
fn what_is_stalled_ends_the_watch_with_its_reason() {
    let case = Case::new("plugin-stalled");
    let orders = case.topic("orders", 1);
    orders.fill(0, 10).copy(0, (0..4).chain(6..10));
    case.committed(&orders, &[(0, 4)]);
    case.replicator(|_| {});
    let app = case.migrate(|spec| spec.policies.reprocessing = Reprocessing::Fail);
    app.stalls(Reason::GapOnTarget, &[&orders.at(0)]);
    let (code, out, err) = appmig(&case, &["status", "app", "--watch"]);
    assert_eq!(code, 1);
    assert!(out.contains("\npolicies other than the defaults: reprocessing: Fail\n"), "{out}");
    assert!(out.contains("  ✗ OffsetsMapped        GapOnTarget: "), "{out}");
    assert!(err.contains("stalled: GapOnTarget: "), "{err}");

    // Mended where the operator does not see it, and it is asked to look: what it said before is old.
    orders.copy(0, 4..6);
    app.retry("mended");
    shown(&case, &["status", "app", "--watch", "--timeout", "60s"]);
    app.completes();
}

#[test]
fn what_is_suspended_ends_the_watch() {
    let case = Case::new("plugin-suspended");
    case.migrate(|spec| spec.suspend = true).comes_to_say(Reason::Suspended, &[]);
    let (code, _, err) = appmig(&case, &["status", "app", "--watch"]);
    assert!(code == 1 && err.contains("suspended: "), "{err}");
}

#[test]
fn what_is_not_there_is_named() {
    let case = Case::new("plugin-missing");
    for command in ["status", "confirm", "plan"] {
        let (code, _, err) = appmig(&case, &[command, "nothing"]);
        assert_eq!(code, 1);
        let words = format!("there is no AppMigration nothing in namespace {}", case.namespace);
        assert!(err.contains(&words), "{command}: {err}");
    }
    let output = Command::new(binary()).arg("--version").output().unwrap();
    assert!(output.status.success());
}

#[test]
fn who_reads_no_further_is_told_nothing() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = Command::new(binary()).arg("crds").stdout(writer).output().unwrap();
    assert!(!output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn kubectl_completes_it() {
    let case = Case::new("plugin-tab");
    case.replicator(|_| {});
    case.migrate_as("orders", |spec| spec.stop_confirmed = false);
    // What kubectl's own completion of a shell runs.
    let offered = |words: &[&str]| {
        let (code, out, err) = kubectl(&case, &[&["__complete", "appmig"], words].concat());
        assert_eq!(code, 0, "{err}");
        let (lines, directive) = out.trim_end().rsplit_once('\n').unwrap_or(("", &out));
        // No files besides.
        assert_eq!(directive.trim_end(), ":4", "{out}");
        lines.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let place = ["-n", &case.namespace];
    assert_eq!(offered(&["c"]), ["confirm", "candidates", "completion"]);
    assert!(offered(&[""]).contains(&"status".to_owned()));
    for command in ["status", "confirm", "plan"] {
        assert_eq!(offered(&[&[command], &place[..], &[""]].concat()), ["orders"], "{command}");
    }
    assert_eq!(offered(&["candidates", &format!("--namespace={}", case.namespace), "k"]), ["k2k"]);
    assert_eq!(offered(&[&["status"], &place[..], &["x"]].concat()), [""; 0]);
    assert_eq!(offered(&["status", "orders", "--wa"]), ["--watch"]);
    assert_eq!(offered(&["status", "orders", "-o", ""]), ["text", "json"]);
}

#[test]
fn shells_can_complete_it() {
    let case = Case::new("plugin-shell");
    for shell in ["bash", "zsh", "fish"] {
        let folder = format!("{}/plugin-{}", var("STACK_DIR"), case.namespace);
        let _ = fs::create_dir(&folder);
        let _ = symlink(binary(), format!("{folder}/kubectl-appmig"));
        let output =
            Command::new(format!("{folder}/kubectl-appmig")).args(["completion", shell]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success() && text.contains("confirm") && text.contains("kubectl-appmig"),
            "{text}"
        );
    }
}
