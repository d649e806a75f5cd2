//! One blocking call on its own thread: with a deadline, raced against the client's error events, and its
//! failure put into the words of a person. Knows no particular call, never retries.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    KafkaError,
    ffi::{Failure, code},
    handle::Handle,
    patience::Patience,
    signals::{Cause, Trouble},
};

/// How long a call may take, unless the caller says otherwise.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(10);

/// The client's own timeout comes first and says more; this is only for one that does not return.
const MARGIN: Duration = Duration::from_millis(250);

/// Runs `work` on a blocking thread. Ends at `until`, or earlier when the error events since `start` say
/// that waiting is in vain. Dropping the future gives the work up within 50 ms.
pub(super) async fn on_handle<T, F>(
    handle: &Arc<Handle>,
    start: Instant,
    until: Instant,
    work: F,
) -> Result<T, Failure>
where
    F: FnOnce(&Handle, &Patience) -> Result<T, Failure> + Send + 'static,
    T: Send + 'static,
{
    let (patience, _gives_up_when_dropped) = Patience::until(until);
    let on_thread = Arc::clone(handle);
    let task = tokio::task::spawn_blocking(move || work(&on_thread, &patience));
    let result = tokio::select! {
        done = task => done.unwrap_or_else(|gone| {
            Err(Failure::Call { code: code::DESTROY, reason: gone.to_string() })
        }),
        () = handle.signals().given_up(start) => Err(Failure::Expired),
        () = tokio::time::sleep_until((until + MARGIN).into()) => Err(Failure::Expired),
    };
    // A broker's error code is an answer too.
    if result.as_ref().map_or_else(|failure| failure.code().is_some_and(|code| code > 0), |_| true) {
        handle.signals().succeeded();
    }
    result
}

/// What was asked, and of whom: for the message.
pub(super) struct Asked {
    pub(super) servers: String,
    pub(super) what: String,
    pub(super) start: Instant,
}

impl Asked {
    /// The failure as the caller is told of it. `cause`: what the error events said meanwhile.
    pub(super) fn explain(&self, failure: Failure, cause: Option<Cause>) -> KafkaError {
        let (servers, what) = (self.servers.clone(), self.what.clone());
        match failure {
            Failure::Cancelled => KafkaError::Cancelled { what },
            Failure::Unstable(partitions) => KafkaError::UnstableOffsets { servers, what, partitions },
            Failure::OutOfRange { partition, offset, reason } => {
                KafkaError::OffsetOutOfRange { servers, what, partition, offset, reason }
            }
            Failure::Expired => match cause {
                Some(cause) => self.because(cause),
                None => KafkaError::Timeout { servers, what, after: self.start.elapsed() },
            },
            Failure::Call { code, reason } => self.by_code(code, reason, None, cause),
            Failure::Named { name, code, reason } => self.by_code(code, reason, Some(name), cause),
        }
    }

    fn because(&self, cause: Cause) -> KafkaError {
        let (servers, what, reason) = (self.servers.clone(), self.what.clone(), cause.reason);
        match cause.trouble {
            Trouble::Transport => KafkaError::Unreachable { servers, what, reason },
            Trouble::Tls => KafkaError::Tls { servers, what, reason },
            Trouble::Authentication => KafkaError::Authentication { servers, what, user: None, reason },
        }
    }

    fn by_code(&self, code: i32, reason: String, name: Option<String>, cause: Option<Cause>) -> KafkaError {
        let trouble = match code {
            code::TIMED_OUT | code::TIMED_OUT_QUEUE => return self.explain(Failure::Expired, cause),
            code::TRANSPORT | code::ALL_BROKERS_DOWN | code::RESOLVE | code::DESTROY_BROKER => {
                Trouble::Transport
            }
            code::SSL => Trouble::Tls,
            code::AUTHENTICATION | code::SASL_AUTHENTICATION => Trouble::Authentication,
            _ => return self.answered(code, reason, name),
        };
        // The events' reason is the more precise one.
        self.because(cause.unwrap_or(Cause { trouble, reason }))
    }

    /// What a broker answered stands, whatever the events said.
    fn answered(&self, code: i32, reason: String, name: Option<String>) -> KafkaError {
        let (servers, what) = (self.servers.clone(), self.what.clone());
        let reason = match &name {
            Some(name) => format!("{name}: {reason}"),
            None => reason,
        };
        match code {
            code::TOPIC_AUTHORIZATION | code::GROUP_AUTHORIZATION | code::CLUSTER_AUTHORIZATION => {
                KafkaError::Authorization { servers, what, reason }
            }
            code::COORDINATOR_LOADING | code::COORDINATOR_NOT_AVAILABLE | code::NOT_COORDINATOR => {
                KafkaError::CoordinatorMoved { servers, what, reason }
            }
            code if is_active_group(code) => KafkaError::GroupActive { servers, what, reason },
            code::GROUP_ID_NOT_FOUND => KafkaError::UnknownGroup { servers, what, reason },
            code::UNKNOWN_TOPIC_OR_PART | code::UNKNOWN_PARTITION | code::UNKNOWN_TOPIC => {
                let name = name.unwrap_or_else(|| "such topic or partition".to_owned());
                KafkaError::UnknownTopicOrPartition { servers, what, name }
            }
            code => KafkaError::Other { servers, what, reason, code },
        }
    }
}

/// True for what a broker answers to a commit from outside when the group has members.
pub(super) fn is_active_group(error: i32) -> bool {
    matches!(
        error,
        code::UNKNOWN_MEMBER_ID
            | code::ILLEGAL_GENERATION
            | code::REBALANCE_IN_PROGRESS
            | code::STALE_MEMBER_EPOCH
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> Asked {
        Asked { servers: "b:9092".into(), what: "read".into(), start: Instant::now() }
    }

    #[allow(clippy::unnecessary_wraps)] // As the signals give it.
    fn cause(trouble: Trouble) -> Option<Cause> {
        Some(Cause { trouble, reason: "b:9092: because".into() })
    }

    #[test]
    fn a_timeout_says_why_where_the_events_did() {
        let error = asked().explain(Failure::Expired, cause(Trouble::Tls));
        assert_eq!(error.to_string(), "cannot read: TLS with Kafka at b:9092 failed: b:9092: because");
        assert!(matches!(asked().explain(Failure::Expired, None), KafkaError::Timeout { .. }));
        let error = asked().explain(Failure::call(code::TIMED_OUT), cause(Trouble::Authentication));
        assert!(matches!(error, KafkaError::Authentication { .. }));
    }

    #[test]
    fn a_broker_s_own_answer_stands_whatever_the_events_said() {
        let failure = Failure::named("orders", code::TOPIC_AUTHORIZATION);
        let error = asked().explain(failure, cause(Trouble::Transport));
        assert!(matches!(&error, KafkaError::Authorization { reason, .. } if reason.starts_with("orders: ")));
    }

    #[test]
    fn a_code_of_a_newer_broker_is_shown_as_it_is() {
        let error = asked().explain(Failure::call(9_999), None);
        assert!(matches!(&error, KafkaError::Other { code: 9_999, .. }), "{error}");
    }
}
