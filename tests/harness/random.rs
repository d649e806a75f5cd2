//! A small generator: the seed that is printed tells the whole run.

use std::{
    env,
    io::Write as _,
    time::{Duration, SystemTime},
};

pub struct Random(u64);

impl Random {
    /// From `BEHAVIOUR_SEED`, or another one each time; prints it.
    pub fn seeded(what: &str) -> Self {
        let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().subsec_nanos().into();
        let seed: u64 =
            env::var("BEHAVIOUR_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(now);
        say(&format!("{what}: BEHAVIOUR_SEED={seed}"));
        Self(seed | 1)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    /// Lets some time pass, at most so much.
    pub fn sleep(&mut self, most: Duration) {
        std::thread::sleep(Duration::from_micros(self.below(u64::try_from(most.as_micros()).unwrap())));
    }

    /// That many of these, in their order.
    pub fn choose<T>(&mut self, count: usize, mut from: Vec<T>) -> Vec<T> {
        while from.len() > count {
            let index = self.below(from.len() as u64);
            from.remove(usize::try_from(index).unwrap());
        }
        from
    }
}

/// Whether the long series are to be run whole (`make test-all`).
pub fn whole() -> bool {
    env::var_os("LARGE").is_some()
}

/// Prints a result that is to be seen also where the test passes.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
