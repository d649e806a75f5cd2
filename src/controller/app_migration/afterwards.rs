//! After the end: whether somebody commits on the source again. Looks at growing intervals for a day, with a
//! connection of its own each time, and says so in one condition. Nothing else is ever done to a finished object.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use kube::ResourceExt;

use crate::{
    TopicPartition,
    api::v1alpha1::{AppMigration, ConditionType, Reason},
    kafka::Committed,
    mapping::Plan,
};

use super::{
    super::{
        Context, KubeError, conditions,
        fault::{Fault, Side},
        pipeline::{self, Loaded},
    },
    live::Live,
    observe, report,
    scope::Selection,
    seen::JournalSeen,
};

/// For so long after its end a migration's source group is looked at.
const WATCHED: Duration = Duration::from_hours(24);

/// When the source group is looked at next, so long after the end: each time twice as late as the time before.
/// None where it is not looked at any more.
pub fn next(elapsed: Duration, first: Duration) -> Option<Duration> {
    let mut at = first;
    while at <= elapsed {
        at *= 2;
    }
    at.checked_sub(elapsed).filter(|_| at <= WATCHED)
}

/// How long ago the migration ended; none where nothing is left to be watched for.
pub fn elapsed(object: &AppMigration) -> Option<Duration> {
    let status = object.status.as_ref()?;
    let told = conditions::find(&status.conditions, ConditionType::SourceMoved).is_some();
    let since = Timestamp::now().duration_since(status.completed_at.as_ref()?.0);
    Some(Duration::try_from(since).unwrap_or_default()).filter(|elapsed| !told && *elapsed <= WATCHED)
}

/// Looks at the source group once, and says in status what has moved. A cluster that does not answer is asked
/// again the next time.
pub async fn look(live: &mut Live, context: &Context) -> Result<(), KubeError> {
    let JournalSeen::Ours(journal) = observe::journal(&live.object, context).await? else {
        return Ok(());
    };
    let Some(plan) = &journal.plan else { return Ok(()) };
    match committed(&live.object, context).await {
        Ok(Some(now)) => match moved(&live.object, plan, &now) {
            Some(text) => report::source_moved(live, context, &text).await,
            None => Ok(()),
        },
        Ok(None) => Ok(()),
        Err(fault) => {
            tracing::debug!(reason = %fault.reason, fault.message, "the source cannot be watched now");
            Ok(())
        }
    }
}

async fn committed(
    object: &AppMigration,
    context: &Context,
) -> Result<Option<BTreeMap<TopicPartition, Committed>>, Fault> {
    let namespace = object.namespace().unwrap_or_default();
    let name = &object.spec.replicator_ref.name;
    let Some(found) = context.replicators.get(&namespace, name) else { return Ok(None) };
    let loaded = pipeline::load(&found, &context.client).await;
    let loaded = loaded.map_err(|error| Fault::new(Reason::SourceUnavailable, error.to_string()))?;
    let Loaded { replicator, .. } = loaded?;
    let source = context.connect(&namespace, Side::Source, &replicator.source.cluster).await?;
    let committed = source.committed(&object.spec.consumer_group).await;
    committed.map(Some).map_err(|error| Fault::kafka(Side::Source, &error))
}

/// What was committed since, on a partition that takes part.
fn moved(object: &AppMigration, plan: &Plan, now: &BTreeMap<TopicPartition, Committed>) -> Option<String> {
    let rows = plan.targets.iter().flat_map(|t| &t.sources).filter(|row| row.assumed.is_none());
    let planned: BTreeMap<TopicPartition, i64> =
        rows.map(|row| (TopicPartition::new(&row.topic, row.partition), row.committed.0)).collect();
    let selection = Selection::new(&object.spec).ok()?;
    let left_out =
        |q: &TopicPartition| plan.left_out.iter().any(|l| l.topic == q.topic && l.partition.is_none());
    let moved: Vec<String> = now
        .iter()
        .filter(|(q, c)| selection.takes(&q.topic) && !left_out(q) && planned.get(*q) != Some(&c.offset))
        .map(|(q, c)| {
            let was = planned.get(q).map_or("nothing".to_owned(), ToString::to_string);
            format!("{q} is at {}, it was moved from {was}", c.offset)
        })
        .collect();
    let first = moved.first()?;
    let more =
        if moved.len() > 1 { format!(" (and {} more partitions)", moved.len() - 1) } else { String::new() };
    Some(format!(
        "group {} commits on the source again: {first}{more}; what it reads there it reads again on the target: stop \
         the application that still runs on the source",
        plan.group
    ))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use serde_json::json;

    use super::{moved, next};
    use crate::controller::app_migration::fixtures::{committed, migration, plan};

    #[test]
    fn it_is_looked_at_ever_more_seldom_and_no_longer_than_a_day() {
        let first = Duration::from_secs(30);
        let mut elapsed = Duration::ZERO;
        let mut delays = Vec::new();
        while let Some(delay) = next(elapsed, first) {
            delays.push(delay.as_secs());
            elapsed += delay;
        }
        assert_eq!(delays[..4], [30, 30, 60, 120]);
        assert_eq!(delays.len(), 12);
        assert!(elapsed.as_secs() < 24 * 3600);
        assert_eq!(next(Duration::from_hours(25), first), None);
    }

    #[test]
    fn only_what_differs_from_the_plan_has_moved() {
        let object = migration(&json!({}));
        let plan = plan();
        let rows = plan.targets.iter().flat_map(|t| &t.sources);
        let there: Vec<(i32, i64)> = rows.map(|row| (row.partition, row.committed.0)).collect();
        assert_eq!(moved(&object, &plan, &committed("orders", &there)), None);
        // Expired, or deleted: nobody commits.
        assert_eq!(moved(&object, &plan, &BTreeMap::new()), None);
        let mut later = there.clone();
        later[0].1 += 1;
        let text = moved(&object, &plan, &committed("orders", &later)).unwrap();
        assert!(text.contains("orders-0") && text.contains(&later[0].1.to_string()), "{text}");
        assert!(moved(&object, &plan, &committed("orders", &[(7, 1)])).unwrap().contains("nothing"));
        let excluded = migration(&json!({ "topics": { "exclude": ["orders"] } }));
        assert_eq!(moved(&excluded, &plan, &committed("orders", &later)), None);
    }
}
