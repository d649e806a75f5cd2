//! The audit of a whole run: what the API server saw the operator do is what deploy/base/rbac.yaml grants, nothing
//! more and nothing less. Only meaningful after all other tests on the same stack, so tests/all runs it last
//! (`cargo test --test audit`), and a plain `cargo test` leaves it out.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "harness/rbac.rs"]
mod rbac;

use std::collections::BTreeSet;

use rbac::OPERATOR;

#[test]
fn the_role_grants_what_is_used_and_nothing_more() {
    let log = std::env::var("AUDIT_LOG").expect("run this on the stack that the other tests have run on");
    let seen = rbac::seen(&log, OPERATOR);
    let (granted, used) = (rbac::granted(), seen.used.keys().cloned().collect::<BTreeSet<_>>());
    for right in &granted {
        println!("{} {right}", if used.contains(right) { "used  " } else { "UNUSED" });
    }
    println!("{} different requests, {} refused", seen.requests.len(), seen.refused.len());
    assert!(seen.refused.is_empty(), "{:#?}", seen.refused);
    assert!(seen.other.is_empty(), "{:#?}", seen.other);
    assert_eq!(used, granted, "used, and granted");

    // Secrets only where there is a replicator to read them for.
    let namespaces = |wanted: &str| -> BTreeSet<&String> {
        let of = |[_, _, resource, _]: &&[String; 4]| resource == wanted;
        seen.requests.iter().filter(of).map(|[namespace, ..]| namespace).collect()
    };
    let (secrets, replicators) = (namespaces("secrets"), namespaces("k2kreplicators/status"));
    assert!(!secrets.is_empty() && secrets.is_subset(&replicators), "{secrets:?}");
}
