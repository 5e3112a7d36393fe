//! The model repository extension: what there is, and loading and unloading it where the server allows that.
//!
//! Source: <https://github.com/triton-inference-server/server>, `docs/protocol/extension_model_repository.md`.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Request, StatusCode};
use modelyard_serve::{IndexEntry, ServeError};
use modelyard_types::ErrorKind;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::body;
use crate::error::Failure;
use crate::router::Service;
use crate::routes::{About, Content, Routes};

/// Most bytes of a request here: they are a few words.
const BODY_BYTES_MAX: usize = 64 << 10;

/// Of orders to load and unload.
const CONTROL: &[u16] = &[400, 403, 404, 408, 413, 415, 500, 501, 503];

/// All routes below `/v2/repository`.
pub(super) fn routes() -> Routes {
    let list = About {
        summary: "Every version, and whether it is in memory.",
        takes: Content::JsonOrNothing("IndexRequest"),
        gives: Content::Json("Index"),
        refuses: &[400, 408, 413, 415],
    };
    let order = |summary| About {
        summary,
        takes: Content::JsonOrNothing("ControlRequest"),
        gives: Content::Nothing,
        refuses: CONTROL,
    };
    Routes::new()
        .post("/v2/repository/index", index, list)
        .post("/v2/repository/models/{model}/load", load, order("Takes a model into memory."))
        .post("/v2/repository/models/{model}/unload", unload, order("Takes a model out of memory."))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct IndexRequest {
    ready: bool,
}

#[derive(Serialize)]
struct IndexLine {
    name: String,
    version: String,
    state: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ControlRequest {
    parameters: serde_json::Map<String, Value>,
}

/// An index entry in the protocol's words: name, version, state and reason.
pub(crate) fn in_words(entry: IndexEntry) -> (String, String, &'static str, String) {
    let version = entry.version.map(|version| version.to_string()).unwrap_or_default();
    let state = if entry.ready { "READY" } else { "UNAVAILABLE" };
    (entry.model.to_string(), version, state, entry.reason.unwrap_or_default())
}

async fn index(
    State(service): State<Service>,
    request: Request<Body>,
) -> Result<Json<Vec<IndexLine>>, Failure> {
    let wanted: IndexRequest = read(&service, request).await?;
    let entries = service.server.index().into_iter().filter(|entry| entry.ready || !wanted.ready);
    let line = |entry| {
        let (name, version, state, reason) = in_words(entry);
        IndexLine { name, version, state, reason }
    };
    Ok(Json(entries.map(line).collect()))
}

async fn load(
    State(service): State<Service>,
    Path(model): Path<String>,
    request: Request<Body>,
) -> Result<StatusCode, Failure> {
    obey(&service, Order::Load, &model, request).await
}

async fn unload(
    State(service): State<Service>,
    Path(model): Path<String>,
    request: Request<Body>,
) -> Result<StatusCode, Failure> {
    obey(&service, Order::Unload, &model, request).await
}

async fn obey(
    service: &Service,
    order: Order,
    model: &str,
    request: Request<Body>,
) -> Result<StatusCode, Failure> {
    let wanted: ControlRequest = read(service, request).await?;
    let given = wanted.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    control(service, order, model, given).await?;
    Ok(StatusCode::OK)
}

/// The body as JSON; an empty one says nothing.
///
/// # Errors
/// As [`body::read`], and a body that is no such JSON.
pub(super) async fn read<T: Default + for<'de> Deserialize<'de>>(
    service: &Service,
    request: Request<Body>,
) -> Result<T, Failure> {
    let body = body::read(request, BODY_BYTES_MAX, &service.intake).await?;
    if body.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(&body)
        .map_err(|error| Failure::invalid(format!("the body is not what this route takes: {error}")))
}

/// What a client may ask of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Into memory.
    Load,
    /// Out of memory.
    Unload,
}

/// Carries out an order, where the server takes any. Parameters come by name, with their text where they are one.
///
/// # Errors
/// A server that takes none, a model that is not there, a parameter that asks for more than that.
pub(crate) async fn control<'n>(
    service: &Service,
    order: Order,
    model: &str,
    parameters: impl Iterator<Item = (&'n str, Option<&'n str>)>,
) -> Result<(), Failure> {
    if !service.config.repository_control {
        let message = "this server takes no orders to load and unload models";
        return Err(Failure::new(ErrorKind::PermissionDenied, message)
            .with_hint("start it with --repository-control; promoted versions are loaded by themselves"));
    }
    let mut config = None;
    for (name, text) in parameters {
        match name {
            // What depends on a model here is nothing, so that this one is always obeyed.
            "unload_dependents" if order == Order::Unload => {}
            "config" if order == Order::Load && text.is_some() => config = text,
            _ => {
                let message =
                    format!("the parameter {name:?} is not supported: models come from the registry");
                return Err(Failure::new(ErrorKind::Unsupported, message)
                    .with_hint("publish the model with `modelyard import` or `modelyard train`"));
            }
        }
    }
    match order {
        Order::Load => service.server.load(model, config).await.map_err(|error| not_loaded(model, error))?,
        Order::Unload => service.server.unload(model).await?,
    }
    tracing::info!(model, ?order, "a client's order was carried out");
    Ok(())
}

/// In the words that Triton's clients look for.
fn not_loaded(model: &str, error: ServeError) -> Failure {
    let failure = Failure::from(error);
    let message = format!("failed to load {model:?}: {}", failure.message());
    failure.with_message(message)
}
