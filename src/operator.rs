//! `appmigration operator`: telemetry is up; connects to the API server, serves probes, runs the controllers.

use std::{
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use kube::{Client, Config};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use crate::{
    controller,
    runtime::{
        Health, Readiness, http, kubernetes,
        leader::{Claim, Election, Standing},
    },
};

mod election;

/// A connection to the API server must be made within this time.
const CONNECT: Duration = Duration::from_secs(10);
/// A watch that is silent for longer has been lost: the server ends each one after a minute.
const READ: Duration = Duration::from_secs(75);

/// At the end, steps under way may take so long; Kubernetes gives 30 s until it kills.
const DRAIN: Duration = Duration::from_secs(20);
/// A thread for blocking calls that has had none for so long ends.
const THREADS_IDLE: Duration = Duration::from_secs(1);
/// An election that is not polled for so long is wedged.
const SILENT: Duration = Duration::from_secs(30);

/// Arguments of `appmigration operator`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Where to serve `/livez`, `/readyz` and `/metrics`.
    #[arg(long, env = "APPMIGRATION_LISTEN", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    #[command(flatten)]
    election: election::Flags,
    #[command(flatten)]
    options: controller::Options,
}

/// Runs until SIGTERM or SIGINT.
pub fn run(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    // Threads for calls to Kafka are soon given back: each has a stack, and leavings in the allocator.
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.enable_all().thread_keep_alive(THREADS_IDLE).build()?;
    let outcome = runtime.block_on(serve(arguments));
    // Calls to Kafka that nobody waits for any more are left to their threads.
    runtime.shutdown_background();
    outcome
}

async fn serve(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let mut config = Config::infer().await?;
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(READ);
    // Everything is tried again by its own back-off.
    config.default_retry = false;
    let client = kubernetes::client(config.clone())?;
    let health = Health::default();
    let listener = TcpListener::bind(arguments.listen)
        .map_err(|error| format!("cannot listen on {}: {error} (--listen)", arguments.listen))?;
    tracing::info!(listen = %listener.local_addr()?, version = env!("CARGO_PKG_VERSION"), "starting");
    http::serve(listener, health.clone())?;
    let mut stopped = stop_on_signal()?;
    tokio::select! {
        () = controller::installed(&client, arguments.options.namespace.as_deref(), &health) => {}
        _ = stopped.wait_for(|stop| *stop) => return Ok(()),
    }
    let election = arguments.election.join(&config, arguments.options.namespace.as_deref())?;
    let claim = election.as_ref().map_or_else(Claim::without_election, Election::claim);
    let (release, mut released) = watch::channel(false);
    let heartbeat = election.as_ref().map(|_| health.register("the leader election", SILENT));
    let campaign = tokio::spawn(async move {
        match (election, heartbeat) {
            (Some(election), Some(heartbeat)) => {
                tokio::select! { () = election.run(released) => {}, () = heartbeat.keep() => {} }
            }
            _ => drop(released.wait_for(|release| *release).await),
        }
    });
    tokio::pin!(campaign);
    tokio::select! {
        done = work(&client, &arguments.options, claim, &health, stopped) => if !done {
            // Something may still be on its way: the Lease runs out by itself.
            return Ok(());
        },
        _ = &mut campaign => return Err("the leader election has ended".into()),
    }
    // Only now: nothing is being worked on any more.
    release.send_replace(true);
    let _ = campaign.await;
    tracing::info!("stopped");
    Ok(())
}

/// Turns true with SIGTERM or SIGINT.
fn stop_on_signal() -> std::io::Result<watch::Receiver<bool>> {
    let (stop, stopped) = watch::channel(false);
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tracing::info!("stopping");
        stop.send_replace(true);
        stop.closed().await;
    });
    Ok(stopped)
}

/// Runs the controllers whenever this process leads, until it is told to stop. False where not everything has come
/// to its end.
async fn work(
    client: &Client,
    options: &controller::Options,
    mut claim: Claim,
    health: &Health,
    mut stopped: watch::Receiver<bool>,
) -> bool {
    loop {
        let standing = claim.standing();
        tokio::select! {
            () = claim.held() => {}
            () = stand_by(standing, health) => {}
            _ = stopped.wait_for(|stop| *stop) => return true,
        }
        let mut lost = claim.clone();
        tokio::select! {
            () = controller::run(client.clone(), options.clone(), claim.clone(), health, stopped.clone()) => return true,
            // Dropped in the middle: whoever leads now goes on from what is stored.
            () = lost.lost() => {}
            () = drained(stopped.clone()) => {
                tracing::warn!("not everything came to its end in {} s; the next start goes on", DRAIN.as_secs());
                return false;
            }
        }
    }
}

/// Says how things stand while another one leads.
async fn stand_by(mut standing: watch::Receiver<Standing>, health: &Health) {
    // What kept a former leader's watches is over with them.
    health.hinder(None);
    loop {
        match &*standing.borrow_and_update() {
            Standing::Unknown(why) => health.not_ready(why.clone()),
            Standing::StandBy { .. } => health.set(Readiness::StandBy),
            Standing::Leading { .. } => {}
        }
        if standing.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

async fn drained(mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
    tokio::time::sleep(DRAIN).await;
}
