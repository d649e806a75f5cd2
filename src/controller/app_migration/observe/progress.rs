//! Looks that may take long: given up where their object has changed or the operator is ending. A mapping tells in
//! status how it gets on.

use std::{pin::pin, time::Duration};

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

/// How soon it is seen that the object has changed.
const ATTENTION: Duration = Duration::from_millis(250);

/// What would happen. False where it was given up: the object is another one now, such as a confirmed one.
pub async fn preview(live: &mut Live, context: &Context) -> Result<bool, KubeError> {
    let before = Live::new(live.object.clone());
    tokio::select! {
        looked = look(Look::Preview, live, context) => looked.map(|()| true),
        () = given_up(&before, context) => Ok(false),
    }
}

/// Waits until nobody needs the look any more.
async fn given_up(live: &Live, context: &Context) {
    while !has_changed(live, context) {
        tokio::time::sleep(ATTENTION).await;
    }
}

/// Looks, and tells every now and then. False where it was given up: the object is gone, or another one now.
pub async fn mapping(live: &mut Live, context: &Context) -> Result<bool, KubeError> {
    let mut told = Live::new(live.object.clone());
    let tells = is_first(&told);
    let progress = live.progress.clone();
    {
        let before = Live::new(live.object.clone());
        let mut looking = pin!(look(Look::Mapping, live, context));
        let mut given_up = pin!(given_up(&before, context));
        let mut tick = pin!(tokio::time::sleep(context.options.progress));
        loop {
            tokio::select! {
                looked = &mut looking => break looked?,
                () = &mut given_up => return Ok(false),
                () = &mut tick => {
                    if tells {
                        report::mapping(&mut told, context, &progress.to_string()).await?;
                    }
                    tick.as_mut().reset(tokio::time::Instant::now() + context.options.progress);
                }
            }
        }
    }
    live.object = told.object;
    Ok(true)
}

fn has_changed(live: &Live, context: &Context) -> bool {
    if context.stopping() {
        return true;
    }
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
