//! What a client's error events say about its brokers: the precise reason, and when to stop waiting.
//!
//! Blocking calls only ever time out; the reason ("connection refused", "certificate verify failed")
//! comes as an error event, 1 to 30 ms after the client was made. An event alone proves little, though:
//! an idle connection that the broker closes looks like a broker that is down, and a host with two
//! addresses refuses on the first. So each kind of event has a time that a call goes on waiting.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rdkafka::{
    ClientContext, config::RDKafkaLogLevel, consumer::ConsumerContext, error::KafkaError as ClientError,
};
use tokio::sync::watch;

use super::ffi::code;

/// A host's further addresses are tried within this time on the very first connection.
const FIRST_CONNECTION: Duration = Duration::from_millis(1_500);
/// A lost connection to a cluster that was there comes back within this time, over a slow network too.
const RECONNECTION: Duration = Duration::from_secs(3);
/// Other brokers may still take credentials that one has refused (they spread with a delay).
const REFUSED_LATER: Duration = Duration::from_secs(1);
/// For a call that starts while the brokers are known to be down: the client must try again first, and
/// does not repeat an error event that it has shown within 30 s.
const STALE: Duration = Duration::from_secs(5);

/// What kind of trouble an event speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trouble {
    /// Not reached, or lost.
    Transport,
    /// The TLS handshake failed.
    Tls,
    /// The credentials were refused.
    Authentication,
}

/// The reason that stands until a call succeeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cause {
    pub(super) trouble: Trouble,
    pub(super) reason: String,
}

#[derive(Default)]
struct State {
    /// A call has succeeded on this client.
    was_up: bool,
    cause: Option<Cause>,
    /// The cause is from a log line.
    hinted: bool,
    /// Since when every broker is down, or credentials are refused.
    down: Option<Instant>,
}

/// The state of one client's brokers.
pub(super) struct Signals {
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

impl Default for Signals {
    fn default() -> Self {
        Self { state: Mutex::default(), changed: watch::Sender::new(()) }
    }
}

impl Signals {
    /// Takes an error event. Codes that do not speak of a connection are not for this place.
    pub(super) fn report(&self, error: i32, reason: &str) {
        let trouble = match error {
            code::AUTHENTICATION | code::SASL_AUTHENTICATION => Some(Trouble::Authentication),
            code::SSL => Some(Trouble::Tls),
            code::TRANSPORT | code::RESOLVE | code::TIMED_OUT => Some(Trouble::Transport),
            code::ALL_BROKERS_DOWN => None,
            _ => return,
        };
        let mut state = self.lock();
        if let Some(trouble) = trouble {
            // A refusal is not hidden by a lost connection to some other broker; and of several brokers in the same
            // trouble always the same one speaks, in whatever order they were tried.
            let speaks = |cause: &Cause| (cause.trouble, reason) < (trouble, cause.reason.as_str());
            if state.hinted || state.cause.as_ref().is_none_or(speaks) {
                state.hinted = false;
                state.cause = Some(Cause { trouble, reason: reason.to_owned() });
            }
        }
        if trouble.is_none() || trouble == Some(Trouble::Authentication) {
            state.down.get_or_insert_with(Instant::now);
        }
        drop(state);
        self.changed.send_replace(());
    }

    /// Takes a log line about a broker's failure: some reasons (a connection that is set up for too long) are
    /// only logged. Worth less than an error event.
    fn hint(&self, reason: &str) {
        let mut state = self.lock();
        let speaks = |cause: &Cause| state.hinted && reason < cause.reason.as_str();
        if state.cause.as_ref().is_none_or(speaks) {
            state.hinted = true;
            state.cause = Some(Cause { trouble: Trouble::Transport, reason: reason.to_owned() });
        }
    }

    /// A log line, wherever it was read: all go to the log, a broker's failure is remembered.
    pub(super) fn log(&self, level: i32, facility: &str, line: &str) {
        if facility == "FAIL" {
            self.hint(line);
        }
        // At debug: what matters of them reaches the user as an error.
        if level <= RDKafkaLogLevel::Critical as i32 {
            tracing::error!(target: "librdkafka", "{facility}: {line}");
        } else {
            tracing::debug!(target: "librdkafka", level, "{facility}: {line}");
        }
    }

    /// A call succeeded: whatever was wrong is over.
    pub(super) fn succeeded(&self) {
        let mut state = self.lock();
        *state = State { was_up: true, ..State::default() };
    }

    /// The latest precise reason, if any stands.
    pub(super) fn cause(&self) -> Option<Cause> {
        let state = self.lock();
        let unnamed = || Cause { trouble: Trouble::Transport, reason: "all brokers are down".to_owned() };
        state.cause.clone().or_else(|| state.down.map(|_| unnamed()))
    }

    /// The moment at which a call that started at `start` should stop waiting, as things stand.
    fn give_up_at(&self, start: Instant) -> Option<Instant> {
        let state = self.lock();
        let down = state.down?;
        let trouble = state.cause.as_ref().map_or(Trouble::Transport, |cause| cause.trouble);
        if down < start {
            return Some(start + STALE);
        }
        let grace = match (state.was_up, trouble) {
            (false, Trouble::Authentication | Trouble::Tls) => Duration::ZERO,
            (false, Trouble::Transport) => FIRST_CONNECTION,
            (true, Trouble::Authentication) => REFUSED_LATER,
            (true, Trouble::Tls | Trouble::Transport) => RECONNECTION,
        };
        Some(down + grace)
    }

    /// Whether a call that started at `start` should stop waiting now.
    pub(super) fn hopeless(&self, start: Instant) -> bool {
        self.give_up_at(start).is_some_and(|at| at <= Instant::now())
    }

    /// Returns when a call that started at `start` should stop waiting.
    pub(super) async fn given_up(&self, start: Instant) {
        let mut changed = self.changed.subscribe();
        loop {
            match self.give_up_at(start) {
                Some(at) if at <= Instant::now() => return,
                Some(at) => tokio::select! {
                    () = tokio::time::sleep_until(at.into()) => {}
                    _ = changed.changed() => {}
                },
                None => {
                    // Cannot fail: we hold the sender.
                    let _ = changed.changed().await;
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The client's callbacks.
#[derive(Default)]
pub(super) struct Context {
    pub(super) signals: Signals,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        self.signals.log(level as i32, facility, line);
    }

    /// Statistics are read where they are asked for, in `scan`.
    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: ClientError, reason: &str) {
        if let Some(code) = error.rdkafka_error_code() {
            self.signals.report(code as i32, reason);
        }
    }
}

impl ConsumerContext for Context {}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn wait(signals: &Signals, start: Instant) -> Option<Duration> {
        signals.give_up_at(start).map(|at| at.saturating_duration_since(start))
    }

    #[test]
    fn wrong_credentials_end_a_first_call_at_once() {
        let (signals, start) = (Signals::default(), Instant::now());
        assert_eq!(wait(&signals, start), None);
        signals.report(code::AUTHENTICATION, "invalid credentials");
        assert!(wait(&signals, start).unwrap() < Duration::from_millis(50));
        signals.report(code::TRANSPORT, "disconnected");
        assert_eq!(signals.cause().unwrap().trouble, Trouble::Authentication);
    }

    #[test]
    fn one_lost_broker_ends_nothing() {
        let (signals, start) = (Signals::default(), Instant::now());
        signals.succeeded();
        signals.report(code::TRANSPORT, "b2: connection refused");
        assert_eq!(wait(&signals, start), None);
        signals.report(code::ALL_BROKERS_DOWN, "3/3 brokers are down");
        assert!(wait(&signals, start).unwrap() >= RECONNECTION);
        assert_eq!(signals.cause().unwrap().reason, "b2: connection refused");
        signals.succeeded();
        assert_eq!(wait(&signals, start), None);
        assert_eq!(signals.cause(), None);
    }

    #[test]
    fn a_call_that_starts_while_all_is_down_lets_the_client_try_again() {
        let signals = Signals::default();
        signals.succeeded();
        signals.report(code::ALL_BROKERS_DOWN, "1/1 brokers are down");
        let later = Instant::now() + Duration::from_mins(1);
        assert_eq!(wait(&signals, later), Some(STALE));
    }

    #[test]
    fn a_group_that_is_not_ours_to_read_says_nothing_about_brokers() {
        let signals = Signals::default();
        signals.report(code::GROUP_AUTHORIZATION, "FindCoordinator response error");
        assert_eq!(signals.cause(), None);
    }
}
