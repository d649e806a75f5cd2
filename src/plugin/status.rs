//! `kubectl appmig status`.

use std::{io::Write as _, pin::pin, time::Duration};

use futures::TryStreamExt as _;
use jiff::Timestamp;
use kube::runtime::{WatchStreamExt as _, watcher};

use super::{
    Output, Place,
    view::{self, Standing},
};
use crate::api::v1alpha1::{AppMigration, Reason};

/// Arguments of `kubectl appmig status`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The `AppMigration`.
    name: String,
    #[command(flatten)]
    place: Place,
    /// Tell every change, until it is done (exit code 0), or stalled or suspended (1).
    #[arg(long, short)]
    watch: bool,
    /// Give up watching after so long, as `15m` (exit code 1).
    #[arg(long, value_parser = duration, requires = "watch")]
    timeout: Option<Duration>,
    /// How to print it.
    #[arg(long, short, value_enum, default_value = "text")]
    output: Output,
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed: kube::core::Duration = text.parse().map_err(|error| format!("{error}"))?;
    Ok(parsed.into())
}

/// Prints it.
pub async fn run(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let server = arguments.place.server().await?;
    let object = server.migration(&arguments.name).await?;
    if !arguments.watch {
        return print(&object, arguments.output);
    }
    let forever = Duration::MAX;
    let watched = watch(&server, arguments);
    let ended = tokio::time::timeout(arguments.timeout.unwrap_or(forever), watched).await;
    ended.map_err(|_| format!("AppMigration {} is not done yet", arguments.name))?
}

async fn watch(server: &super::Server, arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let config = watcher::Config::default().fields(&format!("metadata.name={}", arguments.name));
    let versions = watcher::watcher(server.api::<AppMigration>(), config).default_backoff().applied_objects();
    let mut versions = pin!(versions);
    let mut told = String::new();
    while let Some(object) = versions.try_next().await? {
        let story = view::story(&object);
        if story != told {
            if arguments.output == Output::Text {
                writeln!(std::io::stdout(), "{}", Timestamp::now().strftime("%H:%M:%S"))?;
            }
            print(&object, arguments.output)?;
            told = story;
        }
        let (reason, message) = view::outcome(&object);
        match view::standing(&object) {
            Standing::Done => return Ok(()),
            Standing::Stalled => return Err(format!("stalled: {reason}: {message}").into()),
            Standing::Waits if reason == Reason::Suspended.as_str() && view::is_current(&object) => {
                return Err(format!("suspended: {message}").into());
            }
            Standing::Waits => {}
        }
    }
    Ok(())
}

fn print(object: &AppMigration, output: Output) -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout().lock();
    match output {
        Output::Text => write!(out, "{}", view::story(object))?,
        Output::Json => writeln!(out, "{}", view::json(object))?,
    }
    Ok(())
}
