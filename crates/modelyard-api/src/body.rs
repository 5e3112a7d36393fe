//! Reading a request's body within its limits of size and time, compressed or not.

use std::future::Future;
use std::io::Read;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use axum::http::{HeaderMap, Request, StatusCode};
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Frame, SizeHint};
use modelyard_types::ErrorKind;
use tokio::time::Sleep;

use crate::error::Failure;

/// Bodies longer than this are unpacked off the async threads.
const UNPACK_HERE_BYTES_MAX: usize = 4 << 10;

/// The whole body, unpacked.
///
/// # Errors
/// A body over the limit (as sent, or unpacked), too slow, cut short, or in a coding that is not known.
pub(crate) async fn read(
    request: Request<Body>,
    bytes_max: usize,
    timeout: Duration,
) -> Result<Bytes, Failure> {
    let (parts, body) = request.into_parts();
    check_length(&parts.headers, bytes_max)?;
    let coding = Coding::of(&parts.headers)?;
    let whole = Limited::new(body, bytes_max).collect();
    let bytes = match tokio::time::timeout(timeout, whole).await {
        Ok(Ok(whole)) => whole.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(too_large(bytes_max)),
        Ok(Err(_)) => return Err(Failure::invalid("the body ended before it was complete")),
        Err(_) => {
            let message = format!("the body took longer than {} s", timeout.as_secs_f64());
            return Err(Failure::new(ErrorKind::Cancelled, message));
        }
    };
    match coding {
        None => Ok(bytes),
        Some(coding) if bytes.len() <= UNPACK_HERE_BYTES_MAX => coding.unpack(&bytes, bytes_max),
        Some(coding) => {
            let unpacked = tokio::task::spawn_blocking(move || coding.unpack(&bytes, bytes_max)).await;
            unpacked.map_err(|_| Failure::new(ErrorKind::Internal, "unpacking the body panicked"))?
        }
    }
}

fn check_length(headers: &HeaderMap, bytes_max: usize) -> Result<(), Failure> {
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    match length {
        Some(length) if length > bytes_max as u64 => Err(too_large(bytes_max)),
        _ => Ok(()),
    }
}

/// How a body is packed (RFC 9110, 8.4.1).
#[derive(Clone, Copy)]
enum Coding {
    Gzip,
    /// In the zlib format.
    Deflate,
}

impl Coding {
    /// None where the body is sent as it is.
    fn of(headers: &HeaderMap) -> Result<Option<Self>, Failure> {
        match headers.get(CONTENT_ENCODING).map(|value| value.as_bytes()) {
            None | Some(b"identity") => Ok(None),
            Some(b"gzip" | b"x-gzip") => Ok(Some(Self::Gzip)),
            Some(b"deflate") => Ok(Some(Self::Deflate)),
            Some(other) => {
                let name: String = String::from_utf8_lossy(other).chars().take(40).collect();
                let failure = Failure::invalid(format!("the coding {name:?} is not known"))
                    .with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE);
                Err(failure.with_hint("send it as gzip or deflate, or without Content-Encoding"))
            }
        }
    }

    fn unpack(self, bytes: &[u8], bytes_max: usize) -> Result<Bytes, Failure> {
        match self {
            Self::Gzip => pour(MultiGzDecoder::new(bytes), bytes_max),
            Self::Deflate => pour(ZlibDecoder::new(bytes), bytes_max),
        }
    }
}

/// Everything that is read, as long as it stays within the limit.
fn pour(mut from: impl Read, bytes_max: usize) -> Result<Bytes, Failure> {
    let mut all = Vec::new();
    let mut some = [0; 16 << 10];
    loop {
        let count = from
            .read(&mut some)
            .map_err(|error| Failure::invalid(format!("the body cannot be unpacked: {error}")))?;
        if count == 0 {
            return Ok(all.into());
        }
        if all.len() + count > bytes_max {
            return Err(too_large(bytes_max));
        }
        all.extend_from_slice(&some[..count]);
    }
}

/// A body that must have come whole by an instant, for readers that know no such limit themselves.
pub(crate) struct Timely {
    body: Body,
    ends: Pin<Box<Sleep>>,
}

impl Timely {
    /// The same body, which fails once the time is over.
    pub(crate) fn body(body: Body, time: Duration) -> Body {
        match body.is_end_stream() {
            true => body,
            false => Body::new(Self { body, ends: Box::pin(tokio::time::sleep(time)) }),
        }
    }
}

impl HttpBody for Timely {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        ready!(self.ends.as_mut().poll(context));
        Poll::Ready(Some(Err("the body took too long".into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn too_large(bytes_max: usize) -> Failure {
    Failure::new(ErrorKind::TooLarge, format!("the body is larger than {bytes_max} bytes"))
        .with_hint("split the request, or raise the server's body limit")
}
