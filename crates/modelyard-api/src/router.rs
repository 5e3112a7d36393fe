//! All routes behind one door: every answer carries the request's id, and every failure has one form.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONNECTION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri, Version};
use axum::response::{IntoResponse, Response};
use modelyard_serve::Server;
use modelyard_types::{ErrorKind, VersionSelector};
use tower_service::Service as _;

use crate::config::ApiConfig;
use crate::error::{ApiError, Failure};
use crate::intake::Intake;
use crate::open_inference::grpc;
use crate::open_inference::http::PlainInfer;
use crate::open_inference::shared_memory::Regions;
use crate::routes::{About, Content, Operation, Routes};
use crate::watch::{self, Begun, CallTrail, Ids, TRACEPARENT, TraceContext};
use crate::{open_inference, page, predict, triton_metrics};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// A longer id from outside is replaced: it stands in every log line.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// What every handler has at hand.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) server: Arc<Server>,
    pub(crate) config: Arc<ApiConfig>,
    pub(crate) intake: Intake,
    pub(crate) regions: Regions,
}

/// The front door: routes, request ids, the form of failures.
#[derive(Clone)]
pub(crate) struct Door {
    router: Router,
    service: Service,
    state: Arc<DoorState>,
}

struct DoorState {
    /// Tells this process's ids from those of others.
    id_prefix: u32,
    id_next: AtomicU64,
    trace_ids: Ids,
    /// Whether connections are told to close with their next answer.
    closing: AtomicBool,
}

impl Door {
    /// # Errors
    /// As [`grpc::routes`].
    pub(crate) fn new(server: Arc<Server>, config: &ApiConfig) -> Result<Self, ApiError> {
        let service = Service {
            server,
            config: Arc::new(config.clone()),
            intake: Intake::new(config),
            regions: Regions::new(config.shares_memory),
        };
        let (http, _) = routes().into_parts();
        let router = http
            .merge(grpc::routes(&service)?)
            .fallback(unknown_path)
            .method_not_allowed_fallback(wrong_method)
            .with_state(service.clone());
        let state = DoorState {
            id_prefix: RandomState::new().hash_one("request ids") as u32,
            id_next: AtomicU64::new(1),
            trace_ids: Ids::default(),
            closing: AtomicBool::new(false),
        };
        Ok(Self { router, service, state: Arc::new(state) })
    }

    /// From now on every answer asks its connection to close.
    pub(crate) fn start_closing(&self) {
        self.state.closing.store(true, Ordering::Relaxed);
    }

    /// Whether no request is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.service.server.is_idle()
    }

    /// Answers one request. Never fails: failures are answers.
    pub(crate) async fn answer(&self, mut request: Request<Body>) -> Response {
        let mut id = self.request_id(&request);
        // Its like never comes again: HTTP/2 is not to keep it in its table of headers.
        id.set_sensitive(true);
        // HTTP/2 connections are told to close by a frame of their own.
        let says_close = request.version() <= Version::HTTP_11 && self.state.closing.load(Ordering::Relaxed);
        let trace = TraceContext::taken_over(request.headers(), &self.state.trace_ids);
        let begun = self.begin(&mut request, trace, &id);
        let mut response = self.dispatch(request).await;
        let failed = response.status().is_client_error() || response.status().is_server_error();
        let mut kind = None;
        if failed && let Some(failure) = failure_of(&mut response) {
            if !failure.is_counted() {
                self.service.server.count_failure(failure.kind());
            }
            kind = Some(failure.kind());
            let id = id.to_str().unwrap_or_default();
            response = failure.render(response, id);
        }
        response.headers_mut().insert(REQUEST_ID, id);
        if let Some(trace) = trace {
            let mut value =
                HeaderValue::try_from(trace.to_string()).expect("hexadecimal digits are visible ASCII");
            value.set_sensitive(true);
            response.headers_mut().insert(TRACEPARENT, value);
        }
        if let Some(begun) = begun {
            begun.end(&mut response, kind);
        }
        if says_close {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    async fn dispatch(&self, request: Request<Body>) -> Response {
        let request = match grpc::Call::of(&request) {
            // Beside the others, or each task of a connection would have to be as large.
            grpc::Call::Infer => return Box::pin(grpc::infer(&self.service, request)).await,
            grpc::Call::Unary => request.map(|body| self.service.intake.watch(body).into_body()),
            grpc::Call::Other => request,
        };
        if let Some(infer) = PlainInfer::of(&request) {
            return Box::pin(infer.answer(&self.service, request)).await;
        }
        let Ok(response) = self.router.clone().call(request).await;
        response
    }

    /// Tells the watchers of a request, once it ends; none where nobody watches. Its trail goes with the request,
    /// also where only the caller keeps a trace.
    fn begin(
        &self,
        request: &mut Request<Body>,
        trace: Option<TraceContext>,
        id: &HeaderValue,
    ) -> Option<Begun> {
        let watchers = &self.service.config.watchers;
        if watchers.is_empty() && trace.is_none() {
            return None;
        }
        let trace = trace.unwrap_or_else(|| TraceContext::new(&self.state.trace_ids));
        let trail = CallTrail::new(trace, request.headers(), watchers);
        request.extensions_mut().insert(Arc::clone(&trail));
        if watchers.is_empty() {
            return None;
        }
        let server = &self.service.server;
        let call = watch::call(server.wall(), &trail, request, id.to_str().unwrap_or_default());
        Some(Begun::new(server, trail, call))
    }

    /// The caller's own id, or a new one.
    fn request_id(&self, request: &Request<Body>) -> HeaderValue {
        let own = request.headers().get(REQUEST_ID);
        let fits = |id: &&HeaderValue| id.to_str().is_ok() && (1..=REQUEST_ID_BYTES_MAX).contains(&id.len());
        own.filter(fits).cloned().unwrap_or_else(|| {
            let number = self.state.id_next.fetch_add(1, Ordering::Relaxed);
            let id = format!("{:08x}-{number:x}", self.state.id_prefix);
            HeaderValue::try_from(id).expect("hexadecimal digits are visible ASCII")
        })
    }
}

/// Every route over HTTP.
fn routes() -> Routes {
    let metrics_told = About {
        summary: "What is counted, for Prometheus.",
        takes: Content::Nothing,
        gives: Content::Text("text/plain"),
        refuses: &[],
    };
    open_inference::http::routes().merge(predict::http::routes()).merge(page::routes()).get(
        "/metrics",
        metrics,
        metrics_told,
    )
}

/// What can be told of every route.
pub(crate) fn operations() -> Vec<Operation> {
    routes().into_parts().1
}

/// The failure that a handler answered, or one made of an extractor's refusal.
fn failure_of(response: &mut Response) -> Option<Failure> {
    if let Some(failure) = response.extensions_mut().remove::<Failure>() {
        return Some(failure);
    }
    let json = response.headers().get(CONTENT_TYPE).is_some_and(|value| value == "application/json");
    let status = response.status();
    (!json).then(|| Failure::invalid("the request's path cannot be read").with_status(status))
}

async fn unknown_path(uri: Uri) -> Failure {
    let path: String = uri.path().chars().take(200).collect();
    Failure::new(ErrorKind::NotFound, format!("there is nothing at {path}"))
        .with_hint("the page at / names the models and their routes")
}

async fn wrong_method(request: Request<Body>) -> Failure {
    let (method, path) = (request.method(), request.uri().path());
    let path: String = path.chars().take(200).collect();
    Failure::invalid(format!("{method} is not answered at {path}"))
        .with_status(StatusCode::METHOD_NOT_ALLOWED)
}

async fn metrics(State(service): State<Service>) -> Response {
    let mut text = service.server.telemetry();
    if service.config.triton_metrics {
        triton_metrics::append(&mut text, &service.server.loaded());
    }
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

/// What a caller says of itself by its headers.
pub(crate) fn labels(headers: &HeaderMap) -> impl Fn(&str) -> Option<String> + '_ {
    |name| headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// A version in a path: a number or an alias.
pub(crate) fn selector(text: &str) -> Result<VersionSelector, Failure> {
    text.parse().map_err(|error: modelyard_types::NameError| Failure::invalid(error.to_string()))
}

/// A finished JSON document.
pub(crate) fn json_response(json: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(json));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
