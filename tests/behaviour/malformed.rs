//! Objects that the operator's types cannot read: stored while the CRD was a looser one. They say what is wrong
//! with them, and stand in nobody's way.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api,
    api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::harness::{
    AppMigration, Case, K2KReplicator, Reason, Side, conformance, operator, specs,
    stack::{self, DEADLINE, block_on, kubectl},
};

/// Longer than a stalled object is left alone here (10 s).
const WATCHED: Duration = Duration::from_secs(13);

fn crds() -> Api<CustomResourceDefinition> {
    Api::all(stack::kube())
}

/// Both CRDs with a schema that takes every spec; dropped, they are as they were.
struct Loose(Vec<CustomResourceDefinition>);

impl Loose {
    fn new(case: &Case) -> Self {
        let names = ["appmigrations.k2k.dev", "k2kreplicators.k2k.dev"];
        let before = Self(names.iter().map(|name| block_on(crds().get(name)).unwrap()).collect());
        for (name, crd) in names.iter().zip(&before.0) {
            let mut schema = json!(crd.spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema);
            // The status keeps its default, by which tools know that nobody has looked at the object yet.
            schema["properties"]["spec"] =
                json!({ "x-kubernetes-preserve-unknown-fields": true, "nullable": true });
            for rules in ["required", "x-kubernetes-validations"] {
                schema.as_object_mut().unwrap().remove(rules);
            }
            let path = "/spec/versions/0/schema/openAPIV3Schema";
            let patch = json!([{ "op": "replace", "path": path, "value": schema }]);
            let patch = Patch::<Value>::Json(serde_json::from_value(patch).unwrap());
            block_on(crds().patch(name, &PatchParams::default(), &patch)).unwrap();
        }
        wait("the loose CRDs are served", || accepts_anything(case) == (true, true));
        before
    }
}

impl Drop for Loose {
    fn drop(&mut self) {
        for crd in &self.0 {
            let name = crd.metadata.name.as_deref().unwrap();
            let patch = json!([{ "op": "replace", "path": "/spec", "value": crd.spec }]);
            let patch = Patch::<Value>::Json(serde_json::from_value(patch).unwrap());
            block_on(crds().patch(name, &PatchParams::default(), &patch)).unwrap();
        }
    }
}

/// Whether an object of each kind may hold anything.
fn accepts_anything(case: &Case) -> (bool, bool) {
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let accepts = |kind| {
        let object = object(kind, "probe", &json!({ "no": "such field" }));
        block_on(api(case, kind).create(&dry, &object)).is_ok()
    };
    (accepts("AppMigration"), accepts("K2KReplicator"))
}

fn wait(what: &str, until: impl Fn() -> bool) {
    let start = Instant::now();
    while !until() {
        assert!(start.elapsed() < DEADLINE, "{what}");
        sleep(Duration::from_millis(100));
    }
}

fn resource(kind: &str) -> ApiResource {
    match kind {
        "AppMigration" => ApiResource::erase::<AppMigration>(&()),
        _ => ApiResource::erase::<K2KReplicator>(&()),
    }
}

fn api(case: &Case, kind: &str) -> Api<DynamicObject> {
    Api::namespaced_with(stack::kube(), &case.namespace, &resource(kind))
}

fn object(kind: &str, name: &str, spec: &Value) -> DynamicObject {
    let object =
        json!({ "apiVersion": "k2k.dev/v1alpha1", "kind": kind, "metadata": { "name": name }, "spec": spec });
    serde_json::from_value(object).unwrap()
}

/// Waits until an event says that the object cannot be read, and why. Of an object that breaks a rule of the CRD
/// the API server refuses the status too.
fn comes_to_be_told(case: &Case, name: &str, word: &str) {
    let told = || {
        let of = format!("regarding.name={name}");
        let args =
            ["-n", &case.namespace, "get", "events.events.k8s.io", "--field-selector", &of, "-o", "json"];
        kubectl(&args).unwrap()
    };
    wait(&format!("an event of {name} says `{word}`"), || told().contains(word));
}

/// Waits until the object says that it cannot be read, and why.
fn comes_to_say(case: &Case, kind: &str, name: &str, words: &[&str]) {
    let said = |object: &Value| {
        let ready = conformance::condition(object, "Ready")?.clone();
        let stalled = conformance::condition(object, "Stalled")?["status"] == "True";
        let current = object["status"]["observedGeneration"] == object["metadata"]["generation"];
        (stalled && current && ready["reason"] == "InvalidSpec").then_some(ready)
    };
    let object = case.wait_for(kind, name, "InvalidSpec", DEADLINE, |object| said(object).is_some());
    let text = said(&object).unwrap()["message"].as_str().unwrap().to_owned();
    for word in words {
        assert!(text.contains(word), "{kind} {name}: `{word}` is not in `{text}`");
    }
}

fn versions(case: &Case) -> String {
    let path = "{range .items[*]}{.kind}/{.metadata.name} {.metadata.resourceVersion}{\"\\n\"}{end}";
    let kinds = "appmig,k2k,configmaps,events.events.k8s.io";
    kubectl(&["-n", &case.namespace, "get", kinds, "-o", &format!("jsonpath={path}")]).unwrap()
}

#[test]
fn alone_an_object_that_cannot_be_read_stops_nobody_else() {
    let case = Case::alone("malformed");
    let orders = case.topic("orders", 1);
    orders.fill(0, 10).copy(0, 0..10);
    case.committed(&orders, &[(0, 4)]);
    case.replicator(|_| {});

    let whole = json!(specs::migration(&case.group));
    let changed = |field: &str, value: Value| {
        let mut spec = whole.clone();
        spec[field] = value;
        spec
    };
    // Kind, name, spec, and what its message names.
    let malformed = [
        (
            "AppMigration",
            "text",
            changed("stopConfirmed", json!("yes")),
            "spec.stopConfirmed must be a boolean",
        ),
        ("AppMigration", "absent", json!({ "suspend": true }), "spec.replicatorRef is missing"),
        // A number of hours on which a parser that is not careful ends the process.
        (
            "AppMigration",
            "endless",
            changed("quietPeriod", json!(format!("{}h", "9".repeat(25)))),
            "quietPeriod",
        ),
        ("AppMigration", "nothing", json!(null), "spec is missing"),
        ("K2KReplicator", "list", json!({ "replication": "orders" }), "spec.replication must be a list"),
    ];
    // They are there before the operator starts: in its very first list.
    operator::ensure();
    operator::stop();
    let loose = Loose::new(&case);
    for (kind, name, spec, _) in &malformed {
        block_on(api(&case, kind).create(&PostParams::default(), &object(kind, name, spec))).unwrap();
    }
    drop(loose);
    wait("the CRDs are as they were", || accepts_anything(&case) == (false, false));
    operator::start(&[]);
    for (kind, name, _, word) in &malformed {
        if ["endless", "nothing", "list"].contains(name) {
            comes_to_be_told(&case, name, word);
        } else {
            comes_to_say(&case, kind, name, &["does not fit its CRD", word]);
        }
    }
    case.migrate_as("bystander", |_| {}).completes_exactly();

    // One that names a replicator that cannot be read waits for it.
    case.migrate_as("waiting", |spec| {
        spec.replicator_ref.name = "list".into();
        spec.target_consumer_group = Some(format!("{}-other", case.group));
    })
    .waits(Reason::ReplicatorNotReady, &["K2KReplicator list", "cannot be read"]);

    // One more comes while it watches.
    let loose = Loose::new(&case);
    let mut late = changed("suspend", json!(7));
    late["targetConsumerGroup"] = json!(format!("{}-late", case.group));
    let late = object("AppMigration", "late", &late);
    block_on(api(&case, "AppMigration").create(&PostParams::default(), &late)).unwrap();
    comes_to_say(&case, "AppMigration", "late", &["spec.suspend must be a boolean"]);
    drop(loose);
    let later = format!("{}-later", case.group);
    case.commit(Side::Source, &later, [((orders.name.clone(), 0), 7.into())].into());
    case.migrate_as("later", |spec| spec.consumer_group.clone_from(&later)).completes_exactly();

    // Nothing is written any more, and none was told of again and again.
    sleep(Duration::from_secs(2));
    let before = versions(&case);
    let start = Instant::now();
    while start.elapsed() < WATCHED {
        assert_eq!(versions(&case), before, "nothing is written at rest");
        sleep(Duration::from_secs(1));
    }
    for (_, name, _, _) in &malformed {
        let about = operator::log_about("cannot be read", 1_000);
        let told = about.lines().filter(|line| line.contains(&format!("object=\"{name}\""))).count();
        // Once more where the watch began anew with another CRD and the status could not be written.
        assert!((1..=2).contains(&told), "{name} is told of once:\n{about}");
    }
    comes_to_be_told(&case, "text", "spec.stopConfirmed must be a boolean");

    // Mended it goes on as if nothing had been.
    let patch = json!([{ "op": "replace", "path": "/spec/suspend", "value": false }]);
    let patch = Patch::<Value>::Json(serde_json::from_value(patch).unwrap());
    block_on(api(&case, "AppMigration").patch("late", &PatchParams::default(), &patch)).unwrap();
    case.wait_for("AppMigration", "late", "Completed", DEADLINE, |object| {
        conformance::condition(object, "Ready").is_some_and(|c| c["reason"] == "Completed")
    });
}
