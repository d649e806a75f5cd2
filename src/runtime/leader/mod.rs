//! Who leads: of several operators only the one that holds the Lease works, the others stand by.
//!
//! The rules are client-go's. A candidate takes a Lease that was given back, whose holder is known to have ended, or
//! whose record has not changed for as long as the record says, *by the candidate's own clock*: the times that others
//! wrote are never believed. The leader renews every eighth of that time and stops working once it has not succeeded
//! for two thirds of it; so between the end of one leader's work and the begin of another's there is a third of it.
//! Every write carries the resource version that was read: of two that take the Lease at once one fails.
//!
//! A Lease that was deleted or emptied says nothing of who led, and looks from time to time do not show who has
//! written it and lost it in between. Whoever finds it so writes its record at once, which ends the work of a leader
//! with its next renewal, and begins to lead only after the record has stood there without a break for as long as a
//! leader could go on without one.
//!
//! A lease cannot fence a Kafka call that is on its way. Hence [`Claim::deadline`]: asked right before each step
//! that cannot be taken back, it says until when that step must be over.

use std::{
    fmt,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client, Config,
    api::{ObjectMeta, PostParams},
};
use tokio::sync::watch;

mod claim;

use super::{identity, pace};
use claim::Times;

pub use claim::{Claim, NotLeading, Standing};

/// No record is believed to hold for longer than this after it was last seen to change.
pub const LONGEST: Duration = Duration::from_mins(10);
/// A Lease that was given back says so by this duration, in seconds: it is free at once.
const GIVEN_BACK: i32 = 1;

/// The Lease, and who asks for it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The Lease's namespace.
    pub namespace: String,
    /// The Lease's name.
    pub name: String,
    /// Who asks. No two processes that live at the same time have the same.
    pub identity: String,
    /// For how long the Lease is kept for a leader that has gone silent, whole seconds.
    pub duration: Duration,
}

impl Settings {
    /// A leader that has not renewed for so long stops working.
    fn renew_deadline(&self) -> Duration {
        self.duration * 2 / 3
    }

    /// Between two renewals of the leader, or two looks of a candidate.
    fn retry(&self) -> Duration {
        self.duration / 8
    }

    /// One call to the API server: several fit into the renew deadline.
    fn call(&self) -> Duration {
        self.duration / 4
    }
}

/// Takes part in the election until it is told to stop.
pub struct Election {
    api: Api<Lease>,
    settings: Settings,
    standing: watch::Sender<Standing>,
}

/// A Lease that bears the record of this process.
struct Held {
    lease: Lease,
    /// When the write that got it was sent.
    sent: Instant,
    /// For how long the record must have stood there before nobody else can be leading: zero where its predecessor
    /// is known to have ended.
    proving: Duration,
}

/// A Lease that was renewed.
struct Renewed {
    lease: Lease,
    /// Somebody else has written or deleted it since the last renewal.
    broken: bool,
}

/// Another one's record, and until when that keeps us from taking the Lease.
struct Observed {
    record: LeaseSpec,
    until: Instant,
}

impl Election {
    /// A candidate with a client of its own: no retries, and every call has its deadline.
    pub fn new(config: &Config, settings: Settings) -> kube::Result<Self> {
        let mut config = config.clone();
        config.default_retry = false;
        config.connect_timeout = Some(settings.call());
        config.read_timeout = Some(settings.duration);
        let api = Api::namespaced(Client::try_from(config)?, &settings.namespace);
        let (standing, _) = watch::channel(Standing::Unknown("the Lease has not been read yet".to_owned()));
        Ok(Self { api, settings, standing })
    }

    /// The right to work, as it is now and later.
    pub fn claim(&self) -> Claim {
        let Settings { duration, .. } = self.settings;
        let times = Times { renew_deadline: self.settings.renew_deadline(), duration };
        Claim::new(self.standing.subscribe(), times)
    }

    /// Stands by, leads, stands by again. At the end the Lease is given back, so that another one need not wait.
    /// To be stopped only when nothing is being worked on any more.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        tokio::select! {
            () = self.campaign() => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
        let led = matches!(*self.standing.borrow(), Standing::Leading { .. });
        self.standing.send_replace(Standing::Unknown("the operator is ending".to_owned()));
        if led && let Err(error) = self.within_call(self.release()).await {
            tracing::warn!(lease = %self.settings, %error, "the Lease could not be given back; it runs out by itself");
        }
    }

    async fn campaign(&self) {
        // As long as no record was ever seen there is none to be waited for: a leader whose Lease was deleted would
        // have made it anew by its next renewal, or finds by then whose it is.
        let mut honored = self.settings.retry() * 2;
        loop {
            let held = self.stand_by(&mut honored).await;
            honored = honored.max(self.settings.duration);
            let why = self.hold(held).await;
            self.standing.send_replace(Standing::Unknown(why));
        }
    }

    /// Waits until the Lease is had. `honored`: for how long the records that were seen keep others from leading.
    async fn stand_by(&self, honored: &mut Duration) -> Held {
        let mut observed = None;
        loop {
            match self.within_call(self.take(&mut observed, honored)).await {
                Ok(Ok(held)) => return held,
                Ok(Err(leader)) => self.tell(Standing::StandBy { leader }),
                Err(error) => {
                    let text = format!("the Lease {} cannot be had: {error}", self.settings);
                    self.tell(Standing::Unknown(text));
                }
            }
            tokio::time::sleep(self.settings.retry().mul_f64(1.0 + pace::jitter() / 5.0)).await;
        }
    }

    /// Notes how things stand, and says so where that is new.
    fn tell(&self, standing: Standing) {
        self.standing.send_if_modified(|now| {
            let new = *now != standing;
            if new {
                match &standing {
                    Standing::StandBy { leader } => {
                        tracing::info!(lease = %self.settings, leader, "standing by");
                    }
                    Standing::Unknown(why) => tracing::warn!(why, "standing by"),
                    Standing::Leading { .. } => {}
                }
                *now = standing;
            }
            new
        });
    }

    /// One try to take the Lease; else who holds it.
    async fn take(
        &self,
        observed: &mut Option<Observed>,
        honored: &mut Duration,
    ) -> kube::Result<Result<Held, String>> {
        let Some(mut lease) = self.api.get_opt(&self.settings.name).await? else {
            let metadata = ObjectMeta { name: Some(self.settings.name.clone()), ..ObjectMeta::default() };
            let lease = Lease { metadata, spec: Some(self.record(None)) };
            let (sent, proving) = (Instant::now(), *honored);
            let created = self.api.create(&PostParams::default(), &lease).await;
            return Ok(unless_taken(created)?
                .map(|lease| Held { lease, sent, proving })
                .ok_or_else(String::new));
        };
        let spec = lease.spec.clone().unwrap_or_default();
        *honored = (*honored).max(self.honored(&spec));
        let holder = spec.holder_identity.clone().unwrap_or_default();
        let given_back = holder.is_empty() && spec.lease_duration_seconds == Some(GIVEN_BACK);
        let ended = given_back || holder == self.settings.identity || identity::has_ended(&holder);
        let proving = match holder.as_str() {
            "" if !given_back => *honored,
            _ if ended || self.has_run_out(&spec, observed) => Duration::ZERO,
            _ => return Ok(Err(holder)),
        };
        lease.spec = Some(self.record(Some(&spec)));
        let sent = Instant::now();
        let replaced = self.api.replace(&self.settings.name, &PostParams::default(), &lease).await;
        Ok(unless_taken(replaced)?.map(|lease| Held { lease, sent, proving }).ok_or(holder))
    }

    /// For how long after a record was written its writer may lead.
    fn honored(&self, record: &LeaseSpec) -> Duration {
        let seconds = u64::try_from(record.lease_duration_seconds.unwrap_or_default());
        Duration::from_secs(seconds.unwrap_or(0)).max(self.settings.duration).min(LONGEST)
    }

    /// Whether the record has been the same for as long as it is honored, as far as this process has seen.
    fn has_run_out(&self, record: &LeaseSpec, observed: &mut Option<Observed>) -> bool {
        let now = Instant::now();
        match observed {
            Some(seen) if seen.record == *record => now >= seen.until,
            _ => {
                *observed = Some(Observed { record: record.clone(), until: now + self.honored(record) });
                false
            }
        }
    }

    /// Renews until that is in vain, and says why. Leads from when nobody else can.
    async fn hold(&self, held: Held) -> String {
        let Held { mut lease, sent: mut renewed, proving } = held;
        let mut leads_from = renewed + proving;
        let mut leads = false;
        if !proving.is_zero() {
            let seconds = proving.as_secs_f64();
            tracing::info!(lease = %self.settings, seconds, "taken, as it was nobody's; in use once nobody else can have it");
            self.tell(Standing::StandBy { leader: String::new() });
        }
        let mut trouble = String::new();
        let why = loop {
            if Instant::now() >= leads_from {
                if !leads {
                    leads = true;
                    tracing::info!(lease = %self.settings, identity = self.settings.identity, "leading");
                }
                self.standing.send_replace(Standing::Leading { renewed });
            }
            let end = renewed + self.settings.renew_deadline();
            let mut next = (Instant::now() + self.settings.retry()).min(end);
            if !leads {
                next = next.min(leads_from);
            }
            tokio::time::sleep_until(next.into()).await;
            if Instant::now() >= end {
                let seconds = self.settings.renew_deadline().as_secs_f64();
                break format!("the Lease could not be renewed for {seconds} s: {trouble}");
            }
            let sent = Instant::now();
            let call = self.settings.call().min(end - sent);
            match within(call, self.renew(&lease)).await {
                Ok(Ok(new)) => {
                    // Who has led meanwhile, if it was another one's for a while, may not know yet.
                    if !leads && new.broken {
                        leads_from = sent + proving.max(self.settings.duration);
                    }
                    (lease, renewed) = (new.lease, sent);
                }
                Ok(Err(holder)) => break format!("the Lease was taken by {holder}"),
                Err(error) => trouble = error.to_string(),
            }
        };
        if leads {
            tracing::warn!(lease = %self.settings, why, "leading no more");
        } else {
            tracing::info!(lease = %self.settings, why, "lost before it was in use");
        }
        why
    }

    /// The Lease with a new time, or who has taken it. One that was deleted is made again; one that somebody else
    /// has only touched is read again.
    async fn renew(&self, lease: &Lease) -> kube::Result<Result<Renewed, String>> {
        let name = &self.settings.name;
        let mut lease = lease.clone();
        lease.spec = Some(self.record(lease.spec.as_ref()));
        match self.api.replace(name, &PostParams::default(), &lease).await {
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
            other => return other.map(|lease| Ok(Renewed { lease, broken: false })),
        }
        let found = self.api.get_opt(name).await?;
        let renewed = match found {
            None => {
                let metadata = ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() };
                lease.metadata = metadata;
                self.api.create(&PostParams::default(), &lease).await
            }
            Some(mut found) => {
                let spec = found.spec.take().unwrap_or_default();
                if spec.holder_identity.as_ref() != Some(&self.settings.identity) {
                    return Ok(Err(spec.holder_identity.filter(|h| !h.is_empty()).unwrap_or_else(nobody)));
                }
                found.spec = Some(self.record(Some(&spec)));
                self.api.replace(name, &PostParams::default(), &found).await
            }
        };
        Ok(unless_taken(renewed)?
            .map(|lease| Renewed { lease, broken: true })
            .ok_or_else(|| "another one at the same moment".to_owned()))
    }

    /// Gives the Lease back.
    async fn release(&self) -> kube::Result<()> {
        let Some(mut lease) = self.api.get_opt(&self.settings.name).await? else { return Ok(()) };
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_ref() != Some(&self.settings.identity) {
            return Ok(());
        }
        spec.holder_identity = None;
        spec.lease_duration_seconds = Some(GIVEN_BACK);
        spec.renew_time = Some(MicroTime(Timestamp::now()));
        self.api.replace(&self.settings.name, &PostParams::default(), &lease).await?;
        tracing::info!(lease = %self.settings, "the Lease is given back");
        Ok(())
    }

    /// The record of this process as the holder, after `before`.
    fn record(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let now = Some(MicroTime(Timestamp::now()));
        let mine = before.and_then(|b| b.holder_identity.as_ref()) == Some(&self.settings.identity);
        let transitions = before.and_then(|b| b.lease_transitions);
        LeaseSpec {
            holder_identity: Some(self.settings.identity.clone()),
            lease_duration_seconds: Some(i32::try_from(self.settings.duration.as_secs()).unwrap_or(i32::MAX)),
            acquire_time: before
                .filter(|_| mine)
                .and_then(|b| b.acquire_time.clone())
                .or_else(|| now.clone()),
            renew_time: now,
            lease_transitions: Some(match transitions {
                Some(n) if !mine => n.saturating_add(1),
                n => n.unwrap_or(0),
            }),
            ..LeaseSpec::default()
        }
    }

    async fn within_call<T>(&self, call: impl Future<Output = kube::Result<T>>) -> Result<T, Trouble> {
        within(self.settings.call(), call).await
    }
}

async fn within<T>(time: Duration, call: impl Future<Output = kube::Result<T>>) -> Result<T, Trouble> {
    match tokio::time::timeout(time, call).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(Trouble::Deadline),
    }
}

/// Why the Lease could be neither read nor written.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Call(#[from] kube::Error),
    #[error("the API server does not answer")]
    Deadline,
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// None where somebody else was faster.
fn unless_taken(written: kube::Result<Lease>) -> kube::Result<Option<Lease>> {
    match written {
        Ok(lease) => Ok(Some(lease)),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
        Err(error) => Err(error),
    }
}

fn nobody() -> String {
    "nobody: somebody has emptied it".to_owned()
}
