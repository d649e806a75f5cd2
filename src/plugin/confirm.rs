//! `kubectl appmig confirm`: asks, then sets the field.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::{Place, TIMEOUT, view};
use crate::{api::v1alpha1::AppMigration, printable::printable};

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
    done.map_err(|_| "the API server does not answer")??;
    writeln!(
        err,
        "Confirmed. kubectl appmig status {name} -n {} --watch tells how it gets on.",
        server.namespace
    )?;
    Ok(())
}

fn asked(object: &AppMigration) -> Result<bool, Box<dyn std::error::Error>> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err("nobody can be asked here: --yes confirms without a question".into());
    }
    let mut err = std::io::stderr();
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
