//! Migrations that are all alike, under an operator with crash points: what they do is known call by call.

use std::sync::OnceLock;

use serde_json::{Value, json};

use super::{
    Case, Migration, Reason, Side, Topic,
    commits::{Told, commits},
    history::history,
    points::{Point, Points},
    stack::DEADLINE,
};

/// The first unread record of each partition. All hold 0..10.
pub const COMMITTED: [i64; 3] = [4, 10, 0];

/// The migrations `app-0`, `app-1`, … of groups that all stand at [`COMMITTED`].
pub struct Scene<'c> {
    pub orders: Topic<'c>,
    pub apps: Vec<Migration<'c>>,
    case: &'c Case,
}

/// What a migration does that nobody disturbs.
pub struct Script {
    /// Its calls, in order. (Where a cache lagged behind there may be one more: a write that is refused.)
    pub calls: Vec<String>,
    /// The end that it comes to, see [`Scene::end`].
    pub end: Value,
}

/// The script of a migration. Not for a test that holds a case: the first one who asks needs the operator alone.
pub fn script() -> &'static Script {
    static SCRIPT: OnceLock<Script> = OnceLock::new();
    SCRIPT.get_or_init(|| {
        let case = Case::alone("undisturbed");
        let running = Points::none();
        let scene = Scene::new(&case, 3);
        scene.confirm(&running, &[]);
        for app in &scene.apps {
            app.completes_exactly();
        }
        let calls = (0..3).map(|n| scene.calls(&running, n)).min_by_key(Vec::len).unwrap();
        Script { calls, end: scene.end(0) }
    })
}

impl<'c> Scene<'c> {
    /// The `n`-th migration of a case, of which there is nothing yet: so many calls behind the first of that name.
    pub fn point(case: &Case, n: usize, name: &'static str, behind: usize) -> Point {
        Point { name, behind, object: format!("{}/app-{n}", case.namespace) }
    }

    /// So many migrations, not confirmed yet.
    pub fn new(case: &'c Case, count: usize) -> Self {
        let orders = case.topic("orders", 3);
        for partition in 0..3 {
            orders.fill(partition, 10).copy(partition, 0..10);
        }
        // Its connections are there, and shared, before the first migration.
        case.replicator(|_| {});
        case.replicator_says(Reason::Ready);
        let app = |n| {
            let group = format!("{}-{n}", case.group);
            let offsets = (0..).zip(COMMITTED).map(|(p, o)| ((orders.name.clone(), p), o.into()));
            case.commit(Side::Source, &group, offsets.collect());
            case.migrate_as(&format!("app-{n}"), |spec| {
                spec.consumer_group = group;
                spec.stop_confirmed = false;
            })
        };
        let apps = (0..count).map(app).collect();
        Self { orders, apps, case }
    }

    /// Confirms each once its preview is there, or once it has come to its point before that.
    pub fn confirm(&self, running: &Points, points: &[Point]) {
        for (n, app) in self.apps.iter().enumerate() {
            let at_its_point = || points.get(n).is_some_and(|point| running.has_arrived(point));
            app.wait("a preview", DEADLINE, |o| {
                at_its_point() || o.status.as_ref().is_some_and(|s| s.preview.is_some())
            });
        }
        for app in &self.apps {
            app.edit(|spec| spec.stop_confirmed = true);
        }
    }

    /// What the operator has asked servers for, for the `n`-th migration.
    pub fn calls(&self, running: &Points, n: usize) -> Vec<String> {
        let object = Self::point(self.case, n, "", 0).object;
        let group = format!("{}-{n}", self.case.group);
        running.calls(&object).into_iter().map(|call| call.replace(&group, "<group>")).collect()
    }

    /// What there is of the `n`-th migration in the end, without names and times.
    pub fn end(&self, n: usize) -> Value {
        let app = &self.apps[n];
        let object = app.get();
        let status = serde_json::to_value(&object.status).unwrap();
        let conditions = status["conditions"].as_array().unwrap().iter().map(|c| {
            // What the steps say differs where a stored plan was found; what counts is Ready.
            let message = if c["type"] == "Ready" { &c["message"] } else { &Value::Null };
            json!([c["type"], c["status"], c["reason"], c["observedGeneration"], message])
        });
        let plan = app.plan();
        let mut targets = plan.json["targets"].clone();
        for target in targets.as_array_mut().unwrap() {
            // What a search costs depends on what others came across.
            for field in ["probes", "recordsRead"] {
                target.as_object_mut().unwrap().remove(field);
            }
        }
        let end = json!({
            "conditions": conditions.collect::<Vec<_>>(),
            "summary": status["summary"],
            "observedGeneration": status["observedGeneration"],
            "immutable": plan.config_map.immutable,
            "offsets.csv": plan.offsets,
            "targets": targets,
            "snapshot": plan.snapshot["partitions"],
            "committed": format!("{:?}", app.target_offsets()),
        });
        let text = end.to_string().replace(&object.spec.consumer_group, "<group>");
        serde_json::from_str(&text.replace(&self.orders.name, "<orders>")).unwrap()
    }

    /// What was ever committed for each migration, on the source too, where it was the test, once.
    pub fn commits(&self) -> Vec<Told> {
        let (target, source) = (commits(Side::Target), commits(Side::Source));
        let of = |app: &Migration<'_>| {
            let group = app.get().spec.consumer_group;
            let planned = self.case.expected_offsets(Side::Source, &group);
            let (mut there, mut here) = (Told::default(), Told::default());
            there.add(&target, &group, &planned);
            here.add(&source, &group, &planned);
            Told { wrong: there.wrong + here.wrong + here.repeated, ..there }
        };
        self.apps.iter().map(of).collect()
    }
}

impl Migration<'_> {
    /// Once status has named a plan it has named no other one since.
    pub fn has_named_one_plan(&self) {
        let key = (self.case.namespace.clone(), "AppMigration".to_owned(), self.name.clone());
        let versions = history().of(&key);
        let mut named: Vec<_> =
            versions.iter().filter_map(|o| o["status"]["plan"]["hash"].as_str()).collect();
        named.dedup();
        assert_eq!(named.len(), 1, "{} named {named:?}", self.name);
    }

    /// Law 2: nothing is on the target but what status and the stored plan know of.
    pub fn has_journalled_what_is_committed(&self) {
        if !self.target_offsets().is_empty() {
            let object = self.get();
            let hash = self.plan().hash(&object);
            assert_eq!(object.status.unwrap().plan.map(|plan| plan.hash), Some(hash));
        }
    }
}
