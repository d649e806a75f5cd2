//! `kubectl appmig confirm`: asks, then sets the field.

use std::{
    io::{BufRead as _, IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::{Place, Server, TIMEOUT, view};
use crate::{
    api::v1alpha1::{AppMigration, Reason},
    printable::printable,
};

/// The operator's first word is waited for so long, and asked for so often.
const ANSWER: Duration = Duration::from_secs(15);
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
    write!(err, "{}", view::story(&object))?;
    if !arguments.yes && !asked(&object)? {
        return Err("not confirmed".into());
    }
    let patch = Patch::Merge(json!({ "spec": { "stopConfirmed": true } }));
    let (api, params) = (server.api::<AppMigration>(), PatchParams::default());
    let done = tokio::time::timeout(TIMEOUT, api.patch(name, &params, &patch)).await;
    done.map_err(|_| "the API server does not answer")?.map_err(view::refusal)?;
    writeln!(err, "Confirmed.")?;
    if let Some(told) = answer(&server, name).await {
        writeln!(err, "{told}")?;
    }
    writeln!(err, "kubectl appmig status {name} -n {} --watch tells how it gets on.", server.namespace)?;
    Ok(())
}

/// What the operator says to it first, that the group still has members, say; nothing where it takes its time. The word
/// is given, whatever becomes of this.
async fn answer(server: &Server, name: &str) -> Option<String> {
    let start = Instant::now();
    while start.elapsed() < ANSWER {
        tokio::time::sleep(POLL).await;
        let object = server.migration(name).await.ok()?;
        let (reason, message) = view::outcome(&object);
        let preliminary = [Reason::AwaitingStopConfirmation, Reason::NotJudged].map(Reason::as_str);
        if view::is_current(&object) && !preliminary.contains(&reason.as_str()) {
            return Some(format!("{reason}: {}", printable(&message)));
        }
    }
    None
}

fn asked(object: &AppMigration) -> Result<bool, Box<dyn std::error::Error>> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err("nobody can be asked here: --yes confirms without a question".into());
    }
    let mut err = std::io::stderr();
    let preview = object.status.as_ref().and_then(|status| status.preview.as_ref());
    if preview.is_some_and(|preview| !preview.blocks.is_empty()) {
        writeln!(err, "What is in the way keeps it from going on, with the application stopped.")?;
    }
    write!(
        err,
        "Is every instance that consumes as {} stopped? [y/N] ",
        printable(&object.spec.consumer_group)
    )?;
    err.flush()?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}
