//! Crash points, for tests alone: every call to a server that is made for one object while it is reconciled is
//! counted, and right before any of them a test has the operator die, or wait. Nothing at all without the feature
//! `crash-points`, which no shipped binary has.
//!
//! | variable | |
//! |---|---|
//! | `APPMIGRATION_CALLS` | a file, to which each call adds the line `<namespace>/<name>⇥<n>⇥<what>`, n from 1 |
//! | `APPMIGRATION_CRASH_AT` | `<what>+<n>@<namespace>/<name>`, several with commas: each object stops right before the n-th call behind the first that begins so (of whatever name: `+<n>`, from 0); once all of them have, the process aborts |
//! | `APPMIGRATION_HOLD_UNTIL` | a file; where it is given nobody dies: each goes on once the file is there |

pub use points::{before_call, reconciling};

#[cfg(not(feature = "crash-points"))]
mod points {
    use std::future::{Ready, ready};

    /// The future as it is.
    pub fn reconciling<K, F: Future>(_: &K, reconcile: F) -> F {
        reconcile
    }

    /// Nothing.
    pub fn before_call(_: impl FnOnce() -> String) -> Ready<()> {
        ready(())
    }
}

#[cfg(feature = "crash-points")]
mod points {
    use std::{
        collections::HashMap,
        env,
        fs::{self, OpenOptions},
        future::pending,
        io::Write as _,
        sync::{LazyLock, Mutex, PoisonError},
        time::Duration,
    };

    use kube::ResourceExt;
    use tokio::task::futures::TaskLocalFuture;

    tokio::task_local! {
        /// `<namespace>/<name>` of the object that this task reconciles.
        static OBJECT: String;
    }

    /// What was called for an object since the process began.
    #[derive(Default)]
    struct Calls {
        made: usize,
        /// The number of the first one that its point names.
        named: Option<usize>,
        arrived: bool,
    }

    static CALLS: LazyLock<Mutex<HashMap<String, Calls>>> = LazyLock::new(Mutex::default);

    /// The calls of this future are made for `object`.
    pub fn reconciling<K: ResourceExt, F: Future>(object: &K, reconcile: F) -> TaskLocalFuture<String, F> {
        let name = format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any());
        OBJECT.scope(name, reconcile)
    }

    /// A server is about to be asked for `what`; outside of a reconcile that is nobody's call.
    pub async fn before_call(what: impl FnOnce() -> String) {
        let Ok(object) = OBJECT.try_with(Clone::clone) else { return };
        let Some(all_are_there) = arrive(&object, &what()) else { return };
        match env::var("APPMIGRATION_HOLD_UNTIL") {
            Ok(file) => {
                while !fs::exists(&file).unwrap_or_default() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
            Err(_) if all_are_there => std::process::abort(),
            Err(_) => pending().await,
        }
    }

    /// Counts the call. Where it is the one to stop at: whether every object has come to its own by now.
    fn arrive(object: &str, what: &str) -> Option<bool> {
        let mut all = CALLS.lock().unwrap_or_else(PoisonError::into_inner);
        let calls = all.entry(object.to_owned()).or_default();
        calls.made += 1;
        note(&format!("{object}\t{}\t{what}\n", calls.made));
        let points = env::var("APPMIGRATION_CRASH_AT").unwrap_or_default();
        let point =
            points.split(',').filter_map(|point| point.split_once('@')).find(|(_, of)| *of == object)?.0;
        let (name, behind) = point.split_once('+')?;
        if calls.named.is_none() && what.starts_with(name) {
            calls.named = Some(calls.made);
        }
        if calls.named? + behind.parse::<usize>().ok()? != calls.made {
            return None;
        }
        calls.arrived = true;
        Some(all.values().filter(|calls| calls.arrived).count() == points.split(',').count())
    }

    fn note(line: &str) {
        let Ok(file) = env::var("APPMIGRATION_CALLS") else { return };
        let file = OpenOptions::new().create(true).append(true).open(file);
        let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
    }
}
