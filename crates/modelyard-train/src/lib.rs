//! From a project file and data to a scored, packaged model version.

pub mod evaluate;
mod gates;
pub mod project;

pub use gates::{Bound, Gate, GateResult};
pub use project::{Project, ProjectError, project_reference_markdown, project_schema_json};
