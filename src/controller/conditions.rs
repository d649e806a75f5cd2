//! Conditions as the API conventions want them: a time changes only when the status does, and nothing else
//! does when nothing changed.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::{
    api::v1alpha1::{ConditionType, Reason},
    printable::printable,
};

/// Longest message that the API server accepts, in characters.
const MAX_MESSAGE: usize = 32_768;

/// True, False or Unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It holds.
    True,
    /// It does not.
    False,
    /// It cannot be told.
    Unknown,
}

impl Status {
    fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// What a condition is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// True, False or Unknown.
    pub status: Status,
    /// Why.
    pub reason: Reason,
    /// With the numbers, and what would end it.
    pub message: String,
}

impl Statement {
    /// It holds.
    pub fn holds(reason: Reason, message: impl Into<String>) -> Self {
        Self { status: Status::True, reason, message: message.into() }
    }

    /// It does not.
    pub fn fails(reason: Reason, message: impl Into<String>) -> Self {
        Self { status: Status::False, reason, message: message.into() }
    }

    /// It cannot be told.
    pub fn unknown(reason: Reason, message: impl Into<String>) -> Self {
        Self { status: Status::Unknown, reason, message: message.into() }
    }
}

/// Sets `kind` in `conditions` to `statement`; keeps the time where the status stays.
pub fn set(
    conditions: &mut Vec<Condition>,
    kind: ConditionType,
    statement: &Statement,
    generation: Option<i64>,
    now: Timestamp,
) {
    let status = statement.status.as_str();
    let position = conditions.iter().position(|c| c.type_ == kind.as_str());
    let since = position
        .map(|i| &conditions[i])
        .filter(|c| c.status == status)
        .map(|c| c.last_transition_time.clone());
    let condition = Condition {
        type_: kind.to_string(),
        status: status.to_owned(),
        reason: statement.reason.to_string(),
        message: printable(&statement.message).chars().take(MAX_MESSAGE).collect(),
        observed_generation: generation,
        last_transition_time: since.unwrap_or(Time(now)),
    };
    match position {
        Some(i) => conditions[i] = condition,
        None => conditions.push(condition),
    }
    conditions.sort_by_key(|c| ConditionType::parse(&c.type_));
}

/// `Ready`, and with it `Reconciling` or `Stalled`: at most one of them, and only while it holds. `progress` is
/// what they say where the object is neither done nor suspended.
pub fn set_ready(
    conditions: &mut Vec<Condition>,
    ready: &Statement,
    progress: Option<ConditionType>,
    generation: Option<i64>,
    now: Timestamp,
) {
    set(conditions, ConditionType::Ready, ready, generation, now);
    for kind in [ConditionType::Reconciling, ConditionType::Stalled] {
        if progress != Some(kind) {
            remove(conditions, kind);
        }
    }
    let reason = match progress {
        Some(ConditionType::Stalled) => ready.reason,
        Some(_) if ready.reason.is_error() => Reason::ProgressingWithRetry,
        Some(_) => Reason::Progressing,
        None => return,
    };
    let statement = Statement::holds(reason, ready.message.clone());
    set(conditions, progress.unwrap_or(ConditionType::Reconciling), &statement, generation, now);
}

/// Takes `kind` away: some conditions are there only while True.
pub fn remove(conditions: &mut Vec<Condition>, kind: ConditionType) {
    conditions.retain(|c| c.type_ != kind.as_str());
}

/// The condition `kind`, where it is there.
pub fn find(conditions: &[Condition], kind: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|c| c.type_ == kind.as_str())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::{Statement, find, remove, set, set_ready};
    use crate::api::v1alpha1::{ConditionType, Reason};

    #[test]
    fn the_time_changes_with_the_status_alone() {
        let mut conditions = Vec::new();
        let at = |second| Timestamp::from_second(second).unwrap();
        let waiting = Statement::fails(Reason::ReplicationBehind, "3 records");
        set(&mut conditions, ConditionType::Ready, &waiting, Some(1), at(10));
        set(
            &mut conditions,
            ConditionType::Ready,
            &Statement::fails(Reason::GroupActive, "x"),
            Some(2),
            at(20),
        );
        let ready = find(&conditions, ConditionType::Ready).unwrap();
        assert_eq!((ready.last_transition_time.0, ready.reason.as_str()), (at(10), "GroupActive"));
        set(&mut conditions, ConditionType::Ready, &Statement::holds(Reason::Completed, ""), Some(2), at(30));
        assert_eq!(find(&conditions, ConditionType::Ready).unwrap().last_transition_time.0, at(30));
        remove(&mut conditions, ConditionType::Ready);
        assert!(conditions.is_empty());
    }

    #[test]
    fn reconciling_keeps_its_time_while_it_holds() {
        let mut conditions = Vec::new();
        let at = |second| Timestamp::from_second(second).unwrap();
        let waiting = Statement::fails(Reason::ReplicationBehind, "3 records");
        let reconciling = Some(ConditionType::Reconciling);
        set_ready(&mut conditions, &waiting, reconciling, Some(1), at(10));
        let before = conditions.clone();
        set_ready(&mut conditions, &waiting, reconciling, Some(1), at(20));
        assert_eq!(conditions, before);
        set_ready(&mut conditions, &waiting, Some(ConditionType::Stalled), Some(1), at(30));
        assert!(find(&conditions, ConditionType::Reconciling).is_none());
        assert!(find(&conditions, ConditionType::Stalled).is_some());
        set_ready(&mut conditions, &Statement::holds(Reason::Completed, ""), None, Some(1), at(40));
        assert_eq!(conditions.len(), 1);
    }
}
