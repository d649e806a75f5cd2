//! Every version of every object of ours that the API server had, in order: one watch for all tests. What a
//! test waits for is looked up here, and so is what must never have been there in between.

use std::{
    collections::HashMap,
    fs::OpenOptions,
    io::Write as _,
    sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use futures::{StreamExt, pin_mut};
use kube::{
    Api, Resource, ResourceExt,
    api::{ApiResource, DynamicObject},
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event},
    },
};
use serde_json::Value;

use super::{AppMigration, K2KReplicator, stack};

/// Namespace, kind, name.
pub type Key = (String, String, String);

#[derive(Default)]
pub struct History {
    versions: Mutex<HashMap<Key, Vec<Value>>>,
    changed: Condvar,
}

/// The history of this process, watching from its first use.
pub fn history() -> &'static History {
    static HISTORY: OnceLock<History> = OnceLock::new();
    static WATCHING: OnceLock<()> = OnceLock::new();
    let history = HISTORY.get_or_init(History::default);
    WATCHING.get_or_init(|| {
        // Made here: the tasks are on the runtime that it is made with.
        stack::kube();
        stack::runtime().spawn(history.watch::<AppMigration>());
        stack::runtime().spawn(history.watch::<K2KReplicator>());
    });
    history
}

impl History {
    /// By no type of ours: what those cannot read is part of the story too.
    async fn watch<K: Resource<DynamicType = ()>>(&self) {
        let kind = ApiResource::erase::<K>(&());
        let objects: Api<DynamicObject> = Api::all_with(stack::kube(), &kind);
        // Patient: a test may take a CRD away for a while.
        let events = watcher::watcher(objects, watcher::Config::default()).default_backoff();
        pin_mut!(events);
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Apply(object) | Event::InitApply(object)) => self.note(&kind.kind, &object),
                Ok(_) => {}
                // A test may have stopped the API server.
                Err(error) => {
                    eprintln!("watching {}: {error}", K::kind(&()));
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn note(&self, kind: &str, object: &DynamicObject) {
        let key = (object.namespace().unwrap_or_default(), kind.to_owned(), object.name_any());
        let value = serde_json::to_value(object).unwrap();
        let mut versions = self.lock();
        let known = versions.entry(key).or_default();
        if known.last() != Some(&value) {
            known.push(value);
        }
        drop(versions);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Vec<Value>>> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every version so far.
    pub fn of(&self, key: &Key) -> Vec<Value> {
        self.lock().get(key).cloned().unwrap_or_default()
    }

    /// The names of the objects of one kind in a namespace.
    pub fn names(&self, namespace: &str, kind: &str) -> Vec<String> {
        let versions = self.lock();
        let of_kind = versions.keys().filter(|(ns, k, _)| ns == namespace && k == kind);
        of_kind.map(|(_, _, name)| name.clone()).collect()
    }

    /// Puts every version of the namespace's objects into the stack's `objects.jsonl`: tests/gitops.rs judges them
    /// once all other tests are done.
    pub fn keep(&self, namespace: &str) {
        let versions = self.lock();
        let of_case = versions.iter().filter(|((ns, ..), _)| ns == namespace).flat_map(|(_, all)| all);
        let lines: Vec<String> = of_case.map(ToString::to_string).collect();
        drop(versions);
        let path = format!("{}/objects.jsonl", stack::var("STACK_DIR"));
        let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        // In one write: several tests end at once.
        file.write_all((lines.join("\n") + "\n").as_bytes()).unwrap();
    }

    /// Waits until the newest version of an object fulfils `predicate`; none once the deadline has passed.
    pub fn wait_for(
        &self,
        key: &Key,
        deadline: Duration,
        predicate: impl Fn(&Value) -> bool,
    ) -> Option<Value> {
        let start = Instant::now();
        let mut versions = self.lock();
        loop {
            let newest = versions.get(key).and_then(|all| all.last()).cloned();
            // Without the lock: the predicate may ask the API server, whose answer comes by the thread that notes.
            drop(versions);
            if let Some(newest) = newest.as_ref().filter(|newest| predicate(newest)) {
                return Some(newest.clone());
            }
            let left = deadline.checked_sub(start.elapsed())?;
            versions = self.lock();
            if versions.get(key).and_then(|all| all.last()) == newest.as_ref() {
                versions = self
                    .changed
                    .wait_timeout(versions, left.min(Duration::from_secs(1)))
                    .unwrap_or_else(PoisonError::into_inner)
                    .0;
            }
        }
    }
}
