//! What can go wrong here: with the front end as a whole, and with one request.
//!
//! A failed request is answered in one form everywhere: `{"error": sentence, "kind": …, "request_id": …}`,
//! with a `hint` where a way out is known, and `"sequence_lost": true` where the request's sequence cannot be gone on
//! with. The sentence is safe to show; the chain of causes is only logged.

use std::error::Error;
use std::io;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use modelyard_serve::ServeError;
use modelyard_types::ErrorKind;
use serde::Serialize;

/// Why the front end stopped, or did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// The operating system refused.
    #[error("cannot {doing}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// Its reason.
        #[source]
        source: io::Error,
    },
    /// The schemas cannot be told to those who ask for them.
    #[error("cannot set up gRPC reflection")]
    Reflection {
        /// What is wrong with them.
        #[source]
        source: tonic_reflection::server::Error,
    },
}

impl ApiError {
    /// The kind, for exit codes.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { .. } => ErrorKind::Unavailable,
            Self::Reflection { .. } => ErrorKind::Internal,
        }
    }

    /// What can be done about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Io { .. } => Some("look at the limit of open files and threads (ulimit -a)".to_owned()),
            Self::Reflection { .. } => None,
        }
    }
}

/// Why one request failed, as its caller may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    /// The causes below the message, for the log.
    causes: Option<String>,
    /// Where the kind's own status is not precise enough.
    status: Option<StatusCode>,
    /// Whether the server counted it already.
    counted: bool,
    /// Whether what the request's sequence remembers is not known any more.
    loses_sequence: bool,
}

impl Failure {
    /// A failure of this kind, told by this sentence.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
            causes: None,
            status: None,
            counted: false,
            loses_sequence: false,
        }
    }

    /// The caller sent something that can never work.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    pub(crate) fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    pub(crate) fn with_message(self, message: impl Into<String>) -> Self {
        Self { message: message.into(), ..self }
    }

    pub(crate) fn with_status(self, status: StatusCode) -> Self {
        Self { status: Some(status), ..self }
    }

    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The sentence for the caller.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether the server counted it already.
    pub(crate) fn is_counted(&self) -> bool {
        self.counted
    }

    fn status(&self) -> StatusCode {
        self.status.unwrap_or(match self.kind {
            ErrorKind::InvalidArgument => StatusCode::BAD_REQUEST,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::AlreadyExists | ErrorKind::FailedPrecondition => StatusCode::CONFLICT,
            ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            ErrorKind::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
            ErrorKind::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
            ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Unsupported => StatusCode::NOT_IMPLEMENTED,
            ErrorKind::PermissionDenied => StatusCode::FORBIDDEN,
            ErrorKind::Cancelled => StatusCode::REQUEST_TIMEOUT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        })
    }

    /// The message, and the way out where one is known, in one line.
    pub(crate) fn sentence(&self) -> String {
        match &self.hint {
            Some(hint) => format!("{} ({hint})", self.message),
            None => self.message.clone(),
        }
    }

    /// Writes the log.
    pub(crate) fn log(&self, request_id: &str) {
        let (kind, causes) = (self.kind, self.causes.as_deref());
        if self.status().is_server_error() {
            tracing::error!(request_id, %kind, causes, message = self.message, "a request failed");
        } else {
            tracing::debug!(request_id, %kind, causes, message = self.message, "a request was refused");
        }
    }

    /// Turns the placeholder that [`IntoResponse`] made into the answer, and writes the log.
    pub(crate) fn render(self, mut response: Response, request_id: &str) -> Response {
        self.log(request_id);
        let kind = self.kind;
        let wire = Wire {
            error: &self.message,
            kind: kind.as_str(),
            hint: self.hint.as_deref(),
            request_id,
            sequence_lost: self.loses_sequence.then_some(true),
        };
        let json = serde_json::to_vec(&wire).expect("texts always become JSON");
        *response.body_mut() = Body::from(json);
        let headers = response.headers_mut();
        headers.remove(axum::http::header::CONTENT_LENGTH);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if matches!(kind, ErrorKind::ResourceExhausted | ErrorKind::Unavailable) {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

#[derive(Serialize)]
struct Wire<'a> {
    error: &'a str,
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence_lost: Option<bool>,
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        let mut causes = Vec::new();
        let mut cause = error.source();
        while let Some(below) = cause {
            causes.push(below.to_string());
            cause = below.source();
        }
        Self {
            kind: error.kind(),
            loses_sequence: matches!(error, ServeError::SequenceLost { .. }),
            // Triton's clients know an unknown model by these words.
            message: match error {
                ServeError::UnknownModel { .. } => format!("Request for unknown model: {error}"),
                _ => error.to_string(),
            },
            hint: error.hint(),
            causes: (!causes.is_empty()).then(|| causes.join(": ")),
            status: None,
            counted: true,
        }
    }
}

impl From<Failure> for ServeError {
    /// A failure to write an answer, told to the sequence that waits for it.
    fn from(Failure { kind, message, hint, .. }: Failure) -> Self {
        Self::Unwritable { kind, message, hint }
    }
}

impl IntoResponse for Failure {
    /// An empty answer that carries the failure to where the request id is known.
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status();
        response.extensions_mut().insert(self);
        response
    }
}
