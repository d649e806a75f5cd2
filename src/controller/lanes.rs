//! How much is done at once. Each replicator has a lane of its own, so that clusters that answer slowly or not at
//! all hold up only the migrations that use them; and what needs memory is bounded for the whole process too.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The replicator's namespace and name.
pub type Lane = (String, String);

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Work {
    /// One look at a confirmed or finished migration: calls to both clusters.
    Migration,
    /// One look at a migration that is not confirmed. Never in the way of those that are.
    Preview,
}

impl Work {
    const ALL: [Self; 2] = [Self::Migration, Self::Preview];

    /// How many looks at once in a lane, for so many `mappings`. They cost little.
    fn looks(self, mappings: usize) -> usize {
        match self {
            Self::Migration => mappings.max(16),
            Self::Preview => quarter(mappings),
        }
    }

    /// How many mappings at once in the whole process.
    fn overall(self, mappings: usize) -> usize {
        match self {
            Self::Migration => mappings,
            Self::Preview => quarter(mappings),
        }
    }
}

fn quarter(mappings: usize) -> usize {
    (mappings / 4).max(1)
}

/// One bound for each lane, and one for all.
struct Bound {
    lanes: Mutex<HashMap<(Lane, Work), Arc<Semaphore>>>,
    overall: HashMap<Work, Arc<Semaphore>>,
}

impl Bound {
    fn new(overall: impl Fn(Work) -> usize) -> Self {
        let overall = Work::ALL.map(|work| (work, Arc::new(Semaphore::new(overall(work)))));
        Self { lanes: Mutex::default(), overall: overall.into() }
    }

    /// The lane first: what waits there waits for its own cluster and takes no place from others.
    async fn enter(&self, lane: &Lane, work: Work, places: usize) -> Option<Permit> {
        let own = {
            let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(Semaphore::new(places));
            Arc::clone(lanes.entry((lane.clone(), work)).or_insert_with(new))
        };
        let in_lane = own.acquire_owned().await.ok()?;
        let overall = Arc::clone(self.overall.get(&work)?).acquire_owned().await.ok()?;
        Some(Permit { _in_lane: in_lane, _overall: overall })
    }

    fn prune(&self) {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.retain(|_, semaphore| Arc::strong_count(semaphore) > 1);
    }
}

/// A place; given back when it is dropped.
#[derive(Debug)]
pub struct Permit {
    _in_lane: OwnedSemaphorePermit,
    _overall: OwnedSemaphorePermit,
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
        Self { looks: Bound::new(|_| Semaphore::MAX_PERMITS), mappings, at_once }
    }

    /// A place for one look at an object. It waits only for others of its lane.
    pub async fn look(&self, lane: &Lane, work: Work) -> Option<Permit> {
        self.looks.enter(lane, work, work.looks(self.at_once)).await
    }

    /// A place for a mapping, which takes memory and threads.
    pub async fn mapping(&self, lane: &Lane, work: Work) -> Option<Permit> {
        self.mappings.enter(lane, work, quarter(self.at_once)).await
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
        assert!(lanes.mapping(&lane("e"), Work::Migration).now_or_never().is_none());
        assert!(lanes.mapping(&lane("e"), Work::Preview).now_or_never().is_some());
        held.clear();
        assert!(lanes.mapping(&lane("e"), Work::Migration).now_or_never().is_some());
        lanes.prune();
        assert!(lanes.mappings.lanes.lock().unwrap().is_empty());
    }
}
