//! What the shipped role grants, and what the API server's audit log saw an account do.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{BufRead, BufReader},
};

use serde_json::{Value, json};

/// The operator's account in the stack.
pub const OPERATOR: &str = "system:serviceaccount:appmigration-system:appmigration-operator";

/// `verb resource.group`, as `update appmigrations/status.k2k.dev`.
pub type Rights = BTreeSet<String>;

/// The rules of all roles of deploy/base/rbac.yaml, as JSON.
pub fn shipped_rules() -> Value {
    let file = format!("{}/deploy/base/rbac.yaml", env!("CARGO_MANIFEST_DIR"));
    let documents: Vec<Value> = serde_saphyr::from_multiple(&fs::read_to_string(file).unwrap()).unwrap();
    let rules = documents.iter().filter_map(|document| document["rules"].as_array());
    rules.flatten().cloned().collect()
}

/// Every right that those rules grant, one by one.
pub fn granted() -> Rights {
    let texts = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let mut rights = Rights::new();
    for rule in shipped_rules().as_array().unwrap() {
        // A rule of another form (URLs, wildcards) would need another comparison. Only the Lease is bound by name, to
        // the one that the operator makes.
        let fields: Vec<&String> =
            rule.as_object().unwrap().keys().filter(|field| *field != "resourceNames").collect();
        assert_eq!(fields, ["apiGroups", "resources", "verbs"], "{rule}");
        assert!(rule["resourceNames"].is_null() || rule["resources"] == json!(["leases"]), "{rule}");
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                rights.extend(texts(&rule["verbs"]).iter().map(|verb| right(verb, &resource, &group)));
            }
        }
    }
    assert!(!rights.iter().any(|right| right.contains('*')), "{rights:?}");
    rights
}

fn right(verb: &str, resource: &str, group: &str) -> String {
    format!("{verb} {resource}{}{group}", if group.is_empty() { "" } else { "." })
}

/// What an account asked of the API server.
#[derive(Default)]
pub struct Seen {
    /// Each right that was used, with a first request by it.
    pub used: BTreeMap<String, Value>,
    /// Requests that the API server refused for want of a right.
    pub refused: Vec<Value>,
    /// Requests that are for no resource.
    pub other: Vec<Value>,
    /// Namespace, verb, resource, name of each request.
    pub requests: BTreeSet<[String; 4]>,
}

/// What `account` did, by the audit log of the stack.
pub fn seen(audit_log: &str, account: &str) -> Seen {
    let mut seen = Seen::default();
    for line in BufReader::new(File::open(audit_log).unwrap()).lines() {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap_or_default();
        if event["user"]["username"] == account {
            seen.take(event);
        }
    }
    seen
}

impl Seen {
    fn take(&mut self, event: Value) {
        let object = &event["objectRef"];
        let text = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
        // Not by the code: 403 is also the answer for a namespace that is going.
        if event["annotations"]["authorization.k8s.io/decision"] == "forbid" {
            self.refused.push(event);
            return;
        }
        if text("resource").is_empty() {
            self.other.push(event);
            return;
        }
        let resource = match text("subresource") {
            sub if sub.is_empty() => text("resource"),
            sub => format!("{}/{sub}", text("resource")),
        };
        let verb = event["verb"].as_str().unwrap().to_owned();
        let right = right(&verb, &resource, &text("apiGroup"));
        self.requests.insert([text("namespace"), verb, resource, text("name")]);
        self.used.entry(right).or_insert(event);
    }
}
