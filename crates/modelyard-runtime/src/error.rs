//! What can go wrong between a model's files and its answers.

use modelyard_model::ModelError;
use modelyard_types::{ErrorKind, SignatureError};

use crate::library::INSTALL_HINT;

/// Why a network could not be inspected, loaded or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// The bytes are no ONNX model at all, or contradict themselves.
    #[error("not a valid ONNX model: {reason}")]
    InvalidOnnx {
        /// What is wrong, and where.
        reason: String,
    },
    /// A well-formed model that is not taken in for safety or because nothing here runs it.
    #[error("the ONNX model is refused: {reason}")]
    RefusedOnnx {
        /// What is refused, and where.
        reason: String,
        /// The way out.
        hint: Option<String>,
    },
    /// A limit on sizes was passed.
    #[error("the ONNX model is too large: {what} is {got}, at most {max} is taken")]
    TooLarge {
        /// What was measured.
        what: String,
        /// Its size.
        got: u128,
        /// The limit.
        max: u128,
    },
    /// The engine does not run this rightly.
    #[error("{runtime} does not run this model: {reason}")]
    Unsupported {
        /// The engine.
        runtime: &'static str,
        /// What it lacks.
        reason: String,
        /// The way out.
        hint: Option<String>,
    },
    /// Files that the engine needs are not among the version's.
    #[error("{runtime} needs {needs}, which this version does not have")]
    MissingFiles {
        /// The engine.
        runtime: &'static str,
        /// The files.
        needs: &'static str,
    },
    /// No engine runs the version.
    #[error("no engine here runs this model: {}", lacks.join("; "))]
    NoRuntime {
        /// What each engine lacks.
        lacks: Vec<String>,
        /// The way out.
        hint: Option<String>,
    },
    /// An engine name that does not exist.
    #[error("{name:?} is no engine; there are {}", known.join(", "))]
    UnknownRuntime {
        /// The name given.
        name: String,
        /// The names that exist.
        known: Vec<&'static str>,
    },
    /// The shared library of ONNX Runtime is not there or not fit.
    #[error("ONNX Runtime is not usable: {reason}")]
    LibraryUnusable {
        /// What was tried and what came of it.
        reason: String,
    },
    /// Our own network files are damaged.
    #[error("the network cannot be loaded")]
    Network(#[source] Box<ModelError>),
    /// The engine refused the model.
    #[error("{runtime} cannot load the model: {message}")]
    Load {
        /// The engine.
        runtime: &'static str,
        /// Its words.
        message: String,
    },
    /// The network cannot be fed a series in pieces.
    #[error("no sequences are taken: {reason}")]
    Stepwise {
        /// What needs the whole of it.
        reason: String,
        /// The way out.
        hint: Option<String>,
    },
    /// The model cannot be cut into stages there.
    #[error("the ONNX model cannot be split: {reason}")]
    CannotSplit {
        /// What stands in the way.
        reason: String,
        /// The way out.
        hint: Option<String>,
    },
    /// The inputs do not fit the model.
    #[error(transparent)]
    Inputs(#[from] SignatureError),
    /// A value that the engine cannot take, though its type is right.
    #[error("{runtime} cannot take input {input:?}: {reason}")]
    InputValue {
        /// The engine.
        runtime: &'static str,
        /// The input's name.
        input: String,
        /// Why.
        reason: String,
    },
    /// The engine failed on these inputs.
    #[error("{runtime} failed on these inputs: {message}")]
    Run {
        /// The engine.
        runtime: &'static str,
        /// Its words.
        message: String,
    },
    /// The engine panicked; the panic was caught and the session is still usable or was dropped.
    #[error("{runtime} panicked while {doing}: {message}")]
    Panicked {
        /// The engine.
        runtime: &'static str,
        /// What it was doing.
        doing: &'static str,
        /// The panic's message.
        message: String,
    },
}

impl RuntimeError {
    /// The kind, for protocols and exit codes.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::InvalidOnnx { .. }
            | Self::CannotSplit { .. }
            | Self::Inputs(_)
            | Self::InputValue { .. }
            | Self::Run { .. } => ErrorKind::InvalidArgument,
            Self::RefusedOnnx { .. }
            | Self::Unsupported { .. }
            | Self::Stepwise { .. }
            | Self::NoRuntime { .. } => ErrorKind::Unsupported,
            Self::TooLarge { .. } => ErrorKind::TooLarge,
            Self::MissingFiles { .. } | Self::UnknownRuntime { .. } => ErrorKind::NotFound,
            Self::LibraryUnusable { .. } => ErrorKind::FailedPrecondition,
            Self::Network(error) => error.kind(),
            Self::Load { .. } | Self::Panicked { .. } => ErrorKind::Unsupported,
        }
    }

    /// The way out, where one is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::RefusedOnnx { hint, .. }
            | Self::Unsupported { hint, .. }
            | Self::Stepwise { hint, .. }
            | Self::CannotSplit { hint, .. }
            | Self::NoRuntime { hint, .. } => hint.clone(),
            Self::LibraryUnusable { .. } => Some(INSTALL_HINT.to_owned()),
            Self::Network(error) => error.hint(),
            _ => None,
        }
    }

    pub(crate) fn network(error: ModelError) -> Self {
        Self::Network(Box::new(error))
    }

    pub(crate) fn invalid(reason: impl Into<String>) -> Self {
        Self::InvalidOnnx { reason: reason.into() }
    }

    pub(crate) fn refused(reason: impl Into<String>) -> Self {
        Self::RefusedOnnx { reason: reason.into(), hint: None }
    }
}
