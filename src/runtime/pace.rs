//! When an object is looked at again: its own exponential back-off with full jitter, reset on progress. In
//! memory only: a restart merely looks sooner.

use std::time::{Duration, Instant};

/// Longest first delay of a series.
const FIRST: Duration = Duration::from_secs(1);
/// No delay of a series is shorter.
const SHORTEST: Duration = Duration::from_millis(100);

/// How often an object has been looked at without a change, and when it is due.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    /// What the object and all that it hangs on looked like.
    fingerprint: String,
    tries: u32,
    due: Option<Instant>,
    failing: bool,
    /// How long the last look took.
    took: Duration,
}

impl Pace {
    /// How long nothing is to be done: some time where nothing has changed and the object is not due yet.
    pub fn rest(&mut self, fingerprint: &str, now: Instant) -> Option<Duration> {
        if self.fingerprint != fingerprint {
            self.fingerprint.clear();
            self.fingerprint.push_str(fingerprint);
            (self.tries, self.due, self.took) = (0, None, Duration::ZERO);
        }
        self.due.filter(|due| *due > now).map(|due| due - now)
    }

    /// The next look is after `delay`.
    pub fn after(&mut self, delay: Duration, now: Instant) -> Duration {
        self.tries = 0;
        self.due_after(delay, now)
    }

    /// The next look is after `delay`, whatever was said before.
    pub fn due_after(&mut self, delay: Duration, now: Instant) -> Duration {
        self.due = Some(now + delay);
        delay
    }

    /// The next look is after a delay that begins with `first` and doubles with each one, up to `cap`.
    pub fn grow(&mut self, first: Duration, cap: Duration, now: Instant) -> Duration {
        let delay = first.saturating_mul(2_u32.saturating_pow(self.tries)).min(cap);
        self.tries = self.tries.saturating_add(1).min(16);
        self.due_after(delay, now)
    }

    /// How long the next look is going to take, after one that took so long: what is done once is not done by each, so
    /// the shorter of the last two tells.
    pub fn expects(&mut self, took: Duration) -> Duration {
        std::mem::replace(&mut self.took, took).min(took)
    }

    /// The last look failed, or it did not: where that has changed the delays begin anew.
    pub fn failed(&mut self, failing: bool) {
        if self.failing != failing {
            (self.failing, self.tries) = (failing, 0);
        }
    }

    /// What is looked at has changed: the delays begin anew.
    pub fn changed(&mut self) {
        self.tries = 0;
    }

    /// The next look is at some time before a delay that doubles with each one, up to `cap`: `jitter` in 0..1 says
    /// when. (Full jitter: what failed at once for all does not come back at once.)
    pub fn back_off(&mut self, cap: Duration, jitter: f64, now: Instant) -> Duration {
        let full = FIRST.saturating_mul(2_u32.saturating_pow(self.tries)).min(cap);
        self.tries = self.tries.saturating_add(1).min(16);
        self.due_after(full.mul_f64(jitter.clamp(0.0, 1.0)).max(SHORTEST.min(cap)), now)
    }
}

/// `delay`, or up to a tenth more or less: what began at once does not go on at once.
pub fn spread(delay: Duration) -> Duration {
    delay.mul_f64(0.9 + jitter() / 5.0)
}

/// A number in 0..1 that differs from object to object and from time to time.
pub fn jitter() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    (RandomState::new().hash_one(0_u8) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Pace, jitter};

    #[test]
    fn delays_double_up_to_the_cap_and_start_again_on_a_change() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        assert_eq!(pace.rest("a", now), None);
        let cap = Duration::from_secs(5);
        let delays: Vec<u64> = (0..4).map(|_| pace.back_off(cap, 1.0, now).as_secs()).collect();
        assert_eq!(delays, [1, 2, 4, 5]);
        assert!(pace.rest("a", now).is_some());
        assert_eq!(pace.rest("b", now), None);
        assert_eq!(pace.back_off(cap, 1.0, now).as_secs(), 1);
    }

    #[test]
    fn jitter_takes_any_part_of_the_delay_and_success_resets_it() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        let cap = Duration::from_secs(30);
        pace.failed(true);
        for _ in 0..5 {
            pace.back_off(cap, 0.5, now);
        }
        assert_eq!(pace.back_off(cap, 0.5, now), Duration::from_secs(15));
        assert_eq!(pace.back_off(cap, 0.0, now), Duration::from_millis(100));
        pace.failed(false);
        assert_eq!(pace.back_off(cap, 1.0, now), Duration::from_secs(1));
    }

    #[test]
    fn one_long_look_says_nothing_of_the_next() {
        let mut pace = Pace::default();
        let seconds = [9, 1, 8, 7, 2];
        let expected = seconds.map(|took| pace.expects(Duration::from_secs(took)).as_secs());
        assert_eq!(expected, [0, 1, 1, 7, 2]);
        // A preview that took long says nothing of the looks once its migration is confirmed.
        pace.rest("confirmed", Instant::now());
        assert_eq!(pace.expects(Duration::from_secs(9)), Duration::ZERO);
    }

    #[test]
    fn jitter_is_a_fraction() {
        assert!((0..100).map(|_| jitter()).all(|j| (0.0..1.0).contains(&j)));
    }
}
