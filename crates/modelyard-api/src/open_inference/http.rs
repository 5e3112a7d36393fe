//! The protocol's routes.

use axum::Json;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use modelyard_serve::check_answer;
use modelyard_types::VersionSelector;
use serde::Serialize;
use serde_json::json;

use super::convert::{ModelMetadata, SERVER, metadata};
use super::wire;
use crate::body;
use crate::error::Failure;
use crate::router::{Service, json_response, selector};

/// The header by which binary tensors are announced, which are not spoken here yet.
const BINARY_HEADER: &str = "inference-header-content-length";

/// All routes below `/v2`.
pub(crate) fn routes() -> Router<Service> {
    Router::new()
        .route("/v2", get(async || Json(SERVER)))
        .route("/v2/health/live", get(async || Json(json!({ "live": true }))))
        .route("/v2/health/ready", get(ready))
        .route("/v2/models/{model}", get(model_metadata))
        .route("/v2/models/{model}/ready", get(model_ready))
        .route("/v2/models/{model}/infer", post(infer))
        .route("/v2/models/{model}/versions/{version}", get(version_metadata))
        .route("/v2/models/{model}/versions/{version}/ready", get(version_ready))
        .route("/v2/models/{model}/versions/{version}/infer", post(infer_version))
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
            let serving = status.live.as_ref().map(|live| live.version().get());
            Some(Problem { model: status.name.to_string(), serving, problem: status.problem? })
        })
        .collect();
    let ready = server.is_ready();
    (status_of(ready), Json(json!({ "ready": ready, "problems": problems }))).into_response()
}

async fn model_ready(State(service): State<Service>, Path(model): Path<String>) -> Result<Response, Failure> {
    let status = service.server.model(&model)?;
    let ready = status.live.is_some() && !service.server.is_draining();
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

async fn infer(
    State(service): State<Service>,
    Path(model): Path<String>,
    request: Request<Body>,
) -> Result<Response, Failure> {
    answer(&service, &model, None, request).await
}

async fn infer_version(
    State(service): State<Service>,
    Path((model, version)): Path<(String, String)>,
    request: Request<Body>,
) -> Result<Response, Failure> {
    answer(&service, &model, Some(selector(&version)?), request).await
}

async fn answer(
    service: &Service,
    model: &str,
    selector: Option<VersionSelector>,
    request: Request<Body>,
) -> Result<Response, Failure> {
    let server = &service.server;
    let _busy = server.enter()?;
    let deadline = server.deadline();
    if request.headers().contains_key(BINARY_HEADER) {
        return Err(Failure::invalid("binary tensors are not taken").with_hint("send the tensors as JSON"));
    }
    let version = server.open(model, selector.as_ref()).await?;
    let body = body::read(request, service.config.body_bytes_max, service.config.body_timeout).await?;
    let decoded = wire::decode_json(&body)?;
    drop(body);
    let outputs = version.infer(decoded.inputs, &decoded.outputs, deadline).await?;
    check_answer(&outputs)?;
    let number = version.version().get();
    let json = wire::encode_response(version.model().as_str(), number, decoded.id.as_deref(), &outputs)?;
    Ok(json_response(json))
}
