//! The protocol over gRPC, `inference.GRPCInferenceService`, with the standard health check and reflection.
//!
//! It is answered on the same port as HTTP: gRPC is HTTP/2 with a content type and paths of its own. The
//! messages are made from `schemas/*.proto` when this crate is built.

mod call;
mod client;
mod frame;
mod health;
mod request;
mod response;
mod service;
mod settings;
mod shared_memory;
mod status;
mod tls;

use axum::Router;
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Request};
use axum::response::Response;
use modelyard_types::{NamedTensor, Signature};
use prost::{DecodeError, Message};
use tonic::codec::CompressionEncoding;

pub use client::GrpcServers;

use super::request::DecodedRequest;
use crate::config::ApiConfig;
use crate::error::{ApiError, Failure};
use crate::router::Service;

/// What prost and tonic made of the schemas.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::missing_errors_doc,
    clippy::too_many_lines,
    reason = "generated; the schemas hold the comments"
)]
mod proto {
    /// Package `inference`.
    pub(super) mod inference {
        include!(concat!(env!("OUT_DIR"), "/inference.rs"));
    }
    /// Package `grpc.health.v1`.
    pub(super) mod health {
        include!(concat!(env!("OUT_DIR"), "/grpc.health.v1.rs"));
    }
}

use proto::health::health_server::HealthServer;
use proto::inference::grpc_inference_service_server::GrpcInferenceServiceServer;
use proto::inference::{ModelInferRequest, ModelInferResponse, ModelMetadataResponse};

/// The schemas in their compiled form, for reflection.
const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
/// Room for names and shapes beside a body's worth of raw values.
const MESSAGE_BYTES_MORE: usize = 64 << 10;

/// Decodes the message of a `ModelInfer` call. Safe on any bytes: it never panics and needs memory in
/// proportion to their number only.
///
/// # Errors
/// What is wrong with it, as an invalid argument.
pub fn decode_grpc(message: &[u8]) -> Result<DecodedRequest, Failure> {
    request::decode(ModelInferRequest::decode(message).map_err(undecodable)?)
}

/// Decodes what another server answers to a step of a graph, the message of a `ModelInfer` call's answer. Safe on any
/// bytes.
///
/// # Errors
/// What is wrong with it, in a sentence.
pub fn decode_grpc_answer(message: &[u8]) -> Result<Vec<NamedTensor>, String> {
    client::read_answer(ModelInferResponse::decode(message).map_err(|error| error.to_string())?)
}

/// Decodes what another server says that a model takes and gives, the message of a `ModelMetadata` call's answer. Safe
/// on any bytes.
///
/// # Errors
/// What is wrong with it, in a sentence.
pub fn decode_grpc_metadata(message: &[u8]) -> Result<Signature, String> {
    client::read_metadata(ModelMetadataResponse::decode(message).map_err(|error| error.to_string())?)
}

fn undecodable(error: DecodeError) -> Failure {
    Failure::invalid(format!("the message is no inference request: {error}"))
}

/// How a request is to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// By [`infer`].
    Infer,
    /// By its route, as a call of one message, which must come within the time for a body.
    Unary,
    /// By its route.
    Other,
}

impl Call {
    /// What a request is.
    pub(crate) fn of(request: &Request<Body>) -> Self {
        let content_type = request.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        let path = request.uri().path();
        if !content_type.is_some_and(|text| text.starts_with(b"application/grpc")) {
            Self::Other
        } else if call::is_plain_infer(request) {
            Self::Infer
        } else if path.ends_with("/ModelStreamInfer") || path.ends_with("/ServerReflectionInfo") {
            Self::Other
        } else {
            Self::Unary
        }
    }
}

/// Answers a [`Call::Infer`]. Never fails: failures are answers.
pub(crate) async fn infer(service: &Service, request: Request<Body>) -> Response {
    call::infer(service, request).await
}

/// Most bytes of a message.
fn bytes_max(config: &ApiConfig) -> usize {
    config.body_bytes_max.saturating_add(MESSAGE_BYTES_MORE)
}

/// The paths of gRPC's services.
///
/// # Errors
/// Never with the schemas as they are: what reflection tells is checked when it is set up.
pub(crate) fn routes(service: &Service) -> Result<Router<Service>, ApiError> {
    let inference = GrpcInferenceServiceServer::new(service::Inference::new(service.clone()))
        .max_decoding_message_size(bytes_max(&service.config))
        // Unpacked, a message has the same limit. Answers go out as they are: clients say by default that they
        // take them packed, and packing costs more than small answers are worth.
        .accept_compressed(CompressionEncoding::Gzip)
        .max_encoding_message_size(usize::MAX);
    let health = HealthServer::new(health::Check::new(service.clone()));
    let reflection =
        || tonic_reflection::server::Builder::configure().register_encoded_file_descriptor_set(DESCRIPTORS);
    let unfit = |source| ApiError::Reflection { source };
    let current = reflection().build_v1().map_err(unfit)?;
    let former = reflection().build_v1alpha().map_err(unfit)?;
    Ok(Router::new()
        .route_service("/inference.GRPCInferenceService/{method}", inference)
        .route_service("/grpc.health.v1.Health/{method}", health)
        .route_service("/grpc.reflection.v1.ServerReflection/{method}", current)
        .route_service("/grpc.reflection.v1alpha.ServerReflection/{method}", former))
}
