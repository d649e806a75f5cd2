//! Traces for an OpenTelemetry collector, by OTLP over HTTP. The exporter's own thread sends them in batches;
//! what a collector does not take is dropped, and never waited for.

use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{SdkTracerProvider, Tracer},
};
use tokio::runtime::{Builder, Runtime};

/// A batch that is not taken within this time is dropped.
const TIMEOUT: Duration = Duration::from_secs(2);
/// What is left at the end is sent within this time or dropped; long enough for a dead collector to be told of.
const FLUSH: Duration = Duration::from_secs(3);
/// A collector has no more to say than that, in bytes.
const ANSWER: usize = 64 * 1024;

/// The exporter; sends what is left when it is dropped.
pub struct Exporter(SdkTracerProvider);

impl Exporter {
    /// Exports to the collector at `endpoint`, such as `http://collector:4318`. Errors: the endpoint is no URL.
    pub fn new(endpoint: &str) -> Result<Self, Box<dyn std::error::Error>> {
        let client = CollectorClient::new()?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .with_timeout(TIMEOUT)
            .build()?;
        let mut resource = Resource::builder();
        if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
            resource = resource.with_service_name("appmigration-operator");
        }
        let provider =
            SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build());
        Ok(Self(provider.build()))
    }

    /// What spans are made with.
    pub fn tracer(&self) -> Tracer {
        self.0.tracer("appmigration")
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        // A collector that is not there has been told of.
        let _ = self.0.shutdown_with_timeout(FLUSH);
    }
}

/// An HTTP client with a runtime of its own: the exporter's thread has none.
struct CollectorClient {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    runtime: Runtime,
    /// Told of once, until it works again.
    failing: AtomicBool,
}

impl fmt::Debug for CollectorClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CollectorClient")
    }
}

impl CollectorClient {
    fn new() -> std::io::Result<Self> {
        let connector =
            HttpsConnectorBuilder::new().with_native_roots()?.https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Self { client, runtime, failing: AtomicBool::new(false) })
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = self.client.request(request.map(Full::new)).await?.into_parts();
        let body = Limited::new(body, ANSWER).collect().await?.to_bytes();
        Ok(Response::from_parts(parts, body))
    }
}

#[async_trait::async_trait]
impl HttpClient for CollectorClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        // On the exporter's thread, which does nothing else.
        let sent = self.runtime.block_on(async { tokio::time::timeout(TIMEOUT, self.send(request)).await });
        let answer = sent.map_err(HttpError::from).and_then(|answer| answer);
        let wrong = match &answer {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(answer.status().to_string()),
            Err(error) => Some(error.to_string()),
        };
        let failed_before = self.failing.swap(wrong.is_some(), Ordering::Relaxed);
        if let Some(why) = wrong.filter(|_| !failed_before) {
            tracing::warn!(why, "the OpenTelemetry collector does not take traces; they are dropped");
        }
        answer
    }
}
