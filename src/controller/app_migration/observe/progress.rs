//! Tells in status how a mapping gets on, where it takes long, and gives it up where its object has changed.

use std::pin::pin;

use kube::ResourceExt;

use crate::api::v1alpha1::{ConditionType, Reason};

use super::{
    super::{
        super::{Context, KubeError, conditions},
        live::Live,
        report,
        step::Look,
    },
    look,
};

/// Looks, and tells every now and then. False where it was given up: the object is gone, or another one now.
pub async fn mapping(live: &mut Live, context: &Context) -> Result<bool, KubeError> {
    let mut told = Live::new(live.object.clone());
    let tells = is_first(&told);
    let progress = live.progress.clone();
    {
        let mut looking = pin!(look(Look::Mapping, live, context));
        loop {
            if let Ok(looked) = tokio::time::timeout(context.options.progress, &mut looking).await {
                looked?;
                break;
            }
            if has_changed(&told, context) {
                return Ok(false);
            }
            if tells {
                report::mapping(&mut told, context, &progress.to_string()).await?;
            }
        }
    }
    live.object = told.object;
    Ok(true)
}

fn has_changed(live: &Live, context: &Context) -> bool {
    let object = &live.object;
    let namespace = object.namespace().unwrap_or_default();
    context.migrations.get(&namespace, &object.name_any()).is_none_or(|now| {
        now.metadata.uid != object.metadata.uid
            || now.metadata.generation > object.metadata.generation
            || now.metadata.deletion_timestamp.is_some()
    })
}

/// What was judged before stays in the conditions until it is judged anew.
fn is_first(live: &Live) -> bool {
    let status = live.object.status.clone().unwrap_or_default();
    let open = |kind| {
        let told = conditions::find(&status.conditions, kind);
        told.is_none_or(|c| {
            [Reason::NotJudged, Reason::MappingOffsets].iter().any(|r| c.reason == r.as_str())
        })
    };
    open(ConditionType::ReplicationCaughtUp) && open(ConditionType::OffsetsMapped)
}
