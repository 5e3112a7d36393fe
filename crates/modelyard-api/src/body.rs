//! Reading a request's body within its limits of size and time.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use axum::http::{HeaderMap, Request};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use modelyard_types::ErrorKind;

use crate::error::Failure;

/// The whole body.
///
/// # Errors
/// A body over the limit, too slow, cut short, or compressed.
pub(crate) async fn read(
    request: Request<Body>,
    bytes_max: usize,
    timeout: Duration,
) -> Result<Bytes, Failure> {
    let (parts, body) = request.into_parts();
    check_headers(&parts.headers, bytes_max)?;
    let whole = Limited::new(body, bytes_max).collect();
    match tokio::time::timeout(timeout, whole).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large(bytes_max)),
        Ok(Err(_)) => Err(Failure::invalid("the body ended before it was complete")),
        Err(_) => {
            let message = format!("the body took longer than {} s", timeout.as_secs_f64());
            Err(Failure::new(ErrorKind::Cancelled, message))
        }
    }
}

fn check_headers(headers: &HeaderMap, bytes_max: usize) -> Result<(), Failure> {
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > bytes_max as u64) {
        return Err(too_large(bytes_max));
    }
    match headers.get(CONTENT_ENCODING) {
        Some(coding) if coding != "identity" => {
            Err(Failure::invalid("compressed bodies are not taken")
                .with_hint("send it without Content-Encoding"))
        }
        _ => Ok(()),
    }
}

fn too_large(bytes_max: usize) -> Failure {
    Failure::new(ErrorKind::TooLarge, format!("the body is larger than {bytes_max} bytes"))
        .with_hint("split the request, or raise the server's body limit")
}
