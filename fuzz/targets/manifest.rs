//! Manifests of `appmigration replicate` and `plan`: no text panics or takes more than its share of memory, and
//! what passes is usable as far as can be told without a connection.

#![no_main]

use appmigration::{
    api::v1alpha1::{AppMigration, K2KReplicator},
    connections,
    manifest::Manifest,
    mapping::Routes,
    secrets_files::LocalSecrets,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(manifest) = Manifest::parse("fuzz.yaml".into(), text) else { return };
    let _ = manifest.object::<AppMigration>(None);
    let secrets = LocalSecrets::new(manifest.secrets().unwrap_or_default(), None);
    let Ok(replicator) = manifest.object::<K2KReplicator>(None) else { return };
    if let Some(routes) = &replicator.spec.replication
        && let Ok(routes) = Routes::new(routes)
    {
        let _ = routes.resolve(["orders", "", "returns-eu"]);
    }
    let Some(target) = &replicator.spec.target else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let _ = runtime.block_on(connections::resolve("spec.target", target, &secrets));
});
