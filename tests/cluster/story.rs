//! The migration that the README walks through, with an application that really runs: a Deployment whose container
//! is Kafka's console consumer. What it has read, record by record, is in its log.

use std::{
    collections::BTreeMap,
    env, fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::json;

use super::documents::{command, manifest};
use crate::harness::{
    K2KReplicator, Replicate, Side,
    kafka::Record,
    stack::{DEADLINE, eventually, kubectl, var},
};

const PARTITIONS: i32 = 3;
const WALK: &str = "A first migration of your own";

/// One walk through the README. Every name in it is the README's with `way` before it.
pub struct Story {
    way: &'static str,
    replicate: Option<Replicate>,
    written: i64,
}

impl Story {
    /// An application that reads from the source, before anything of ours is there.
    pub fn begin(way: &'static str) -> Self {
        let mut story = Self { way, replicate: None, written: 0 };
        Side::Source.create_topic(&story.own("orders"), PARTITIONS, &[]);
        story.write(30);
        story.run("kubectl create namespace payments");
        story.deploy_application(Side::Source);
        story.has_read(30);
        story
    }

    /// Words of the documents, as this walk has them.
    pub fn own(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for word in ["orders", "payments", "k2k-eu-to-us"] {
            text = text.replace(word, &format!("{}-{word}", self.way));
        }
        text.replace("kafka-eu:9092", &Side::Source.bootstrap())
            .replace("kafka-us:9092", &Side::Target.bootstrap())
    }

    pub fn namespace(&self) -> String {
        self.own("payments")
    }

    /// The README's manifests: the replicator's and the migration's.
    pub fn manifests(&self) -> [String; 2] {
        ["K2KReplicator", "AppMigration"].map(|kind| self.own(&manifest(kind)))
    }

    /// The project's own replicator, from the same manifest.
    pub fn replicates(&mut self) {
        let manifest = kubectl(&[
            "create",
            "--dry-run=client",
            "-o",
            "json",
            "-f",
            &self.file("k2k", &self.manifests()[0]),
        ]);
        let object: K2KReplicator = serde_json::from_str(&manifest.unwrap()).unwrap();
        self.replicate = Some(Replicate::start(&format!("{}-replicate", self.way), &object, &[]));
    }

    /// A file of this walk.
    pub fn file(&self, name: &str, text: &str) -> String {
        let file = format!("{}/{}-{name}.yaml", var("STACK_DIR"), self.way);
        fs::write(&file, text).unwrap();
        file
    }

    /// Runs a command of the documents as it stands there, in the project's directory.
    pub fn run(&self, script: &str) -> String {
        run(&self.own(script))
    }

    /// Applies both manifests as the README says: with kubectl.
    pub fn apply(&self) {
        for manifest in self.manifests() {
            kubectl(&["apply", "-f", &self.file("applied", &manifest)]).unwrap();
        }
    }

    /// Waits until the migration says this in its condition Ready.
    pub fn waits_for(&self, reason: &str) {
        let path = r#"jsonpath={.status.conditions[?(@.type=="Ready")].reason}"#;
        let (name, namespace) = (self.own("appmig/orders-app"), self.namespace());
        eventually(DEADLINE, reason, || {
            kubectl(&["get", &name, "-n", &namespace, "-o", path]).unwrap() == reason
        });
    }

    /// More records on the source, round the partitions.
    pub fn write(&mut self, count: i64) {
        let topic = self.own("orders");
        for number in self.written..self.written + count {
            let partition = i32::try_from(number % i64::from(PARTITIONS)).unwrap();
            let record = Record { value: format!("{topic} {number}"), ..Record::default() };
            Side::Source.produce(&topic, partition, &[record]);
        }
        self.written += count;
    }

    /// Waits until the application has read this many records, each of those that were written once.
    pub fn has_read(&self, count: i64) {
        let wanted: BTreeMap<String, usize> =
            (0..count).map(|number| (format!("{} {number}", self.own("orders")), 1)).collect();
        let what = format!("{count} records read once each");
        let mut before = None;
        eventually(Duration::from_mins(2), &what, || {
            let now = self.read();
            let well = now == wanted;
            if before.as_ref() != Some(&now) {
                assert!(now.values().all(|times| *times == 1), "read again: {now:?}");
                before = Some(now);
            }
            well
        });
    }

    /// What all Pods of the application have printed: the values, and how often each.
    fn read(&self) -> BTreeMap<String, usize> {
        let start = format!("pod-{}-", self.own("orders-app"));
        let mut read = BTreeMap::new();
        for file in fs::read_dir(format!("{}/log", var("STACK_DIR"))).unwrap() {
            let file = file.unwrap();
            if file.file_name().to_string_lossy().starts_with(&start) {
                let text = fs::read_to_string(file.path()).unwrap();
                for line in text.lines().filter(|line| line.starts_with(&self.own("orders "))) {
                    *read.entry(line.to_owned()).or_default() += 1;
                }
            }
        }
        read
    }

    /// The application: from a cluster's bootstrap servers, where its group stands, at the start where it is new.
    pub fn deploy_application(&self, side: Side) {
        let name = self.own("orders-app");
        let labels = json!({ "app": name });
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "name": name, "namespace": self.namespace() },
            "spec": {
                "replicas": 1, "strategy": { "type": "Recreate" }, "selector": { "matchLabels": labels },
                "template": {
                    "metadata": { "labels": labels },
                    "spec": {
                        "automountServiceAccountToken": false,
                        "containers": [{ "name": "app", "image": "example.org/kafka-tools", "args": [
                            "org.apache.kafka.tools.consumer.ConsoleConsumer",
                            "--bootstrap-server", side.bootstrap(), "--topic", self.own("orders"),
                            "--group", name, "--from-beginning",
                        ]}],
                    },
                },
            },
        });
        kubectl(&["apply", "-f", &self.file("application", &deployment.to_string())]).unwrap();
    }

    /// Waits until the application's Pods have gone.
    pub fn application_has_stopped(&self) {
        let (namespace, label) = (self.namespace(), format!("app={}", self.own("orders-app")));
        eventually(DEADLINE, "the application's end", || {
            kubectl(&["get", "pods", "-n", &namespace, "-l", &label, "-o", "name"]).unwrap().is_empty()
        });
    }

    /// Steps 4 and 5: the application is stopped, records go on coming, `confirm` tells, the group moves, the
    /// application is started on the target, and reads on with exactly the next record.
    pub fn move_the_application(&mut self, confirm: impl FnOnce(&Self, &str)) {
        let step = |start| command("README.md", WALK, start);
        self.run(&step("kubectl scale "));
        self.application_has_stopped();
        let read = self.written;
        self.write(10);
        confirm(self, &step("kubectl patch "));
        self.run(&step("kubectl wait "));

        self.deploy_application(Side::Target);
        self.has_read(read + 10);
        self.write(5);
        self.has_read(read + 15);
        let plan = self.run("appmigration plan show orders-app -n payments");
        assert!(plan.contains("exact     3 of 3"), "{plan}");
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for args in [
                vec!["get", "deployments,replicasets,pods,pdb", "-A", "-o", "wide"],
                vec!["get", "pods", "-A", "-o", "yaml"],
                vec!["get", "appmig,k2k", "-A", "-o", "yaml"],
            ] {
                eprintln!("--- kubectl {}\n{}", args.join(" "), kubectl(&args).unwrap_or_else(|error| error));
            }
        }
    }
}

/// Runs commands as a person does, with the programs of the stack on the path, and gives what they print.
pub fn run(script: &str) -> String {
    let programs = [var("KUBECTL"), var("HELM"), crate::harness::stack::binary()];
    let mut path: Vec<_> =
        programs.iter().map(|program| Path::new(program).parent().unwrap().to_owned()).collect();
    path.extend(env::split_paths(&env::var_os("PATH").unwrap()));
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", script])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("PATH", env::join_paths(path).unwrap())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("$ {script}\n{out}{err}");
    assert!(output.status.success(), "$ {script}\n{out}{err}");
    out.into_owned()
}
