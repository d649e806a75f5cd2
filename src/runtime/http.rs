//! `/livez`, `/readyz` and `/metrics`, served on a thread of their own: they answer, and say why, when the
//! runtime that does the work is wedged, and a scrape never waits behind a search.

use std::{fmt::Write as _, net::TcpListener, thread};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};

use super::{
    Health, Readiness,
    metrics::{CONTENT_TYPE, encode},
};

/// Serves until the process ends. Errors: the thread or its runtime cannot be made.
pub fn serve(listener: TcpListener, health: Health) -> std::io::Result<()> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new().name("http".into()).spawn(move || {
        runtime.block_on(async move {
            let served = match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => axum::serve(listener, router(health)).await,
                Err(error) => Err(error),
            };
            if let Err(error) = served {
                tracing::error!(%error, "probes and metrics are not served any more");
            }
        });
    })?;
    Ok(())
}

fn router(health: Health) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(health)
}

async fn livez(State(health): State<Health>) -> (StatusCode, String) {
    let silent = health.silent();
    if silent.is_empty() {
        return (StatusCode::OK, "ok\n".to_owned());
    }
    let mut text = String::new();
    for (part, since) in silent {
        let _ = writeln!(text, "{part} has not been heard of for {} s", since.as_secs());
    }
    (StatusCode::SERVICE_UNAVAILABLE, text)
}

async fn readyz(State(health): State<Health>) -> (StatusCode, String) {
    match health.readiness() {
        Readiness::Ready => (StatusCode::OK, "ok\n".to_owned()),
        Readiness::StandBy => (StatusCode::OK, "stand-by: this instance does not lead\n".to_owned()),
        Readiness::NotReady(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
    }
}

async fn metrics() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], encode())
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::{SocketAddr, TcpListener, TcpStream},
        sync::mpsc,
        thread,
        time::Duration,
    };

    use super::{super::Health, Readiness, serve};

    fn served(health: &Health) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        serve(listener, health.clone()).unwrap();
        address
    }

    /// Status line and body.
    fn get(address: SocketAddr, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let code = text.split(' ').nth(1).unwrap().parse().unwrap();
        (code, text.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    #[test]
    fn readiness_is_a_state_and_its_reason() {
        let health = Health::default();
        let address = served(&health);
        health.not_ready("caches are being filled");
        assert_eq!(get(address, "/readyz"), (503, "not ready: caches are being filled\n".to_owned()));
        health.set(Readiness::StandBy);
        assert_eq!(get(address, "/readyz"), (200, "stand-by: this instance does not lead\n".to_owned()));
        health.set(Readiness::Ready);
        assert_eq!(get(address, "/readyz"), (200, "ok\n".to_owned()));
    }

    #[test]
    fn a_wedged_runtime_is_told_of_and_a_slow_task_is_not() {
        let health = Health::default();
        let address = served(&health);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.unwrap();
        let limit = Duration::from_millis(400);
        let beat = health.register("the controller", limit);
        // A task that waits for a slow cluster beside it.
        runtime.spawn(async { tokio::time::sleep(Duration::from_hours(1)).await });
        runtime.spawn(beat.keep());
        thread::sleep(limit * 2);
        assert_eq!(get(address, "/livez"), (200, "ok\n".to_owned()));
        // One that blocks the only thread.
        let (release, blocked) = mpsc::channel::<()>();
        runtime.spawn(async move { blocked.recv() });
        let wedged = wait_for(|| Some(get(address, "/livez")).filter(|(code, _)| *code == 503));
        assert!(wedged.1.starts_with("the controller has not been heard of for"), "{}", wedged.1);
        release.send(()).unwrap();
        wait_for(|| Some(get(address, "/livez")).filter(|(code, _)| *code == 200));
    }

    fn wait_for<T>(probe: impl Fn() -> Option<T>) -> T {
        for _ in 0..500 {
            if let Some(seen) = probe() {
                return seen;
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("it did not come to that within 10 s")
    }
}
