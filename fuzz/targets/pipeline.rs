//! K2K pipeline files: no text panics or takes more than its share of memory, and what is understood is a
//! replicator that the API server would have taken.

#![no_main]

use appmigration::{
    api::v1alpha1::{K2KReplicator, PipelineFrom},
    mapping::Routes,
    pipeline::{self, Secrets},
};
use libfuzzer_sys::fuzz_target;
use serde_json::json;

fuzz_target!(|text: &str| {
    let spec = json!({ "pipelineFrom": { "configMapRef": { "name": "pipeline" }, "secretRef": { "name": "env" } } });
    let replicator = K2KReplicator::new("k2k", serde_json::from_value(spec).expect("a spec"));
    let from: PipelineFrom = replicator.spec.pipeline_from.clone().expect("it is there");
    let _ = pipeline::translate(text, &replicator.spec, Secrets::Moved("k2k"));
    let Ok(filled) = pipeline::fill(&replicator, &from, text) else { return };
    let spec = filled.replicator.spec;
    assert!(spec.source.is_some() && spec.target.is_some(), "both sides, or an error");
    let routes = Routes::new(&spec.replication.expect("routes, or an error"));
    if let Ok(routes) = routes {
        let _ = routes.resolve(["orders", "", "returns-eu"]);
    }
});
