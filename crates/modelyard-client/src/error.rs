//! Why a call was not answered, or not with what was asked for.

use std::time::Duration;

use modelyard_types::ErrorKind;
use serde::Deserialize;

use crate::inference::SequenceId;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The server's address cannot be used.
    #[error("{address:?} is no server's address: {why}")]
    Address {
        /// The address given.
        address: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The server cannot be reached, or the connection broke before the answer was whole.
    #[error("cannot {doing} {server}")]
    Connection {
        /// What was tried.
        doing: &'static str,
        /// The server's host and port.
        server: String,
        /// The reason.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server answered that it does not do this, or not now.
    #[error("the server refused: {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The server's sentence.
        message: String,
        /// What it says about the way out.
        hint: Option<String>,
        /// The id under which its log has the request; none where something between refused it.
        request_id: Option<String>,
        /// Whether it says that the request's sequence cannot be gone on with.
        sequence_lost: bool,
    },
    /// The answer is not what the protocol says.
    #[error("the server's answer cannot be read: {what}")]
    Answer {
        /// What is wrong with it.
        what: String,
    },
    /// What is asked for cannot be written as the protocol wants it.
    #[error("the request cannot be sent: {what}")]
    Request {
        /// What is wrong with it.
        what: String,
    },
    /// The sequence cannot be gone on with.
    #[error("sequence {id} of model {model} {what}")]
    Sequence {
        /// The model.
        model: String,
        /// The sequence.
        id: SequenceId,
        /// Why not.
        what: &'static str,
    },
    /// There was no answer in time, tries included.
    #[error("there was no answer within {} s", time.as_secs_f64())]
    DeadlineExceeded {
        /// The time of the call.
        time: Duration,
        /// Why the last try failed, where one did.
        #[source]
        last: Option<Box<ClientError>>,
    },
}

impl ClientError {
    /// What an answer other than success says, in the server's own form or any other. Safe on any bytes.
    pub fn refusal(status: u16, body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Told {
            error: String,
            kind: Option<String>,
            hint: Option<String>,
            request_id: Option<String>,
            #[serde(default)]
            sequence_lost: bool,
        }
        match serde_json::from_slice(body) {
            Ok(Told { error: message, kind, hint, request_id, sequence_lost }) => {
                // The form is ours only where all of it is there.
                Self::Refused { status, message, hint, request_id: kind.and(request_id), sequence_lost }
            }
            Err(_) => {
                let message = format!("it answered with status {status}");
                Self::Refused { status, message, hint: None, request_id: None, sequence_lost: false }
            }
        }
    }

    /// The kind, by which callers decide what to do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Address { .. } | Self::Request { .. } => ErrorKind::InvalidArgument,
            Self::Connection { .. } => ErrorKind::Unavailable,
            Self::Refused { status, .. } => match status {
                403 => ErrorKind::PermissionDenied,
                404 => ErrorKind::NotFound,
                409 => ErrorKind::FailedPrecondition,
                413 => ErrorKind::TooLarge,
                429 => ErrorKind::ResourceExhausted,
                501 => ErrorKind::Unsupported,
                503 => ErrorKind::Unavailable,
                408 | 504 => ErrorKind::DeadlineExceeded,
                400..=499 => ErrorKind::InvalidArgument,
                _ => ErrorKind::Internal,
            },
            Self::Answer { .. } => ErrorKind::Internal,
            Self::Sequence { .. } => ErrorKind::FailedPrecondition,
            Self::DeadlineExceeded { .. } => ErrorKind::DeadlineExceeded,
        }
    }

    /// What can be done about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Address { .. } => {
                Some("give it as http://HOST:PORT, such as http://127.0.0.1:8080".to_owned())
            }
            Self::Connection { .. } => {
                Some("is a server running there? `modelyard serve` starts one".to_owned())
            }
            Self::Refused { hint, .. } => hint.clone(),
            Self::Answer { .. } => {
                Some("is it a server of the Open Inference Protocol v2 that answers there?".to_owned())
            }
            Self::Request { .. } => None,
            Self::Sequence { .. } => Some("begin another sequence".to_owned()),
            Self::DeadlineExceeded { last, .. } => {
                let of_last = last.as_ref().and_then(|error| error.hint());
                of_last.or_else(|| Some("give it more time, or ask for less at once".to_owned()))
            }
        }
    }

    /// Whether it is certain that the call changed nothing: it never reached the server, or the server itself says
    /// that it failed, and not that its sequence is lost by that. Whatever stands between may refuse a call that it
    /// had passed on.
    pub fn changed_nothing(&self) -> bool {
        match self {
            Self::Address { .. } | Self::Request { .. } | Self::Sequence { .. } => true,
            Self::Connection { doing, .. } => *doing == CONNECT,
            Self::Refused { request_id, sequence_lost, .. } => request_id.is_some() && !sequence_lost,
            Self::Answer { .. } | Self::DeadlineExceeded { .. } => false,
        }
    }

    /// Whether another moment may do.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Connection { .. } => true,
            Self::Refused { status, .. } => matches!(status, 429 | 502 | 503),
            _ => false,
        }
    }
}

/// What failed where nothing was sent yet.
pub(crate) const CONNECT: &str = "connect to";

/// The answer does not say what it should.
pub(crate) fn unreadable(what: impl Into<String>) -> ClientError {
    ClientError::Answer { what: what.into() }
}
