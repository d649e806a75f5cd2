//! What the user does with the object: confirm, take it back, suspend, delete, create again.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::harness::{
    AppMigration, Case, GapPolicy, Member, Operator, Reason, Side, Topic,
    history::history,
    migration::{condition, ready_reason},
    operator,
    stack::{DEADLINE, kubectl},
    v1alpha1::ConditionType,
};

/// 0: source 0..10, target up to `replicated`, c = 4.
fn up_to(case: &Case, replicated: i64) -> Topic<'_> {
    let orders = case.topic("orders", 1);
    orders.fill(0, 10).copy(0, 0..replicated);
    case.committed(&orders, &[(0, 4)]);
    case.replicator(|_| {});
    orders
}

#[test]
fn a_preview_while_the_application_still_runs() {
    let case = Case::new("preview");
    // 0: all replicated; 1: source 0..10, c = 8, target 0..5 and 9; 2: c = 6, target 0..4
    let orders = case.topic("orders", 3);
    orders.fill(0, 10).fill(1, 10).fill(2, 10);
    orders.copy(0, 0..10).copy(1, (0..5).chain([9])).copy(2, 0..4);
    case.committed(&orders, &[(0, 4), (1, 8), (2, 6)]);
    case.replicator(|_| {});
    let member = Member::classic(Side::Source, &case.group, &orders.name);
    let app = case.migrate(|spec| spec.stop_confirmed = false);
    app.waits(Reason::AwaitingStopConfirmation, &["stopConfirmed"]);
    let seen = |o: &AppMigration| o.status.as_ref().and_then(|s| s.preview.clone());
    let preview = seen(&app.wait("a preview", DEADLINE, |o| seen(o).is_some())).unwrap();
    assert_eq!((preview.partitions, preview.exact, preview.lag), (3, 1, 2), "{preview:?}");
    let expected =
        [format!("ReplicationBehind {}: ", orders.at(2)), format!("GapOnTarget {}: ", orders.at(1))];
    for block in &expected {
        assert!(preview.blocks.iter().any(|b| b.starts_with(block)), "{preview:?}");
    }
    // Nobody is asked to stop an application without being told.
    let told = |o: &AppMigration| {
        let ready = condition(o, ConditionType::Ready).unwrap();
        ready.message.contains("not yet") && ready.message.contains(&expected[1])
    };
    app.wait("its word", DEADLINE, told);
    // What it foresees is no condition, and nothing is written for it.
    assert_eq!(app.shows(ConditionType::OffsetsMapped), "Unknown NotJudged");
    assert_eq!(app.shows(ConditionType::SourceGroupInactive), "Unknown NotJudged");
    assert!(case.config_map("app-plan").is_none());
    // It is renewed as things change.
    orders.copy(2, 4..10);
    let better = |o: &AppMigration| seen(o).is_some_and(|p| p.exact == 2 && p.lag == 0);
    app.wait("a better preview", DEADLINE, better);
    member.leave();
    app.edit(|spec| {
        spec.stop_confirmed = true;
        spec.policies.gap = GapPolicy::Accept;
    });
    app.completes();
    assert_eq!(app.get().status.unwrap().preview, None);
}

#[test]
fn the_user_waits_with_kubectl() {
    let case = Case::new("kubectl");
    up_to(&case, 10);
    let app = case.migrate(|spec| spec.stop_confirmed = false);
    app.waits(Reason::AwaitingStopConfirmation, &[]);
    let name = format!("appmig/{}", app.name);
    let ns = case.namespace.as_str();
    kubectl(&["-n", ns, "patch", &name, "--type", "merge", "-p", r#"{"spec":{"stopConfirmed":true}}"#])
        .unwrap();
    kubectl(&["-n", ns, "wait", "--for=condition=Ready", "--timeout=60s", &name]).unwrap();
    app.completes_exactly();
    let columns = kubectl(&["-n", ns, "get", &name, "--no-headers"]).unwrap();
    let columns: Vec<&str> = columns.split_whitespace().take(7).collect();
    assert_eq!(columns, ["app", "k2k", &case.group, "True", "Completed", "1/1", "0"]);
    let events = kubectl(&["-n", ns, "events", "--for", &name]).unwrap();
    assert!(events.contains("Completed"), "{events}");
}

#[test]
fn a_confirmation_that_is_taken_back_is_latched() {
    let case = Case::new("latched");
    let orders = up_to(&case, 2);
    let app = case.migrate(|_| {});
    app.waits(Reason::ReplicationBehind, &[&orders.at(0)]);
    let latched = app.get().status.unwrap().stop_confirmed_at;
    app.edit(|spec| spec.stop_confirmed = false);
    app.waits(Reason::ReplicationBehind, &[&orders.at(0)]);
    assert_eq!(app.get().status.unwrap().stop_confirmed_at, latched);
    assert_eq!(app.shows(ConditionType::StopConfirmed), "True Confirmed");
    orders.copy(0, 2..10);
    app.completes_exactly();
}

#[test]
fn suspended_from_the_start() {
    let case = Case::new("suspended");
    up_to(&case, 10);
    let app = case.migrate(|spec| spec.suspend = true);
    let object = app.wait("Suspended", DEADLINE, |o| ready_reason(o) == Some("Suspended"));
    for absent in [ConditionType::Reconciling, ConditionType::Stalled] {
        assert!(condition(&object, absent).is_none(), "{absent}");
    }
    app.has_committed_nothing();
    app.edit(|spec| spec.suspend = false);
    app.completes_exactly();
}

#[test]
fn suspended_on_the_way_keeps_what_was_found() {
    let case = Case::new("paused");
    let orders = up_to(&case, 2);
    let app = case.migrate(|_| {});
    app.waits(Reason::ReplicationBehind, &[&orders.at(0)]);
    app.edit(|spec| spec.suspend = true);
    app.wait("Suspended", DEADLINE, |o| ready_reason(o) == Some("Suspended"));
    assert_eq!(app.shows(ConditionType::ReplicationCaughtUp), "False ReplicationBehind");
    // What it waited for comes, and it does not move.
    orders.copy(0, 2..10);
    app.retry("1");
    app.wait("the annotation", DEADLINE, |o| o.metadata.annotations.is_some());
    assert_eq!(app.shows(ConditionType::Ready), "False Suspended");
    app.has_committed_nothing();
    app.edit(|spec| spec.suspend = false);
    app.completes_exactly();
}

#[test]
fn deleted_half_way_and_created_again() {
    let case = Case::new("deleted");
    let orders = up_to(&case, 2);
    let app = case.migrate(|_| {});
    app.waits(Reason::ReplicationBehind, &[&orders.at(0)]);
    app.delete();
    orders.copy(0, 2..10);
    app_is_gone(&case);
    let again = app.create_again();
    again.completes_exactly();
    assert_eq!(again.plan().config_map.metadata.owner_references.unwrap()[0].uid, again.uid);
}

#[test]
fn deleted_with_its_plan_stored() {
    let case = Case::new("deletedplan");
    let orders = up_to(&case, 10);
    let early = Member::classic(Side::Target, &case.group, &orders.name);
    let app = case.migrate(|_| {});
    app.waits(Reason::TargetGroupActive, &[&case.group]);
    app.delete();
    early.leave();
    app_is_gone(&case);
    // No garbage collector runs here: the plan of the former object is still there, and harmless.
    let again = app.create_again();
    again.completes_exactly();
    assert_eq!(again.plan().config_map.metadata.owner_references.unwrap()[0].uid, again.uid);
}

fn app_is_gone(case: &Case) {
    assert!(kubectl(&["-n", &case.namespace, "get", "appmig", "app"]).unwrap_err().contains("not found"));
    assert!(case.offsets(Side::Target, &case.group).is_empty());
}

#[test]
fn a_second_run_over_an_application_that_lives_on_the_target_is_refused() {
    let case = Case::new("lives");
    let orders = up_to(&case, 10);
    let app = case.migrate(|_| {});
    app.completes_exactly();
    // The application goes on there; then the object is created anew from Git.
    case.commit(Side::Target, &case.group, [((orders.name.clone(), 0), 9.into())].into());
    app.delete();
    let again = app.create_again();
    again.stalls(Reason::TargetOffsetsExist, &[&orders.at(0), "9", "4"]);
    assert_eq!(again.target_offset(&orders.name, 0), Some(9));
}

#[test]
fn other_writers_of_the_object_do_no_harm() {
    let case = Case::new("gitops");
    let orders = up_to(&case, 2);
    let app = case.migrate(|_| {});
    // A GitOps tool labels it all the time.
    for n in 0..15 {
        app.patch(&json!({ "metadata": { "labels": { "n": n.to_string() } } }));
    }
    orders.copy(0, 2..10);
    app.completes_exactly();
}

#[test]
fn alone_a_mapping_that_takes_long_tells_how_far_it_is() {
    let case = Case::alone("progress");
    operator::stop();
    operator::start(&[("APPMIGRATION_PROGRESS", "20ms")]);
    let orders = case.topic("orders", 2);
    for partition in 0..2 {
        orders.fill(partition, 60_000).copy(partition, 0..60_000);
    }
    case.committed(&orders, &[(0, 10), (1, 10)]);
    case.replicator(|_| {});
    let app = case.migrate(|_| {});
    app.completes_exactly();
    let key = (case.namespace.clone(), "AppMigration".to_owned(), "app".to_owned());
    let versions = history().of(&key);
    let told: Vec<&str> = versions
        .iter()
        .flat_map(|version| {
            version.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten()
        })
        .filter(|c| c["type"] == "OffsetsMapped" && c["reason"] == "MappingOffsets")
        .filter_map(|c| c["message"].as_str())
        .collect();
    assert!(told.iter().any(|text| text.contains("of 2 target partitions are mapped")), "{told:?}");
    operator::stop();
    operator::start(&[]);
}

/// Without an election there is nothing that could fall silent. It watches a namespace that nobody uses: the shared
/// operator is not disturbed.
#[test]
fn an_operator_without_an_election_stays_alive() {
    let _case = Case::new("unelected");
    let alone = [("APPMIGRATION_LEADER_ELECTION", "false"), ("APPMIGRATION_NAMESPACE", "nobodys")];
    let operator = Operator::start("unelected", &alone);
    // Longer than a part of it may be silent, which is 30 s.
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(36) {
        let (code, text) = operator.probe("/livez", DEADLINE).expect("an answer");
        assert_eq!(code, 200, "after {:?}: {text}", start.elapsed());
        sleep(Duration::from_secs(1));
    }
    assert!(operator.leads());
}
