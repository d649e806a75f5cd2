//! An `AppMigration` of a case, and what its user does with it.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use super::{
    AppMigration, AppMigrationSpec, Case, Side, plan::StoredPlan, stack::block_on, v1alpha1::ConditionType,
    wire::Offsets,
};

pub struct Migration<'c> {
    pub case: &'c Case,
    pub name: String,
    pub uid: String,
}

impl<'c> Migration<'c> {
    /// One that somebody else has made.
    pub fn of(case: &'c Case, name: &str) -> Self {
        case.with_operator();
        let found = block_on(case.api::<AppMigration>().get(name)).unwrap();
        Self { case, name: name.to_owned(), uid: found.uid().unwrap() }
    }

    /// As the API server has it now.
    pub fn get(&self) -> AppMigration {
        block_on(self.case.api().get(&self.name)).unwrap()
    }

    /// Waits for a version of this object.
    pub fn wait(
        &self,
        what: &str,
        deadline: Duration,
        predicate: impl Fn(&AppMigration) -> bool,
    ) -> AppMigration {
        let typed = |value: &Value| serde_json::from_value::<AppMigration>(value.clone()).unwrap();
        let ours = |value: &Value| value["metadata"]["uid"] == self.uid.as_str() && predicate(&typed(value));
        typed(&self.case.wait_for("AppMigration", &self.name, what, deadline, ours))
    }

    pub fn patch(&self, patch: &Value) {
        self.try_patch(patch).unwrap();
    }

    /// The error is what the API server says.
    pub fn try_patch(&self, patch: &Value) -> Result<(), String> {
        let api = self.case.api::<AppMigration>();
        let patched = block_on(api.patch(&self.name, &PatchParams::default(), &Patch::Merge(patch)));
        patched.map(drop).map_err(|error| error.to_string())
    }

    pub fn edit(&self, edit: impl FnOnce(&mut AppMigrationSpec)) {
        self.try_edit(edit).unwrap();
    }

    pub fn try_edit(&self, edit: impl FnOnce(&mut AppMigrationSpec)) -> Result<(), String> {
        let mut spec = self.get().spec;
        edit(&mut spec);
        // A replace of the spec alone: the operator may write the status in the meantime.
        let operations = json!([{ "op": "replace", "path": "/spec", "value": spec }]);
        let patch = Patch::<Value>::Json(serde_json::from_value(operations).unwrap());
        let api = self.case.api::<AppMigration>();
        let patched = block_on(api.patch(&self.name, &PatchParams::default(), &patch));
        patched.map(drop).map_err(|error| error.to_string())
    }

    pub fn annotate(&self, key: &str, value: &str) {
        self.patch(&json!({ "metadata": { "annotations": { key: value } } }));
    }

    /// A new value of `k2k.dev/retry`: look at it again now.
    pub fn retry(&self, value: &str) {
        self.annotate(super::v1alpha1::RETRY_ANNOTATION, value);
    }

    pub fn delete(&self) {
        let api = self.case.api::<AppMigration>();
        block_on(api.delete(&self.name, &DeleteParams::default())).unwrap();
        let gone = async {
            while api.get_opt(&self.name).await.unwrap().is_some() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        block_on(async { tokio::time::timeout(Duration::from_secs(20), gone).await })
            .expect("nothing holds a deleted object back");
    }

    /// The same object created anew, as `GitOps` does.
    pub fn create_again(&self) -> Migration<'_> {
        let object = AppMigration::new(&self.name, self.get_spec_of_last());
        let created = block_on(self.case.api().create(&PostParams::default(), &object)).unwrap();
        Migration { case: self.case, name: self.name.clone(), uid: created.metadata.uid.unwrap() }
    }

    fn get_spec_of_last(&self) -> AppMigrationSpec {
        let key = (self.case.namespace.clone(), "AppMigration".to_owned(), self.name.clone());
        let newest = super::history::history().of(&key).pop().unwrap();
        serde_json::from_value(newest["spec"].clone()).unwrap()
    }

    pub fn plan_name(&self) -> String {
        format!("{}-plan", self.name)
    }

    pub fn plan(&self) -> StoredPlan {
        StoredPlan::read(self.case, &self.plan_name())
    }

    pub fn target_group(&self) -> String {
        self.get().spec.target_group().to_owned()
    }

    /// What the group has on the target, by another client than the operator's.
    pub fn target_offsets(&self) -> Offsets {
        self.case.offsets(Side::Target, &self.target_group())
    }

    /// The group's offset of one target partition.
    pub fn target_offset(&self, topic: &str, partition: i32) -> Option<i64> {
        let offsets = self.target_offsets();
        offsets.get(&(topic.to_owned(), partition)).map(|o| o.offset)
    }
}

/// A condition of an object.
pub fn condition(object: &AppMigration, kind: ConditionType) -> Option<&Condition> {
    let conditions = &object.status.as_ref()?.conditions;
    conditions.iter().find(|c| c.type_ == kind.as_str())
}

/// `Ready`'s reason, where the status speaks of the present spec.
pub fn ready_reason(object: &AppMigration) -> Option<&str> {
    let observed = object.status.as_ref()?.observed_generation;
    let ready = condition(object, ConditionType::Ready)?;
    (observed == object.metadata.generation).then_some(ready.reason.as_str())
}
