//! The client of the API server: what every request costs is measured, under names of a closed set.

use std::{
    task::{Context, Poll},
    time::Instant,
};

use axum::http::{Method, Request, Response, StatusCode};
use futures::{FutureExt as _, future::BoxFuture};
use kube::{Client, Config, client::ClientBuilder};
use tower::{Layer, Service};
use tracing::Instrument as _;

use super::metrics::{KubernetesLabels, RequestLabels, metrics};
use crate::telemetry::CALLS;

/// A client whose requests are measured.
pub fn client(config: Config) -> kube::Result<Client> {
    Ok(ClientBuilder::try_from(config)?.with_layer(&Measuring).build())
}

/// Resources that are spoken of by name.
const RESOURCES: [&str; 6] = ["appmigrations", "k2kreplicators", "configmaps", "secrets", "events", "leases"];

struct Measuring;

impl<S> Layer<S> for Measuring {
    type Service = Measured<S>;

    fn layer(&self, inner: S) -> Measured<S> {
        Measured(inner)
    }
}

#[derive(Clone)]
struct Measured<S>(S);

impl<S, In, Out> Service<Request<In>> for Measured<S>
where
    S: Service<Request<In>, Response = Response<Out>>,
    S::Future: Send + 'static,
    S::Error: 'static,
    Out: 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<In>) -> Self::Future {
        let uri = request.uri();
        let (verb, resource) = asked(request.method(), uri.path(), uri.query().unwrap_or_default());
        let span = tracing::debug_span!(target: CALLS, "kubernetes", verb, resource);
        let mut asked = Asked { verb, resource, start: Instant::now(), outcome: "cancelled" };
        let answer = self.0.call(request);
        let answered = async move {
            let answer = answer.await;
            asked.ended(answer.as_ref().map_or("unreachable", |response| outcome(response.status())));
            answer
        };
        answered.instrument(span).boxed()
    }
}

/// A request under way. One that its caller gives up is counted too.
struct Asked {
    verb: &'static str,
    resource: &'static str,
    start: Instant,
    outcome: &'static str,
}

impl Asked {
    fn ended(&mut self, outcome: &'static str) {
        self.outcome = outcome;
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let Self { verb, resource, start, outcome } = *self;
        let took = start.elapsed();
        let metrics = metrics();
        metrics.kubernetes_requests.get_or_create(&KubernetesLabels { verb, resource, outcome }).inc();
        let duration = metrics.kubernetes_request_duration.get_or_create(&RequestLabels { verb, resource });
        duration.observe(took.as_secs_f64());
    }
}

/// The verb and the resource of a request, as RBAC names them.
fn asked(method: &Method, path: &str, query: &str) -> (&'static str, &'static str) {
    // /api/v1/… or /apis/GROUP/VERSION/…, then [namespaces/NAME/]RESOURCE[/NAME[/SUBRESOURCE]]
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    let skipped = if parts.next() == Some("apis") { 2 } else { 1 };
    let mut parts = parts.skip(skipped).peekable();
    if parts.peek() == Some(&"namespaces") {
        parts.next();
        parts.next();
    }
    let plural = parts.next().unwrap_or_default();
    let resource = RESOURCES.into_iter().find(|known| *known == plural).unwrap_or("other");
    let named = parts.next().is_some();
    let verb = match *method {
        Method::GET if query.split('&').any(|part| part.starts_with("watch=")) => "watch",
        Method::GET if named => "get",
        Method::GET => "list",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "other",
    };
    (verb, resource)
}

fn outcome(status: StatusCode) -> &'static str {
    match status.as_u16() {
        0..=399 => "ok",
        401 => "unauthorized",
        403 => "forbidden",
        404 => "not_found",
        409 => "conflict",
        429 => "too_many_requests",
        400..=499 => "refused",
        _ => "server_error",
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Method;

    #[test]
    fn requests_are_named_as_rbac_names_them() {
        let asked = |method: Method, path: &str, query: &str| super::asked(&method, path, query);
        let ours = "/apis/k2k.dev/v1alpha1";
        assert_eq!(
            asked(Method::GET, &format!("{ours}/appmigrations"), "limit=1"),
            ("list", "appmigrations")
        );
        assert_eq!(
            asked(Method::GET, &format!("{ours}/appmigrations"), "allowWatchBookmarks=true&watch=true"),
            ("watch", "appmigrations")
        );
        let status = format!("{ours}/namespaces/a/appmigrations/app/status");
        assert_eq!(asked(Method::PUT, &status, ""), ("update", "appmigrations"));
        assert_eq!(asked(Method::GET, "/api/v1/namespaces/a/secrets/s", ""), ("get", "secrets"));
        assert_eq!(
            asked(Method::POST, "/apis/events.k8s.io/v1/namespaces/a/events", ""),
            ("create", "events")
        );
        assert_eq!(asked(Method::GET, "/version", ""), ("list", "other"));
        assert_eq!(asked(Method::GET, "/api/v1/namespaces/secrets", ""), ("list", "other"));
    }
}
