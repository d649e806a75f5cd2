//! What a watch has seen of one kind. An object that our types cannot read (stored while the CRD was another
//! one) is kept apart: it never stands in the way of the others.

use std::{fmt::Debug, sync::Arc};

use futures::{Stream, StreamExt as _, future::ready, stream};
use kube::{
    Api, Resource, ResourceExt,
    core::{DeserializeGuard, NamespaceResourceScope},
    runtime::{
        WatchStreamExt,
        reflector::{self, ObjectRef, Store},
        watcher::{self, Event},
    },
};
use serde::de::DeserializeOwned;

/// A watch of all objects of a kind: those that are new or have changed, each once the store has it, and the store.
/// `on_change` is told of the same ones, and of those that are gone. (kube's own order is another one: what a list
/// brings is told before the store has it, and a change that is looked at too early would wait for the next look.)
///
/// Who manages which field is left out: nobody here reads it, and it takes more memory than the objects.
pub fn watched<K>(
    api: Api<DeserializeGuard<K>>,
    config: watcher::Config,
    on_change: impl Fn(&DeserializeGuard<K>) + Send + 'static,
) -> (impl Stream<Item = Result<DeserializeGuard<K>, watcher::Error>> + Send, Store<DeserializeGuard<K>>)
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug + Send + Sync + 'static,
{
    let (reader, writer) = reflector::store();
    let watch = watcher::watcher(api, config).modify(|object| object.managed_fields_mut().clear());
    (once_stored(watch.reflect(writer), on_change), reader)
}

/// The changes that events behind a store's writer tell of.
fn once_stored<K: Send + 'static>(
    events: impl Stream<Item = Result<Event<K>, watcher::Error>> + Send,
    on_change: impl Fn(&K) + Send + 'static,
) -> impl Stream<Item = Result<K, watcher::Error>> + Send {
    let changes = events.scan(Vec::new(), move |listed, event| {
        let changed = match event {
            Ok(Event::Init) => {
                listed.clear();
                Vec::new()
            }
            Ok(Event::InitApply(object)) => {
                listed.push(object);
                Vec::new()
            }
            Ok(Event::InitDone) => std::mem::take(listed),
            Ok(Event::Apply(object)) => vec![object],
            Ok(Event::Delete(object)) => {
                on_change(&object);
                Vec::new()
            }
            Err(error) => return ready(Some(vec![Err(error)])),
        };
        changed.iter().for_each(&on_change);
        ready(Some(changed.into_iter().map(Ok).collect()))
    });
    changes.flat_map(stream::iter)
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures::channel::mpsc;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::api::ObjectMeta;

    use super::*;

    fn map(name: &str) -> ConfigMap {
        let metadata = ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() };
        ConfigMap { metadata, ..ConfigMap::default() }
    }

    #[tokio::test]
    async fn what_a_list_brings_is_told_once_the_store_has_it() {
        let (store, writer) = reflector::store::<ConfigMap>();
        let listed = [Event::Init, Event::InitApply(map("a")), Event::InitApply(map("b")), Event::InitDone];
        let then = [Event::Apply(map("c")), Event::Delete(map("a"))];
        let events = stream::iter(listed.into_iter().chain(then).map(Ok)).reflect(writer);
        let (tell, told) = mpsc::unbounded();
        let has = store.clone();
        let is_there = move |name: &str| has.get(&ObjectRef::new(name)).is_some();
        let changes = once_stored(events, move |object: &ConfigMap| {
            tell.unbounded_send((object.name_any(), is_there(&object.name_any()))).unwrap();
        });
        let changes: Vec<String> = changes.map(|object| object.unwrap().name_any()).collect().await;
        assert_eq!(changes, ["a", "b", "c"]);
        let told: Vec<(String, bool)> = told.collect().await;
        let expected = [("a", true), ("b", true), ("c", true), ("a", false)];
        assert_eq!(told, expected.map(|(name, there)| (name.to_owned(), there)));
    }
}
