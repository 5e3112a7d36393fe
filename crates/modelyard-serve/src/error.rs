//! Every way in which serving a request or loading a version fails, each with its kind and a way out.

mod hint;

use std::sync::Arc;
use std::time::Duration;

use modelyard_data::DataError;
use modelyard_model::ModelError;
use modelyard_registry::RegistryError;
use modelyard_runtime::RuntimeError;
use modelyard_types::{ErrorKind, ModelName, SignatureError, Version, VersionSelector};

use crate::sequence::SequenceId;

/// Why a request was not answered, or a version not loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// No model of this name is served.
    #[error("there is no model {name:?}{}", suggestion(.nearest))]
    UnknownModel {
        /// The name asked for.
        name: String,
        /// The served name that is most like it.
        nearest: Option<String>,
    },
    /// The model has no such version or alias.
    #[error("model {model} has no version {selector}")]
    UnknownVersion {
        /// The model.
        model: ModelName,
        /// What was asked for.
        selector: VersionSelector,
    },
    /// The model is registered, but no version of it may serve.
    #[error("model {model} serves no version yet")]
    NothingToServe {
        /// The model.
        model: ModelName,
    },
    /// The tensors are not what the model takes.
    #[error("{0}")]
    Input(SignatureError),
    /// An output that the model does not give.
    #[error("output {name:?} is not known; the model gives {}", .known.join(", "))]
    UnknownOutput {
        /// The name asked for.
        name: String,
        /// The names that would be right.
        known: Vec<String>,
    },
    /// The same output asked for twice.
    #[error("output {name:?} was asked for twice")]
    DuplicateOutput {
        /// The name.
        name: String,
    },
    /// NaN or infinity among the values sent.
    #[error("input {input:?} holds {value} at position {at}; only finite numbers are taken")]
    NotFinite {
        /// The input's name.
        input: String,
        /// The index of the value, row-major.
        at: usize,
        /// The value.
        value: f64,
    },
    /// NaN or infinity among the values computed.
    #[error("the model answered {value} in output {output:?}, which is not a number to give out")]
    AnswerNotFinite {
        /// The output's name.
        output: String,
        /// The value.
        value: f64,
    },
    /// A request without a row.
    #[error("the request has no rows")]
    NoRows,
    /// More rows than one request may have.
    #[error("the request has {rows} rows, at most {limit} are taken at once")]
    TooManyRows {
        /// Rows sent.
        rows: usize,
        /// Rows allowed.
        limit: usize,
    },
    /// The queue of the model is full.
    #[error("the queue of model {model} is full")]
    QueueFull {
        /// The model.
        model: ModelName,
    },
    /// No answer was there in time.
    #[error("the deadline passed before model {model} could answer")]
    DeadlineExceeded {
        /// The model.
        model: ModelName,
    },
    /// The server is going down.
    #[error("the server is shutting down")]
    Draining,
    /// Rows by name were sent to a model that takes only tensors.
    #[error("model {model} takes tensors, not rows by name: it has no pipeline")]
    NoPipeline {
        /// The model.
        model: ModelName,
    },
    /// Samples were asked of a model that draws none.
    #[error("model {model} draws no samples")]
    DrawsNothing {
        /// The model.
        model: ModelName,
    },
    /// The rows do not fit the pipeline.
    #[error("{0}")]
    Rows(Box<DataError>),
    /// The version that should serve could not be loaded, and there is none from before.
    #[error("version {version} of model {model} should serve, but could not be loaded")]
    NotLoaded {
        /// The model.
        model: ModelName,
        /// The version that should serve.
        version: Version,
    },
    /// A client took the model out of memory.
    #[error("model {model} was unloaded")]
    Unloaded {
        /// The model.
        model: ModelName,
    },
    /// The session failed on this batch.
    #[error("model {model} failed on this request")]
    Run {
        /// The model.
        model: ModelName,
        /// What the runtime said, shared by the requests of the batch.
        #[source]
        source: Arc<RuntimeError>,
    },
    /// The session panicked on this batch, or its answer had not the shape that it declares.
    #[error("model {model} broke down on this request: {what}")]
    Broken {
        /// The model.
        model: ModelName,
        /// How.
        what: String,
    },
    /// A version could not be loaded: a stored file is missing or unreadable.
    #[error("version {version} of model {model} cannot be loaded: {what}")]
    BadVersion {
        /// The model.
        model: ModelName,
        /// The version.
        version: Version,
        /// What is wrong with it.
        what: String,
    },
    /// A version's stored pipeline or signature could not be read.
    #[error("version {version} of model {model} cannot be loaded")]
    Pipeline {
        /// The model.
        model: ModelName,
        /// The version.
        version: Version,
        /// What the pipeline said.
        #[source]
        source: Box<DataError>,
    },
    /// No runtime could load the version's network.
    #[error("version {version} of model {model} cannot be loaded")]
    Load {
        /// The model.
        model: ModelName,
        /// The version.
        version: Version,
        /// What the runtime said.
        #[source]
        source: Box<RuntimeError>,
    },
    /// A version that could not be loaded a moment ago, and is not read again yet.
    #[error("{what}; that was a moment ago, and it is tried again in {} s", again.as_secs() + 1)]
    LeftAlone {
        /// What was said then.
        what: String,
        /// Its kind.
        kind: ErrorKind,
        /// Its way out.
        hint: Option<String>,
        /// Until it is tried again.
        again: Duration,
    },
    /// A text that cannot be continued as was asked.
    #[error("{0}")]
    Generation(Box<ModelError>),
    /// The memory budget has no room for the version.
    #[error(
        "version {version} of model {model} has {bytes} bytes, and the memory budget of {budget} has no room"
    )]
    NoRoom {
        /// The model.
        model: ModelName,
        /// The version.
        version: Version,
        /// Bytes of its network's file.
        bytes: u64,
        /// Bytes that may be loaded at once.
        budget: u64,
    },
    /// No sequence of this name lives.
    #[error("there is no live sequence {id} of model {model}: it never began, has ended, or expired after {} s without a request", idle.as_secs_f64())]
    UnknownSequence {
        /// The model.
        model: ModelName,
        /// The sequence.
        id: SequenceId,
        /// How long a sequence lives without a request.
        idle: Duration,
    },
    /// A version was named that is not the sequence's own.
    #[error("the sequence {id} of model {model} runs on version {version}")]
    SequenceVersion {
        /// The model.
        model: ModelName,
        /// The sequence.
        id: SequenceId,
        /// Its version.
        version: Version,
    },
    /// As many sequences live as may.
    #[error("{limit} sequences live, and no more may")]
    SequencesFull {
        /// How many may.
        limit: usize,
    },
    /// Too many requests of one sequence wait for each other.
    #[error("too many requests of the sequence {id} of model {model} wait for each other")]
    SequenceCrowded {
        /// The model.
        model: ModelName,
        /// The sequence.
        id: SequenceId,
    },
    /// A request of a sequence has several rows, or none.
    #[error("a request of a sequence has one row, this has {rows}")]
    SequenceRows {
        /// Rows sent.
        rows: usize,
    },
    /// A request of a sequence has more steps than one request may have, or none.
    #[error("a request of a sequence has from 1 to {limit} steps, this has {steps}")]
    SequenceSteps {
        /// Steps sent.
        steps: usize,
        /// Steps allowed.
        limit: usize,
    },
    /// The model answers requests of sequences only.
    #[error("model {model} answers requests of sequences, this one has no sequence_id")]
    SequenceNeeded {
        /// The model.
        model: ModelName,
    },
    /// The model is told the sequence's name, and cannot be told this one.
    #[error("sequence {id} of model {model}: its network takes {wanted} for the sequence's name")]
    SequenceName {
        /// The model.
        model: ModelName,
        /// The sequence.
        id: SequenceId,
        /// What it can be told.
        wanted: String,
    },
    /// The memory budget has no room for what is to be remembered.
    #[error("a sequence of model {model} takes {bytes} bytes, and the memory budget of {budget} has no room")]
    SequenceNoRoom {
        /// The model.
        model: ModelName,
        /// Bytes that are remembered of it.
        bytes: u64,
        /// Bytes that may be in memory at once.
        budget: u64,
    },
    /// The model cannot be fed a series in pieces.
    #[error("model {model} takes no sequences: {}", reason(.source))]
    NoSequences {
        /// The model.
        model: ModelName,
        /// What the runtime said.
        #[source]
        source: Arc<RuntimeError>,
    },
    /// A folder of models cannot be used, or something in it.
    #[error("{path}: {what}")]
    Folder {
        /// The path, from the folder on.
        path: String,
        /// What is wrong with it.
        what: String,
        /// What to do about it.
        hint: String,
    },
    /// A route names a version that a folder does not have, or does not serve.
    #[error("{model} has no version {version} that is served from the folder")]
    NotInFolder {
        /// The model.
        model: ModelName,
        /// The version.
        version: Version,
        /// Those that are served, in order.
        served: Vec<Version>,
    },
    /// A route that makes no sense for the versions that are there.
    #[error("the route of {model} was not changed: {what}")]
    BadRoute {
        /// The model.
        model: ModelName,
        /// What is wrong.
        what: String,
        /// What to do about it.
        hint: String,
    },
    /// The configuration that came with an order to load cannot be followed.
    #[error("the configuration cannot be followed: {what}")]
    BadOverride {
        /// What is wrong with it.
        what: String,
        /// What to do about it.
        hint: String,
    },
    /// A model's configuration asks for what is not understood or not done.
    #[error("{file}:{line}: {what}")]
    ModelConfig {
        /// The file, from the folder on.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        what: String,
        /// What to do about it, where that is known.
        hint: Option<String>,
    },
    /// The model is known, but its files do not let it be served.
    #[error("model {model} cannot be served: {what}")]
    Unservable {
        /// The model.
        model: ModelName,
        /// Why, with the way out.
        what: String,
    },
    /// A step of a graph failed. The caller is told why, so the sentence repeats its source.
    #[error("step {step:?}: {cause}")]
    Step {
        /// The step.
        step: String,
        /// Why.
        #[source]
        cause: Box<ServeError>,
    },
    /// A step of a sequence would be scattered. Told with the step.
    #[error("it remembers sequences and has scatter_rows: a sequence is not scattered")]
    SequenceScattered,
    /// A step that remembers sequences would see some of their requests only. Told with the step.
    #[error("its model remembers sequences, and a switch does not take its way with every request of one")]
    SequenceSwitched,
    /// What a sequence remembers is not known any more.
    #[error("sequence {id} is lost, as another server may have taken its step already: {cause}")]
    SequenceLost {
        /// The sequence.
        id: SequenceId,
        /// Why the request failed.
        #[source]
        cause: Box<ServeError>,
    },
    /// The answer cannot be given as its caller wants it.
    #[error("{message}")]
    Unwritable {
        /// What kind of failure it is to the caller.
        kind: ErrorKind,
        /// What is wrong.
        message: String,
        /// What can be done about it, where that is known.
        hint: Option<String>,
    },
    /// The tensors sent do not go together as a graph needs it.
    #[error("{what}")]
    Joint {
        /// What is wrong.
        what: String,
    },
    /// Another server gave no answer, or a wrong one. Which one, the log tells.
    #[error("another server, which runs it: {message}")]
    Remote {
        /// What kind of failure it told of.
        kind: ErrorKind,
        /// What it said.
        message: String,
    },
    /// Every server that could be asked failed several times in a row just now.
    #[error("the servers that run it are left alone for a moment, after failures in a row")]
    ServersRest,
    /// A request came through too many servers to be passed on to one more.
    #[error(
        "graph {graph} asks no further server: the request came through {limit} servers, and no more may pass it on"
    )]
    TooManyHops {
        /// The graph.
        graph: ModelName,
        /// Servers that may pass a request on.
        limit: u8,
    },
    /// The registry failed.
    #[error("the registry could not be read")]
    Registry(#[source] Box<RegistryError>),
}

impl From<RegistryError> for ServeError {
    fn from(error: RegistryError) -> Self {
        Self::Registry(Box::new(error))
    }
}

/// Why, without the words that the message has already.
fn reason(error: &RuntimeError) -> String {
    match error {
        RuntimeError::Stepwise { reason, .. } => reason.clone(),
        other => other.to_string(),
    }
}

fn suggestion(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|name| format!("; did you mean {name:?}?")).unwrap_or_default()
}

impl ServeError {
    /// Whether a version's files are at fault: they will not load before they change.
    pub(crate) fn is_the_versions_own(&self) -> bool {
        match self {
            Self::BadVersion { .. } | Self::Pipeline { .. } | Self::Load { .. } => true,
            Self::Registry(source) => source.kind() == ErrorKind::DataCorrupt,
            _ => false,
        }
    }

    /// The kind, from which every protocol takes its code.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownModel { .. }
            | Self::UnknownVersion { .. }
            | Self::NotInFolder { .. }
            | Self::UnknownSequence { .. } => ErrorKind::NotFound,
            Self::NothingToServe { .. }
            | Self::Unservable { .. }
            | Self::TooManyHops { .. }
            | Self::SequenceScattered
            | Self::SequenceSwitched
            | Self::SequenceLost { .. } => ErrorKind::FailedPrecondition,
            Self::Folder { .. }
            | Self::ModelConfig { .. }
            | Self::BadOverride { .. }
            | Self::BadRoute { .. } => ErrorKind::InvalidArgument,
            Self::Input(_) | Self::UnknownOutput { .. } | Self::NotFinite { .. } | Self::NoRows => {
                ErrorKind::InvalidArgument
            }
            Self::NoPipeline { .. }
            | Self::DuplicateOutput { .. }
            | Self::DrawsNothing { .. }
            | Self::SequenceVersion { .. }
            | Self::SequenceNeeded { .. }
            | Self::SequenceName { .. }
            | Self::SequenceRows { .. } => ErrorKind::InvalidArgument,
            Self::SequenceSteps { steps: 0, .. } => ErrorKind::InvalidArgument,
            Self::TooManyRows { .. } | Self::SequenceSteps { .. } => ErrorKind::TooLarge,
            Self::QueueFull { .. }
            | Self::NoRoom { .. }
            | Self::SequencesFull { .. }
            | Self::SequenceNoRoom { .. }
            | Self::SequenceCrowded { .. } => ErrorKind::ResourceExhausted,
            Self::DeadlineExceeded { .. } => ErrorKind::DeadlineExceeded,
            Self::Draining | Self::NotLoaded { .. } | Self::Unloaded { .. } => ErrorKind::Unavailable,
            Self::Broken { .. } | Self::AnswerNotFinite { .. } => ErrorKind::Internal,
            Self::BadVersion { .. } => ErrorKind::DataCorrupt,
            Self::Rows(source) | Self::Pipeline { source, .. } => source.kind(),
            Self::Run { source, .. } | Self::NoSequences { source, .. } => source.kind(),
            Self::Load { source, .. } => source.kind(),
            Self::LeftAlone { kind, .. } => *kind,
            Self::Generation(error) => error.kind(),
            Self::Step { cause, .. } => cause.kind(),
            Self::Joint { .. } => ErrorKind::InvalidArgument,
            Self::Remote { kind, .. } | Self::Unwritable { kind, .. } => *kind,
            Self::ServersRest => ErrorKind::Unavailable,
            Self::Registry(source) => source.kind(),
        }
    }
}
