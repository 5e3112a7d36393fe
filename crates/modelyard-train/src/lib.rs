//! From a project file and its data to a scored, packaged model version.
//!
//! [`Project::read`] reads `modelyard.toml`, [`prepare()`] (or [`check()`]) holds it against the data, [`fit()`]
//! trains and scores, and [`package()`] writes the files of a version once its ONNX is proven to answer alike.

mod backtest;
mod card;
mod check;
mod checkpoint;
mod class_weights;
mod error;
pub mod evaluate;
pub mod files;
mod fingerprint;
mod fit;
mod gates;
mod inputs;
mod judge;
mod keeping;
mod locate;
mod model;
mod package;
mod prepare;
mod progress;
pub mod project;
mod report;
mod run;
pub mod schedule;
mod scores;
mod start;

pub use backtest::{Backtest, Spread, spreads};
pub use check::{CheckReport, ClassReport, ColumnReport, LayerReport, check};
pub use checkpoint::Checkpoint;
pub use error::{KeptWeights, TrainError};
pub use fingerprint::{data_digest, fingerprint, project_digest};
pub use fit::{Host, Job, Trained, fit};
pub use gates::{Gate, gate_sentence};
pub use model::TrainedModel;
pub use modelyard_model::Sampling;
pub use package::{PARITY_TOLERANCE, Package, package};
pub use prepare::{Prepared, prepare, prepare_from};
pub use progress::{EpochRecord, Progress, RunPlan, Silent, StepRecord};
pub use project::{Project, ProjectError, project_reference_markdown, project_schema_json};
pub use report::report;
pub use start::{Parent, Start};
