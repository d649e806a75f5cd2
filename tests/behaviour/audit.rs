//! What the operator asks of the API server: only what its role allows, and of Secrets only those that are named.
//! That it needs all of what its role allows is seen at the end of a whole run (tests/audit.rs).

use std::{
    fs::{self, File},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use k8s_openapi::api::{
    core::v1::ServiceAccount,
    rbac::v1::{Role, RoleBinding},
};
use kube::{Api, api::PostParams};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::harness::{
    AppMigration, Case, Side, operator,
    process::Process,
    rbac::{self, OPERATOR},
    specs,
    stack::{binary, block_on, kubectl, var},
    v1alpha1::SaslMechanism,
};

/// A migration of the case's group, with credentials for the target.
fn migrates(case: &Case) {
    let orders = case.topic("orders", 1);
    orders.fill(0, 10).copy(0, 0..10);
    case.committed(&orders, &[(0, 4)]);
    specs::secrets(case, "migrator");
    case.secret("unrelated", &[("key", "value")]);
    case.replicator(|spec| {
        spec.target = Some(specs::sasl_ssl(Side::Target, "migrator", SaslMechanism::ScramSha512));
    });
    case.migrate(|_| {}).completes_exactly();
}

#[test]
fn the_operator_does_only_what_its_role_allows() {
    let case = Case::new("audit");
    migrates(&case);
    let seen = rbac::seen(&var("AUDIT_LOG"), OPERATOR);
    assert!(seen.refused.is_empty() && seen.other.is_empty(), "{:#?} {:#?}", seen.refused, seen.other);
    let granted = rbac::granted();
    for (right, request) in &seen.used {
        assert!(granted.contains(right), "{right}: {request:#}");
    }
    for [_, verb, resource, name] in &seen.requests {
        let changes = resource == "configmaps" && verb != "get" && verb != "create";
        assert!(!changes || name.contains("-plan"), "{verb} of the ConfigMap {name}, which is no plan");
    }
    // Each by its name, and none that no spec names.
    let of_case = |[namespace, _, resource, name]: &[String; 4]| {
        (*namespace == case.namespace && resource == "secrets").then(|| name.clone())
    };
    let read: Vec<String> = seen.requests.iter().filter_map(of_case).collect();
    assert_eq!(read, ["ca", "user"]);
}

/// An account of a case's own, with the shipped rules as a `Role` and no other right.
struct Narrow {
    kubeconfig: String,
    account: String,
}

impl Narrow {
    fn new(case: &Case) -> Self {
        let (name, namespace) = ("narrow", &case.namespace);
        create::<ServiceAccount>(case, json!({}));
        create::<Role>(case, json!({ "rules": rbac::shipped_rules() }));
        create::<RoleBinding>(
            case,
            json!({
                "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name },
                "subjects": [{ "kind": "ServiceAccount", "name": name, "namespace": namespace }],
            }),
        );
        let token = kubectl(&["create", "token", name, "-n", namespace]).unwrap();
        // As the operator's own, with another token in it.
        let theirs = fs::read_to_string(var("OPERATOR_KUBECONFIG")).unwrap();
        let mut config: Value = serde_saphyr::from_str(&theirs).unwrap();
        config["users"][0]["user"] = json!({ "token": token.trim() });
        let kubeconfig = format!("{}/{namespace}.kubeconfig", var("STACK_DIR"));
        fs::write(&kubeconfig, config.to_string()).unwrap();
        Self { kubeconfig, account: format!("system:serviceaccount:{namespace}:{name}") }
    }

    /// An operator under it, for the case's namespace alone.
    fn operator(&self, case: &Case) -> Process {
        let log = File::create(format!("{}/log/{}.log", var("STACK_DIR"), case.namespace)).unwrap();
        let mut command = Command::new(binary());
        command.args(["operator", "--listen", "127.0.0.1:0", "--namespace", &case.namespace]);
        // The Lease that the Role names, as in deploy/namespaced.
        command.args(["--lease-name", "appmigration-operator"]);
        command.env("KUBECONFIG", &self.kubeconfig).env("POD_NAMESPACE", &case.namespace);
        command.envs(operator::TIMINGS).stdin(Stdio::null()).stderr(log);
        Process::spawn(&mut command)
    }
}

fn create<K>(case: &Case, mut object: Value)
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + Serialize
        + DeserializeOwned,
{
    object["metadata"] = json!({ "name": "narrow" });
    let api: Api<K> = case.api();
    block_on(api.create(&PostParams::default(), &serde_json::from_value(object).unwrap())).unwrap();
}

#[test]
fn alone_with_a_role_in_one_namespace_it_works_there_and_asks_for_nothing_elsewhere() {
    let case = Case::alone("onenamespace");
    let narrow = Narrow::new(&case);
    operator::ensure();
    operator::stop();
    let mut process = narrow.operator(&case);
    migrates(&case);
    // What is in another namespace is nobody's: the shared operator does not run.
    let elsewhere = AppMigration::new("elsewhere", specs::migration("nobody"));
    let others: Api<AppMigration> = Api::namespaced(crate::harness::stack::kube(), "default");
    let _ = block_on(others.delete("elsewhere", &kube::api::DeleteParams::default()));
    block_on(others.create(&PostParams::default(), &elsewhere)).unwrap();
    case.edit_replicator(|spec| spec.pipeline_name = Some("other".into()));
    let start = Instant::now();
    let current = |object: &Value| object["status"]["observedGeneration"] == object["metadata"]["generation"];
    case.wait_for("K2KReplicator", "k2k", "the new generation", Duration::from_secs(30), current);
    let untouched = block_on(others.get("elsewhere")).unwrap().status.unwrap();
    assert!(untouched.conditions.is_empty(), "after {:?}", start.elapsed());
    block_on(others.delete("elsewhere", &kube::api::DeleteParams::default())).unwrap();
    process.terminate();

    let seen = rbac::seen(&var("AUDIT_LOG"), &narrow.account);
    assert!(seen.refused.is_empty() && seen.other.is_empty(), "{:#?} {:#?}", seen.refused, seen.other);
    let namespaces: Vec<&String> = seen.requests.iter().map(|[namespace, ..]| namespace).collect();
    assert!(namespaces.len() > 5 && namespaces.iter().all(|namespace| **namespace == case.namespace));
}
