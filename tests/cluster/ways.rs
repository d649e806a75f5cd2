//! The ways to install, each from nothing to a group that has moved, and back to nothing.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    documents::command,
    image::Image,
    node::Node,
    story::{Story, run},
};
use crate::harness::{
    judges::judged,
    stack::{DEADLINE, eventually, kubectl, var},
};

const STEPS: &str = "A first migration of your own";
const UNINSTALL: &str = "Uninstall";
const OPERATIONS: &str = "docs/operations.md";
const NAMESPACE: &str = "appmigration-system";

fn node() -> Node {
    let operator = Image::of_the_operator();
    let names = ["registry.example.com/appmigration", "ghcr.io/k2k-dev/appmigration"];
    let mut images: BTreeMap<String, Image> =
        names.into_iter().map(|name| (name.to_owned(), operator.clone())).collect();
    images.insert("example.org/kafka-tools".into(), Image::of_kafka());
    Node::start(images)
}

/// The README's command that begins like this.
fn step(start: &str) -> String {
    command("README.md", STEPS, start)
}

/// What is there of ours in the whole cluster.
fn ours() -> String {
    let kinds = "crd,clusterroles,clusterrolebindings,namespaces,deployments,pods,serviceaccounts";
    let all = kubectl(&["get", kinds, "-A", "-o", "name"]).unwrap();
    all.lines()
        .filter(|name| name.contains("appmigration") || name.contains("k2k"))
        .collect::<Vec<_>>()
        .join(" ")
}

/// Back to nothing, definitions included.
fn clear(story: Story) {
    let namespace = story.namespace();
    drop(story);
    run(&command(OPERATIONS, UNINSTALL, "kubectl delete crd "));
    kubectl(&["delete", "namespace", &namespace, NAMESPACE, "--ignore-not-found"]).unwrap();
    assert_eq!(ours(), "");
}

#[test]
fn by_helm() {
    let _node = node();
    assert_eq!(ours(), "");
    let mut story = Story::begin("helm");
    run(&step("helm install "));
    // `--wait` has waited for a Pod that works.
    let ready = "jsonpath={.status.readyReplicas}";
    assert_eq!(
        kubectl(&["get", "deployment", "appmigration-operator", "-n", NAMESPACE, "-o", ready]).unwrap(),
        "1"
    );
    story.apply();
    story.replicates();
    story.waits_for("AwaitingStopConfirmation");
    // An upgrade in the middle: another Pod takes over.
    let pods = || kubectl(&["get", "pods", "-n", NAMESPACE, "-o", "name"]).unwrap();
    let before = pods();
    let upgrade = command(OPERATIONS, "Upgrade", "helm upgrade ");
    run(&format!("{upgrade} --set logLevel=debug --wait"));
    eventually(DEADLINE, "the old Pod's end", || pods().lines().count() == 1);
    assert_ne!(pods(), before);
    story.write(20);
    story.has_read(50);
    story.move_the_application(|story, patch| drop(story.run(patch)));

    run(&command(OPERATIONS, UNINSTALL, "helm uninstall "));
    // The definitions stay, and with them the migration and its plan.
    let kept = story.run("kubectl get appmig/orders-app cm/orders-app-plan -n payments -o name");
    assert_eq!(kept.lines().count(), 2, "{kept}");
    clear(story);
}

#[test]
fn by_kubectl() {
    let _node = node();
    assert_eq!(ours(), "");
    let mut story = Story::begin("kubectl");
    run(&step("kubectl kustomize deploy "));
    run(&step("kubectl rollout status "));
    story.apply();
    story.replicates();
    story.waits_for("AwaitingStopConfirmation");
    // As it will be with a published image; the kustomization as it is.
    run(
        "kubectl apply -k deploy && kubectl rollout status deployment/appmigration-operator -n appmigration-system",
    );
    story.write(20);
    story.has_read(50);
    story.move_the_application(|story, patch| drop(story.run(patch)));

    // A plan goes with its migration: the garbage collector knows whose it is.
    story.run("kubectl delete appmig orders-app -n payments");
    let plan = story.own("cm/orders-app-plan");
    let namespace = story.namespace();
    eventually(DEADLINE, "the plan's end", || {
        kubectl(&["get", &plan, "-n", &namespace, "--ignore-not-found", "-o", "name"]).unwrap().is_empty()
    });
    run(&command(OPERATIONS, UNINSTALL, "kubectl delete namespace "));
    run(&command(OPERATIONS, UNINSTALL, "kubectl delete clusterrole,"));
    let left = ours();
    assert!(
        left.split(' ').all(|name| name.ends_with(".k2k.dev") && name.starts_with("customresource")),
        "{left}"
    );
    clear(story);
}

/// What is in Git, applied again and again under the name of a tool.
struct GitOps {
    manager: &'static str,
    state: Arc<Mutex<Vec<Value>>>,
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<usize>>,
}

impl GitOps {
    /// The tool looks after what it is given from now on: it applies it every two seconds.
    fn start(manager: &'static str) -> Self {
        let (state, stop) = (Arc::new(Mutex::new(Vec::<Value>::new())), Arc::new(AtomicBool::new(false)));
        let (all, stopped) = (Arc::clone(&state), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let mut times = 0;
            while !stopped.load(Ordering::Relaxed) {
                let now = all.lock().unwrap().clone();
                if !now.is_empty() {
                    apply(manager, &now);
                }
                times += 1;
                thread::sleep(Duration::from_secs(2));
            }
            times
        });
        Self { manager, state, stop, thread: Some(thread) }
    }

    /// Commits these objects: applies them in the order of their kinds, and waits until all are as the tool wants.
    fn commits(&self, objects: &[Value], well: impl Fn(&Value) -> bool) {
        let mut objects = objects.to_vec();
        let early = ["Namespace", "CustomResourceDefinition", "ServiceAccount", "ClusterRole", "Role"];
        objects.sort_by_key(|o| early.iter().position(|kind| o["kind"] == *kind).unwrap_or(early.len()));
        apply(self.manager, &objects);
        let start = Instant::now();
        loop {
            let now = live(&objects);
            let verdicts = judged(&now);
            let bad: Vec<_> = now.iter().zip(&verdicts).filter(|(_, verdict)| !well(verdict)).collect();
            if bad.is_empty() {
                break;
            }
            assert!(start.elapsed() < DEADLINE, "{} waits for {bad:#?}", self.manager);
            thread::sleep(Duration::from_millis(200));
        }
        let mut state = self.state.lock().unwrap();
        state.retain(|old| objects.iter().all(|new| identity(new) != identity(old)));
        state.extend(objects);
    }

    /// How often it has applied everything.
    fn end(mut self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

fn identity(object: &Value) -> (Value, Value, Value) {
    (object["kind"].clone(), object["metadata"]["namespace"].clone(), object["metadata"]["name"].clone())
}

/// Server-side, as the owner of their fields, whoever else has set them.
fn apply(manager: &str, objects: &[Value]) {
    let by = format!("--field-manager={manager}");
    with_objects(&["apply", "--server-side", "--force-conflicts", &by], objects);
}

/// These objects as they are in the cluster now.
fn live(objects: &[Value]) -> Vec<Value> {
    let mut all: Value = serde_json::from_str(&with_objects(&["get", "-o", "json"], objects)).unwrap();
    match all["items"].take() {
        Value::Array(items) => items,
        _ => vec![all],
    }
}

/// Runs kubectl on a list of objects.
fn with_objects(args: &[&str], objects: &[Value]) -> String {
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
    let mut child = Command::new(var("KUBECTL"))
        .args(args)
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(list.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "kubectl {args:?} {list:#}");
    String::from_utf8(output.stdout).unwrap()
}

/// The documents of YAML that a command prints.
fn objects(command: &str) -> Vec<Value> {
    let text = run(&format!("{command} | kubectl create --dry-run=client --validate=false -o json -f -"));
    let mut all = Vec::new();
    for value in serde_json::Deserializer::from_str(&text).into_iter::<Value>() {
        let mut value = value.unwrap();
        match value.get_mut("items").and_then(Value::as_array_mut) {
            Some(items) => all.append(items),
            None => all.push(value),
        }
    }
    for object in &mut all {
        object["metadata"].as_object_mut().unwrap().remove("creationTimestamp");
    }
    all
}

fn namespace(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } })
}

/// How Argo CD renders the chart of our example.
fn by_application(story: &Story) -> String {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/argocd/operator.yaml");
    let application: Value = serde_saphyr::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let (source, to) = (&application["spec"]["source"], &application["spec"]["destination"]["namespace"]);
    assert_eq!((&source["chart"], to), (&json!("appmigration"), &json!(NAMESPACE)));
    let values = story.file("values", &source["helm"]["valuesObject"].to_string());
    let release = source["helm"]["releaseName"].as_str().unwrap();
    format!("helm template {release} charts/appmigration -n {NAMESPACE} --skip-tests -f {values}")
}

#[test]
fn by_argo_cd() {
    let _node = node();
    let mut story = Story::begin("argo");
    let mut installed = vec![namespace(NAMESPACE)];
    installed.extend(objects(&by_application(&story)));
    let pruned = |o: &&Value| {
        o["kind"] == "CustomResourceDefinition"
            && o["metadata"]["annotations"]["argocd.argoproj.io/sync-options"] != "Prune=false"
    };
    assert_eq!(installed.iter().find(pruned), None);
    let argo = GitOps::start("argocd-controller");
    // Kinds without a script of ours are judged as its own health checks do, of which kstatus is the like.
    let healthy = |verdict: &Value| match verdict["argo"]["status"].as_str() {
        Some(status) => status == "Healthy",
        None => verdict["kstatus"] == "Current",
    };
    argo.commits(&installed, healthy);
    // Two waves: the second begins when the first is healthy.
    let [replicator, migration] =
        story.manifests().map(|text| objects(&format!("cat {}", story.file("git", &text))));
    argo.commits(&replicator, healthy);
    story.replicates();
    let mut migration = migration;
    migration[0]["spec"]["stopConfirmed"] = json!(false);
    argo.commits(&migration, |verdict| verdict["argo"]["status"] == "Suspended");
    story.write(20);
    story.has_read(50);
    // A person uses the action; self-heal takes it back, and it stays.
    story.move_the_application(|_, _| {
        let acted = judged(&live(&migration))[0]["acted"]["confirm-stopped"].clone();
        let patch = json!({ "spec": { "stopConfirmed": acted["spec"]["stopConfirmed"] } });
        assert_eq!(acted["spec"]["stopConfirmed"], true);
        let (_, namespace, name) = identity(&migration[0]);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        kubectl(&[
            "patch",
            "appmig",
            &text(&name),
            "-n",
            &text(&namespace),
            "--type=merge",
            "--field-manager=argocd-server",
            "-p",
            &patch.to_string(),
        ])
        .unwrap();
    });
    thread::sleep(Duration::from_secs(5));
    let end = live(&migration).remove(0);
    assert_eq!(end["spec"]["stopConfirmed"], false, "Git says so");
    assert!(healthy(&judged(std::slice::from_ref(&end))[0]), "{end:#}");
    assert!(argo.end() > 5);
    remove(&installed);
    clear(story);
}

#[test]
fn by_flux() {
    let _node = node();
    let mut story = Story::begin("flux");
    let installed = objects(step("kubectl kustomize deploy ").strip_suffix(" | kubectl apply -f -").unwrap());
    let flux = GitOps::start("kustomize-controller");
    let current = |verdict: &Value| verdict["kstatus"] == "Current";
    flux.commits(&installed, current);
    let [replicator, mut migration] =
        story.manifests().map(|text| objects(&format!("cat {}", story.file("git", &text))));
    flux.commits(&replicator, current);
    story.replicates();
    // By healthCheckExprs a migration that waits for a person holds nothing up.
    flux.commits(&migration, |verdict| verdict["cel"] == "Current" && verdict["kstatus"] == "InProgress");
    story.write(20);
    story.has_read(50);
    // The confirmation is a commit.
    migration[0]["spec"]["stopConfirmed"] = json!(true);
    story.move_the_application(|_, _| flux.commits(&migration, current));
    assert!(flux.end() > 5);
    remove(&installed);
    clear(story);
}

/// What a tool removes when it prunes; the namespace and the definitions by other means.
fn remove(installed: &[Value]) {
    let kept = |o: &&Value| o["kind"] != "CustomResourceDefinition" && o["kind"] != "Namespace";
    with_objects(&["delete"], &installed.iter().filter(kept).cloned().collect::<Vec<_>>());
    eventually(DEADLINE, "the end of the operator's Pod", || !ours().contains("pod/"));
}
