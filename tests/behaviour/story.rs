//! A migration told by kubectl: `describe` reads as a story, `wait` knows every condition, `explain` every field.

use serde_json::Value;

use crate::harness::{
    Case, Migration, Reason,
    history::history,
    migration::condition,
    stack::{DEADLINE, kubectl},
    v1alpha1::ConditionType,
};

fn run(case: &Case, args: &[&str]) -> String {
    kubectl(&[&["-n", &case.namespace], args].concat()).unwrap_or_else(|error| panic!("{args:?}: {error}"))
}

fn wait(app: &Migration<'_>, kind: ConditionType) {
    let (what, object) = (format!("--for=condition={kind}"), format!("appmig/{}", app.name));
    run(app.case, &["wait", &what, "--timeout=30s", &object]);
}

/// The reasons of the events of an object, oldest first; none was sent twice.
fn events(app: &Migration<'_>) -> Vec<String> {
    let of = format!("regarding.name={}", app.name);
    let list = run(app.case, &["get", "events.events.k8s.io", "--field-selector", &of, "-o", "json"]);
    let list: Value = serde_json::from_str(&list).unwrap();
    let mut items = list["items"].as_array().unwrap().clone();
    assert!(items.iter().all(|event| event["series"].is_null()), "{list:#}");
    items.sort_by_key(|event| event["eventTime"].as_str().unwrap().to_owned());
    items.iter().map(|event| event["reason"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_migration_from_the_first_look_to_the_last() {
    let case = Case::new("story");
    let orders = case.drawn(10, 0..2, 4);
    case.replicator(|_| {});
    case.replicator_says(Reason::Ready);
    let app = case.migrate(|spec| spec.stop_confirmed = false);
    app.waits(Reason::AwaitingStopConfirmation, &[]);
    wait(&app, ConditionType::ReplicatorReady);
    wait(&app, ConditionType::Reconciling);
    // Nobody is asked to stop an application before that.
    app.wait("its preview", DEADLINE, |o| o.status.as_ref().is_some_and(|s| s.preview.is_some()));
    app.edit(|spec| spec.stop_confirmed = true);
    app.waits(Reason::ReplicationBehind, &[&orders.at(0)]);
    // A gap, then what it misses.
    orders.copy(0, 6..10);
    app.stalls(Reason::GapOnTarget, &[&orders.at(0)]);
    wait(&app, ConditionType::Stalled);
    orders.copy(0, 2..10);
    app.retry("copied");
    let way = ConditionType::LADDER.into_iter().chain([ConditionType::Ready]);
    for kind in way.clone() {
        wait(&app, kind);
    }
    app.completes_exactly();

    let text = run(&case, &["describe", "appmig", &app.name]);
    let of_conditions = text.split("Conditions:").nth(1).unwrap();
    let named = |field: &str| {
        let lines =
            of_conditions.lines().skip(1).take_while(|line| line.starts_with("    ")).map(str::trim_start);
        let values = lines.filter_map(|line| line.strip_prefix(field));
        values.map(|value| value.trim().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(named("Type:"), way.clone().map(|kind| kind.to_string()).collect::<Vec<_>>(), "{text}");
    assert_eq!(named("Status:"), ["True"; 7], "{text}");
    assert!(named("Message:").len() == 7 && !named("Message:").contains(&String::new()), "{text}");
    let since = |kind: &ConditionType| condition(&app.get(), *kind).unwrap().last_transition_time.clone();
    assert!(way.collect::<Vec<_>>().is_sorted_by_key(since), "{text}");

    // Each reason that `Ready` came to, in that order; what was passed within a look is not told.
    let told = events(&app);
    let waited_for =
        ["AwaitingStopConfirmation", "QuietPeriodRunning", "ReplicationBehind", "GapOnTarget", "Completed"];
    assert_eq!(told, waited_for, "{told:?}");
    let key = (case.namespace.clone(), "AppMigration".to_owned(), app.name.clone());
    let versions = history().of(&key);
    let mut reasons = versions.iter().filter_map(|o| {
        let conditions = o["status"]["conditions"].as_array()?;
        conditions.iter().find(|c| c["type"] == "Ready")?["reason"].as_str()
    });
    assert!(told.iter().all(|event| reasons.any(|reason| reason == event)), "{told:?}");
    let shown = text.split("Events:").nth(1).unwrap();
    let places: Vec<_> = told.iter().map(|reason| shown.find(&format!(" {reason} "))).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{shown}");

    // The last condition: past the first look, at which nothing has moved, the application is started on the source.
    std::thread::sleep(std::time::Duration::from_secs(4));
    case.committed(&orders, &[(0, 9)]);
    app.wait("SourceMoved", DEADLINE, |o| condition(o, ConditionType::SourceMoved).is_some());
    wait(&app, ConditionType::SourceMoved);
    assert_eq!(events(&app).last().map(String::as_str), Some("SourceMovedAfterMigration"));
}

#[test]
fn everything_is_explained() {
    for kind in ["appmig", "k2k"] {
        // kubectl may have asked which kinds there are before these were: `get` asks again, `explain` does not.
        kubectl(&["get", kind]).unwrap();
        let text = kubectl(&["explain", kind]).unwrap();
        assert!(!text.contains("<empty>"), "{text}");
        for part in ["spec", "status"] {
            let text = kubectl(&["explain", &format!("{kind}.{part}")]).unwrap();
            let fields = text.split("FIELDS:").nth(1).unwrap();
            assert!(!text.contains("<no description>"), "{text}");
            assert!(fields.len() > 100, "{text}");
        }
    }
}
