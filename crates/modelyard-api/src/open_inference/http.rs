//! The protocol's routes.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use modelyard_serve::{Answered, ServedVersion, Terms};
use modelyard_types::{NamedTensor, VersionSelector};
use serde::Serialize;
use serde_json::{Value, json};

use super::answer::Encoded;
use super::convert::{ModelMetadata, ServerMetadata, metadata};
use super::request::DecodedRequest;
use super::shared_memory::Reserved;
use super::wire::BINARY_HEADER;
use super::{about as documents, answer, infer, repository, settings, shared_memory, wire};
use crate::body;
use crate::error::Failure;
use crate::router::{self, Service, json_response, selector};
use crate::routes::{About, Content, Routes};
use crate::watch::{self, Served};

const JSON_BYTES: HeaderName = HeaderName::from_static(BINARY_HEADER);

/// Of what opens a version.
const OPEN: &[u16] = &[400, 404, 500, 503];
/// Of what runs one.
const RUN: &[u16] = &[400, 404, 408, 413, 415, 429, 500, 501, 503, 504];

fn about(summary: &'static str, gives: Content, refuses: &'static [u16]) -> About {
    About { summary, takes: Content::Nothing, gives, refuses }
}

fn inference(summary: &'static str) -> About {
    let (takes, gives) = (Content::Tensors("InferRequest"), Content::Tensors("InferAnswer"));
    About { summary, takes, gives, refuses: RUN }
}

/// All routes below `/v2`.
pub(crate) fn routes() -> Routes {
    let inference = server_routes().merge(model_routes()).merge(version_routes());
    inference.merge(repository::routes()).merge(settings::routes()).merge(shared_memory::http::routes())
}

fn server_routes() -> Routes {
    let live = async || Json(json!({ "live": true }));
    let statistics = Content::Json("Statistics");
    Routes::new()
        .get("/v2", server_metadata, about("What this server is.", Content::Json("ServerMetadata"), &[]))
        .get("/v2/health/live", live, about("Whether it runs.", Content::Json("Live"), &[]))
        .get("/v2/health/ready", ready, about("Whether all models answer.", Content::State("Ready"), &[]))
        .get("/v2/models/stats", all_statistics, about("What all versions did.", statistics, &[]))
}

fn model_routes() -> Routes {
    let metadata = about("What a model takes and gives.", Content::Json("ModelMetadata"), OPEN);
    let ready = about("Whether a model answers.", Content::State("ModelReady"), &[400, 404]);
    let config = about("How a model is served.", Content::Json("ModelConfig"), OPEN);
    let statistics = about("What a model's versions did.", Content::Json("Statistics"), &[400, 404]);
    Routes::new()
        .get("/v2/models/{model}", model_metadata, metadata)
        .get("/v2/models/{model}/ready", model_ready, ready)
        .get("/v2/models/{model}/config", model_config, config)
        .get("/v2/models/{model}/stats", model_statistics, statistics)
        .post("/v2/models/{model}/infer", infer_live, inference("Tensors in, tensors out."))
}

fn version_routes() -> Routes {
    let metadata = about("What a version takes and gives.", Content::Json("ModelMetadata"), OPEN);
    let ready = about("Whether a version answers.", Content::State("ModelReady"), &[400, 404, 500]);
    let config = about("How a version is served.", Content::Json("ModelConfig"), OPEN);
    let statistics = about("What a version did.", Content::Json("Statistics"), OPEN);
    let infer = inference("Tensors in, tensors out, by this version.");
    Routes::new()
        .get("/v2/models/{model}/versions/{version}", version_metadata, metadata)
        .get("/v2/models/{model}/versions/{version}/ready", version_ready, ready)
        .get("/v2/models/{model}/versions/{version}/config", version_config, config)
        .get("/v2/models/{model}/versions/{version}/stats", version_statistics, statistics)
        .post("/v2/models/{model}/versions/{version}/infer", infer_version, infer)
}

async fn server_metadata(State(service): State<Service>) -> Json<ServerMetadata> {
    Json(ServerMetadata::new(&service.config))
}

fn status_of(ready: bool) -> StatusCode {
    if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

async fn ready(State(service): State<Service>) -> Response {
    #[derive(Serialize)]
    struct Problem {
        model: String,
        serving: Option<u64>,
        problem: String,
    }
    let server = &service.server;
    let problems: Vec<Problem> = server
        .models()
        .into_iter()
        .filter_map(|status| {
            let serving = status.answering().map(|version| version.get());
            Some(Problem { model: status.name.to_string(), serving, problem: status.problem? })
        })
        .collect();
    let ready = server.is_ready();
    (status_of(ready), Json(json!({ "ready": ready, "problems": problems }))).into_response()
}

async fn model_ready(State(service): State<Service>, Path(model): Path<String>) -> Result<Response, Failure> {
    let status = service.server.model(&model)?;
    let ready = status.answering().is_some() && !service.server.is_draining();
    let body = json!({ "name": model, "ready": ready, "problem": status.problem });
    Ok((status_of(ready), Json(body)).into_response())
}

async fn version_ready(
    State(service): State<Service>,
    Path((model, version)): Path<(String, String)>,
) -> Result<Response, Failure> {
    let selector = selector(&version)?;
    let loaded = service.server.open(&model, Some(&selector)).await?;
    let ready = !service.server.is_draining();
    let body = json!({ "name": model, "version": loaded.version().to_string(), "ready": ready });
    Ok((status_of(ready), Json(body)).into_response())
}

async fn model_metadata(
    State(service): State<Service>,
    Path(model): Path<String>,
) -> Result<Json<ModelMetadata>, Failure> {
    describe(&service, &model, None).await
}

async fn version_metadata(
    State(service): State<Service>,
    Path((model, version)): Path<(String, String)>,
) -> Result<Json<ModelMetadata>, Failure> {
    describe(&service, &model, Some(selector(&version)?)).await
}

async fn describe(
    service: &Service,
    model: &str,
    selector: Option<VersionSelector>,
) -> Result<Json<ModelMetadata>, Failure> {
    let version = service.server.open(model, selector.as_ref()).await?;
    Ok(Json(metadata(&service.server.model(model)?, &version)))
}

async fn model_config(
    State(service): State<Service>,
    Path(model): Path<String>,
) -> Result<Json<Value>, Failure> {
    let version = service.server.open(&model, None).await?;
    Ok(Json(documents::config(&version)))
}

async fn version_config(
    State(service): State<Service>,
    Path((model, version)): Path<(String, String)>,
) -> Result<Json<Value>, Failure> {
    let version = service.server.open(&model, Some(&selector(&version)?)).await?;
    Ok(Json(documents::config(&version)))
}

async fn all_statistics(State(service): State<Service>) -> Json<Value> {
    Json(documents::statistics(&service.server.loaded()))
}

async fn model_statistics(
    State(service): State<Service>,
    Path(model): Path<String>,
) -> Result<Json<Value>, Failure> {
    let status = service.server.model(&model)?;
    let mut loaded = service.server.loaded();
    loaded.retain(|version| *version.model() == status.name);
    Ok(Json(documents::statistics(&loaded)))
}

async fn version_statistics(
    State(service): State<Service>,
    Path((model, version)): Path<(String, String)>,
) -> Result<Json<Value>, Failure> {
    let version = service.server.open(&model, Some(&selector(&version)?)).await?;
    Ok(Json(documents::statistics(&[version])))
}

async fn infer_live(
    State(service): State<Service>,
    Path(model): Path<String>,
    request: Request<Body>,
) -> Result<Response, Failure> {
    respond(&service, &model, None, request).await
}

async fn infer_version(
    State(service): State<Service>,
    Path((model, version)): Path<(String, String)>,
    request: Request<Body>,
) -> Result<Response, Failure> {
    respond(&service, &model, Some(selector(&version)?), request).await
}

/// An inference whose path needs no router: what is asked thousands of times a second goes past it.
pub(crate) struct PlainInfer {
    model: String,
    version: Option<String>,
}

impl PlainInfer {
    /// None for every other request; one whose path has anything encoded takes its route.
    pub(crate) fn of(request: &Request<Body>) -> Option<Self> {
        let path = request.uri().path().strip_prefix("/v2/models/")?.strip_suffix("/infer")?;
        if request.method() != Method::POST || path.contains('%') {
            return None;
        }
        let (model, version) = match path.split_once('/') {
            None => (path, None),
            Some((model, rest)) => (model, Some(rest.strip_prefix("versions/")?)),
        };
        let is_name = |text: &str| !text.is_empty() && !text.contains('/');
        let plain = is_name(model) && version.is_none_or(is_name);
        plain.then(|| Self { model: model.to_owned(), version: version.map(str::to_owned) })
    }

    /// As its route answers it. Never fails: failures are answers.
    pub(crate) async fn answer(self, service: &Service, request: Request<Body>) -> Response {
        let selector = self.version.as_deref().map(selector).transpose();
        let answer = match selector {
            Ok(selector) => respond(service, &self.model, selector, request).await,
            Err(failure) => Err(failure),
        };
        answer.into_response()
    }
}

async fn respond(
    service: &Service,
    model: &str,
    selector: Option<VersionSelector>,
    request: Request<Body>,
) -> Result<Response, Failure> {
    let server = &service.server;
    let _busy = server.enter()?;
    let arrived = server.deadline();
    let json_bytes = json_bytes(request.headers())?;
    let chosen = server.choose(model, selector.as_ref(), &router::labels(request.headers()));
    let version = server.open_chosen(chosen, model, selector.as_ref()).await?;
    let journey = watch::journey(&version, request.headers(), request.extensions());
    let body = body::read(request, service.config.body_bytes_max, &service.intake).await?;
    version.check_room()?;
    let mut decoded = match json_bytes {
        None => wire::decode_json(&body)?,
        Some(0) => infer::raw_request(&version.signature().inputs, &body)?,
        Some(bytes) => wire::decode_binary(&body, bytes)?,
    };
    drop(body);
    let reserved = service.regions.fill(&mut decoded, service.config.body_bytes_max)?;
    let terms = Terms { urgency: infer::urgency(server, arrived, &decoded.parameters), journey };
    let write = |version: &ServedVersion, decoded: &DecodedRequest, outputs: Vec<NamedTensor>| {
        write(version, decoded, (&reserved, &outputs))
    };
    let (version, answered) = match decoded.sequence.take() {
        None => {
            let Answered { answer, times } = infer::run(&version, &mut decoded, terms).await?;
            (Arc::clone(&version), Answered { answer: write(&version, &decoded, answer)?, times })
        }
        Some(step) => {
            let turn = server.take_turn(&version, selector.is_some(), step)?;
            (Arc::clone(turn.version()), infer::run_in_sequence(turn, &mut decoded, terms, write).await?)
        }
    };
    let Answered { answer: encoded, times } = answered;
    let mut response = json_response(encoded.body);
    Served::note(service.config.watchers.served(&version, times), &mut response);
    if let Some(bytes) = encoded.json_bytes {
        response.headers_mut().insert(JSON_BYTES, HeaderValue::from(bytes));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    }
    Ok(response)
}

/// Writes what a version gave: as the answer, and into shared memory where that was asked for.
fn write(
    version: &ServedVersion,
    request: &DecodedRequest,
    (reserved, outputs): (&[Reserved], &[NamedTensor]),
) -> Result<Encoded, Failure> {
    let computed = version.now();
    shared_memory::put(reserved, outputs)?;
    let encoded = answer::encode(version.model().as_str(), version.version().get(), request, outputs)?;
    version.encoded(version.now().saturating_duration_since(computed));
    Ok(encoded)
}

/// How many bytes of the body are JSON; none where all are.
fn json_bytes(headers: &HeaderMap) -> Result<Option<usize>, Failure> {
    let Some(value) = headers.get(JSON_BYTES) else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    let told = || Failure::invalid(format!("{BINARY_HEADER} is {value:?}, which is no number of bytes"));
    number.map(Some).ok_or_else(told)
}
