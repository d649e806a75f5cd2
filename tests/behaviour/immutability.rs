//! What the API server refuses once the stop was confirmed: rules in the CRD, whoever asks.

use crate::harness::{Case, Migration, Reason, v1alpha1::TopicSelection};

const REFUSED: &str = "cannot change once stopConfirmed was true";

/// Waits for a replicator that never comes.
fn waiting(case: &Case, confirmed: bool) -> Migration<'_> {
    let app = case.migrate(|spec| {
        spec.stop_confirmed = confirmed;
        spec.topics = Some(TopicSelection { include: vec!["orders".into()], exclude: vec![] });
    });
    app.waits(Reason::ReplicatorNotFound, &["k2k"]);
    app
}

fn refuses_every_change(app: &Migration<'_>) {
    let refused = |what: &str, outcome: Result<(), String>| {
        let error = outcome.expect_err(what);
        assert!(error.contains(REFUSED), "{what}: {error}");
    };
    refused("replicatorRef", app.try_edit(|s| s.replicator_ref.name = "other".into()));
    refused("consumerGroup", app.try_edit(|s| s.consumer_group = "other".into()));
    refused("targetConsumerGroup added", app.try_edit(|s| s.target_consumer_group = Some("other".into())));
    refused("topics changed", app.try_edit(|s| s.topics.as_mut().unwrap().include.push("more".into())));
    refused("topics removed", app.try_edit(|s| s.topics = None));
    let reverted = app.try_edit(|s| {
        s.stop_confirmed = false;
        s.consumer_group = "other".into();
    });
    refused("a change that also reverts the confirmation", reverted);
}

#[test]
fn identity_is_free_before_the_confirmation() {
    let case = Case::new("free");
    let app = waiting(&case, false);
    app.edit(|s| s.consumer_group = format!("{}-2", case.group));
    app.edit(|s| s.target_consumer_group = Some("there".into()));
    app.edit(|s| s.target_consumer_group = None);
    app.edit(|s| s.topics = None);
    app.edit(|s| s.replicator_ref.name = "other".into());
    app.waits(Reason::ReplicatorNotFound, &["other"]);
    // With the confirmation itself too.
    app.edit(|s| {
        s.replicator_ref.name = "k2k".into();
        s.stop_confirmed = true;
    });
}

#[test]
fn identity_is_fixed_by_the_confirmation() {
    let case = Case::new("fixed");
    let app = waiting(&case, true);
    refuses_every_change(&app);
}

#[test]
fn identity_stays_fixed_after_the_confirmation_was_taken_back() {
    let case = Case::new("stays");
    let app = waiting(&case, true);
    app.wait("the latch", crate::harness::stack::DEADLINE, |o| {
        o.status.as_ref().unwrap().stop_confirmed_at.is_some()
    });
    app.edit(|s| s.stop_confirmed = false);
    refuses_every_change(&app);
    // Everything else may change.
    app.edit(|s| s.policies.gap = crate::harness::GapPolicy::Accept);
    app.edit(|s| s.suspend = true);
}

#[test]
fn a_target_group_cannot_be_taken_away_either() {
    let case = Case::new("removed");
    let app = case.migrate(|spec| spec.target_consumer_group = Some("there".into()));
    app.waits(Reason::ReplicatorNotFound, &["k2k"]);
    let error = app.try_edit(|s| s.target_consumer_group = None).unwrap_err();
    assert!(error.contains(REFUSED), "{error}");
}
