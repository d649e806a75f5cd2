//! The right to work: asked right before whatever cannot be taken back.

use std::time::{Duration, Instant};

use tokio::sync::watch;

/// How things stand for this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is not known who leads: the reason.
    Unknown(String),
    /// Another one leads, or nobody does for the moment.
    StandBy {
        /// The holder's identity; empty where there is none.
        leader: String,
    },
    /// This process leads.
    Leading {
        /// When the last renewal that succeeded was sent.
        renewed: Instant,
    },
}

/// This process does not lead, or not any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this operator does not lead any more; whichever does goes on from here")]
pub struct NotLeading;

/// The right to work, with an end of its own: it runs out by itself where it is not renewed in time.
#[derive(Clone, Debug)]
pub struct Claim {
    standing: watch::Receiver<Standing>,
    /// None: there is no election, the claim always holds.
    times: Option<Times>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// Without a renewal the claim holds so long.
    pub(super) renew_deadline: Duration,
    /// Somebody else may lead so long after a renewal was sent, at the earliest.
    pub(super) duration: Duration,
}

impl Claim {
    pub(super) fn new(standing: watch::Receiver<Standing>, times: Times) -> Self {
        Self { standing, times: Some(times) }
    }

    /// A claim that never ends, for an operator that is known to be the only one.
    pub fn without_election() -> Self {
        let (_, standing) = watch::channel(Standing::Leading { renewed: Instant::now() });
        Self { standing, times: None }
    }

    /// Right before a step that cannot be taken back: until when it must be over, none for whenever. Nobody else
    /// begins to lead before that.
    pub fn deadline(&self) -> Result<Option<Instant>, NotLeading> {
        let Some(times) = self.times else { return Ok(None) };
        match *self.standing.borrow() {
            Standing::Leading { renewed } if renewed.elapsed() < times.renew_deadline => {
                // A tenth is left for clocks that do not run alike.
                Ok(Some(renewed + times.duration.mul_f64(0.9)))
            }
            _ => Err(NotLeading),
        }
    }

    /// How things stand, now and later.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }

    /// Whether this process leads now.
    pub fn holds(&self) -> bool {
        self.deadline().is_ok()
    }

    /// Waits until this process leads.
    pub async fn held(&mut self) {
        if let Some(times) = self.times {
            let leading = |standing: &Standing| match standing {
                // What has run out is held no more, though nobody has said so yet.
                Standing::Leading { renewed } => renewed.elapsed() < times.renew_deadline,
                _ => false,
            };
            if self.standing.wait_for(leading).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until it does not lead any more.
    pub async fn lost(&mut self) {
        let Some(times) = self.times else { return std::future::pending().await };
        loop {
            let Standing::Leading { renewed } = *self.standing.borrow_and_update() else { return };
            // The end comes also where the election itself is stuck.
            let end = tokio::time::Instant::from_std(renewed + times.renew_deadline);
            tokio::select! {
                changed = self.standing.changed() => if changed.is_err() { return },
                () = tokio::time::sleep_until(end) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use tokio::sync::watch;

    use super::{Claim, NotLeading, Standing, Times};

    const DURATION: Duration = Duration::from_millis(300);
    const RENEW: Duration = Duration::from_millis(200);

    fn claim(standing: Standing) -> (watch::Sender<Standing>, Claim) {
        let (sender, standing) = watch::channel(standing);
        let times = Times { renew_deadline: RENEW, duration: DURATION };
        (sender, Claim::new(standing, times))
    }

    #[test]
    fn a_claim_runs_out_by_itself_before_anybody_else_may_lead() {
        let now = Instant::now();
        let (_sender, fresh) = claim(Standing::Leading { renewed: now });
        let until = fresh.deadline().unwrap().unwrap();
        assert!(until > now + RENEW && until < now + DURATION);
        let old = now.checked_sub(RENEW).unwrap();
        assert_eq!(claim(Standing::Leading { renewed: old }).1.deadline(), Err(NotLeading));
        assert_eq!(claim(Standing::StandBy { leader: "b".into() }).1.deadline(), Err(NotLeading));
        assert_eq!(claim(Standing::Unknown("why".into())).1.deadline(), Err(NotLeading));
        assert_eq!(Claim::without_election().deadline(), Ok(None));
    }

    #[tokio::test]
    async fn it_is_lost_with_its_time_or_as_soon_as_that_is_known() {
        // Nobody says anything any more: the election hangs.
        let (_sender, mut silent) = claim(Standing::Leading { renewed: Instant::now() });
        silent.held().await;
        silent.lost().await;
        assert!(!silent.holds());
        let (sender, mut told) =
            claim(Standing::Leading { renewed: Instant::now() + Duration::from_hours(1) });
        sender.send_replace(Standing::Unknown("the Lease was taken by another".into()));
        told.lost().await;
        // Renewed, it goes on.
        let (sender, mut renewed) = claim(Standing::Leading { renewed: Instant::now() });
        sender.send_replace(Standing::Leading { renewed: Instant::now() + Duration::from_hours(1) });
        assert!(tokio::time::timeout(DURATION, renewed.lost()).await.is_err());
    }
}
