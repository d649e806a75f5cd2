//! Tells in status how a mapping gets on, where it takes long.

use std::{pin::pin, time::Duration};

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

/// Looks, and tells every now and then.
pub async fn mapping(live: &mut Live, context: &Context) -> Result<(), KubeError> {
    let mut told = Live::new(live.object.clone());
    if !is_first(&told) {
        return look(Look::Mapping, live, context).await;
    }
    let progress = live.progress.clone();
    {
        let mut looking = pin!(look(Look::Mapping, live, context));
        let mut pause = context.options.progress;
        loop {
            if let Ok(looked) = tokio::time::timeout(pause, &mut looking).await {
                looked?;
                break;
            }
            // Whoever changed the object meanwhile is heard when this is over.
            if report::mapping(&mut told, context, &progress.to_string()).await.is_err() {
                pause = Duration::MAX;
            }
        }
    }
    live.object = told.object;
    Ok(())
}

/// What was judged before stays in the conditions until it is judged anew.
fn is_first(live: &Live) -> bool {
    let status = live.object.status.clone().unwrap_or_default();
    let mapped = conditions::find(&status.conditions, ConditionType::OffsetsMapped);
    mapped.is_none_or(|c| [Reason::NotJudged, Reason::MappingOffsets].iter().any(|r| c.reason == r.as_str()))
}
