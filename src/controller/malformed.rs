//! Objects that our types cannot read: stored while the CRD was another one, or was looser. Nothing is done for
//! them but to say what is wrong, once; all others go on.

use std::{
    fmt::Debug,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Api, CustomResourceExt, Resource,
    api::{ApiResource, DynamicObject, PostParams},
    core::{DeserializeGuard, NamespaceResourceScope, error_boundary::InvalidObject},
    runtime::controller::Action,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{
    api::v1alpha1::{ConditionType, Reason},
    manifest,
};

use super::{
    Context, KubeError,
    conditions::{self, Statement},
    within_deadline,
};

/// A look at an object that may be malformed; `look` is for those that are not.
pub async fn reconcile<K, F>(
    object: Arc<DeserializeGuard<K>>,
    context: Arc<Context>,
    look: fn(Arc<K>, Arc<Context>) -> F,
) -> Result<Action, KubeError>
where
    K: Kind,
    F: Future<Output = Result<Action, KubeError>>,
{
    match &object.0 {
        Ok(readable) => look(Arc::new(readable.clone()), context).await,
        // Boxed: many wait for their place in the other arm, few come here.
        Err(invalid) => Box::pin(tell::<K>(invalid, &context)).await,
    }
}

/// What both of our kinds are.
pub trait Kind:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + CustomResourceExt
    + DeserializeOwned
    + Clone
    + Debug
    + Send
    + Sync
    + 'static
{
}

impl<K> Kind for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + CustomResourceExt
        + DeserializeOwned
        + Clone
        + Debug
        + Send
        + Sync
        + 'static
{
}

/// An event that stands for a status that is refused is not repeated for so long.
const TOLD: Duration = Duration::from_hours(24);

/// Says in the object's status what is wrong with it. What else is in the status stays: a latch, a plan.
async fn tell<K: Kind>(invalid: &InvalidObject, context: &Context) -> Result<Action, KubeError> {
    let (namespace, name) = (invalid.metadata.namespace.as_deref(), invalid.metadata.name.as_deref());
    let (namespace, name) = (namespace.unwrap_or_default(), name.unwrap_or_default());
    let uid = invalid.metadata.uid.clone().unwrap_or_default();
    // A watch that begins anew shows every object again: what was told stays told.
    let fingerprint = format!("{:?} {}", invalid.metadata.generation, invalid.error);
    if let Some(rest) = context.pace(&uid, |pace| pace.rest(&fingerprint, Instant::now())) {
        return Ok(Action::requeue(rest));
    }
    let recheck = context.options.stalled_recheck;
    let resource = ApiResource::erase::<K>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(context.client.clone(), namespace, &resource);
    if let Some(mut object) = within_deadline("read what is malformed", api.get_opt(name)).await? {
        let why = why::<K>(&object, &invalid.error);
        if let Some(text) = why.filter(|text| note(&mut object, text)) {
            tracing::warn!(kind = %K::kind(&()), namespace, object = name, why = text, "cannot be read");
            let guard = DeserializeGuard::<K>(Err(invalid.clone()));
            match within_deadline(
                "say what is malformed",
                api.replace_status(name, &PostParams::default(), &object),
            )
            .await
            {
                Ok(_) => {}
                // Of an object that the CRD's rules refuse even the status is refused: told once, by the event.
                Err(KubeError::Call(kube::Error::Api(status))) if status.code == 422 => {
                    context.tell(&guard, true, Reason::InvalidSpec, "Read", &text).await;
                    context.pace(&uid, |pace| pace.after(TOLD, Instant::now()));
                    return Ok(Action::await_change());
                }
                Err(error) => return Err(error),
            }
            context.tell(&guard, true, Reason::InvalidSpec, "Read", &text).await;
        }
    }
    Ok(Action::requeue(context.pace(&uid, |pace| pace.after(recheck, Instant::now()))))
}

/// What is wrong, by the schema, as that names the fields; none where it has been mended since.
fn why<K: Kind>(object: &DynamicObject, error: &str) -> Option<String> {
    let document = serde_json::to_value(object).unwrap_or_default();
    if serde_json::from_value::<K>(document.clone()).is_ok() {
        return None;
    }
    let problems = manifest::problems(&K::crd(), &document);
    let problems = if problems.is_empty() { error.to_owned() } else { problems.join("; ") };
    Some(format!("the object does not fit its CRD and cannot be read: {problems}; correct or delete it"))
}

/// Puts `text` into the status; false where it stands there already.
fn note(object: &mut DynamicObject, text: &str) -> bool {
    let generation = object.meta().generation;
    let before = object.data.get("status").cloned().unwrap_or_default();
    let mut status = if before.is_object() { before.clone() } else { json!({}) };
    let mut conditions: Vec<Condition> =
        serde_json::from_value(status["conditions"].take()).unwrap_or_default();
    let ready = Statement::fails(Reason::InvalidSpec, text);
    let stalled = Some(ConditionType::Stalled);
    conditions::set_ready(&mut conditions, &ready, stalled, generation, Timestamp::now());
    status["conditions"] = json!(conditions);
    status["observedGeneration"] = json!(generation);
    let changed = status != before;
    if let Value::Object(data) = &mut object.data {
        data.insert("status".to_owned(), status);
    }
    changed
}
