//! The routes of predictions.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{ALLOW, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use modelyard_serve::{
    Answer, Answered, Drawing, FieldInfo, GraphAnswer, GraphRows, Kind, Routed, Row, Terms, Times, Value,
};
use modelyard_types::{Deadline, ErrorKind, NamedTensor, Version, VersionSelector};
use serde_json::json;

use super::convert::{TensorRows, write_answer, write_row, write_tensor_row};
use super::generation::{self, Wish};
use super::streaming;
use super::wire::{Envelope, NamedRows, decode};
use crate::body;
use crate::error::Failure;
use crate::router::{self, Service, json_response, selector};
use crate::routes::{About, Content, Routes};
use crate::watch::{self, Served};

const MODEL_VERSION: HeaderName = HeaderName::from_static("x-model-version");
const VERB: &str = ":predict";

/// Of what runs a model.
const RUN: &[u16] = &[400, 404, 408, 409, 413, 415, 429, 500, 501, 503, 504];

/// `/v1` and `/predict`.
pub(crate) fn routes() -> Routes {
    let told = |summary, gives, refuses| About { summary, takes: Content::Nothing, gives, refuses };
    let many = |summary| About {
        summary,
        takes: Content::JsonOrImage("PredictRequest"),
        gives: Content::Json("PredictAnswer"),
        refuses: RUN,
    };
    let one = About {
        summary: "A row in, an answer out, where one model is served.",
        takes: Content::JsonOrImage("PredictOneRequest"),
        gives: Content::Json("PredictOneAnswer"),
        refuses: RUN,
    };
    let state = Content::Json("ModelStatus");
    let versions = "/v1/models/{model}/versions/{target}";
    Routes::new()
        .get("/v1/models", models, told("The names of the models.", Content::Json("Models"), &[]))
        .get("/v1/models/{target}", status, told("Which version answers.", state, &[400, 404, 405]))
        .get(versions, version_status, told("Whether a version answers.", state, &[400, 404, 405, 500, 503]))
        .post_as("/v1/models/{target}", "/v1/models/{model}:predict", predict, many("Rows in, answers out."))
        .post_as(
            versions,
            "/v1/models/{model}/versions/{version}:predict",
            predict_version,
            many("Rows in, answers out, by this version."),
        )
        .post("/predict", predict_only, one)
}

async fn models(State(service): State<Service>) -> Json<serde_json::Value> {
    let names: Vec<String> = service.server.models().iter().map(|status| status.name.to_string()).collect();
    Json(json!({ "models": names }))
}

/// TensorFlow Serving's `model_version_status` and KServe's `name` and `ready` in one document.
async fn status(State(service): State<Service>, Path(model): Path<String>) -> Result<Response, Failure> {
    if model.ends_with(VERB) {
        return Ok(only_post());
    }
    let status = service.server.model(&model)?;
    let live = status.answering().map(|version| version.to_string());
    let told = json!({
        "name": model,
        "ready": live.is_some() && !service.server.is_draining(),
        "problem": status.problem,
        "model_version_status": live.into_iter().map(available).collect::<Vec<_>>(),
    });
    Ok(Json(told).into_response())
}

async fn version_status(
    State(service): State<Service>,
    Path((model, version)): Path<(String, String)>,
) -> Result<Response, Failure> {
    if version.ends_with(VERB) {
        return Ok(only_post());
    }
    let loaded = service.server.open(&model, Some(&selector(&version)?)).await?;
    let told = json!({ "model_version_status": [available(loaded.version().to_string())] });
    Ok(Json(told).into_response())
}

/// The answer to a GET at the path of a prediction, which the router cannot tell from a model's.
fn only_post() -> Response {
    let failure = Failure::invalid("a prediction is asked for by POST");
    let mut refused = failure.with_status(StatusCode::METHOD_NOT_ALLOWED).into_response();
    refused.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    refused
}

fn available(version: String) -> serde_json::Value {
    json!({ "version": version, "state": "AVAILABLE", "status": { "error_code": "OK", "error_message": "" } })
}

fn without_verb(target: &str) -> Result<&str, Failure> {
    target.strip_suffix(VERB).ok_or_else(|| {
        let target: String = target.chars().take(100).collect();
        Failure::new(ErrorKind::NotFound, format!("there is nothing to post to at {target:?}"))
            .with_hint(format!("add {VERB} to the model's name"))
    })
}

async fn predict(
    State(service): State<Service>,
    Path(target): Path<String>,
    request: Request<Body>,
) -> Result<Response, Failure> {
    answer(&service, without_verb(&target)?, None, request, Envelope::Instances).await
}

async fn predict_version(
    State(service): State<Service>,
    Path((model, target)): Path<(String, String)>,
    request: Request<Body>,
) -> Result<Response, Failure> {
    let selector = selector(without_verb(&target)?)?;
    answer(&service, &model, Some(selector), request, Envelope::Instances).await
}

async fn predict_only(State(service): State<Service>, request: Request<Body>) -> Result<Response, Failure> {
    let name = {
        let models = service.server.models_asked_for();
        match models.as_slice() {
            [only] => only.name.to_string(),
            models => {
                let message = format!("/predict needs exactly one served model, there are {}", models.len());
                let failure = Failure::new(ErrorKind::FailedPrecondition, message);
                return Err(failure.with_hint("ask /v1/models/<name>:predict; /v1/models lists the names"));
            }
        }
    };
    answer(&service, &name, None, request, Envelope::Input).await
}

async fn answer(
    service: &Service,
    model: &str,
    selector: Option<VersionSelector>,
    request: Request<Body>,
    envelope: Envelope,
) -> Result<Response, Failure> {
    let server = &service.server;
    let _busy = server.enter()?;
    let deadline = server.deadline();
    let chosen = server.choose(model, selector.as_ref(), &router::labels(request.headers()));
    let version = server.open_chosen(chosen, model, selector.as_ref()).await?;
    let raw_image = is_image(&request);
    let journey = watch::journey(&version, request.headers(), request.extensions());
    let body = body::read(request, service.config.body_bytes_max, &service.intake).await?;
    version.check_room()?;
    let (json, times) = match version.fields() {
        Some(fields) => {
            let rows = match raw_image {
                true => Ok(vec![image_row(fields, body.to_vec())?]),
                false => named_rows(&body, envelope, fields),
            };
            match rows {
                Ok(rows) if version.continues_texts() => {
                    let Wish { generation, streams } = generation::wish(&body)?;
                    if streams {
                        let served = service.config.watchers.served(&version, Times::default());
                        let number = version.version();
                        let response = streaming::answer(service, version, rows, (generation, deadline))?;
                        return Ok(stamped(response, served, number));
                    }
                    let answered = version.generate(&rows, &generation, deadline).await?;
                    written(&version, &answered, envelope)
                }
                Ok(rows) => {
                    drop(body);
                    written(&version, &version.predict(rows, deadline).await?, envelope)
                }
                Err(failure) => match generation::drawing(&body, envelope)? {
                    Some(wish) => samples(&version, wish, (envelope, deadline)).await?,
                    None => return Err(failure),
                },
            }
        }
        None => {
            let terms = Terms { urgency: deadline.into(), journey };
            match version.graph_rows().await? {
                Some(way) => {
                    let asked = if raw_image { Asked::Image(body.to_vec()) } else { Asked::Json(&body) };
                    graph_answer(&version, way, asked, (envelope, terms)).await?
                }
                None if raw_image => {
                    return Err(Failure::invalid("the model takes tensors, not images"));
                }
                None => {
                    let inputs = number_rows(&version, &body, envelope)?;
                    tensor_answer(&version, inputs, envelope, terms).await?
                }
            }
        }
    };
    Ok(stamped(json_response(json), service.config.watchers.served(&version, times), version.version()))
}

/// The response with who gave it.
fn stamped(mut response: Response, served: Option<Served>, version: Version) -> Response {
    Served::note(served, &mut response);
    response.headers_mut().insert(MODEL_VERSION, HeaderValue::from(version.get()));
    response
}

/// Answers of a pipeline, or a language model's continuations, as JSON.
fn written(version: &Routed, answered: &Answered<Vec<Answer>>, envelope: Envelope) -> (Vec<u8>, Times) {
    let answers = &answered.answer;
    let computed = version.now();
    let json = encode(answers.len(), envelope, |json, row| write_answer(json, &answers[row]));
    version.encoded(version.now().saturating_duration_since(computed));
    (json, answered.times)
}

/// Rows that the model draws.
async fn samples(
    version: &Routed,
    wish: Drawing,
    (envelope, deadline): (Envelope, Deadline),
) -> Result<(Vec<u8>, Times), Failure> {
    let Answered { answer: drawn, times } = version.draw(wish, deadline).await?;
    let computed = version.now();
    // Off the async threads, as they were drawn: a hundred images as base64 take longer than others shall wait.
    let written = move || encode(drawn.len(), envelope, |json, row| write_row(json, &drawn[row]));
    let json = tokio::task::spawn_blocking(written).await;
    let json = json.map_err(|_| Failure::new(ErrorKind::Internal, "writing the samples panicked"))?;
    version.encoded(version.now().saturating_duration_since(computed));
    Ok((json, times))
}

fn is_image(request: &Request<Body>) -> bool {
    let content_type = request.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    content_type.is_some_and(|text| text.starts_with(b"image/"))
}

/// The row of which the body is the only image.
fn image_row(fields: &[FieldInfo], image: Vec<u8>) -> Result<Row, Failure> {
    match fields {
        [field] if field.kind == Kind::Image => Ok(Row::from([(field.name.clone(), Value::Bytes(image))])),
        _ => Err(Failure::invalid("an image as the whole body needs a model whose one input is an image")
            .with_hint("send JSON, with images as {\"b64\": …}")),
    }
}

fn named_rows(body: &[u8], envelope: Envelope, fields: &[FieldInfo]) -> Result<Vec<Row>, Failure> {
    let mut rows = NamedRows::new(fields);
    decode(body, envelope, &mut rows)?;
    Ok(rows.rows)
}

fn encode(rows: usize, envelope: Envelope, write_row: impl Fn(&mut Vec<u8>, usize)) -> Vec<u8> {
    let mut json = Vec::with_capacity(256);
    wrap(&mut json, envelope, rows, |json, row| {
        write_row(json, row);
        Ok(())
    })
    .expect("named answers always become JSON");
    json
}

/// The body of a request to a graph.
enum Asked<'b> {
    Json(&'b [u8]),
    Image(Vec<u8>),
}

/// Rows by name, or of numbers, through a graph whose models take rows by name.
async fn graph_answer(
    version: &Routed,
    way: GraphRows,
    asked: Asked<'_>,
    (envelope, terms): (Envelope, Terms),
) -> Result<(Vec<u8>, Times), Failure> {
    let rows = match asked {
        Asked::Image(image) => vec![image_row(way.fields(), image)?],
        Asked::Json(body) => match named_rows(body, envelope, way.fields()) {
            Ok(rows) => rows,
            Err(failure) => {
                // Networks' own numbers are taken, too; what is neither is told as rows by name would be.
                let inputs = number_rows(version, body, envelope).map_err(|_| failure)?;
                return tensor_answer(version, inputs, envelope, terms).await;
            }
        },
    };
    let count = rows.len();
    let Answered { answer, times } = version.predict_by_graph(rows, way, terms).await?;
    match answer {
        GraphAnswer::Named(answer) => Ok(written(version, &Answered { answer, times }, envelope)),
        GraphAnswer::Tensors(outputs) => Ok((tensors_written(&outputs, count, envelope)?, times)),
    }
}

fn number_rows(version: &Routed, body: &[u8], envelope: Envelope) -> Result<Vec<NamedTensor>, Failure> {
    let mut rows = TensorRows::new(&version.signature().inputs);
    decode(body, envelope, &mut rows)?;
    rows.finish()
}

async fn tensor_answer(
    version: &Routed,
    inputs: Vec<NamedTensor>,
    envelope: Envelope,
    terms: Terms,
) -> Result<(Vec<u8>, Times), Failure> {
    let count = inputs.first().map_or(0, |input| input.tensor.rows());
    let Answered { answer: outputs, times } = version.infer(inputs, &[], terms).await?;
    Ok((tensors_written(&outputs, count, envelope)?, times))
}

fn tensors_written(outputs: &[NamedTensor], rows: usize, envelope: Envelope) -> Result<Vec<u8>, Failure> {
    check_row_count(outputs, rows)?;
    let mut json = Vec::with_capacity(256);
    wrap(&mut json, envelope, rows, |json, row| write_tensor_row(json, outputs, row))?;
    Ok(json)
}

/// Rows can only be answered one by one where every output has one entry for each.
fn check_row_count(outputs: &[NamedTensor], rows: usize) -> Result<(), Failure> {
    match outputs.iter().find(|output| output.tensor.shape().first() != Some(&rows)) {
        None => Ok(()),
        Some(output) => {
            let message = format!("output {:?} of this model has no row for each instance", output.name);
            Err(Failure::new(ErrorKind::Unsupported, message)
                .with_hint("ask /v2/models/<name>/infer, which answers whole tensors"))
        }
    }
}

/// Writes answers in the form of the request's envelope.
fn wrap(
    json: &mut Vec<u8>,
    envelope: Envelope,
    rows: usize,
    write_row: impl Fn(&mut Vec<u8>, usize) -> Result<(), Failure>,
) -> Result<(), Failure> {
    if envelope == Envelope::Input {
        json.extend_from_slice(b"{\"prediction\":");
        write_row(json, 0)?;
        json.push(b'}');
        return Ok(());
    }
    json.extend_from_slice(b"{\"predictions\":[");
    for row in 0..rows {
        if row > 0 {
            json.push(b',');
        }
        write_row(json, row)?;
    }
    json.extend_from_slice(b"]}");
    Ok(())
}
