//! A failure as gRPC tells it: a status code and a sentence.

use modelyard_types::ErrorKind;
use tonic::{Code, Status};

use crate::error::Failure;
use crate::router::Service;

/// The status of a failed call, after the failure was counted and logged.
pub(super) fn refuse(service: &Service, failure: impl Into<Failure>) -> Status {
    let failure = failure.into();
    if !failure.is_counted() {
        service.server.count_failure(failure.kind());
    }
    failure.log("");
    Status::new(code(failure.kind()), failure.sentence())
}

fn code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::InvalidArgument => Code::InvalidArgument,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::AlreadyExists => Code::AlreadyExists,
        ErrorKind::FailedPrecondition => Code::FailedPrecondition,
        ErrorKind::TooLarge | ErrorKind::ResourceExhausted => Code::ResourceExhausted,
        ErrorKind::DeadlineExceeded => Code::DeadlineExceeded,
        ErrorKind::Unavailable => Code::Unavailable,
        ErrorKind::Cancelled => Code::Cancelled,
        ErrorKind::DataCorrupt => Code::DataLoss,
        ErrorKind::Unsupported => Code::Unimplemented,
        ErrorKind::PermissionDenied => Code::PermissionDenied,
        _ => Code::Internal,
    }
}
