//! The protocol over gRPC, `inference.GRPCInferenceService`, with the standard health check and reflection.
//!
//! It is answered on the same port as HTTP: gRPC is HTTP/2 with a content type and paths of its own. The
//! messages are made from `schemas/*.proto` when this crate is built.

mod client;
mod health;
mod request;
mod response;
mod service;
mod settings;
mod status;
mod tls;

use axum::Router;
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Request};

use prost::Message;
use tonic::codec::CompressionEncoding;

pub use client::GrpcServers;

use super::request::DecodedRequest;
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
use proto::inference::ModelInferRequest;
use proto::inference::grpc_inference_service_server::GrpcInferenceServiceServer;

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
    let message = ModelInferRequest::decode(message)
        .map_err(|error| Failure::invalid(format!("the message is no inference request: {error}")))?;
    request::decode(message)
}

/// Whether a request is a gRPC call of one message, which must come within the time for a body.
pub(crate) fn is_unary(request: &Request<Body>) -> bool {
    let content_type = request.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    content_type.is_some_and(|text| text.starts_with(b"application/grpc"))
        && !request.uri().path().ends_with("/ModelStreamInfer")
        && !request.uri().path().ends_with("/ServerReflectionInfo")
}

/// The paths of gRPC's services.
///
/// # Errors
/// Never with the schemas as they are: what reflection tells is checked when it is set up.
pub(crate) fn routes(service: &Service) -> Result<Router<Service>, ApiError> {
    let bytes_max = service.config.body_bytes_max.saturating_add(MESSAGE_BYTES_MORE);
    let inference = GrpcInferenceServiceServer::new(service::Inference::new(service.clone()))
        .max_decoding_message_size(bytes_max)
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
