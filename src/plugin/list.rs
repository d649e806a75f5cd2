//! `kubectl appmig list`.

use std::io::Write as _;

use kube::{Api, ResourceExt as _, api::ListParams};

use super::{Output, Place, TIMEOUT, view};
use crate::api::v1alpha1::AppMigration;

/// Arguments of `kubectl appmig list`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    place: Place,
    /// In all namespaces.
    #[arg(long, short = 'A')]
    all_namespaces: bool,
    /// How to print them.
    #[arg(long, short, value_enum, default_value = "text")]
    output: Output,
}

/// Prints them.
pub async fn run(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let server = arguments.place.server().await?;
    let api: Api<AppMigration> =
        if arguments.all_namespaces { Api::all(server.client.clone()) } else { server.api() };
    let all = ListParams::default();
    let listed = tokio::time::timeout(TIMEOUT, api.list(&all)).await;
    let mut objects = listed.map_err(|_| "the API server does not answer")??.items;
    objects.sort_by_key(|object| (object.namespace(), object.name_any()));
    let mut out = std::io::stdout().lock();
    match arguments.output {
        Output::Json => {
            let values: Vec<_> = objects.iter().map(view::json).collect();
            writeln!(out, "{:#}", serde_json::Value::from(values))?;
        }
        Output::Text if objects.is_empty() => {
            let place = if arguments.all_namespaces { "any namespace" } else { &server.namespace };
            writeln!(std::io::stderr(), "There is no AppMigration in {place}.")?;
        }
        Output::Text => write!(out, "{}", view::table(&objects, arguments.all_namespaces))?,
    }
    Ok(())
}
