//! An OpenTelemetry collector: takes traces over HTTP and keeps their spans; or one that never answers.

use std::{
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    routing::post,
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span,
};
use prost::Message as _;

use super::stack::{block_on, runtime};

/// Those of one service.
pub type Spans = Arc<Mutex<Vec<(String, Span)>>>;

pub struct Collector {
    pub endpoint: String,
    spans: Spans,
}

impl Collector {
    pub fn start() -> Self {
        let spans = Spans::default();
        let router = Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&spans));
        let listener = block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let endpoint = url(listener.local_addr().unwrap());
        runtime().spawn(async move { axum::serve(listener, router).await });
        Self { endpoint, spans }
    }

    /// The spans that came so far, each with its service.
    pub fn spans(&self) -> Vec<(String, Span)> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A port that accepts connections and never answers, for as long as it is kept.
pub fn black_hole() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = url(listener.local_addr().unwrap());
    (listener, endpoint)
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

async fn take(State(spans): State<Spans>, headers: HeaderMap, body: Bytes) -> StatusCode {
    if headers.get(CONTENT_TYPE).is_none_or(|kind| kind != "application/x-protobuf") {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE;
    }
    let Ok(request) = ExportTraceServiceRequest::decode(body) else { return StatusCode::BAD_REQUEST };
    let mut kept = spans.lock().unwrap_or_else(PoisonError::into_inner);
    for of_service in request.resource_spans {
        let attributes = of_service.resource.map(|resource| resource.attributes).unwrap_or_default();
        let service = attribute(&attributes, "service.name");
        let spans = of_service.scope_spans.into_iter().flat_map(|scope| scope.spans);
        kept.extend(spans.map(|span| (service.clone(), span)));
    }
    StatusCode::OK
}

/// An attribute as text; empty where there is none.
pub fn attribute(attributes: &[KeyValue], key: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == key);
    match found.and_then(|attribute| attribute.value.clone()?.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        _ => String::new(),
    }
}
