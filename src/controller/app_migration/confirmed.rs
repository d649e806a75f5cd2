//! Confirmations as the watch has seen them. A tool that keeps objects as they are in Git may take one back before the
//! object is looked at: the word was given all the same, and counts for as long as the object is the same otherwise.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use kube::ResourceExt as _;

use crate::api::v1alpha1::{AppMigration, AppMigrationSpec};

/// An object is looked at much sooner than that.
const VALID: Duration = Duration::from_mins(1);

/// By uid: when a version was seen that is confirmed and not latched, and its spec.
#[derive(Debug, Default)]
pub struct Confirmations(Mutex<HashMap<String, (Instant, AppMigrationSpec)>>);

impl Confirmations {
    /// A version of an object was seen at `now`.
    pub fn saw(&self, object: &AppMigration, now: Instant) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|_, (at, _)| now.duration_since(*at) < VALID);
        let uid = object.uid().unwrap_or_default();
        let latched = object.status.as_ref().is_some_and(|s| s.stop_confirmed_at.is_some());
        if latched || object.spec.suspend {
            seen.remove(&uid);
        } else if object.spec.stop_confirmed {
            seen.insert(uid, (now, object.spec.clone()));
        }
    }

    /// Whether it is to be looked at as confirmed: it was, for this very move.
    pub fn count(&self, object: &AppMigration, now: Instant) -> bool {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let given = seen.get(&object.uid().unwrap_or_default());
        let is_same = |spec: &AppMigrationSpec| {
            AppMigrationSpec { stop_confirmed: object.spec.stop_confirmed, ..spec.clone() } == object.spec
        };
        let counts = given.is_some_and(|(at, spec)| now.duration_since(*at) < VALID && is_same(spec));
        counts && !object.spec.suspend
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn version(change: impl FnOnce(&mut Value)) -> AppMigration {
        let mut object = json!({
            "apiVersion": "k2k.dev/v1alpha1", "kind": "AppMigration", "metadata": { "name": "app", "uid": "u" },
            "spec": { "replicatorRef": { "name": "k2k" }, "consumerGroup": "orders-app", "stopConfirmed": false },
        });
        change(&mut object);
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn a_confirmation_that_is_taken_back_at_once_counts_for_the_same_move_alone() {
        let (seen, start) = (Confirmations::default(), Instant::now());
        let confirms =
            |later: u64, object: AppMigration| seen.count(&object, start + Duration::from_secs(later));
        assert!(!confirms(0, version(|_| {})));
        seen.saw(&version(|o| o["spec"]["stopConfirmed"] = json!(true)), start);
        seen.saw(&version(|_| {}), start);
        assert!(confirms(1, version(|_| {})));
        // Whoever may not confirm could else shape what was confirmed.
        assert!(!confirms(1, version(|o| o["spec"]["policies"] = json!({ "gap": "Accept" }))));
        assert!(!confirms(1, version(|o| o["spec"]["quietPeriod"] = json!("1s"))));
        assert!(!confirms(1, version(|o| o["spec"]["consumerGroup"] = json!("another"))));
        assert!(!confirms(1, version(|o| o["spec"]["topics"] = json!({ "include": ["orders"] }))));
        assert!(!confirms(1, version(|o| o["spec"]["suspend"] = json!(true))));
        assert!(!confirms(1, version(|o| o["metadata"]["uid"] = json!("another"))));
        assert!(!confirms(60, version(|_| {})));
        // Called off.
        seen.saw(&version(|o| o["spec"]["suspend"] = json!(true)), start);
        assert!(!confirms(1, version(|_| {})));
    }
}
