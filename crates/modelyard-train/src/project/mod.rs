//! The project file, `modelyard.toml`: read, checked against its own schema, and resolved into what training
//! needs. Every complaint carries its file, line and column.

mod diagnostic;
mod error;
mod named;
mod raw;
mod reference;
mod resolve;
mod schema;
mod start_from;
mod tree;
mod validate;

use std::path::{Path, PathBuf};

use modelyard_data::{Pipeline, PipelineSpec, SourceSpec};
use modelyard_model::{InputPart, NetworkSpec, Node};
use modelyard_types::ModelName;

pub use diagnostic::Diagnostic;
pub(crate) use diagnostic::Problem;
pub use error::ProjectError;
pub use named::NamedOr;
pub use raw::{
    Average, CheckpointRule, ClassWeightRule, ClassWeights, EarlyStopping, GateSpec, NetworkSection,
    ProjectFile, ProjectSection, ServingSection, Split, TrainingSection, Warmup,
};
pub use reference::project_reference_markdown;
pub use resolve::{StoppingMetric, Training};
pub use schema::project_schema_json;
pub use start_from::{StartFrom, StartingPoint, VersionKey};
use tree::Tree;
pub(crate) use validate::Target;
use validate::{Finding, validate};

use crate::gates::Gate;

/// The name of the project file in a project's folder.
pub const PROJECT_FILE: &str = "modelyard.toml";

/// A project file that could be read and makes sense by itself; only its data is still unseen.
#[derive(Clone, Debug)]
pub struct Project {
    name: ModelName,
    file: ProjectFile,
    training: Training,
    gates: Vec<Gate>,
    folder: PathBuf,
    source: Source,
}

/// The text and where each key stands in it.
#[derive(Clone, Debug)]
struct Source {
    label: String,
    text: String,
    tree: Tree,
}

impl Source {
    fn diagnostic(&self, finding: Finding) -> Diagnostic {
        let place = self.tree.place(&finding.path);
        let span = match finding.target {
            Target::Key => place.key,
            Target::Value => place.value,
        };
        Diagnostic::at(&self.label, &self.text, span, finding.problem)
    }
}

impl Project {
    /// Reads a project from its folder or its `modelyard.toml`.
    ///
    /// # Errors
    /// [`ProjectError`]: the file is missing or unreadable, or what it says is wrong, with every place.
    pub fn read(path: &Path) -> Result<Self, ProjectError> {
        let file = if path.is_dir() { path.join(PROJECT_FILE) } else { path.to_owned() };
        let size = std::fs::metadata(&file).map_err(|source| ProjectError::unreadable(&file, source))?.len();
        if size > tree::FILE_BYTES_MAX as u64 {
            return Err(ProjectError::TooLarge { path: file, size, limit: tree::FILE_BYTES_MAX as u64 });
        }
        let bytes = std::fs::read(&file).map_err(|source| ProjectError::unreadable(&file, source))?;
        let folder = match file.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        Self::parse(&bytes, &file.display().to_string(), &folder)
    }

    /// Reads a project from the bytes of its file. `label` names the file in messages; paths in the file are
    /// relative to `folder`.
    ///
    /// # Errors
    /// [`ProjectError`], as [`Project::read`].
    pub fn parse(bytes: &[u8], label: &str, folder: &Path) -> Result<Self, ProjectError> {
        let text = std::str::from_utf8(bytes)
            .map_err(|error| ProjectError::NotText { path: label.into(), offset: error.valid_up_to() })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).to_owned();
        let tree = Tree::parse(&text).map_err(|problems| ProjectError::Invalid {
            diagnostics: problems
                .into_iter()
                .map(|(span, problem)| Diagnostic::at(label, &text, span, problem))
                .collect(),
        })?;
        let source = Source { label: label.to_owned(), text, tree };
        let invalid = |findings: Vec<Finding>| ProjectError::Invalid {
            diagnostics: findings.into_iter().map(|finding| source.diagnostic(finding)).collect(),
        };
        let findings = validate(schema::schema(), &source.tree.value);
        if !findings.is_empty() {
            return Err(invalid(findings));
        }
        let file: ProjectFile = serde_json::from_value(source.tree.value.clone())
            .map_err(|error| invalid(vec![Finding::at("", Problem::new(error.to_string()))]))?;
        let resolved = resolve::resolve(&file).map_err(invalid)?;
        Ok(Self {
            name: resolved.name,
            training: resolved.training,
            gates: resolved.gates,
            file,
            folder: folder.to_owned(),
            source,
        })
    }

    /// The name under which models are registered.
    pub fn name(&self) -> &ModelName {
        &self.name
    }

    /// What the model is for, in the user's words; may be empty.
    pub fn description(&self) -> &str {
        &self.file.project.description
    }

    /// The folder to which paths in the file are relative.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file's text, as stored beside the model.
    pub fn text(&self) -> &str {
        &self.source.text
    }

    /// The file as the user named it.
    pub fn label(&self) -> &str {
        &self.source.label
    }

    /// Where the rows come from and how they are divided.
    pub fn data(&self) -> &SourceSpec {
        &self.file.data
    }

    /// The inputs and outputs.
    pub fn pipeline(&self) -> PipelineSpec {
        PipelineSpec {
            inputs: self.file.inputs.clone(),
            outputs: self.file.outputs.clone(),
            windows: self.file.data.windows.clone(),
        }
    }

    /// The layers.
    pub fn layers(&self) -> &[Node] {
        &self.file.network.layers
    }

    /// The network over the parts that a pipeline gives.
    pub fn network(&self, pipeline: &Pipeline) -> NetworkSpec {
        let layers = self.file.network.layers.clone();
        match pipeline.input_parts() {
            [_] => NetworkSpec::new(pipeline.input_shape().to_vec(), layers),
            parts => {
                let parts =
                    parts.iter().map(|part| InputPart { name: part.name.clone(), shape: part.shape.clone() });
                NetworkSpec::with_parts(parts.collect(), layers)
            }
        }
    }

    /// How the network is trained.
    pub fn training(&self) -> &Training {
        &self.training
    }

    /// What the scores must reach.
    pub fn gates(&self) -> &[Gate] {
        &self.gates
    }

    /// The gates as written.
    pub(crate) fn gate_specs(&self) -> &[GateSpec] {
        &self.file.gates
    }

    /// Whether the file itself holds a key, rather than leaving it to its default.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.source.tree.places.contains_key(path)
    }

    /// How the model is served.
    pub fn serving(&self) -> &ServingSection {
        &self.file.serving
    }

    /// A complaint about the entry at `path` (`training.batch_size`, `network.layers[2]`), with its line.
    pub(crate) fn complain(&self, path: &str, target: Target, problem: Problem) -> Diagnostic {
        self.source.diagnostic(Finding { path: path.to_owned(), target, problem })
    }
}

#[cfg(test)]
mod tests;
