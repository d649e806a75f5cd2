//! Every command of the documents, run as it stands there, in the state of which its section speaks; and that it
//! ends what the section says that it ends.

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use rdkafka::producer::Producer as _;
use serde_json::Value;

use crate::harness::{
    AppMigration, AppMigrationSpec, Case, Copies, ExistingTargetOffsets, K2KReplicatorSpec, Member,
    Migration, Reason, Replicate, Reprocessing, Side, Toggle, Topic,
    documents::{self, Section, Shell},
    migration::{condition, ready_reason},
    specs,
    stack::{DEADLINE, block_on, eventually, kubectl},
    v1alpha1::{ConditionType, Encoding, TargetTopic},
    wire::Offset,
};
use crate::{permissions::as_nobody, source_group::StopOnDrop};

const README: &str = "README.md";
const CHART: &str = "charts/appmigration/README.md";
const FAQ: &str = "docs/faq.md";
const FIRST_TRY: &str = "docs/first-try.md";
const LENSES: &str = "docs/lenses-k2k.md";
const OPERATIONS: &str = "docs/operations.md";
const PERMISSIONS: &str = "docs/permissions.md";
const REFERENCE: &str = "docs/reference.md";
const RUNBOOK: &str = "docs/runbook.md";

/// Commands that are not run here, by how they begin, and why.
const LEFT_OUT: [(&str, &str); 16] = [
    ("make ", "what these tests are a part of"),
    ("cargo install ", "would change what whoever runs the tests has installed"),
    ("cargo ", "what these tests are a part of"),
    ("docker ", "an image needs a container engine, and a registry"),
    ("helm ", "installing: tests/install and tests/cluster"),
    ("kubectl kustomize deploy | sed", "installing: tests/install and tests/cluster"),
    ("kubectl apply -k ", "installing: tests/install and tests/cluster"),
    (
        "kubectl rollout status deployment/appmigration-operator ",
        "the operator is no Pod here: tests/cluster",
    ),
    ("kubectl delete -k deploy", "takes the definitions from all other tests"),
    ("kubectl delete crd ", "takes the definitions from all other tests"),
    (
        "kubectl delete clusterrole,clusterrolebinding ",
        "takes the rights from the operator of all other tests",
    ),
    (
        "kubectl delete namespace appmigration-system",
        "takes the account from the operator of all other tests",
    ),
    ("kubectl logs ", "the operator is no Pod here: there is no kubelet that would have its logs"),
    ("kubectl appmig confirm orders-app", "asks a person; plugin.rs answers"),
    (
        "kafka-transactions.sh … abort",
        "a form: what is to be filled in is in the table that the command before it prints",
    ),
    ("appmigration plan --file …", "a form; the whole command is run"),
];

fn left_out(command: &str) -> bool {
    LEFT_OUT.iter().any(|(start, _)| command.starts_with(start))
}

/// What the test of the same name runs.
const BEFORE_THE_STOP: &[Section] = &[
    (RUNBOOK, "ReplicatorNotFound"),
    (RUNBOOK, "TracingHeadersDisabled"),
    (RUNBOOK, "ReplicatorNotReady"),
    (RUNBOOK, "SourceUnavailable"),
    (RUNBOOK, "TargetUnavailable"),
    (RUNBOOK, "Runbook"),
    (LENSES, "What must be on"),
    (README, "Before anything is installed"),
    (RUNBOOK, "AwaitingStopConfirmation"),
    (RUNBOOK, "GroupActive"),
    (OPERATIONS, "Roll a migration back"),
    (RUNBOOK, "Suspended"),
];
const FROM_THE_CONFIRMATION_ON: &[Section] = &[
    (README, "A first migration of your own"),
    (README, "With a kubectl plugin"),
    (README, "A certificate"),
    (OPERATIONS, "Plans: export, verify, back up"),
    (FAQ, "Does it need Kubernetes?"),
    (OPERATIONS, "Look"),
    (OPERATIONS, "Metrics"),
    (OPERATIONS, "An application stands still"),
    (OPERATIONS, "Nobody leads"),
    (OPERATIONS, "Logs, events, traces"),
    (RUNBOOK, "SourceMovedAfterMigration"),
];
const WAITS: &[Section] = &[
    (RUNBOOK, "GroupNotFound"),
    (RUNBOOK, "OffsetsMoving"),
    (RUNBOOK, "SourceTransactionPending"),
    (RUNBOOK, "ReplicationBehind"),
    (RUNBOOK, "SourceOffsetsGone"),
    (RUNBOOK, "OpenTransaction"),
    (RUNBOOK, "UnsupportedGroupType"),
];
const MISSING_COPIES: &[Section] = &[(RUNBOOK, "TargetPartitionMissing"), (RUNBOOK, "GapOnTarget")];
const BEYOND_THE_END: &[Section] = &[(RUNBOOK, "SourceOffsetOutOfRange")];
const STRANGE_COPIES: &[Section] = &[(RUNBOOK, "HeadersMissing"), (RUNBOOK, "AmbiguousEncoding")];
const FORMER_COPIES: &[Section] = &[(RUNBOOK, "SourceRecreated")];
const READ_AGAIN: &[Section] = &[(RUNBOOK, "ReprocessingRefused")];
const TAKEN_GROUP: &[Section] = &[(RUNBOOK, "TargetGroupActive"), (RUNBOOK, "TargetOffsetsExist")];
const TAKEN_PLAN: &[Section] = &[(RUNBOOK, "PlanConflict"), (RUNBOOK, "DuplicateMigration")];
const OTHER_CLUSTER: &[Section] = &[(RUNBOOK, "ClusterChanged")];
const LEAST_RIGHTS: &[Section] = &[
    (RUNBOOK, "SecretNotFound"),
    (RUNBOOK, "AuthenticationFailed"),
    (RUNBOOK, "AuthorizationFailed"),
    (PERMISSIONS, "Kafka: for the operator"),
    (PERMISSIONS, "Kafka: for `appmigration replicate`"),
    (PERMISSIONS, "What is missing, and what you see"),
];
const PIPELINE_FILE: &[Section] = &[(LENSES, "The pipeline file itself")];
const ON_THE_DEMO: &[Section] = &[(FIRST_TRY, "A first try")];
/// In confirming.rs.
pub const CONFIRMING: &[Section] = &[(PERMISSIONS, "Who may confirm")];
const IN_NO_STATE: &[Section] =
    &[(REFERENCE, "Reference"), (PERMISSIONS, "Kubernetes"), (CHART, "The AppMigration operator's chart")];

/// All of the above.
const RUN: [&[Section]; 16] = [
    BEFORE_THE_STOP,
    FROM_THE_CONFIRMATION_ON,
    WAITS,
    MISSING_COPIES,
    BEYOND_THE_END,
    STRANGE_COPIES,
    FORMER_COPIES,
    READ_AGAIN,
    TAKEN_GROUP,
    TAKEN_PLAN,
    OTHER_CLUSTER,
    LEAST_RIGHTS,
    PIPELINE_FILE,
    ON_THE_DEMO,
    CONFIRMING,
    IN_NO_STATE,
];

pub fn shell<'c>(case: &'c Case, to_run: &[Section]) -> Shell<'c> {
    Shell::new(case, to_run, left_out)
}

#[test]
fn every_command_is_run_or_left_out_for_a_reason() {
    let commands = documents::commands();
    assert!(commands.len() > 100, "{} commands", commands.len());
    let run = RUN.concat();
    for (file, section, command) in commands.iter().filter(|(.., command)| !left_out(command)) {
        let times = run.iter().filter(|run| **run == (file, section)).count();
        assert_eq!(times, 1, "{file}, \"{section}\": run by {times} tests, and not left out: {command}");
    }
    for (file, section) in &run {
        let mut here = commands.iter().filter(|(f, s, _)| f == file && s == section);
        assert!(here.any(|(.., command)| !left_out(command)), "{file}, \"{section}\" has no commands");
    }
    for (start, _) in LEFT_OUT {
        assert!(commands.iter().any(|(.., command)| command.starts_with(start)), "{start} is nowhere");
    }
}

/// Shows all of `words`.
fn shows(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "`{word}` is not in\n{text}");
    }
}

/// 0 and 1: 0..10 on both sides, c = 4 and 10.
fn plain(case: &Case) -> Topic<'_> {
    let orders = case.topic("orders", 2);
    orders.fill(0, 10).fill(1, 10).copy(0, 0..10).copy(1, 0..10);
    case.committed(&orders, &[(0, 4), (1, 10)]);
    orders
}

/// In the documents the migration and its group have one name.
fn migration(case: &Case, edit: impl FnOnce(&mut AppMigrationSpec)) -> Migration<'_> {
    case.migrate_as(&case.group, edit)
}

#[test]
fn before_the_stop() {
    let case = Case::new("docs-before");
    let docs = shell(&case, BEFORE_THE_STOP);
    let orders = plain(&case);
    let member = Member::classic(Side::Source, &case.group, &orders.name);
    let app = migration(&case, |spec| spec.stop_confirmed = false);
    app.waits(Reason::ReplicatorNotFound, &[]);
    shows(&docs.run((RUNBOOK, "ReplicatorNotFound")), &["No resources found"]);

    case.replicator(|spec| spec.features.tracing_headers.offset = Toggle::Disabled);
    app.stalls(Reason::TracingHeadersDisabled, &[]);
    shows(&docs.run((RUNBOOK, "TracingHeadersDisabled")), &[r#""offset":"Disabled""#]);
    let sides = |source: &str, target: &str| {
        case.edit_replicator(|spec| {
            spec.features.tracing_headers.offset = Toggle::Enabled;
            spec.source.as_mut().unwrap().cluster.bootstrap_servers = source.to_owned();
            spec.target.as_mut().unwrap().bootstrap_servers = target.to_owned();
        });
    };
    sides("127.0.0.1:1", &Side::Target.bootstrap());
    case.replicator_says(Reason::SourceUnavailable);
    app.waits(Reason::ReplicatorNotReady, &[]);
    shows(&docs.run((RUNBOOK, "ReplicatorNotReady")), &["SourceUnavailable", "127.0.0.1:1"]);
    shows(&docs.run((RUNBOOK, "SourceUnavailable")), &["127.0.0.1:1", "ApiVersions"]);
    sides(&Side::Source.bootstrap(), "127.0.0.1:1");
    case.replicator_says(Reason::TargetUnavailable);
    shows(&docs.run((RUNBOOK, "TargetUnavailable")), &["ApiVersions"]);
    sides(&Side::Source.bootstrap(), &Side::Target.bootstrap());

    app.waits(Reason::AwaitingStopConfirmation, &[]);
    app.wait("its preview", DEADLINE, |o| o.status.as_ref().is_some_and(|s| s.preview.is_some()));
    let told = docs.run((RUNBOOK, "Runbook"));
    shows(
        &told,
        &["StopConfirmed\tFalse\tAwaitingStopConfirmation\t", "annotated", "k2k_offset:0", "no change"],
    );
    shows(&docs.run((LENSES, "What must be on")), &["Offset:0\t", "k2k_offset:0", "k2k_partition:0"]);
    write_manifests(&docs, &case, &app);
    let told = docs.run((README, "Before anything is installed"));
    shows(&told, &["exact     2 of 2", "PROBES", "--secrets-dir"]);

    let told = docs.run((RUNBOOK, "AwaitingStopConfirmation"));
    shows(&told, &[r#""partitions":2"#, r#""exact":2"#, "patched"]);
    app.waits(Reason::GroupActive, &[]);
    shows(&docs.run((RUNBOOK, "GroupActive")), &["CONSUMER-ID", "/127.0.0.1"]);
    shows(&docs.run((OPERATIONS, "Roll a migration back")), &["not begun"]);
    app.wait("Suspended", DEADLINE, |o| ready_reason(o) == Some("Suspended"));
    docs.run((RUNBOOK, "Suspended"));
    app.waits(Reason::GroupActive, &[]);
    member.leave();
    app.completes_exactly();
}

/// `orders-app.yaml` and `eu-to-us.yaml`.
fn write_manifests(docs: &Shell<'_>, case: &Case, app: &Migration<'_>) {
    let migration = AppMigration::new(&app.name, app.get().spec);
    let replicator: crate::harness::K2KReplicator = block_on(case.api().get("k2k")).unwrap();
    let write = |name: &str, text: String| fs::write(docs.folder.join(docs.named(name)), text).unwrap();
    write("orders-app.yaml", serde_json::to_string(&migration).unwrap());
    write("eu-to-us.yaml", serde_json::to_string(&replicator).unwrap());
}

#[test]
fn from_the_confirmation_on() {
    let case = Case::new("docs-after");
    let docs = shell(&case, FROM_THE_CONFIRMATION_ON);
    let orders = plain(&case);
    // The hash covers the metadata too.
    let offset = Offset { metadata: b"of \"the\" app\n".into(), ..4.into() };
    case.commit(Side::Source, &case.group, [((orders.name.clone(), 0), offset)].into());
    case.replicator(|_| {});
    let app = migration(&case, |spec| spec.stop_confirmed = false);
    app.waits(Reason::AwaitingStopConfirmation, &[]);
    let ns = case.namespace.as_str();
    let image = ["--image", "example.com/app", "--replicas", "3"];
    kubectl(&[&["-n", ns, "create", "deployment", &case.group][..], &image].concat()).unwrap();
    let told = docs.run((README, "A first migration of your own"));
    shows(&told, &["scaled", "condition met", "committed and read back"]);
    app.completes_exactly();

    let told = docs.run((README, "With a kubectl plugin"));
    shows(&told, &["2/2 partitions, 2 of them exact", "COMPREPLY", "MEMBERS"]);
    shows(&docs.run((README, "A certificate")), &["committed and read back", "PROBES"]);
    let told = docs.run((OPERATIONS, "Plans: export, verify, back up"));
    // By hand, and the status: lines of their own. `plan show` says it in JSON too.
    let hash = app.get().status.unwrap().plan.unwrap().hash;
    assert_eq!(told.lines().filter(|line| **line == hash).count(), 2, "{told}");
    let exported = fs::read_to_string(docs.folder.join("offsets.csv")).unwrap();
    assert_eq!(exported, app.plan().offsets);
    for (list, word) in [("plans.yaml", app.plan_name()), ("migrations.yaml", "completedAt".to_owned())] {
        shows(&fs::read_to_string(docs.folder.join(list)).unwrap(), &[&app.name, &word]);
    }
    write_manifests(&docs, &case, &app);
    let told = docs.run((FAQ, "Does it need Kubernetes?"));
    // Kafka 3.9 writes the whole table in one line.
    let words: Vec<&str> = told.split_whitespace().collect();
    let reset = |partition: &str| {
        let wanted = [case.group.as_str(), &orders.name, partition];
        words.windows(4).find(|row| row[..3] == wanted).map(|row| row[3].to_owned())
    };
    assert_eq!((reset("0"), reset("1")), (Some("4".into()), Some("10".into())), "{told}");

    shows(&docs.run((OPERATIONS, "Look")), &[&app.name, "appmigration-operator"]);
    shows(&docs.run((OPERATIONS, "Metrics")), &[&app.name, "Completed"]);
    let told = docs.run((OPERATIONS, "An application stands still"));
    let ours = told.lines().find(|line| line.starts_with(&case.namespace)).unwrap();
    let year = |word: &&str| word.starts_with("20");
    assert!(ours.ends_with("Completed") && ours.split_whitespace().filter(year).count() == 2, "{told}");
    shows(&docs.run((OPERATIONS, "Nobody leads")), &["holderIdentity"]);
    shows(&docs.run((OPERATIONS, "Logs, events, traces")), &["Completed"]);

    // It is started on the source once more, by mistake.
    thread::sleep(Duration::from_secs(4));
    case.committed(&orders, &[(0, 9)]);
    let member = Member::classic(Side::Source, &case.group, &orders.name);
    app.wait("SourceMoved", DEADLINE, |o| condition(o, ConditionType::SourceMoved).is_some());
    shows(&docs.run((RUNBOOK, "SourceMovedAfterMigration")), &["CONSUMER-ID", "/127.0.0.1"]);
    member.leave();
}

#[test]
fn waits() {
    let case = Case::new("docs-waits");
    let docs = shell(&case, WAITS);
    // source 0: 0 1 2 [3 4: open]; 1: 0..10. target 0: 0 1; 1: 0..10
    let orders = case.topic("orders", 2);
    orders.fill(0, 3).fill(1, 10).copy(0, 0..2).copy(1, 0..10);
    case.replicator(|_| {});
    // Longer than this machine may take to look.
    let app = migration(&case, |spec| spec.quiet_period = Duration::from_secs(30).into());
    app.waits(Reason::GroupNotFound, &[]);
    let told = docs.run((RUNBOOK, "GroupNotFound"));
    assert!(!told.contains(&case.group), "{told}");

    let (open, stop) = (orders.open_transaction(0, 2), AtomicBool::new(false));
    case.committed(&orders, &[(0, 4), (1, 5)]);
    app.waits(Reason::QuietPeriodRunning, &[]);
    thread::scope(|scope| {
        let moving = StopOnDrop(&stop);
        scope.spawn(|| {
            for offset in (6..9).cycle().take_while(|_| !stop.load(Ordering::Relaxed)) {
                case.committed(&orders, &[(1, offset)]);
                thread::sleep(Duration::from_millis(150));
            }
        });
        app.waits(Reason::OffsetsMoving, &[]);
        shows(&docs.run((RUNBOOK, "OffsetsMoving")), &[&case.group, "Empty"]);
        drop(moving);
    });
    case.committed(&orders, &[(1, 5)]);
    app.edit(|spec| spec.quiet_period = Duration::from_secs(3).into());
    app.waits(Reason::SourceTransactionPending, &[]);
    let told = docs.run((RUNBOOK, "SourceTransactionPending"));
    shows(&told, &["TransactionalId", "Ongoing", "CurrentTransactionStartOffset"]);
    open.commit_transaction(DEADLINE).unwrap();
    Side::Source.wait_until_stable(&orders.name, 0);
    case.source_settled(&orders.name, 0);

    let own = case.replicated_to(&orders, &[(0, 2), (1, 10)]);
    app.waits(Reason::ReplicationBehind, &[]);
    shows(&docs.run((RUNBOOK, "ReplicationBehind")), &[&own, &format!("{}:0:2", orders.name)]);
    case.forget_offset(Side::Source, &case.group, &orders, 1);
    app.stalls(Reason::SourceOffsetsGone, &["was at 5"]);
    docs.run((RUNBOOK, "SourceOffsetsGone"));
    case.settled(Side::Source, &case.group);
    app.retry("restored");
    app.waits(Reason::ReplicationBehind, &[]);

    let open = Copies::default().of(&orders.name, 0, 2..5).open_transaction(&orders.name, 0);
    app.waits(Reason::OpenTransaction, &[]);
    shows(&docs.run((RUNBOOK, "OpenTransaction")), &["ProducerId", "CurrentTransactionStartOffset"]);
    shows(&docs.run((RUNBOOK, "UnsupportedGroupType")), &[]);
    open.commit_transaction(DEADLINE).unwrap();
    app.completes_exactly();
}

#[test]
fn missing_copies() {
    let case = Case::new("docs-gap");
    let docs = shell(&case, MISSING_COPIES);
    // source 0 and 1: 0..10, c = 4 and 10. target 0: 0..4 6..10, and no 1
    let orders = case.source_topic("orders", 2, &[]);
    Side::Target.create_topic(&orders.name, 1, &[]);
    orders.fill(0, 10).fill(1, 10).copy(0, (0..4).chain(6..10));
    case.committed(&orders, &[(0, 4), (1, 10)]);
    let own = case.replicated_to(&orders, &[(0, 10), (1, 10)]);
    case.replicator(|spec| spec.source.as_mut().unwrap().consumer_group = Some(own.clone()));
    let app = migration(&case, |_| {});
    app.stalls(Reason::TargetPartitionMissing, &[]);
    shows(&docs.run((RUNBOOK, "TargetPartitionMissing")), &["PartitionCount: 2", "PartitionCount: 1"]);
    Side::Target.wait_for_partitions(&orders.name, 2);
    app.retry("added");
    app.stalls(Reason::GapOnTarget, &["2 records", "4 to 5"]);
    shows(&docs.run((RUNBOOK, "GapOnTarget")), &[&format!("{}:0:0", orders.name), "0:4", "0:5"]);
    assert_eq!(case.settled(Side::Source, &own)[&(orders.name.clone(), 0)].offset, 4);
    // The replicator copies again from there on.
    orders.copy(0, 4..10);
    case.replicated_to(&orders, &[(0, 10)]);
    app.retry("copied");
    app.completes_exactly();
}

#[test]
fn beyond_the_end() {
    let case = Case::new("docs-beyond");
    let docs = shell(&case, BEYOND_THE_END);
    let orders = case.topic("orders", 1);
    orders.fill(0, 10).copy(0, 0..10);
    case.committed(&orders, &[(0, 15)]);
    case.replicator(|_| {});
    let app = migration(&case, |_| {});
    app.stalls(Reason::SourceOffsetOutOfRange, &[]);
    shows(&docs.run((RUNBOOK, "SourceOffsetOutOfRange")), &[&format!("{}:0:10", orders.name), "15"]);
    case.settled(Side::Source, &case.group);
    app.retry("reset");
    app.completes_exactly();
}

#[test]
fn strange_copies() {
    let case = Case::new("docs-headers");
    let docs = shell(&case, STRANGE_COPIES);
    // target 0..5 as digits, 5..10 as bytes, in headers that the replicator is not said to write
    let orders = case.topic("orders", 1);
    orders.fill(0, 10).copy(0, 0..5);
    Copies::default().of(&orders.name, 0, 5..10).encoded(Encoding::Int64BE).write_to(&orders.name, 0);
    case.committed(&orders, &[(0, 3)]);
    case.replicator(|spec| spec.tracing.headers.offset = "__k2k_offset".into());
    let app = migration(&case, |_| {});
    app.stalls(Reason::HeadersMissing, &[]);
    let told = docs.run((RUNBOOK, "HeadersMissing"));
    shows(&told, &["Offset:2\tk2k_topic", ",k2k_offset:2", r#""offset":"__k2k_offset""#]);
    case.edit_replicator(|spec| spec.tracing.headers.offset = "k2k_offset".into());
    app.stalls(Reason::AmbiguousEncoding, &[]);
    docs.run((RUNBOOK, "AmbiguousEncoding"));
    app.completes();
}

#[test]
fn former_copies() {
    let case = Case::new("docs-former");
    let docs = shell(&case, FORMER_COPIES);
    let orders = case.topic("orders", 1);
    orders.fill(0, 5).copy(0, 0..8);
    case.committed(&orders, &[(0, 3)]);
    case.replicator(|_| {});
    let app = migration(&case, |_| {});
    app.stalls(Reason::SourceRecreated, &[]);
    shows(&docs.run((RUNBOOK, "SourceRecreated")), &[&format!("{}:0:5", orders.name)]);
    // "Ends by itself."
    orders.copy(0, 0..5);
    app.completes_exactly();
}

#[test]
fn read_again() {
    let case = Case::new("docs-again");
    let docs = shell(&case, READ_AGAIN);
    // all: orders 0, more 0, orders 1, more 1, …
    let (orders, more) = (case.source_topic("orders", 1, &[]), case.source_topic("more", 1, &[]));
    let all = format!("{}-all", case.namespace);
    Side::Target.create_topic(&all, 1, &[]);
    orders.fill(0, 4);
    more.fill(0, 4);
    let log = (0..4).fold(Copies::default(), |log, n| log.of(&orders.name, 0, [n]).of(&more.name, 0, [n]));
    log.write_to(&all, 0);
    case.committed(&orders, &[(0, 1)]);
    case.committed(&more, &[(0, 3)]);
    case.replicator(|spec| {
        let target = TargetTopic { topic_name: all.clone(), ..TargetTopic::default() };
        spec.replication = Some(vec![specs::route(&format!("{}-.*", case.namespace), target)]);
    });
    let app = migration(&case, |spec| spec.policies.reprocessing = Reprocessing::Fail);
    app.stalls(Reason::ReprocessingRefused, &[]);
    write_manifests(&docs, &case, &app);
    let told = docs.is_refused((RUNBOOK, "ReprocessingRefused"));
    shows(&told, &["REREAD", "2 records are read again", "ReprocessingRefused"]);
    app.edit(|spec| spec.policies.reprocessing = Reprocessing::Accept);
    assert_eq!(app.completes().reread, 2);
}

#[test]
fn taken_group() {
    let case = Case::new("docs-taken");
    let docs = shell(&case, TAKEN_GROUP);
    let orders = plain(&case);
    case.commit(Side::Target, &case.group, [((orders.name.clone(), 0), 7.into())].into());
    let early = Member::classic(Side::Target, &case.group, &orders.name);
    case.replicator(|_| {});
    let app = migration(&case, |_| {});
    app.waits(Reason::TargetGroupActive, &[]);
    shows(&docs.run((RUNBOOK, "TargetGroupActive")), &["CONSUMER-ID", "/127.0.0.1"]);
    early.leave();
    app.stalls(Reason::TargetOffsetsExist, &["7", "4"]);
    shows(&docs.run((RUNBOOK, "TargetOffsetsExist")), &["CURRENT-OFFSET", "annotated"]);
    app.retry("deleted");
    app.completes_exactly();
    let uid = &app.get().metadata.annotations.unwrap()["k2k.dev/allow-rewind"];
    assert_eq!(*uid, app.uid, "what moving back wants");
}

#[test]
fn offsets_that_are_replaced_by_the_runbook() {
    let case = Case::new("docs-rewind");
    let orders = plain(&case);
    case.commit(Side::Target, &case.group, [((orders.name.clone(), 0), 7.into())].into());
    case.replicator(|_| {});
    let app =
        migration(&case, |spec| spec.policies.existing_target_offsets = ExistingTargetOffsets::Overwrite);
    app.stalls(Reason::TargetOffsetsExist, &["7", "4"]);
    let docs = shell(&case, &[]);
    let of_the_runbook = documents::commands().into_iter().map(|(.., command)| command);
    let annotate = of_the_runbook.filter(|c| c.contains("allow-rewind") || c.contains("k2k.dev/retry"));
    let (succeeds, told) = docs.sh(&docs.named(&annotate.collect::<Vec<_>>().join("\n")));
    assert!(succeeds, "{told}");
    app.completes_exactly();
}

#[test]
fn taken_plan() {
    let case = Case::new("docs-plan");
    let docs = shell(&case, TAKEN_PLAN);
    plain(&case);
    let (ns, plan) = (case.namespace.as_str(), format!("{}-plan", case.group));
    kubectl(&["-n", ns, "create", "configmap", &plan, "--from-literal=whose=another's"]).unwrap();
    case.replicator(|_| {});
    let app = migration(&case, |_| {});
    app.stalls(Reason::PlanConflict, &[&plan]);
    shows(&docs.run((RUNBOOK, "PlanConflict")), &["whose: another's"]);
    // Of two that are confirmed within one second the smaller uid goes first.
    thread::sleep(Duration::from_millis(1100));
    let second = case.migrate_as("second", |_| {});
    second.stalls(Reason::DuplicateMigration, &[&app.name]);
    shows(&docs.run((RUNBOOK, "DuplicateMigration")), &[&app.name, "DuplicateMigration"]);
    second.delete();
    kubectl(&["-n", ns, "delete", "configmap", &plan]).unwrap();
    app.retry("deleted");
    app.completes_exactly();
}

#[test]
fn other_cluster() {
    let case = Case::new("docs-cluster");
    let docs = shell(&case, OTHER_CLUSTER);
    let orders = plain(&case);
    case.replicator(|_| {});
    let early = Member::classic(Side::Target, &case.group, &orders.name);
    let app = migration(&case, |_| {});
    app.waits(Reason::TargetGroupActive, &[]);
    let lead_to = |source: Side, target: Side| {
        case.edit_replicator(|spec| {
            spec.source.as_mut().unwrap().cluster.bootstrap_servers = source.bootstrap();
            spec.target.as_mut().unwrap().bootstrap_servers = target.bootstrap();
        });
    };
    lead_to(Side::Target, Side::Source);
    app.stalls(Reason::ClusterChanged, &[]);
    let told = docs.run((RUNBOOK, "ClusterChanged"));
    let hash = app.get().status.unwrap().plan.unwrap().hash;
    shows(&told, &[&Side::Source.bootstrap(), &Side::Target.cluster_id(), &hash]);
    lead_to(Side::Source, Side::Target);
    early.leave();
    app.completes_exactly();
}

#[test]
fn least_rights() {
    let case = Case::new("docs-rights");
    let docs = shell(&case, LEAST_RIGHTS);
    let (orders, returns) = (case.source_topic("orders", 2, &[]), case.source_topic("returns-eu", 1, &[]));
    orders.fill(0, 10).fill(1, 10);
    returns.fill(0, 5);
    case.committed(&orders, &[(0, 4), (1, 10)]);
    case.committed(&returns, &[(0, 2)]);
    let own = format!("{}-k2k", case.namespace);
    let replicator = case.replicator(|spec| {
        as_nobody(spec, &own);
        let topics = vec![orders.name.clone(), docs.named("returns-.*")];
        spec.replication.as_mut().unwrap()[0].topics = topics;
    });
    case.replicator_says(Reason::SecretNotFound);
    shows(&docs.run((RUNBOOK, "SecretNotFound")), &["SecretNotFound", "passwordSecretRef"]);
    specs::secrets(&case, "somebody");
    case.replicator_says(Reason::AuthenticationFailed);
    shows(&docs.run((RUNBOOK, "AuthenticationFailed")), &[r#""username":"nobody""#]);
    let secrets = specs::secrets(&case, "nobody");
    case.replicator_says(Reason::AuthorizationFailed);
    let told = docs.run((RUNBOOK, "AuthorizationFailed"));
    assert!(!told.contains(&case.namespace), "{told}");
    docs.run((PERMISSIONS, "Kafka: for the operator"));
    case.replicator_says(Reason::Ready);

    let app = migration(&case, |_| {});
    let replicate = Replicate::start(&case.namespace, &replicator, &secrets);
    eventually(DEADLINE, "the replicator to say what it lacks", || {
        replicate.log().contains("allow DescribeConfigs")
    });
    docs.run((PERMISSIONS, "Kafka: for `appmigration replicate`"));
    // No restart: both go on by themselves.
    app.completes_exactly();
    let told = docs.run((PERMISSIONS, "What is missing, and what you see"));
    shows(&told, &[&orders.name, &returns.name, "PREFIXED", "DESCRIBE_CONFIGS", "WRITE", "CREATE"]);
    replicate.stop();
    case.settled(Side::Source, &own);
}

#[test]
fn pipeline_file() {
    let case = Case::new("docs-pipeline");
    let docs = shell(&case, PIPELINE_FILE);
    case.with_operator();
    let orders = plain(&case);
    // The pipeline of that page, and the object that it is said to be.
    let text = fs::read_to_string(format!("{}/{LENSES}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let mut examples =
        text.split("```yaml\n").skip(1).map(|rest| docs.named(rest.split("```").next().unwrap()));
    let (pipeline, object) = (examples.next().unwrap(), examples.next().unwrap());
    fs::write(docs.folder.join("pipeline.yaml"), pipeline).unwrap();
    case.secret("k2k-env", &[("EU_PASSWORD", "secret")]);
    docs.run((LENSES, "The pipeline file itself"));
    case.replicator_says(Reason::Ready);
    let imported: Value = yaml(&fs::read_to_string(docs.folder.join("replicator.yaml")).unwrap());
    let said: Value = yaml(&object);
    let spec =
        |object: &Value| -> K2KReplicatorSpec { serde_json::from_value(object["spec"].clone()).unwrap() };
    assert_eq!(spec(&imported), spec(&said));
    let app = migration(&case, |_| {});
    app.completes_exactly();
    assert_eq!(app.target_offset(&orders.name, 0), Some(4));
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

/// From nothing to nothing, as somebody copies it from the page: on the same stack as the demo's.
#[test]
fn on_the_demo() {
    let case = Case::new("docs-try");
    let docs = shell(&case, ON_THE_DEMO);
    case.with_operator();
    let told = docs.run((FIRST_TRY, "A first try"));
    shows(
        &told,
        &[": 3 partitions, 3 of them exact; 0 records read again", "25 read-source", "66 read-target"],
    );
    shows(&told, &["3/3 partitions, 3 of them exact; 0 records read again, 0 missing"]);
    shows(&told, &["nothing lost, nothing twice"]);
}

#[test]
fn in_no_state() {
    let case = Case::new("docs-rest");
    let docs = shell(&case, IN_NO_STATE);
    shows(&docs.run((REFERENCE, "Reference")), &["stopConfirmed", "quietPeriod", "policies"]);
    let told = docs.run((PERMISSIONS, "Kubernetes"));
    assert_eq!(told.lines().filter(|line| *line == "yes").count(), 2, "{told}");
    shows(&docs.run((CHART, "The AppMigration operator's chart")), &["--lease-duration", "--kafka-idle"]);
}
