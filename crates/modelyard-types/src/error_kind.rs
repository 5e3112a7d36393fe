//! The few ways in which a request can fail, independent of any protocol.

use std::fmt;

/// What went wrong, coarse enough that every protocol has a code for each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The caller sent something that can never work.
    InvalidArgument,
    /// The thing named is not here.
    NotFound,
    /// The thing named is here already.
    AlreadyExists,
    /// The state of the system forbids it now (a gate missed, a store too new).
    FailedPrecondition,
    /// A stated limit on size was passed by this one request.
    TooLarge,
    /// A queue or budget is full; the same request may work later.
    ResourceExhausted,
    /// The deadline passed before an answer was there.
    DeadlineExceeded,
    /// The service is starting, draining or has lost what it depends on.
    Unavailable,
    /// The caller went away.
    Cancelled,
    /// Stored bytes are not what was written.
    DataCorrupt,
    /// Known, but not supported here.
    Unsupported,
    /// The caller may not do this.
    PermissionDenied,
    /// Our own bug.
    Internal,
}

impl ErrorKind {
    /// The kind's stable name in lower case with underscores, as logs, metrics and JSON errors show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArgument => "invalid_argument",
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::FailedPrecondition => "failed_precondition",
            Self::TooLarge => "too_large",
            Self::ResourceExhausted => "resource_exhausted",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::Unavailable => "unavailable",
            Self::Cancelled => "cancelled",
            Self::DataCorrupt => "data_corrupt",
            Self::Unsupported => "unsupported",
            Self::PermissionDenied => "permission_denied",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
