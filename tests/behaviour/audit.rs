//! What the operator asked of the API server in all the tests so far, from the server's own audit log.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{BufRead, BufReader},
};

use serde_json::Value;

use crate::{
    connections::secrets,
    harness::{Case, Side, specs, stack::var, v1alpha1::SaslMechanism},
};

const OPERATOR: &str = "system:serviceaccount:appmigration-system:appmigration-operator";

/// Resource with subresource, verbs: what deploy/rbac.yaml gives.
const ALLOWED: [(&str, &[&str]); 7] = [
    ("appmigrations", &["get", "list", "watch"]),
    ("k2kreplicators", &["get", "list", "watch"]),
    ("appmigrations/status", &["update", "patch"]),
    ("k2kreplicators/status", &["update", "patch"]),
    ("secrets", &["get"]),
    ("configmaps", &["get", "create", "update", "delete"]),
    ("events", &["create", "patch"]),
];

#[test]
fn the_operator_did_only_what_its_role_allows() {
    let case = Case::new("audit");
    let orders = case.topic("orders", 1);
    orders.fill(0, 10).copy(0, 0..10);
    case.committed(&orders, &[(0, 4)]);
    secrets(&case, "migrator");
    case.secret("unrelated", &[("key", "value")]);
    case.replicator(|spec| {
        spec.target = Some(specs::sasl_ssl(Side::Target, "migrator", SaslMechanism::ScramSha512));
    });
    case.migrate(|_| {}).completes_exactly();

    let mut secrets_read = BTreeSet::new();
    let mut requests = 0;
    for line in BufReader::new(File::open(var("AUDIT_LOG")).unwrap()).lines() {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap_or_default();
        let Some(resource) =
            event["objectRef"]["resource"].as_str().filter(|_| event["user"]["username"] == OPERATOR)
        else {
            continue;
        };
        requests += 1;
        let resource = match event["objectRef"]["subresource"].as_str() {
            Some(sub) => format!("{resource}/{sub}"),
            None => resource.to_owned(),
        };
        let verb = event["verb"].as_str().unwrap();
        let allowed = ALLOWED.iter().any(|(r, verbs)| *r == resource && verbs.contains(&verb));
        let refused = event["responseStatus"]["code"] == 403
            || event["annotations"]["authorization.k8s.io/decision"] == "forbid";
        assert!(allowed && !refused, "{verb} {resource}: {event}");
        let name = event["objectRef"]["name"].as_str().unwrap_or_default();
        if resource == "configmaps" && verb != "get" && verb != "create" {
            assert!(name.contains("-plan"), "{verb} of a ConfigMap that is no plan: {event}");
        }
        if resource == "secrets" && event["objectRef"]["namespace"] == case.namespace.as_str() {
            secrets_read.insert(name.to_owned());
        }
    }
    assert!(requests > 10, "{requests} requests of the operator in the audit log");
    // Each by its name, and none that no spec names.
    assert_eq!(secrets_read, BTreeSet::from(["ca".into(), "user".into()]));
}
