//! `appmigration operator`: telemetry is up; connects to the API server, serves probes, runs the controllers.

use std::{
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use kube::Config;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use crate::{
    controller,
    runtime::{Health, http, kubernetes},
};

/// A connection to the API server must be made within this time.
const CONNECT: Duration = Duration::from_secs(10);
/// A watch that is silent for longer has been lost: the server ends each one before that.
const READ: Duration = Duration::from_secs(330);

/// Arguments of `appmigration operator`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Where to serve `/livez`, `/readyz` and `/metrics`.
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
    let client = kubernetes::client(config)?;
    let health = Health::default();
    let (stop, stopped) = watch::channel(false);
    let listener = TcpListener::bind(arguments.listen)
        .map_err(|error| format!("cannot listen on {}: {error} (--listen)", arguments.listen))?;
    tracing::info!(listen = %listener.local_addr()?, version = env!("CARGO_PKG_VERSION"), "starting");
    http::serve(listener, health.clone())?;
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tracing::info!("stopping");
        let _ = stop.send(true);
    });
    controller::run(client, arguments.options, health, stopped).await?;
    tracing::info!("stopped");
    Ok(())
}
