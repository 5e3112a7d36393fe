//! Reading a request's body within its limits of size and time, compressed or not.

use std::io::Read;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use axum::http::{HeaderMap, Request, StatusCode};
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use modelyard_types::ErrorKind;

use crate::error::Failure;
use crate::intake::{self, Intake};

/// Bodies longer than this are unpacked off the async threads.
const UNPACK_HERE_BYTES_MAX: usize = 4 << 10;
/// Unpacked bytes that are kept before it is known how many there are.
const KEPT_UNCOUNTED_BYTES_MAX: usize = 256 << 10;

/// The whole body, unpacked.
///
/// # Errors
/// A body over the limit (as sent, or unpacked), too slow, cut short, or in a coding that is not known.
pub(crate) async fn read(
    request: Request<Body>,
    bytes_max: usize,
    intake: &Intake,
) -> Result<Bytes, Failure> {
    let (parts, body) = request.into_parts();
    check_length(&parts.headers, bytes_max)?;
    let coding = Coding::of(&parts.headers)?;
    let bytes = collect(body, bytes_max, intake).await?;
    match coding {
        None => Ok(bytes),
        Some(coding) if bytes.len() <= UNPACK_HERE_BYTES_MAX => coding.unpack(&bytes, bytes_max),
        Some(coding) => {
            let unpacked = tokio::task::spawn_blocking(move || coding.unpack(&bytes, bytes_max)).await;
            unpacked.map_err(|_| Failure::new(ErrorKind::Internal, "unpacking the body panicked"))?
        }
    }
}

/// The whole body as it was sent.
///
/// # Errors
/// A body over the limit, too slow, or cut short.
pub(crate) async fn collect(body: Body, bytes_max: usize, intake: &Intake) -> Result<Bytes, Failure> {
    match Limited::new(intake.watch(body), bytes_max).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large(bytes_max)),
        Err(error) => {
            let cut_short = || Failure::invalid("the body ended before it was complete");
            Err(intake::halted(error.as_ref()).map_or_else(cut_short, Failure::from))
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

    /// What is large is counted before it is kept, so that a body that grows past the limit takes no memory.
    fn unpack(self, bytes: &[u8], bytes_max: usize) -> Result<Bytes, Failure> {
        let (mut all, mut count) = (Vec::new(), 0);
        self.pour(bytes, bytes_max, |some| {
            count += some.len();
            if count <= KEPT_UNCOUNTED_BYTES_MAX {
                all.extend_from_slice(some);
            }
        })?;
        if all.len() < count {
            all = Vec::with_capacity(count);
            self.pour(bytes, bytes_max, |some| all.extend_from_slice(some))?;
        }
        Ok(all.into())
    }

    /// Hands on everything that is read, piece by piece, as long as it stays within the limit.
    fn pour(self, bytes: &[u8], bytes_max: usize, mut into: impl FnMut(&[u8])) -> Result<(), Failure> {
        let (mut gzip, mut zlib);
        let from: &mut dyn Read = match self {
            Self::Gzip => {
                gzip = MultiGzDecoder::new(bytes);
                &mut gzip
            }
            Self::Deflate => {
                zlib = ZlibDecoder::new(bytes);
                &mut zlib
            }
        };
        let mut some = [0; 16 << 10];
        let mut all = 0;
        loop {
            let count = from
                .read(&mut some)
                .map_err(|error| Failure::invalid(format!("the body cannot be unpacked: {error}")))?;
            if count == 0 {
                return Ok(());
            }
            all += count;
            if all > bytes_max {
                return Err(too_large(bytes_max));
            }
            into(&some[..count]);
        }
    }
}

fn too_large(bytes_max: usize) -> Failure {
    Failure::new(ErrorKind::TooLarge, format!("the body is larger than {bytes_max} bytes"))
        .with_hint("split the request, or raise the server's body limit")
}
