//! How much is done at once. Each replicator has a lane of its own, so that clusters that answer slowly or not at
//! all hold up only the migrations that use them; and what needs memory is bounded for the whole process too.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Looks of one kind at once in the whole process: each holds one of tokio's 512 threads for blocking calls while
/// it waits for Kafka.
const LOOKS: usize = 128;

/// The replicator's namespace and name.
pub type Lane = (String, String);

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Work {
    /// One look at a confirmed or finished migration: calls to both clusters.
    Migration,
    /// One look at a migration that is not confirmed. Never in the way of those that are.
    Preview,
    /// One look at a replicator.
    Check,
}

impl Work {
    const ALL: [Self; 3] = [Self::Migration, Self::Preview, Self::Check];

    /// How many looks at once in a lane, for so many `mappings`. They cost little.
    fn looks(self, mappings: usize) -> usize {
        match self {
            Self::Migration => mappings.max(16),
            Self::Preview => quarter(mappings),
            Self::Check => 1,
        }
    }

    /// How many mappings at once in a lane.
    fn mappings(self, mappings: usize) -> usize {
        match self {
            Self::Migration => quarter(mappings),
            Self::Preview | Self::Check => mappings.div_ceil(8),
        }
    }

    /// How many mappings at once in the whole process.
    fn overall(self, mappings: usize) -> usize {
        match self {
            Self::Migration => mappings,
            Self::Preview | Self::Check => quarter(mappings),
        }
    }
}

fn quarter(mappings: usize) -> usize {
    (mappings / 4).max(1)
}

/// One bound for each lane, and one for all.
struct Bound {
    lanes: Mutex<HashMap<(Lane, Work), Arc<Semaphore>>>,
    /// One place for each namespace that does not count in `overall`: whatever others do, it gets on.
    first: Mutex<HashMap<(String, Work), Arc<Semaphore>>>,
    overall: HashMap<Work, Arc<Semaphore>>,
}

impl Bound {
    fn new(overall: impl Fn(Work) -> usize) -> Self {
        let overall = Work::ALL.map(|work| (work, Arc::new(Semaphore::new(overall(work)))));
        Self { lanes: Mutex::default(), first: Mutex::default(), overall: overall.into() }
    }

    /// The lane first: what waits there waits for its own cluster and takes no place from others.
    async fn enter(&self, lane: &Lane, work: Work, places: usize) -> Option<Permit> {
        let own = semaphore(&self.lanes, (lane.clone(), work), places);
        let first = semaphore(&self.first, (lane.0.clone(), work), 1);
        let in_lane = own.acquire_owned().await.ok()?;
        let overall = Arc::clone(self.overall.get(&work)?);
        let place = tokio::select! {
            biased;
            place = first.acquire_owned() => place.ok()?,
            place = overall.acquire_owned() => place.ok()?,
        };
        Some(Permit { _in_lane: in_lane, _place: place })
    }

    fn prune(&self) {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, s| Arc::strong_count(s) > 1);
        self.first.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, s| Arc::strong_count(s) > 1);
    }
}

fn semaphore<K: Eq + Hash>(all: &Mutex<HashMap<K, Arc<Semaphore>>>, key: K, places: usize) -> Arc<Semaphore> {
    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(all.entry(key).or_insert_with(|| Arc::new(Semaphore::new(places))))
}

/// A place; given back when it is dropped.
#[derive(Debug)]
pub struct Permit {
    _in_lane: OwnedSemaphorePermit,
    _place: OwnedSemaphorePermit,
}

/// All bounds of the process.
pub struct Lanes {
    looks: Bound,
    mappings: Bound,
    at_once: usize,
}

impl Lanes {
    /// At most so many mappings at once, and a quarter of them for previews beside.
    pub fn new(at_once: usize) -> Self {
        let mappings = Bound::new(|work| work.overall(at_once));
        Self { looks: Bound::new(|_| LOOKS), mappings, at_once }
    }

    /// A place for one look at an object. It waits only for others of its lane.
    pub async fn look(&self, lane: &Lane, work: Work) -> Option<Permit> {
        self.looks.enter(lane, work, work.looks(self.at_once)).await
    }

    /// A place for a mapping, which takes memory and threads.
    pub async fn mapping(&self, lane: &Lane, work: Work) -> Option<Permit> {
        self.mappings.enter(lane, work, work.mappings(self.at_once)).await
    }

    /// Forgets lanes that nobody is in.
    pub fn prune(&self) {
        self.looks.prune();
        self.mappings.prune();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt as _;

    use super::{Lane, Lanes, Work};

    fn lane(name: &str) -> Lane {
        ("ns".to_owned(), name.to_owned())
    }

    #[tokio::test]
    async fn a_full_lane_holds_up_nobody_else() {
        let lanes = Lanes::new(16);
        let mut stuck = Vec::new();
        for _ in 0..16 {
            stuck.push(lanes.look(&lane("dead"), Work::Migration).await.unwrap());
        }
        assert!(lanes.look(&lane("dead"), Work::Migration).now_or_never().is_none());
        assert!(lanes.look(&lane("dead"), Work::Preview).now_or_never().is_some());
        assert!(lanes.look(&lane("alive"), Work::Migration).now_or_never().is_some());
        stuck.pop();
        let dead = lane("dead");
        let waited = lanes.look(&dead, Work::Migration);
        assert!(tokio::time::timeout(Duration::from_secs(5), waited).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn mappings_are_bounded_in_a_lane_and_overall() {
        let lanes = Lanes::new(8);
        let mut held = Vec::new();
        for name in ["a", "b", "c", "d"] {
            for _ in 0..2 {
                held.push(lanes.mapping(&lane(name), Work::Migration).await.unwrap());
            }
            assert!(lanes.mapping(&lane(name), Work::Migration).now_or_never().is_none());
        }
        // The ninth: one of them has the place of its namespace.
        held.push(lanes.mapping(&lane("e"), Work::Migration).await.unwrap());
        assert!(lanes.mapping(&lane("f"), Work::Migration).now_or_never().is_none());
        assert!(lanes.mapping(&lane("f"), Work::Preview).now_or_never().is_some());
        // Another namespace gets on, whatever this one does.
        let other = ("other".to_owned(), "a".to_owned());
        assert!(lanes.mapping(&other, Work::Migration).now_or_never().is_some());
        held.clear();
        assert!(lanes.mapping(&lane("f"), Work::Migration).now_or_never().is_some());
        lanes.prune();
        assert!(lanes.mappings.lanes.lock().unwrap().is_empty());
        assert!(lanes.mappings.first.lock().unwrap().is_empty());
    }
}
