//! Answers requests with registered model versions: schedules, batches, runs and counts them.
//!
//! A request is checked against its version's signature, queued, joined with others of equal shape by a
//! scheduler that is a pure state machine, run by a pool of sessions, and answered on a channel of its own.
//! Nothing here knows a protocol: front ends decode to and encode from the types of `modelyard-types`.

mod batch;
mod batch_cost;
mod config;
mod cost;
mod error;
mod graph;
mod heap;
mod journey;
mod made_up;
mod parallel;
mod pool;
mod probe;
mod rollout;
mod rounds;
pub mod scheduler;
mod sequence;
mod server;
mod settings;
mod source;
mod stateful;
mod statistics;
mod target;
mod telemetry;
mod urgency;
mod version;
mod warm;

pub use config::ServeConfig;
pub use error::ServeError;
pub use graph::{
    GraphRows, RemoteAnswer, RemoteCall, RemoteFailure, RemoteModels, RemoteServer, RemoteTerms,
};
pub use journey::{HOPS_MAX, Journey, StepSpan, Terms, Trail};
pub use modelyard_data::{Answer, FieldInfo, ForecastStep, Kind, Prediction, Row, Value};
pub use modelyard_model::Sampling;
pub use modelyard_registry::document::{SECURE, TlsFiles};
pub use rollout::{CANARY_LABEL, Labels, Routed};
pub use sequence::{SequenceId, SequenceStep};
pub use server::{InFlight, IndexEntry, ModelStatus, SequenceTurn, Server};
pub use settings::{Declared, ModelSettings};
pub use source::{
    Later, ModelFolder, ModelSource, RoutedFolder, SourceFiles, SourceModel, SourceVersion,
    read_config_override, read_triton_config,
};
pub use stateful::{Control, Flag, KeptState, SequenceSettings, Tells};
pub use statistics::{Statistics, Times, Total};
pub use urgency::{PRIORITY_DEFAULT, Urgency};
pub use version::{Answered, Drawing, Generation, GraphAnswer, ServedVersion, check_answer};
