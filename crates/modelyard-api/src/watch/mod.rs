//! Who watches answered requests: the access log and traces. A watcher is told of each call once it ended and
//! must not make it wait; payloads are never told.

mod access_log;
mod courier;
mod log_settings;
mod otlp;
mod otlp_messages;
mod spans;
mod trace_context;
mod trace_settings;
mod trail;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::body::Body;
use axum::http::{Request, StatusCode, Version};
use axum::response::Response;
use modelyard_serve::{ServedVersion, Server, Times};
use modelyard_types::ErrorKind;

pub use access_log::AccessLog;
pub(crate) use courier::BATCH_MAX;
pub use log_settings::{LogLevels, LogSettings};
pub use otlp::Otlp;
pub use trace_context::TraceContext;
pub(crate) use trace_context::{Ids, TRACEPARENT};
pub use trace_settings::TraceSettings;
pub(crate) use trace_settings::{Change, TraceChange, TraceView};
pub use trail::Steps;
pub(crate) use trail::{CallTrail, HOPS, journey};

/// A longer path is cut: it comes from outside.
const PATH_CHARS_MAX: usize = 200;
/// What nginx calls a request whose client closed before the answer.
const CLIENT_CLOSED: u16 = 499;

/// Is told of every call once it ended.
pub trait Watcher: Send + Sync {
    /// Whether it will keep the spans of a request for this model; most keep none.
    fn records(&self, _trace: &TraceContext, _model: &str) -> bool {
        false
    }
    /// Takes a call in, without waiting.
    fn ended(&self, call: &Call);
    /// Waits until all that was taken in is where it belongs.
    fn finish(&self);
}

/// All who watch; each request that is followed holds them, so they are shared.
#[derive(Clone, Default)]
pub struct Watchers(Arc<[Arc<dyn Watcher>]>);

impl Watchers {
    /// Those given.
    pub fn new(all: Vec<Arc<dyn Watcher>>) -> Self {
        Self(all.into())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is to be told of an answer; none where nobody watches.
    pub(crate) fn served(&self, version: &ServedVersion, times: Times) -> Option<Served> {
        let served =
            || Served { model: version.model().to_string(), version: version.version().get(), times };
        (!self.is_empty()).then(served)
    }

    /// Whether one of them will keep the spans of a request for this model.
    fn record(&self, trace: &TraceContext, model: &str) -> bool {
        self.0.iter().any(|watcher| watcher.records(trace, model))
    }

    /// Waits for each to finish.
    pub(crate) fn finish(&self) {
        self.0.iter().for_each(|watcher| watcher.finish());
    }
}

impl std::fmt::Debug for Watchers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} watchers", self.0.len())
    }
}

/// A request and what became of it.
#[derive(Clone, Debug)]
pub struct Call {
    /// When it came.
    pub at: SystemTime,
    /// How long it took in all, until its answer was ready to be written.
    pub took: Duration,
    /// The id that its answer carries.
    pub request_id: String,
    /// Its place in the caller's trace, or in one of its own.
    pub trace: TraceContext,
    /// The HTTP method.
    pub method: String,
    /// The path asked for, without a query.
    pub path: String,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub protocol: &'static str,
    /// The HTTP status; 499 where the caller went away.
    pub status: u16,
    /// gRPC's own status, of gRPC calls.
    pub grpc_status: Option<u16>,
    /// The kind of failure.
    pub kind: Option<ErrorKind>,
    /// The version that answered, where one did.
    pub served: Option<Served>,
    /// What the steps of a graph did for it, where somebody keeps that.
    pub steps: Steps,
}

/// Which version answered, and how long its parts took.
#[derive(Clone, Debug)]
pub struct Served {
    /// The model.
    pub model: String,
    /// Its version.
    pub version: u64,
    /// The wait for a batch and the batch's run.
    pub times: Times,
}

impl Served {
    /// Lets it ride along with the answer, to where the call ends.
    pub(crate) fn note<B>(served: Option<Self>, response: &mut axum::http::Response<B>) {
        if let Some(served) = served {
            response.extensions_mut().insert(served);
        }
    }
}

/// A call under way. One that is dropped without an end had its caller go away.
pub(crate) struct Begun {
    server: Arc<Server>,
    start: Instant,
    /// None once it was told.
    call: Option<Call>,
    trail: Arc<CallTrail>,
}

/// A request as it came, as yet without an answer.
pub(crate) fn call(at: SystemTime, trail: &CallTrail, request: &Request<Body>, request_id: &str) -> Call {
    Call {
        at,
        took: Duration::ZERO,
        request_id: request_id.to_owned(),
        trace: trail.context(),
        method: request.method().to_string(),
        path: request.uri().path().chars().take(PATH_CHARS_MAX).collect(),
        protocol: if request.version() == Version::HTTP_2 { "HTTP/2.0" } else { "HTTP/1.1" },
        status: CLIENT_CLOSED,
        grpc_status: None,
        kind: Some(ErrorKind::Cancelled),
        served: None,
        steps: Steps::default(),
    }
}

impl Begun {
    pub(crate) fn new(server: &Arc<Server>, trail: Arc<CallTrail>, call: Call) -> Self {
        let start = server.now();
        Self { server: Arc::clone(server), start, call: Some(call), trail }
    }

    /// Tells what became of it.
    pub(crate) fn end(mut self, response: &mut Response, kind: Option<ErrorKind>) {
        if let Some(call) = &mut self.call {
            call.status = response.status().as_u16();
            call.kind = kind;
            call.served = response.extensions_mut().remove::<Served>();
            call.grpc_status = grpc_status(response);
        }
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if let Some(mut call) = self.call.take() {
            call.took = self.server.now().saturating_duration_since(self.start);
            call.steps = self.trail.finish();
            self.trail.watchers().0.iter().for_each(|watcher| watcher.ended(&call));
        }
    }
}

/// gRPC's status of a call that was refused at once; one whose answer has begun counts as well ended.
fn grpc_status(response: &Response) -> Option<u16> {
    let content_type = response.headers().get(axum::http::header::CONTENT_TYPE)?;
    if response.status() != StatusCode::OK || !content_type.as_bytes().starts_with(b"application/grpc") {
        return None;
    }
    let status = response.headers().get("grpc-status");
    Some(status.and_then(|text| text.to_str().ok()?.parse().ok()).unwrap_or(0))
}
