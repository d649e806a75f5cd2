//! What the conditions of an `AppMigration` may look like: the Kubernetes API conventions, kstatus, and the
//! table of the API's documentation, written down here a second time. Any test can hold a status against it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

/// Each condition before `Ready` in order, its reason when True, and its reasons when not.
const TABLE: [(&str, &str, &[&str]); 6] = [
    (
        "ReplicatorReady",
        "Ready",
        &["ReplicatorNotFound", "ReplicatorNotReady", "TracingHeadersDisabled", "TimestampsNotKept"],
    ),
    ("StopConfirmed", "Confirmed", &["AwaitingStopConfirmation"]),
    (
        "SourceGroupInactive",
        "Inactive",
        &[
            "GroupActive",
            "QuietPeriodRunning",
            "OffsetsMoving",
            "SourceTransactionPending",
            "GroupNotFound",
            "UnsupportedGroupType",
            "SourceOffsetsGone",
        ],
    ),
    ("ReplicationCaughtUp", "CaughtUp", &["ReplicationBehind", "ReplayInProgress", "OpenTransaction"]),
    (
        "OffsetsMapped",
        "Mapped",
        &[
            "MappingOffsets",
            "SourceOffsetOutOfRange",
            "GapOnTarget",
            "ReprocessingRefused",
            "NativeRecordsRefused",
            "TopicNotReplicated",
            "DuplicatePipelines",
            "HeadersMissing",
            "AmbiguousEncoding",
            "UncommittedPartitions",
            "SourceRecreated",
            "TargetPartitionMissing",
        ],
    ),
    (
        "OffsetsCommitted",
        "Committed",
        &[
            "CommittingOffsets",
            "TargetGroupActive",
            "TargetOffsetsExist",
            "CommitFailed",
            "PlanConflict",
            "ClusterChanged",
        ],
    ),
];

/// Reasons of `Ready` that no other condition has.
const OF_READY: [&str; 9] = [
    "Suspended",
    "SourceUnavailable",
    "TargetUnavailable",
    "AuthenticationFailed",
    "AuthorizationFailed",
    "SecretNotFound",
    "InvalidSpec",
    "SpecChangedAfterConfirmation",
    "DuplicateMigration",
];

/// What only a change by the user can end, always.
const STALLED: [&str; 21] = [
    "UnsupportedGroupType",
    "TracingHeadersDisabled",
    "TimestampsNotKept",
    "SourceOffsetOutOfRange",
    "GapOnTarget",
    "ReprocessingRefused",
    "NativeRecordsRefused",
    "TopicNotReplicated",
    "DuplicatePipelines",
    "HeadersMissing",
    "AmbiguousEncoding",
    "UncommittedPartitions",
    "SourceRecreated",
    "TargetPartitionMissing",
    "SourceOffsetsGone",
    "TargetOffsetsExist",
    "PlanConflict",
    "ClusterChanged",
    "InvalidSpec",
    "SpecChangedAfterConfirmation",
    "DuplicateMigration",
];

/// Waits after an error.
const RETRIED: [&str; 6] = [
    "SourceUnavailable",
    "TargetUnavailable",
    "AuthenticationFailed",
    "AuthorizationFailed",
    "SecretNotFound",
    "CommitFailed",
];

/// The first thing that is wrong with the conditions of an `AppMigration`.
pub fn check(conditions: &[Condition]) -> Result<(), String> {
    conditions.iter().try_for_each(well_formed)?;
    let mut types: Vec<&str> = conditions.iter().map(|c| c.type_.as_str()).collect();
    types.sort_unstable();
    types.dedup();
    ensure(types.len() == conditions.len(), "a type occurs twice")?;
    let Some(ready) = find(conditions, "Ready") else {
        return Err("there is no Ready".to_owned());
    };
    ready_is_consistent(conditions, ready)?;
    progress(conditions, ready)
}

/// One condition by itself: the conventions' syntax, and a reason that the table gives to its type.
fn well_formed(condition: &Condition) -> Result<(), String> {
    let Condition { type_, status, reason, .. } = condition;
    let problem = |what: &str| format!("{type_}={status} {reason}: {what}");
    ensure(["True", "False", "Unknown"].contains(&status.as_str()), problem("no such status"))?;
    let camel = reason.starts_with(|c: char| c.is_ascii_uppercase())
        && reason.chars().all(|c| c.is_ascii_alphanumeric());
    ensure(camel && reason.len() <= 1024, problem("not a CamelCase word"))?;
    ensure(!condition.message.is_empty() && condition.message.len() <= 32_768, problem("no message"))?;
    let allowed = match TABLE.iter().find(|(kind, ..)| kind == type_) {
        Some((_, holds, fails)) => match status.as_str() {
            "True" => reason == holds,
            "False" => fails.contains(&reason.as_str()),
            _ => ["NotJudged", "SourceUnavailable", "TargetUnavailable"].contains(&reason.as_str()),
        },
        None => match (type_.as_str(), status.as_str()) {
            ("Ready", "True") => reason == "Completed",
            ("Ready", "False") => {
                OF_READY.contains(&reason.as_str())
                    || TABLE.iter().any(|(.., fails)| fails.contains(&reason.as_str()))
            }
            ("Reconciling", "True") => ["Progressing", "ProgressingWithRetry"].contains(&reason.as_str()),
            ("Stalled", "True") => STALLED.contains(&reason.as_str()) || reason == "CommitFailed",
            ("SourceMoved", "True") => reason == "SourceMovedAfterMigration",
            _ => false,
        },
    };
    ensure(allowed, problem("not in the table"))
}

/// `Ready` is True just when all before it are; else it has a reason of its own, or the first stalled one of
/// theirs, or that of the first that is not True.
fn ready_is_consistent(conditions: &[Condition], ready: &Condition) -> Result<(), String> {
    let ladder: Vec<&Condition> = TABLE.iter().filter_map(|(kind, ..)| find(conditions, kind)).collect();
    let open: Vec<&&Condition> = ladder.iter().filter(|c| c.status != "True").collect();
    if ready.status == "True" {
        let all = open.is_empty() && ladder.len() == TABLE.len();
        return ensure(all, "Ready is True though not all others are");
    }
    if OF_READY.contains(&ready.reason.as_str()) {
        return Ok(());
    }
    let stalled = |c: &&&&Condition| STALLED.contains(&c.reason.as_str());
    let first = open.iter().find(stalled).or_else(|| open.first());
    let same = first.is_some_and(|c| c.reason == ready.reason && c.message == ready.message);
    ensure(same, format!("Ready says {}, the others {first:?}", ready.reason))
}

/// kstatus: `Reconciling` and `Stalled` are there only while True, never both, and one of them just when the
/// object is neither done nor suspended.
fn progress(conditions: &[Condition], ready: &Condition) -> Result<(), String> {
    let (reconciling, stalled) = (find(conditions, "Reconciling"), find(conditions, "Stalled"));
    let resting = ready.status == "True" || ready.reason == "Suspended";
    match (reconciling, stalled) {
        (None, None) => ensure(resting, "neither Reconciling nor Stalled"),
        (Some(_), Some(_)) => Err("both Reconciling and Stalled".to_owned()),
        _ if resting => Err(format!("{} and yet Reconciling or Stalled", ready.reason)),
        (Some(reconciling), None) => {
            let retried = RETRIED.contains(&ready.reason.as_str());
            let right = (reconciling.reason == "ProgressingWithRetry") == retried;
            let text = format!("{} for {}", reconciling.reason, ready.reason);
            ensure(right && !STALLED.contains(&ready.reason.as_str()), text)
        }
        (None, Some(stalled)) => {
            let same = stalled.reason == ready.reason;
            ensure(same, format!("Stalled {} for {}", stalled.reason, ready.reason))
        }
    }
}

fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|c| c.type_ == kind)
}

fn ensure(holds: bool, problem: impl Into<String>) -> Result<(), String> {
    if holds { Ok(()) } else { Err(problem.into()) }
}

#[cfg(test)]
mod tests {
    use super::{OF_READY, RETRIED, STALLED, TABLE};
    use crate::api::v1alpha1::{ConditionType, Reason};

    /// The names in the table are all names of the vocabulary, and the other way round.
    #[test]
    fn the_vocabulary_is_the_tables() {
        let mut names: Vec<&str> = TABLE
            .iter()
            .flat_map(|(_, holds, fails)| [*holds].into_iter().chain(fails.iter().copied()))
            .chain(OF_READY)
            .chain([
                "Completed",
                "Progressing",
                "ProgressingWithRetry",
                "SourceMovedAfterMigration",
                "NotJudged",
            ])
            .collect();
        let mut vocabulary: Vec<&str> = Reason::ALL.iter().map(|r| r.as_str()).collect();
        names.sort_unstable();
        vocabulary.sort_unstable();
        assert_eq!(names, vocabulary);
    }

    #[test]
    fn stalled_and_retried_are_the_tables() {
        for reason in Reason::ALL {
            assert_eq!(reason.is_stalled(), STALLED.contains(&reason.as_str()), "{reason}");
            assert_eq!(reason.is_error(), RETRIED.contains(&reason.as_str()), "{reason}");
        }
    }

    #[test]
    fn each_condition_has_the_tables_reasons() {
        for (kind, holds, fails) in TABLE {
            let mut expected = vec![holds];
            expected.extend(fails);
            let reasons = ConditionType::parse(kind).unwrap().reasons();
            let reasons: Vec<&str> = reasons.iter().map(|r| r.as_str()).collect();
            assert_eq!(reasons, expected, "{kind}");
        }
        let of_ready: Vec<&str> = ConditionType::Ready.reasons()[1..].iter().map(|r| r.as_str()).collect();
        assert_eq!(of_ready, OF_READY);
    }

    #[test]
    fn the_ladder_is_the_tables_order() {
        let order: Vec<&str> = ConditionType::ALL.iter().take(6).map(|k| k.as_str()).collect();
        assert_eq!(order, TABLE.map(|(kind, ..)| kind));
    }
}
