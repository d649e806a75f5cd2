//! Who may say that an application is stopped, where the policy of `deploy/policies` is in force: as docs/permissions.md
//! says, on the real API server.

use serde_json::json;

use crate::{
    documents::{CONFIRMING, shell},
    harness::{
        Case, Reason,
        stack::{DEADLINE, eventually, kubectl},
    },
};

/// Who the requests come from.
const DEVELOPER: &[&str] = &["--as=alice", "--as-group=developers"];
const LEAD: &[&str] = &["--as=bob", "--as-group=migration-leads"];
const RELEASE: &[&str] = &["--as=system:serviceaccount:delivery:release"];
const ARGO: &[&str] = &["--as=system:serviceaccount:argocd:argocd-application-controller"];

/// What the others are told.
const THOSE: &str = r#"those who have the right "confirm" on it"#;

#[test]
fn only_who_has_the_right_may_confirm() {
    let case = Case::new("confirming");
    let docs = shell(&case, CONFIRMING);
    let ns = case.namespace.as_str();
    case.drawn(10, 0..10, 4);
    case.replicator(|_| {});
    let app = case.migrate(|spec| spec.stop_confirmed = false);
    app.waits(Reason::AwaitingStopConfirmation, &[]);
    // All of them may edit.
    for role in ["view", "edit"] {
        let (name, role) = (format!("all-{role}"), format!("--clusterrole=appmigration-operator-{role}"));
        let who = ["--group=system:authenticated"];
        kubectl(&[&["-n", ns, "create", "rolebinding", &name, &role][..], &who].concat()).unwrap();
    }
    let told = docs.run(CONFIRMING[0]);
    assert!(told.lines().any(|line| line == "yes"), "{told}");

    let patch = |who: &[&str], spec: serde_json::Value, how: &[&str]| {
        let patch = json!({ "spec": spec }).to_string();
        kubectl(&[&["-n", ns, "patch", "appmig", "app", "--type=merge", "-p", &patch], who, how].concat())
    };
    let is_refused = |what: Result<String, String>, field: &str| {
        let told = what.unwrap_err();
        assert!(told.contains(field) && told.contains(THOSE) && told.contains(ns), "{told}");
    };
    let confirmed = || json!({ "stopConfirmed": true });
    eventually(DEADLINE, "the policy to be in force", || {
        patch(DEVELOPER, confirmed(), &["--dry-run=server"]).is_err()
    });
    is_refused(patch(DEVELOPER, confirmed(), &[]), "spec.stopConfirmed may be set by");
    patch(RELEASE, confirmed(), &["--dry-run=server"]).unwrap();

    // Everything else is anybody's: a new one too, but for the word.
    patch(DEVELOPER, json!({ "quietPeriod": "2s", "policies": { "gap": "Accept" } }), &[]).unwrap();
    patch(DEVELOPER, json!({ "policies": null }), &[]).unwrap();
    let apply = |who: &[&str], name: &str, word: bool| {
        let object = json!({
            "apiVersion": "k2k.dev/v1alpha1", "kind": "AppMigration", "metadata": { "name": name },
            "spec": { "replicatorRef": { "name": "k2k" }, "consumerGroup": case.group, "stopConfirmed": word },
        });
        let file = docs.folder.join(format!("{name}.json"));
        std::fs::write(&file, object.to_string()).unwrap();
        let how = ["--server-side", "--force-conflicts", "--field-manager=argocd-controller", "-f"];
        kubectl(&[&["-n", ns, "apply"], &how[..], &[file.to_str().unwrap()], who].concat())
    };
    is_refused(apply(DEVELOPER, "second", true), "spec.stopConfirmed may be set by");
    apply(DEVELOPER, "second", false).unwrap();
    kubectl(&[&["-n", ns, "delete", "appmig", "second"], DEVELOPER].concat()).unwrap();

    // What applies from Git is not in the way, before the word and after; nor is the operator, which goes on.
    apply(ARGO, "app", false).unwrap();
    patch(DEVELOPER, json!({ "quietPeriod": "15s" }), &[]).unwrap();
    patch(LEAD, confirmed(), &[]).unwrap();
    app.waits(Reason::QuietPeriodRunning, &[]);
    apply(ARGO, "app", false).unwrap();
    is_refused(patch(DEVELOPER, confirmed(), &[]), "spec.stopConfirmed may be set by");
    let looser = json!({ "policies": { "gap": "Accept" } });
    is_refused(
        patch(DEVELOPER, looser.clone(), &[]),
        "spec.policies, spec.quietPeriod and k2k.dev/allow-rewind of a confirmed migration may be changed",
    );
    is_refused(patch(DEVELOPER, json!({ "quietPeriod": "1s" }), &[]), "spec.quietPeriod");
    patch(DEVELOPER, json!({ "suspend": true }), &[]).unwrap();
    is_refused(
        patch(DEVELOPER, json!({ "suspend": false }), &[]),
        "one that is suspended may be resumed, by",
    );
    let rewind = ["-n", ns, "annotate", "appmig", "app", "k2k.dev/allow-rewind=x"];
    is_refused(kubectl(&[&rewind[..], DEVELOPER].concat()), "k2k.dev/allow-rewind");
    patch(LEAD, looser, &[]).unwrap();
    patch(LEAD, json!({ "suspend": false, "quietPeriod": "1s" }), &[]).unwrap();
    app.completes_exactly();

    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/policies/who-may-confirm.yaml");
    kubectl(&["delete", "-f", file]).unwrap();
}
