//! Reads the journal's ConfigMaps and checks that they are ours and unaltered.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, ResourceExt};

use crate::{api::v1alpha1::AppMigration, mapping::Plan};

use super::super::{
    super::{Context, KubeError, within_deadline},
    journal::{self, Journal, JournalError},
    seen::JournalSeen,
};

/// The journal of `object`, or what is wrong with it.
pub async fn read(object: &AppMigration, context: &Context) -> Result<JournalSeen, KubeError> {
    let namespace = object.namespace().unwrap_or_default();
    let api: Api<ConfigMap> = Api::namespaced(context.client.clone(), &namespace);
    let name = journal::name(object);
    let Some(first) = within_deadline("read the plan", api.get_opt(&name)).await? else {
        return Ok(missing(object, &name));
    };
    match owner(object, &first) {
        Owner::Ours => {}
        Owner::Former => return Ok(missing(object, &name)),
        Owner::Other => {
            let text = format!(
                "ConfigMap {name} is there already and belongs to somebody else: delete or rename it, or give this \
                 migration another name"
            );
            return Ok(JournalSeen::Conflict(text));
        }
    }
    let unusable = |error: JournalError| {
        JournalSeen::Conflict(format!("{error}; delete this object and create a new one"))
    };
    let names = match journal::part_names(&first) {
        Ok(names) => names,
        Err(error) => return Ok(unusable(error)),
    };
    let mut parts = Vec::new();
    for part in names {
        let Some(found) = within_deadline("read a part of the plan", api.get_opt(&part)).await? else {
            return Ok(JournalSeen::Conflict(format!("ConfigMap {part}, a part of the plan, is gone")));
        };
        parts.push(found);
    }
    let journal = match journal::decode(&first, &parts) {
        Ok(journal) => journal,
        Err(error) => return Ok(unusable(error)),
    };
    if first.immutable == Some(true) && !journal.sealed {
        return Ok(JournalSeen::Conflict(format!(
            "ConfigMap {name} was made immutable by somebody else before the plan was committed; delete it, or \
             delete this object and create a new one"
        )));
    }
    Ok(verified(object, journal))
}

/// The plan must be the very one that status names. One that status does not name was stored just before a
/// crash and never acted on: it is computed again. One whose commit has begun is trusted even where status
/// was lost.
fn verified(object: &AppMigration, mut journal: Journal) -> JournalSeen {
    let Some(expected) = object.status.as_ref().and_then(|s| s.plan.as_ref()) else {
        journal.plan = journal.plan.filter(|plan| plan.commit_begun_at.is_some());
        return JournalSeen::Ours(Box::new(journal));
    };
    let actual = journal.plan.as_ref().map(Plan::hash);
    if actual.as_deref() == Some(expected.hash.as_str()) {
        return JournalSeen::Ours(Box::new(journal));
    }
    JournalSeen::Conflict(format!(
        "ConfigMap {} was altered: status.plan.hash is {}, that of the plan in it {}; delete this object and create \
         a new one",
        expected.config_map,
        expected.hash,
        actual.as_deref().unwrap_or("none")
    ))
}

/// No journal: fine at first, a conflict once a plan was stored.
fn missing(object: &AppMigration, name: &str) -> JournalSeen {
    if object.status.as_ref().is_some_and(|s| s.plan.is_some()) {
        let text =
            format!("ConfigMap {name} with the stored plan is gone; delete this object and create a new one");
        return JournalSeen::Conflict(text);
    }
    JournalSeen::Ours(Box::default())
}

/// Whose a ConfigMap is.
pub enum Owner {
    /// This object's.
    Ours,
    /// A former object's of the same name.
    Former,
    /// Somebody else's, or nobody's.
    Other,
}

/// Whose the ConfigMap is, by its controller.
pub fn owner(object: &AppMigration, map: &ConfigMap) -> Owner {
    let controller = map.owner_references().iter().find(|o| o.controller == Some(true));
    match controller {
        Some(o) if Some(&o.uid) == object.metadata.uid.as_ref() => Owner::Ours,
        Some(o) if o.kind == "AppMigration" && o.name == object.name_any() => Owner::Former,
        _ => Owner::Other,
    }
}
