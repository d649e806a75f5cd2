//! Expectations, one line each in a test.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

use super::{
    AppMigration, Migration, Reason, Side,
    migration::{condition, ready_reason},
    stack::DEADLINE,
    v1alpha1::{ConditionType, Summary},
    wire::{Offset, Offsets},
};

impl Migration<'_> {
    /// Completes; what the group has on the target is what the plan says, read by another client.
    pub fn completes(&self) -> Summary {
        let summary = self.comes_to_completed();
        assert_eq!(self.plan().offsets, csv(&self.target_offsets()), "offsets.csv, and what the group has");
        summary
    }

    /// As [`Self::completes`], where the group has other offsets on the target as well.
    pub fn comes_to_completed(&self) -> Summary {
        let object = self.comes_to(Reason::Completed);
        let status = object.status.clone().unwrap();
        let plan = self.plan();
        let reference = status.plan.expect("status.plan");
        assert_eq!(reference.config_map, self.plan_name());
        assert_eq!(reference.hash, plan.hash(&object), "the hash that api.md defines, of plan.json");
        let offsets = self.target_offsets();
        for target in plan.json["targets"].as_array().unwrap() {
            let partition = i32::try_from(target["partition"].as_i64().unwrap()).unwrap();
            let offset = &offsets[&(target["topic"].as_str().unwrap().to_owned(), partition)];
            let metadata = BASE64.decode(target["metadata"].as_str().unwrap()).unwrap();
            // What `Forward` left alone has its own metadata.
            assert!(!target["kept"].is_null() || offset.metadata == metadata, "{target:#}");
        }
        assert!(status.completed_at.is_some());
        status.summary.expect("status.summary")
    }

    /// Completes with every partition exact, nothing missing and nothing read again.
    pub fn completes_exactly(&self) {
        let summary = self.completes();
        let Summary { partitions, committed, exact, reread, gaps, .. } = summary;
        assert_eq!(
            (committed, exact, reread, gaps),
            (partitions, partitions, 0, 0),
            "{:#}",
            self.plan().json
        );
        assert!(partitions > 0);
    }

    /// Is blocked for that reason until the user changes something; the message names all of `words`, and
    /// nothing was committed on the target. Gives the message.
    pub fn stalls(&self, reason: Reason, words: &[&str]) -> String {
        let object = self.comes_to(reason);
        let stalled = condition(&object, ConditionType::Stalled);
        assert!(
            stalled.is_some_and(|c| c.status == "True" && c.reason == reason.as_str()),
            "{:#?}",
            object.status
        );
        self.says(&object, words)
    }

    /// Waits for that reason, and goes on by itself once it is over. Else as [`Self::stalls`].
    pub fn waits(&self, reason: Reason, words: &[&str]) -> String {
        let object = self.comes_to(reason);
        let reconciling = condition(&object, ConditionType::Reconciling);
        assert!(reconciling.is_some_and(|c| c.status == "True"), "{:#?}", object.status);
        self.says(&object, words)
    }

    /// Comes to say all of `words` for that reason, which it may have had before for something else.
    pub fn comes_to_say(&self, reason: Reason, words: &[&str]) {
        self.wait(&format!("{} {words:?}", reason.as_str()), DEADLINE, |o| {
            let text = message(o, ConditionType::Ready);
            ready_reason(o) == Some(reason.as_str()) && words.iter().all(|word| text.contains(word))
        });
        self.has_committed_nothing();
    }

    fn comes_to(&self, reason: Reason) -> AppMigration {
        self.wait(reason.as_str(), DEADLINE, |o| ready_reason(o) == Some(reason.as_str()))
    }

    fn says(&self, object: &AppMigration, words: &[&str]) -> String {
        let text = message(object, ConditionType::Ready);
        for word in words {
            assert!(text.contains(word), "`{word}` is not in `{text}`");
        }
        self.has_committed_nothing();
        text
    }

    /// The target group is as the test left it.
    pub fn has_committed_nothing(&self) {
        let expected = self.case.expected_offsets(Side::Target, &self.target_group());
        assert_eq!(self.target_offsets(), expected, "offsets on the target");
    }

    /// The status and reason of one condition now, as `False GapOnTarget`.
    pub fn shows(&self, kind: ConditionType) -> String {
        condition(&self.get(), kind).map_or("absent".into(), |c| format!("{} {}", c.status, c.reason))
    }
}

pub fn message(object: &AppMigration, kind: ConditionType) -> String {
    condition(object, kind).map_or_else(String::new, |c| c.message.clone())
}

/// As `offsets.csv` has it.
pub fn csv(offsets: &Offsets) -> String {
    let line = |((topic, partition), Offset { offset, .. }): (&(String, i32), &Offset)| {
        format!("{topic},{partition},{offset}\n")
    };
    offsets.iter().map(line).collect()
}
