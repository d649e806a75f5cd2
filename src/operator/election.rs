//! The flags of the leader election, and where its Lease is.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use kube::{Config, config::AuthInfo, core::Duration as Text};
use secrecy::ExposeSecret as _;

use crate::runtime::{
    identity,
    leader::{Election, LONGEST, Settings},
};

/// Where `deploy/` puts the operator.
const OUR_NAMESPACE: &str = "appmigration-system";
/// Shorter ones leave no time for a call that fails once.
const SHORTEST: Duration = Duration::from_secs(4);

/// How several operators agree which of them works.
#[derive(Debug, clap::Args)]
pub struct Flags {
    /// Work only while holding the Lease. `false` only where there can never be a second operator.
    #[arg(long, env = "APPMIGRATION_LEADER_ELECTION", default_value_t = true, action = clap::ArgAction::Set)]
    leader_election: bool,
    /// The Lease's namespace. Default: the Pod's (`POD_NAMESPACE`), else that of the ServiceAccount, else
    /// appmigration-system.
    #[arg(long, env = "APPMIGRATION_LEASE_NAMESPACE")]
    lease_namespace: Option<String>,
    /// The Lease's name. Default: appmigration-operator, with `.<namespace>` behind it under --namespace.
    #[arg(long, env = "APPMIGRATION_LEASE_NAME")]
    lease_name: Option<String>,
    /// How long a leader that has gone silent is waited for, in whole seconds, as `15s`. It stops working itself
    /// after two thirds of that.
    #[arg(long, env = "APPMIGRATION_LEASE_DURATION", default_value = "15s", value_parser = duration)]
    lease_duration: Duration,
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed: Text = text.parse().map_err(|error| format!("{error}"))?;
    let duration = Duration::from(parsed);
    if parsed.is_negative() || duration < SHORTEST || duration > LONGEST || duration.subsec_nanos() != 0 {
        return Err(format!("must be whole seconds, {} to {}", SHORTEST.as_secs(), LONGEST.as_secs()));
    }
    Ok(duration)
}

impl Flags {
    /// The election that this process takes part in, if any. `watched`: the one namespace that it works in.
    pub fn join(&self, config: &Config, watched: Option<&str>) -> kube::Result<Option<Election>> {
        if !self.leader_election {
            tracing::warn!("no leader election: a second operator would work at the same time");
            return Ok(None);
        }
        let name =
            || watched.map_or("appmigration-operator".to_owned(), |ns| format!("appmigration-operator.{ns}"));
        let settings = Settings {
            namespace: self.lease_namespace.clone().unwrap_or_else(|| namespace(config)),
            name: self.lease_name.clone().unwrap_or_else(name),
            identity: identity::own(),
            duration: self.lease_duration,
        };
        Election::new(config, settings).map(Some)
    }
}

fn namespace(config: &Config) -> String {
    let pod = std::env::var("POD_NAMESPACE").ok().filter(|value| !value.is_empty());
    let in_pod =
        config.auth_info.token_file.as_ref().is_some_and(|file| file.starts_with("/var/run/secrets/"));
    let mounted = || in_pod.then(|| config.default_namespace.clone());
    pod.or_else(mounted).or_else(|| of_token(&config.auth_info)).unwrap_or_else(|| OUR_NAMESPACE.to_owned())
}

/// The namespace of the ServiceAccount whose token this is, as outside of the cluster.
fn of_token(auth: &AuthInfo) -> Option<String> {
    let payload = auth.token.as_ref()?.expose_secret().split('.').nth(1)?.to_owned();
    let claims: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    let account = claims["sub"].as_str()?.strip_prefix("system:serviceaccount:")?;
    Some(account.split(':').next()?.to_owned())
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use kube::config::AuthInfo;

    use super::{duration, of_token};

    #[test]
    fn the_lease_is_where_the_service_account_is() {
        let with = |token: String| AuthInfo { token: Some(token.into()), ..AuthInfo::default() };
        let claims = r#"{"sub":"system:serviceaccount:payments:operator"}"#;
        let token = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
        assert_eq!(of_token(&with(token)).as_deref(), Some("payments"));
        let user = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(r#"{"sub":"jane"}"#));
        for other in [user, "opaque".to_owned(), "a.b.c".to_owned()] {
            assert_eq!(of_token(&with(other)), None);
        }
        assert_eq!(of_token(&AuthInfo::default()), None);
    }

    #[test]
    fn the_lease_s_duration_is_whole_seconds() {
        assert!(duration("15s").is_ok());
        for wrong in ["1s", "15.5s", "-15s", "11m", "a while"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
