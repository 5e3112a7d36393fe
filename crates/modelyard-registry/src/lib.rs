//! Where training and serving meet: immutable, content-addressed model versions, the aliases that point at
//! them, and who moved what when.
//!
//! A version's files stand in a folder of their own and are flushed to the disk before one SQLite commit
//! makes them a version: killed at any moment, a version is wholly there or not at all. What a killed
//! process leaves behind is collected by the next one that opens the store.

mod alias;
mod checkpoint;
mod collect;
mod compare;
mod content;
pub mod document;
mod error;
mod graph;
mod publish;
mod registry;
mod route;
mod run;
mod tables;
mod version;

pub use alias::{AliasMove, GateRule, MoveKind, Promotion};
pub use checkpoint::{CheckpointFile, Checkpoints};
pub use collect::Collected;
pub use compare::{Comparison, FieldDifference, FileChange, FileDifference, ScoreDifference};
pub use content::{FileEntry, MANIFEST, Manifest};
pub use error::RegistryError;
pub use graph::{GraphChange, GraphChangeKind, NewGraph};
pub use publish::NewVersion;
pub use registry::Registry;
pub use route::{NewRoute, RouteChange, RouteChangeKind};
pub use run::{OpenRun, Run};
pub use version::{FileFault, ModelSummary, ModelVersion, Origin, VerifyReport, VersionFiles};
