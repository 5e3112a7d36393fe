//! One inference, the short way: `ModelInfer` is what is called thousands of times a second, so its one message is
//! read, answered and written here, without the layers that calls of every kind and packing need.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Version};
use axum::response::Response;
use hyper::body::Frame;
use prost::Message;

use super::frame::{self, PREFIX_BYTES, unframe};
use super::proto::inference::ModelInferRequest;
use super::service::{self, Call, Inferred};
use super::status::refuse;
use super::{bytes_max, response, undecodable};
use crate::body;
use crate::error::Failure;
use crate::router::Service;
use crate::watch::Served;

const PATH: &str = "/inference.GRPCInferenceService/ModelInfer";
const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Whether a gRPC call can be answered here: an inference whose message is not packed.
pub(super) fn is_plain_infer(request: &Request<Body>) -> bool {
    let packed = |headers: &HeaderMap| headers.get(GRPC_ENCODING).is_some_and(|coding| coding != "identity");
    request.version() == Version::HTTP_2 && request.uri().path() == PATH && !packed(request.headers())
}

/// Answers such a call. Never fails: failures are answers.
pub(super) async fn infer(service: &Service, request: Request<Body>) -> Response {
    match answer(service, request).await {
        Ok((message, served)) => {
            let mut response = Response::new(Body::new(Reply { message: Some(message), ended: false }));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            Served::note(served, &mut response);
            response
        }
        Err(failure) => refuse(service, failure).into_http(),
    }
}

async fn answer(service: &Service, request: Request<Body>) -> Result<(Bytes, Option<Served>), Failure> {
    let (parts, body) = request.into_parts();
    let call = Call::new(service, parts.headers, parts.extensions);
    let bytes_max = bytes_max(&service.config).saturating_add(PREFIX_BYTES);
    let body = body::collect(body, bytes_max, &service.intake).await?;
    let message = ModelInferRequest::decode(unframe(body)?).map_err(undecodable)?;
    let inferred = service::run(service, message, &call).await?;
    let (message, served) = inferred.write(service, |inferred| {
        if !inferred.places.is_empty() {
            return frame::message(&response::infer(inferred));
        }
        let Inferred { version, id, outputs, .. } = inferred;
        let (model, number) = (version.model().as_str(), version.version().get());
        frame::answer(model, number, id.as_deref().unwrap_or_default(), &outputs)
    });
    Ok((message?, served))
}

/// The one message of an answer, and behind it that all went well.
struct Reply {
    message: Option<Bytes>,
    ended: bool,
}

impl HttpBody for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(message) = self.message.take() {
            return Poll::Ready(Some(Ok(Frame::data(message))));
        }
        if std::mem::replace(&mut self.ended, true) {
            return Poll::Ready(None);
        }
        let well = HeaderMap::from_iter([(GRPC_STATUS, HeaderValue::from_static("0"))]);
        Poll::Ready(Some(Ok(Frame::trailers(well))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}
