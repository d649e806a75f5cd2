//! Several tools on the same objects, as kubectl, Argo CD and Flux apply them: server-side, each under its own name.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::harness::{
    AppMigration, Case, K2KReplicator, Migration, Reason, Topic, specs,
    stack::{DEADLINE, block_on, kubectl},
};

const ARGO: &str = "argocd-controller";
const FLUX: &str = "kustomize-controller";

/// What is in Git: what people write, and nothing that is a default.
fn git(case: &Case) -> [Value; 2] {
    let spec = serde_json::to_value(specs::replicator(&format!("{}-.*", case.namespace))).unwrap();
    [
        json!({ "apiVersion": "k2k.dev/v1alpha1", "kind": "K2KReplicator", "metadata": { "name": "k2k" }, "spec": spec }),
        json!({
            "apiVersion": "k2k.dev/v1alpha1", "kind": "AppMigration", "metadata": { "name": "app" },
            "spec": { "replicatorRef": { "name": "k2k" }, "consumerGroup": case.group, "stopConfirmed": false, "quietPeriod": "1s" },
        }),
    ]
}

/// Server-side apply under that name; without force a conflict is an error.
fn apply(case: &Case, manager: &str, force: bool) -> kube::Result<()> {
    let [replicator, migration] = git(case);
    let mut params = PatchParams::apply(manager);
    params.force = force;
    let (replicators, migrations): (Api<K2KReplicator>, Api<AppMigration>) = (case.api(), case.api());
    block_on(replicators.patch("k2k", &params, &Patch::Apply(&replicator)))?;
    block_on(migrations.patch("app", &params, &Patch::Apply(&migration))).map(drop)
}

/// 0: 0..10, c = 4.
fn orders(case: &Case) -> Topic<'_> {
    let orders = case.topic("orders", 1);
    orders.fill(0, 10).copy(0, 0..10);
    case.committed(&orders, &[(0, 4)]);
    orders
}

/// Applies the state of Git again and again, as a tool with self-heal does.
struct SelfHeal {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<usize>>,
}

impl SelfHeal {
    fn start(case: &Case, manager: &'static str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let params = PatchParams::apply(manager).force();
        let [_, migration] = git(case);
        let api = case.api::<AppMigration>();
        let thread = thread::spawn(move || {
            let mut times = 0;
            while !stopped.load(Ordering::Relaxed) {
                block_on(api.patch("app", &params, &Patch::Apply(&migration))).unwrap();
                times += 1;
                thread::sleep(Duration::from_secs(1));
            }
            times
        });
        Self { stop, thread: Some(thread) }
    }

    fn end(mut self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

/// The action of Argo CD, or a person's `kubectl patch`, and what becomes of it.
fn confirmed_and_reverted(name: &str, manager: &'static str) {
    let case = Case::new(name);
    orders(&case);
    apply(&case, manager, true).unwrap();
    let app = Migration::of(&case, "app");
    app.waits(Reason::AwaitingStopConfirmation, &[]);
    let heal = SelfHeal::start(&case, manager);
    let patch = Patch::Merge(json!({ "spec": { "stopConfirmed": true } }));
    let params = PatchParams { field_manager: Some("argocd-server".into()), ..PatchParams::default() };
    block_on(case.api::<AppMigration>().patch("app", &params, &patch)).unwrap();
    app.completes_exactly();
    // It is healed once more after that.
    thread::sleep(Duration::from_secs(2));
    assert!(heal.end() >= 3);
    let object = app.get();
    assert!(!object.spec.stop_confirmed, "Git says false");
    assert!(object.status.unwrap().completed_at.is_some());
}

#[test]
fn argo_cd_heals_a_confirmation_away_and_it_stays() {
    confirmed_and_reverted("heal-argo", ARGO);
}

#[test]
fn flux_applies_a_confirmation_away_and_it_stays() {
    confirmed_and_reverted("heal-flux", FLUX);
}

#[test]
fn several_tools_apply_the_same_object_without_conflicts() {
    let case = Case::new("managers");
    orders(&case);
    for manager in ["kubectl", ARGO, FLUX, "kubectl", ARGO, FLUX] {
        apply(&case, manager, false).unwrap_or_else(|error| panic!("{manager}: {error}"));
    }
    let app = Migration::of(&case, "app");
    app.waits(Reason::AwaitingStopConfirmation, &[]);
    // The operator's status is nobody else's, before it is done and after.
    apply(&case, ARGO, false).unwrap();
    // The confirmation by a commit: everybody applies it in the end, the first against the others' word.
    kubectl(&[
        "-n",
        &case.namespace,
        "patch",
        "appmig",
        "app",
        "--type=merge",
        "-p",
        r#"{"spec":{"stopConfirmed":true}}"#,
    ])
    .unwrap();
    app.completes_exactly();
    apply(&case, FLUX, true).unwrap();
    app.wait("the end", DEADLINE, |o| o.status.as_ref().is_some_and(|s| s.completed_at.is_some()));
}
