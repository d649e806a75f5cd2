//! Who leads: of several operators only the one that holds the Lease works, the others stand by.
//!
//! The rules are client-go's, and stricter where a Lease is nobody's. A candidate takes a Lease that was given back,
//! whose holder is known to have ended, or which nobody has written for as long as its record says, *by the
//! candidate's own clock*: the times that others wrote are never believed. The leader renews every eighth of that time
//! and stops working once it has not succeeded for two thirds of it; so between the end of one leader's work and the
//! begin of another's there is a third of it. Whoever takes the Lease writes with the resource version that was read:
//! of two at once one fails.
//!
//! A Lease that was deleted or emptied says nothing of who led. So it is not taken as it is found: where there is none
//! a candidate makes one without a holder, and one without a holder must stand there untouched like any other's. The
//! leader, if there is one, writes itself into it by its next renewal. Only a process that has never seen any record,
//! and makes the first one itself, waits for no more than two renewals, so that a first installation works soon: a
//! leader that cannot reach the API server for just that time, and whose Lease is deleted just then, is not seen.
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

/// A Lease that this process holds.
struct Held {
    lease: Lease,
    /// When the write that got it was sent.
    sent: Instant,
}

/// What a candidate has seen.
#[derive(Default)]
struct Seen {
    /// The version of the Lease that was seen last, and when it may be taken if it is still that one then.
    lease: Option<(Version, Instant)>,
    /// For how long the records that were seen may keep their writers at work. None: there never was one.
    honored: Option<Duration>,
}

/// The uid and the resource version: what is written anew is another one, though it be the same.
type Version = (Option<String>, Option<String>);

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
        let led = self.claim().holds();
        self.standing.send_replace(Standing::Unknown("the operator is ending".to_owned()));
        if led && let Err(error) = self.within_call(self.release()).await {
            tracing::warn!(lease = %self.settings, %error, "the Lease could not be given back; it runs out by itself");
        }
    }

    async fn campaign(&self) {
        let mut seen = Seen::default();
        loop {
            let held = self.stand_by(seen).await;
            tracing::info!(lease = %self.settings, identity = self.settings.identity, "leading");
            self.standing.send_replace(Standing::Leading { renewed: held.sent });
            let why = self.lead(held).await;
            tracing::warn!(lease = %self.settings, why, "leading no more");
            self.standing.send_replace(Standing::Unknown(why));
            seen = Seen { lease: None, honored: Some(self.settings.duration) };
        }
    }

    /// Waits until the Lease is had.
    async fn stand_by(&self, mut seen: Seen) -> Held {
        // What this process itself has left there, it is not at work with any more: at its first look.
        let mut first = seen.honored.is_none();
        loop {
            match self.within_call(self.take(&mut seen, &mut first)).await {
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
    async fn take(&self, seen: &mut Seen, first: &mut bool) -> kube::Result<Result<Held, String>> {
        let Some(mut lease) = self.api.get_opt(&self.settings.name).await? else {
            return self.make(seen).await.map(Err);
        };
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.clone().unwrap_or_default();
        let given_back = holder.is_empty() && spec.lease_duration_seconds == Some(GIVEN_BACK);
        let own = holder == self.settings.identity && std::mem::take(first);
        *first = false;
        let over = given_back || own || identity::has_ended(&holder);
        if !self.has_run_out(&lease, seen) && !over {
            return Ok(Err(holder));
        }
        lease.spec = Some(self.record(Some(&spec)));
        let sent = Instant::now();
        let replaced = self.api.replace(&self.settings.name, &PostParams::default(), &lease).await;
        Ok(unless_taken(replaced)?.map(|lease| Held { lease, sent }).ok_or(holder))
    }

    /// Makes the Lease, for nobody as yet.
    async fn make(&self, seen: &mut Seen) -> kube::Result<String> {
        let metadata = ObjectMeta { name: Some(self.settings.name.clone()), ..ObjectMeta::default() };
        let spec = LeaseSpec {
            lease_duration_seconds: Some(seconds(seen.honored.unwrap_or(self.settings.duration))),
            ..LeaseSpec::default()
        };
        let lease = Lease { metadata, spec: Some(spec) };
        let first = seen.honored.is_none();
        // Whoever comes first, or if the answer is lost: the next look finds a record that is honored.
        seen.honored.get_or_insert(self.settings.duration);
        if let Some(made) = unless_taken(self.api.create(&PostParams::default(), &lease).await)? {
            let wait = if first { self.settings.retry() * 2 } else { self.honored(&made, seen) };
            seen.lease = Some((version(&made), Instant::now() + wait));
        }
        Ok(String::new())
    }

    /// For how long a leader may be at work that nothing is seen of: by this record or by an earlier one.
    fn honored(&self, lease: &Lease, seen: &mut Seen) -> Duration {
        let seconds = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds).unwrap_or_default();
        let record = Duration::from_secs(u64::try_from(seconds).unwrap_or(0)).min(LONGEST);
        *seen.honored.insert(record.max(self.settings.duration).max(seen.honored.unwrap_or_default()))
    }

    /// Whether nobody has written it for as long as it is honored, as far as this process has seen.
    fn has_run_out(&self, lease: &Lease, seen: &mut Seen) -> bool {
        let (now, version) = (Instant::now(), version(lease));
        match &seen.lease {
            Some((same, until)) if *same == version => now >= *until,
            _ => {
                seen.lease = Some((version, now + self.honored(lease, seen)));
                false
            }
        }
    }

    /// Renews until that is in vain, and says why.
    async fn lead(&self, held: Held) -> String {
        let Held { mut lease, sent: mut renewed } = held;
        let mut trouble = String::new();
        loop {
            let end = renewed + self.settings.renew_deadline();
            let next = (Instant::now() + self.settings.retry()).min(end);
            tokio::time::sleep_until(next.into()).await;
            let sent = Instant::now();
            if sent >= end {
                let seconds = self.settings.renew_deadline().as_secs_f64();
                return format!("the Lease could not be renewed for {seconds} s: {trouble}");
            }
            let call = self.settings.call().min(end - sent);
            match within(call, self.renew(&lease)).await {
                // An answer that was there in time, and is seen too late, renews nothing.
                Ok(Ok(_)) if Instant::now() >= end => {}
                Ok(Ok(new)) => {
                    (lease, renewed) = (new, sent);
                    self.standing.send_replace(Standing::Leading { renewed });
                }
                Ok(Err(holder)) => return format!("the Lease was taken by {holder}"),
                Err(error) => trouble = error.to_string(),
            }
        }
    }

    /// The Lease with a new time, or who has taken it. One that was deleted is made again; one that was emptied or
    /// touched by somebody else is read again.
    async fn renew(&self, lease: &Lease) -> kube::Result<Result<Lease, String>> {
        let name = &self.settings.name;
        let mut lease = lease.clone();
        lease.spec = Some(self.record(lease.spec.as_ref()));
        match self.api.replace(name, &PostParams::default(), &lease).await {
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
            other => return other.map(Ok),
        }
        let found = self.api.get_opt(name).await?;
        let renewed = match found {
            None => {
                lease.metadata = ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() };
                self.api.create(&PostParams::default(), &lease).await
            }
            Some(mut found) => {
                let spec = found.spec.take().unwrap_or_default();
                let holder = spec.holder_identity.as_deref().unwrap_or_default();
                if !holder.is_empty() && holder != self.settings.identity {
                    return Ok(Err(holder.to_owned()));
                }
                found.spec = Some(self.record(Some(&spec)));
                self.api.replace(name, &PostParams::default(), &found).await
            }
        };
        Ok(unless_taken(renewed)?.ok_or_else(|| "another one at the same moment".to_owned()))
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
            lease_duration_seconds: Some(seconds(self.settings.duration)),
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

fn version(lease: &Lease) -> Version {
    (lease.metadata.uid.clone(), lease.metadata.resource_version.clone())
}

fn seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs()).unwrap_or(i32::MAX)
}
