//! `kubectl appmig confirm`: has the operator look again, asks, then sets the field.

use std::{
    io::{BufRead as _, IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::{Place, Server, TIMEOUT, view};
use crate::{
    api::v1alpha1::{AppMigration, Preview, RETRY_ANNOTATION, Reason},
    printable::printable,
};

/// The operator's word is waited for so long, and asked for so often.
const ANSWER: Duration = Duration::from_secs(25);
const POLL: Duration = Duration::from_millis(500);

/// Arguments of `kubectl appmig confirm`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The `AppMigration`.
    name: String,
    #[command(flatten)]
    place: Place,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
    /// Confirm even where the object is suspended, or where something is in the way that waiting does not end.
    #[arg(long)]
    force: bool,
}

/// Confirms.
pub async fn run(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let server = arguments.place.server().await?;
    let name = &arguments.name;
    let object = server.migration(name).await?;
    let status = object.status.clone().unwrap_or_default();
    let mut err = std::io::stderr().lock();
    if status.completed_at.is_some() {
        return Err(format!("AppMigration {name} is done").into());
    }
    if status.stop_confirmed_at.is_some() || object.spec.stop_confirmed {
        writeln!(err, "AppMigration {name} was confirmed already.")?;
        return Ok(());
    }
    if object.spec.suspend && !arguments.force {
        let text = format!(
            "AppMigration {name} is suspended, nobody looks at it: set spec.suspend to false first (--force confirms \
             as it is)"
        );
        return Err(text.into());
    }
    if !arguments.yes && !std::io::stdin().is_terminal() {
        return Err("nobody can be asked here: --yes confirms without a question".into());
    }
    let fresh = if object.spec.suspend { None } else { looked_again(&server, name).await? };
    if object.spec.suspend {
        writeln!(
            err,
            "It is suspended: what follows was seen before, and nothing goes on until spec.suspend is false."
        )?;
    } else if fresh.is_none() {
        writeln!(err, "The operator has not looked again in time: what follows was seen before.")?;
    }
    let object = fresh.unwrap_or(object);
    write!(err, "{}", view::story(&object))?;
    if is_foreseen_to_wait(&object) {
        writeln!(err, "What is in the way keeps it from going on, with the application stopped.")?;
    }
    if needs_somebody(&object) && !arguments.force {
        return Err(
            "not confirmed: waiting does not end what is in the way; settle it first (--force confirms all \
                    the same)"
                .into(),
        );
    }
    if !arguments.yes && !asked(&object)? {
        return Err("not confirmed".into());
    }
    patch(&server, name, json!({ "spec": { "stopConfirmed": true } })).await?;
    writeln!(err, "Confirmed.")?;
    if let Some(told) = answer(&server, name).await {
        writeln!(err, "{told}")?;
    }
    writeln!(err, "kubectl appmig status {name} -n {} --watch tells how it gets on.", server.namespace)?;
    Ok(())
}

fn preview(object: &AppMigration) -> Option<&Preview> {
    object.status.as_ref()?.preview.as_ref()
}

fn reason(object: &AppMigration) -> Option<Reason> {
    Reason::parse(&view::outcome(object).0)
}

/// What an object says that nothing is wrong with as yet, or that nobody has looked at.
fn is_preliminary(reason: Reason) -> bool {
    matches!(reason, Reason::AwaitingStopConfirmation | Reason::NotJudged)
}

/// Whether something is in the way: foreseen, or so that nothing can be foreseen.
fn is_foreseen_to_wait(object: &AppMigration) -> bool {
    preview(object).is_some_and(|preview| !preview.blocks.is_empty())
        || reason(object).is_some_and(|reason| !is_preliminary(reason))
}

/// Whether no waiting ends what is in the way.
fn needs_somebody(object: &AppMigration) -> bool {
    preview(object).is_some_and(Preview::needs_somebody) || reason(object).is_some_and(Reason::needs_somebody)
}

async fn patch(server: &Server, name: &str, change: Value) -> Result<(), Box<dyn std::error::Error>> {
    let (api, change, params) = (server.api::<AppMigration>(), Patch::Merge(change), PatchParams::default());
    let done = tokio::time::timeout(TIMEOUT, api.patch(name, &params, &change)).await;
    done.map_err(|_| "the API server does not answer")?.map_err(view::refusal)?;
    Ok(())
}

/// The object with a preview of now, as that of a migration that has waited for long may be an hour old, or with what
/// keeps it from one. None where the operator takes its time.
async fn looked_again(
    server: &Server,
    name: &str,
) -> Result<Option<AppMigration>, Box<dyn std::error::Error>> {
    let now = Timestamp::now().to_string();
    patch(server, name, json!({ "metadata": { "annotations": { RETRY_ANNOTATION: now } } })).await?;
    let start = Instant::now();
    while start.elapsed() < ANSWER {
        tokio::time::sleep(POLL).await;
        let object = server.migration(name).await?;
        let handled = object.status.as_ref().and_then(|status| status.last_handled_retry.as_ref());
        let told =
            preview(&object).is_some() || reason(&object).is_some_and(|reason| !is_preliminary(reason));
        if handled == Some(&now) && told {
            return Ok(Some(object));
        }
    }
    Ok(None)
}

/// What the operator says to it first, that the group still has members, say; nothing where it takes its time. The word
/// is given, whatever becomes of this.
async fn answer(server: &Server, name: &str) -> Option<String> {
    let start = Instant::now();
    while start.elapsed() < ANSWER {
        tokio::time::sleep(POLL).await;
        let object = server.migration(name).await.ok()?;
        if view::is_current(&object) && reason(&object).is_some_and(|reason| !is_preliminary(reason)) {
            let (reason, message) = view::outcome(&object);
            return Some(format!("{reason}: {}", printable(&message)));
        }
    }
    None
}

fn asked(object: &AppMigration) -> Result<bool, Box<dyn std::error::Error>> {
    let mut err = std::io::stderr();
    write!(
        err,
        "Is every instance that consumes as {} stopped? [y/N] ",
        printable(&object.spec.consumer_group)
    )?;
    err.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}
