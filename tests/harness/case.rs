//! One test: a namespace, topics and groups of its own. At its end it checks what must hold after every test,
//! and after a failure it shows everything that there is to see.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime},
};

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{
    AppMigration, AppMigrationSpec, K2KReplicator, K2KReplicatorSpec, Migration, Side, Topic, conformance,
    history::history,
    operator::{self, Gate},
    specs,
    stack::{self, DEADLINE, block_on, kubectl},
    wire::{self, Offset, Offsets},
};

pub struct Case {
    /// Also the prefix of the case's topics and groups.
    pub namespace: String,
    /// The consumer group that moves.
    pub group: String,
    gate: Gate,
    expected: Mutex<Expected>,
}

/// What the test itself did, so that what somebody else did shows.
#[derive(Default)]
struct Expected {
    offsets: BTreeMap<(Side, String), Offsets>,
    source_ends: BTreeMap<(String, i32), i64>,
}

impl Case {
    pub fn new(name: &str) -> Self {
        Self::with(name, Gate::shared())
    }

    /// A case that has the operator and the brokers to itself. In `behaviour` the test's name begins with `alone_`,
    /// so that tests/all runs these after the others.
    pub fn alone(name: &str) -> Self {
        Self::with(name, Gate::alone())
    }

    fn with(name: &str, gate: Gate) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let unique = since_1970.as_millis() % 0x1000_0000;
        let namespace = format!("{name}-{unique:07x}{:02x}", COUNT.fetch_add(1, Ordering::Relaxed));
        let object = Namespace {
            metadata: ObjectMeta { name: Some(namespace.clone()), ..ObjectMeta::default() },
            ..Namespace::default()
        };
        history();
        block_on(Api::<Namespace>::all(stack::kube()).create(&PostParams::default(), &object)).unwrap();
        Self { group: format!("{namespace}-app"), namespace, gate, expected: Mutex::default() }
    }

    /// A topic of that name on both clusters.
    pub fn topic(&self, name: &str, partitions: i32) -> Topic<'_> {
        self.topic_with(name, partitions, &[], &[])
    }

    /// With settings of the topic on each cluster.
    pub fn topic_with(
        &self,
        name: &str,
        partitions: i32,
        on_source: &[(&str, &str)],
        on_target: &[(&str, &str)],
    ) -> Topic<'_> {
        let topic = self.source_topic(name, partitions, on_source);
        Side::Target.create_topic(&topic.name, partitions, on_target);
        topic
    }

    /// A topic that only the source has.
    pub fn source_topic(&self, name: &str, partitions: i32, config: &[(&str, &str)]) -> Topic<'_> {
        let name = format!("{}-{name}", self.namespace);
        Side::Source.create_topic(&name, partitions, config);
        Topic { case: self, name }
    }

    /// The group has committed these offsets of partitions on the source.
    pub fn committed(&self, topic: &Topic<'_>, offsets: &[(i32, i64)]) {
        let offsets = offsets
            .iter()
            .map(|(partition, offset)| ((topic.name.clone(), *partition), Offset::from(*offset)));
        self.commit(Side::Source, &self.group, offsets.collect());
    }

    /// Commits for any group, as an application does that is not a member.
    pub fn commit(&self, side: Side, group: &str, offsets: Offsets) {
        self.try_commit(side, group, offsets).unwrap();
    }

    /// The error is the broker's code.
    pub fn try_commit(&self, side: Side, group: &str, offsets: Offsets) -> Result<(), i16> {
        wire::commit(&side.bootstrap(), group, &offsets)?;
        let mut expected = self.expected.lock().unwrap();
        expected.offsets.entry((side, group.to_owned())).or_default().extend(offsets);
        Ok(())
    }

    /// The offset of one partition is gone.
    pub fn forget_offset(&self, side: Side, group: &str, topic: &Topic<'_>, partition: i32) {
        wire::delete(&side.bootstrap(), group, &topic.name, partition);
        let mut expected = self.expected.lock().unwrap();
        let offsets = expected.offsets.entry((side, group.to_owned())).or_default();
        offsets.remove(&(topic.name.clone(), partition));
    }

    #[allow(clippy::unused_self)]
    pub fn offsets(&self, side: Side, group: &str) -> Offsets {
        wire::committed(&side.bootstrap(), group)
    }

    /// What an application did on a cluster just now is as it should be; nothing more may follow.
    pub fn settled(&self, side: Side, group: &str) -> Offsets {
        let offsets = self.offsets(side, group);
        self.expect(side, group, offsets.clone());
        offsets
    }

    /// What an application is about to leave behind is as it should be.
    pub fn expect(&self, side: Side, group: &str, offsets: Offsets) {
        let mut expected = self.expected.lock().unwrap();
        expected.offsets.insert((side, group.to_owned()), offsets);
    }

    /// The test has written to this partition of the source.
    pub fn source_settled(&self, topic: &str, partition: i32) {
        let end = Side::Source.bounds(topic, partition).1;
        self.expected.lock().unwrap().source_ends.insert((topic.to_owned(), partition), end);
    }

    /// What the test itself committed for `group`.
    pub fn expected_offsets(&self, side: Side, group: &str) -> Offsets {
        let expected = self.expected.lock().unwrap();
        expected.offsets.get(&(side, group.to_owned())).cloned().unwrap_or_default()
    }

    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(stack::kube(), &self.namespace)
    }

    /// The replicator `k2k`: every topic of the case, source to target over plain text, but for `edit`.
    pub fn replicator(&self, edit: impl FnOnce(&mut K2KReplicatorSpec)) -> K2KReplicator {
        let mut spec = specs::replicator(&format!("{}-.*", self.namespace));
        edit(&mut spec);
        let object = K2KReplicator::new("k2k", spec);
        self.with_operator();
        block_on(self.api().create(&PostParams::default(), &object)).unwrap()
    }

    /// A change of the replicator `k2k`: of its spec alone, as the operator may write the status in the meantime.
    pub fn edit_replicator(&self, edit: impl FnOnce(&mut K2KReplicatorSpec)) {
        let api = self.api::<K2KReplicator>();
        let mut spec = block_on(api.get("k2k")).unwrap().spec;
        edit(&mut spec);
        let operations = json!([{ "op": "replace", "path": "/spec", "value": spec }]);
        let patch = Patch::<Value>::Json(serde_json::from_value(operations).unwrap());
        block_on(api.patch("k2k", &PatchParams::default(), &patch)).unwrap();
    }

    /// The confirmed migration `app` of the case's group, but for `edit`.
    pub fn migrate(&self, edit: impl FnOnce(&mut AppMigrationSpec)) -> Migration<'_> {
        self.migrate_as("app", edit)
    }

    pub fn migrate_as(&self, name: &str, edit: impl FnOnce(&mut AppMigrationSpec)) -> Migration<'_> {
        let mut spec = specs::migration(&self.group);
        edit(&mut spec);
        let object = AppMigration::new(name, spec);
        self.with_operator();
        let created = block_on(self.api().create(&PostParams::default(), &object)).unwrap();
        Migration { case: self, name: name.to_owned(), uid: created.uid().unwrap() }
    }

    /// A case alone starts the operator itself where it needs it otherwise.
    pub fn with_operator(&self) {
        operator::ensure();
        assert!(
            self.gate.is_alone() || operator::is_running(),
            "the operator has ended:\n{}",
            operator::log_tail(40)
        );
    }

    pub fn secret(&self, name: &str, entries: &[(&str, &str)]) -> Secret {
        let data = entries.iter().map(|(key, value)| (*key, json!(value)));
        let object = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name },
            "stringData": data.collect::<BTreeMap<_, _>>(),
        });
        let secret: Secret = serde_json::from_value(object).unwrap();
        let params = PatchParams::apply("behaviour-tests").force();
        block_on(self.api::<Secret>().patch(name, &params, &Patch::Apply(&secret))).unwrap();
        secret
    }

    pub fn config_map(&self, name: &str) -> Option<ConfigMap> {
        block_on(self.api::<ConfigMap>().get_opt(name)).unwrap()
    }

    /// Waits until the newest version of an object fulfils `predicate`; shows it where it never does. Versions
    /// older than what the API server has now do not count: the watch lags behind a test's own edit.
    pub fn wait_for(
        &self,
        kind: &str,
        name: &str,
        what: &str,
        deadline: Duration,
        predicate: impl Fn(&Value) -> bool,
    ) -> Value {
        let key = (self.namespace.clone(), kind.to_owned(), name.to_owned());
        let now = match kind {
            "AppMigration" => self.version::<AppMigration>(name),
            _ => self.version::<K2KReplicator>(name),
        };
        let wanted = |o: &Value| number(&o["metadata"]["resourceVersion"]) >= now && predicate(o);
        history().wait_for(&key, deadline, wanted).unwrap_or_else(|| {
            let newest = history().of(&key).pop().unwrap_or_default();
            panic!(
                "{kind} {name} did not come to {what} within {} s; it is {:#}",
                deadline.as_secs(),
                newest["status"]
            )
        })
    }

    /// The resource version that the API server has now; 0 if there is no such object.
    fn version<K>(&self, name: &str) -> u64
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
        K::DynamicType: Default,
    {
        let found = block_on(self.api::<K>().get_metadata_opt(name)).unwrap();
        found.and_then(|o| o.resource_version()?.parse().ok()).unwrap_or(0)
    }

    /// Waits until the replicator `k2k` says this of its present spec, and gives the message.
    pub fn replicator_says(&self, reason: super::Reason) -> String {
        let current = |o: &Value| {
            o["status"]["observedGeneration"] == o["metadata"]["generation"]
                && conformance::condition(o, "Ready").is_some_and(|c| c["reason"] == reason.as_str())
        };
        let object = self.wait_for("K2KReplicator", "k2k", reason.as_str(), DEADLINE, current);
        let ready = conformance::condition(&object, "Ready").unwrap();
        ready["message"].as_str().unwrap().to_owned()
    }

    /// What must hold after every test. Everything that does not.
    fn violations(&self) -> Vec<String> {
        let mut wrong = conformance::check(&self.namespace);
        let expected = self.expected.lock().unwrap();
        for ((side, group), offsets) in &expected.offsets {
            let now = self.offsets(*side, group);
            if *side == Side::Source && now != *offsets {
                wrong.push(format!(
                    "offsets of {group} on the source: {now:?}, the test committed {offsets:?}"
                ));
            }
        }
        for ((topic, partition), end) in &expected.source_ends {
            let now = Side::Source.bounds(topic, *partition).1;
            if now != *end {
                wrong.push(format!(
                    "the source's {topic}-{partition} ends at {now}, the test wrote up to {end}"
                ));
            }
        }
        drop(expected);
        wrong.extend(self.uncommitted());
        wrong
    }

    /// Whoever has not come to commit has committed nothing.
    fn uncommitted(&self) -> Vec<String> {
        let mut committed: BTreeMap<String, bool> = BTreeMap::new();
        for name in history().names(&self.namespace, "AppMigration") {
            let versions = history().of(&(self.namespace.clone(), "AppMigration".into(), name));
            for version in versions {
                let spec = &version["spec"];
                let group = spec["targetConsumerGroup"].as_str().or(spec["consumerGroup"].as_str());
                let done = conformance::condition(&version, "OffsetsCommitted");
                let begun = done.is_some_and(|c| {
                    c["status"] == "True"
                        || c["reason"] == "CommittingOffsets"
                        || c["reason"] == "CommitFailed"
                });
                *committed.entry(group.unwrap_or_default().to_owned()).or_default() |= begun;
            }
        }
        let untouched = committed.into_iter().filter(|(_, committed)| !committed);
        let touched = untouched.filter_map(|(group, _)| {
            let (now, before) = (
                self.offsets(Side::Target, &group),
                self.expected_offsets(Side::Target, &group),
            );
            (now != before).then(|| {
                format!("offsets of {group} on the target: {now:?}, though none were to be committed over {before:?}")
            })
        });
        touched.collect()
    }

    /// Everything there is to see.
    fn show(&self) {
        let ns = ["-n", &self.namespace];
        let mut commands: Vec<Vec<&str>> =
            vec![vec!["get", "appmig,k2k", "-o", "yaml"], vec!["get", "events.events.k8s.io"]];
        commands.push(vec!["get", "configmaps", "-o", "yaml"]);
        for command in commands {
            let args: Vec<&str> = command.iter().chain(&ns).copied().collect();
            let text = kubectl(&args).unwrap_or_else(|error| error);
            let text: String = text.chars().take(12_000).collect();
            eprintln!("--- kubectl {}\n{text}", args.join(" "));
        }
        eprintln!("--- history\n{}", conformance::story(&self.namespace));
        eprintln!("--- log of the operator\n{}", operator::log_about(&self.namespace, 60));
    }

    /// Nothing of the case keeps the operator busy after it.
    fn remove_objects(&self) {
        let params = DeleteParams::default();
        for name in history().names(&self.namespace, "AppMigration") {
            let _ = block_on(self.api::<AppMigration>().delete(&name, &params));
        }
        for name in history().names(&self.namespace, "K2KReplicator") {
            let _ = block_on(self.api::<K2KReplicator>().delete(&name, &params));
        }
    }
}

/// A resource version as a number: they grow.
fn number(version: &Value) -> u64 {
    version.as_str().and_then(|v| v.parse().ok()).unwrap_or(0)
}

impl Drop for Case {
    fn drop(&mut self) {
        let failed = std::thread::panicking();
        let wrong = if failed { Vec::new() } else { self.violations() };
        if failed || !wrong.is_empty() {
            self.show();
        }
        self.remove_objects();
        if self.gate.is_alone() {
            operator::restart();
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
