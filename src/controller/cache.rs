//! What a watch has seen of one kind. An object that our types cannot read (stored while the CRD was another
//! one) is kept apart: it never stands in the way of the others.

use std::{fmt::Debug, sync::Arc};

use futures::Stream;
use kube::{
    Api, Resource, ResourceExt,
    core::{DeserializeGuard, NamespaceResourceScope},
    runtime::{
        WatchStreamExt,
        reflector::{self, ObjectRef, Store},
        watcher,
    },
};
use serde::de::DeserializeOwned;

/// A watch of all objects of a kind, and the store that it fills. Who manages which field is left out: nobody here
/// reads it, and it takes more memory than the objects.
pub fn watched<K>(
    api: Api<DeserializeGuard<K>>,
    config: watcher::Config,
) -> (impl Stream<Item = Result<DeserializeGuard<K>, watcher::Error>> + Send, Store<DeserializeGuard<K>>)
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug + Send + Sync + 'static,
{
    let (reader, writer) = reflector::store();
    let watch = watcher::watcher(api, config).modify(|object| object.managed_fields_mut().clear());
    (watch.reflect(writer).applied_objects(), reader)
}

/// The objects of one kind that the API server has, as the watch last saw them.
#[derive(Clone)]
pub struct Cache<K>(Store<DeserializeGuard<K>>)
where
    K: Resource<DynamicType = ()> + 'static;

impl<K> Cache<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + 'static,
{
    /// The cache that a watch fills.
    pub fn new(store: Store<DeserializeGuard<K>>) -> Self {
        Self(store)
    }

    /// One object, where it is there and can be read.
    pub fn get(&self, namespace: &str, name: &str) -> Option<K> {
        self.0.get(&ObjectRef::new(name).within(namespace))?.0.clone().ok()
    }

    /// Whether it is there but cannot be read.
    pub fn is_malformed(&self, namespace: &str, name: &str) -> bool {
        self.0.get(&ObjectRef::new(name).within(namespace)).is_some_and(|found| found.0.is_err())
    }

    /// All that can be read and that are `wanted`.
    pub fn filter(&self, wanted: impl Fn(&K) -> bool) -> Vec<K> {
        let readable = |found: &DeserializeGuard<K>| found.0.as_ref().ok().filter(|k| wanted(k)).cloned();
        self.0.state().iter().filter_map(|found| readable(found)).collect()
    }

    /// All of them, those that cannot be read too.
    pub fn state(&self) -> Vec<Arc<DeserializeGuard<K>>> {
        self.0.state()
    }

    /// The uids of all of them.
    pub fn uids(&self) -> Vec<String> {
        self.0.state().iter().filter_map(|found| found.uid()).collect()
    }

    /// Waits until the first list has arrived. An error: the watch has ended.
    pub async fn wait_until_ready(&self) -> Result<(), kube::runtime::reflector::store::WriterDropped> {
        self.0.wait_until_ready().await
    }
}
