//! Whether the process is alive, and whether it can do its work. Two questions: who is not alive is restarted,
//! who is not ready is waited for. Waiting for a Kafka cluster, the API server or a person is neither.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Whether the process can do its work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Not yet, or not now: what is waited for.
    NotReady(Cow<'static, str>),
    /// It can.
    Ready,
    /// It could, and does not lead. Counts as ready: it is what a stand-by is there for.
    StandBy,
}

/// The health of the process. Clones share it.
#[derive(Clone)]
pub struct Health(Arc<Mutex<Inner>>);

struct Inner {
    readiness: Readiness,
    /// Why no work can be done now, whatever else was said.
    hindrance: Option<String>,
    /// By the name of the part that beats.
    beats: BTreeMap<&'static str, Beat>,
}

struct Beat {
    last: Instant,
    /// Longest time between two of them.
    limit: Duration,
}

impl Default for Health {
    fn default() -> Self {
        let readiness = Readiness::NotReady("starting".into());
        Self(Arc::new(Mutex::new(Inner { readiness, hindrance: None, beats: BTreeMap::new() })))
    }
}

impl Health {
    /// Says whether work can be done.
    pub fn set(&self, readiness: Readiness) {
        self.lock().readiness = readiness;
    }

    /// Says what is waited for.
    pub fn not_ready(&self, why: impl Into<Cow<'static, str>>) {
        self.set(Readiness::NotReady(why.into()));
    }

    /// Says that something is in the way of all work for now; with `None`, that nothing is any more, and what was
    /// said by [`Self::set`] holds again. True where that is news.
    pub fn hinder(&self, by: Option<String>) -> bool {
        let mut inner = self.lock();
        let news = inner.hindrance != by;
        inner.hindrance = by;
        news
    }

    /// Whether work can be done.
    pub fn readiness(&self) -> Readiness {
        let inner = self.lock();
        match &inner.hindrance {
            Some(why) => Readiness::NotReady(why.clone().into()),
            None => inner.readiness.clone(),
        }
    }

    /// Registers `part`, which from now on beats at least every `limit`, until its [`Heartbeat`] is dropped.
    #[must_use]
    pub fn register(&self, part: &'static str, limit: Duration) -> Heartbeat {
        self.lock().beats.insert(part, Beat { last: Instant::now(), limit });
        Heartbeat { health: self.clone(), part, limit }
    }

    /// The parts that have not beaten for too long, each with the time since.
    pub fn silent(&self) -> Vec<(&'static str, Duration)> {
        let inner = self.lock();
        let since = inner.beats.iter().map(|(part, beat)| (*part, beat.last.elapsed(), beat.limit));
        since.filter(|(_, since, limit)| since > limit).map(|(part, since, _)| (part, since)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One part of the process that tells that it is alive.
pub struct Heartbeat {
    health: Health,
    part: &'static str,
    limit: Duration,
}

impl Heartbeat {
    /// It is alive now.
    pub fn beat(&self) {
        if let Some(beat) = self.health.lock().beats.get_mut(self.part) {
            beat.last = Instant::now();
        }
    }

    /// Beats for as long as it is polled, together with what is to be watched: whatever blocks the thread of
    /// that task keeps it from beating. Never ends.
    pub async fn keep(self) {
        let mut ticks = tokio::time::interval(self.limit / 4);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.beat();
        }
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.health.lock().beats.remove(self.part);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Health, Readiness};

    #[test]
    fn who_is_silent_for_too_long_is_named_until_it_beats_or_ends() {
        let health = Health::default();
        let patient = health.register("patient", Duration::from_hours(1));
        let quick = health.register("quick", Duration::ZERO);
        let silent = || health.silent().into_iter().map(|(part, _)| part).collect::<Vec<_>>();
        let deadline = Instant::now() + Duration::from_secs(5);
        while silent().is_empty() && Instant::now() < deadline {}
        assert_eq!(silent(), ["quick"]);
        drop(quick);
        patient.beat();
        assert!(silent().is_empty());
    }

    #[test]
    fn not_ready_until_somebody_says_so() {
        let health = Health::default();
        assert_eq!(health.readiness(), Readiness::NotReady("starting".into()));
        health.clone().set(Readiness::StandBy);
        assert_eq!(health.readiness(), Readiness::StandBy);
        assert!(health.hinder(Some("a CRD is gone".into())));
        assert!(!health.hinder(Some("a CRD is gone".into())));
        assert_eq!(health.readiness(), Readiness::NotReady("a CRD is gone".into()));
        assert!(health.hinder(None));
        assert_eq!(health.readiness(), Readiness::StandBy);
    }
}
