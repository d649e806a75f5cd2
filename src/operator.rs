//! `appmigration operator`: telemetry is up; connects to the API server, serves probes, runs the controllers.

use std::{net::SocketAddr, time::Duration};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use kube::{Client, Config};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use crate::controller;

/// A connection to the API server must be made within this time.
const CONNECT: Duration = Duration::from_secs(10);
/// A watch that is silent for longer has been lost: the server ends each one before that.
const READ: Duration = Duration::from_secs(330);

/// Arguments of `appmigration operator`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Where to serve `/livez` and `/readyz`.
    #[arg(long, env = "APPMIGRATION_LISTEN", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    #[command(flatten)]
    options: controller::Options,
}

/// Runs until SIGTERM or SIGINT.
pub fn run(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve(arguments))
}

async fn serve(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let mut config = Config::infer().await?;
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(READ);
    let client = Client::try_from(config)?;
    let (ready, is_ready) = watch::channel(false);
    let (stop, stopped) = watch::channel(false);
    let listener = TcpListener::bind(arguments.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error} (--listen)", arguments.listen))?;
    tracing::info!(listen = %listener.local_addr()?, version = env!("CARGO_PKG_VERSION"), "starting");
    let probes = Router::new()
        .route("/livez", get(|| async { "ok" }))
        .route("/readyz", get(readyz))
        .with_state(is_ready);
    tokio::spawn(async move {
        let _ = axum::serve(listener, probes).await;
    });
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tracing::info!("stopping");
        let _ = stop.send(true);
    });
    controller::run(client, arguments.options, ready, stopped).await?;
    tracing::info!("stopped");
    Ok(())
}

async fn readyz(State(ready): State<watch::Receiver<bool>>) -> (StatusCode, &'static str) {
    if *ready.borrow() {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "caches are not filled yet, or the CRDs are not installed")
    }
}
