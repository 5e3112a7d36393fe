//! Why a project could not be checked, trained, packaged or scored.

use std::io;
use std::path::PathBuf;

use modelyard_data::DataError;
use modelyard_model::ModelError;
use modelyard_registry::RegistryError;
use modelyard_registry::document::DocumentError;
use modelyard_runtime::RuntimeError;
use modelyard_types::ErrorKind;
use thiserror::Error;

use crate::project::{Diagnostic, ProjectError};

/// Why a project could not be checked, trained, packaged or scored.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The project file is wrong, by itself or against its data.
    #[error(transparent)]
    Project(#[from] ProjectError),
    /// The data cannot be read or does not fit what is declared.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The network cannot be built or run.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// An engine could not load or run the packaged network.
    #[error(transparent)]
    Runtime(Box<RuntimeError>),
    /// A stored document is damaged or too new.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// A data file could not be read for its digest.
    #[error("cannot read {}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The loss, the gradients or what the network answers are no longer numbers.
    #[error("training diverged: {found} in epoch {epoch}, step {step} (learning rate {learning_rate})")]
    Diverged {
        /// The epoch, from 1.
        epoch: usize,
        /// The step in the epoch, from 1.
        step: usize,
        /// What became NaN or infinite, in words.
        found: String,
        /// The learning rate in force.
        learning_rate: f32,
        /// What to try.
        hint: String,
        /// The weights that were still good, where they were kept.
        kept: Option<KeptWeights>,
    },
    /// The network answers some rows with what is no number.
    #[error("the network's answer for row {row} of {rows} is {value}, which is no number to score")]
    NoNumber {
        /// The place of the row among those asked for, from 1.
        row: usize,
        /// How many rows were asked for.
        rows: usize,
        /// The value: NaN or infinite.
        value: f32,
    },
    /// Somebody asked training to stop.
    #[error("training was stopped in epoch {epoch}; nothing was published")]
    Stopped {
        /// The epoch, from 1.
        epoch: usize,
        /// Whether a checkpoint was written to go on from.
        resumable: bool,
    },
    /// A run without a checkpoint that can be used.
    #[error("there is no checkpoint to go on from in {}{}", .folder.display(), damaged_text(*.damaged))]
    NoCheckpoint {
        /// Where checkpoints would be.
        folder: PathBuf,
        /// How many there are that are damaged.
        damaged: usize,
    },
    /// A checkpoint of something else.
    #[error("this run cannot be resumed: {} changed since it was begun", .different.join(" and "))]
    OtherCheckpoint {
        /// What differs.
        different: Vec<&'static str>,
    },
    /// The store could not keep or give a run's files.
    #[error(transparent)]
    Registry(Box<RegistryError>),
    /// An engine answers otherwise than the trained network.
    #[error(
        "{runtime} answers otherwise than the trained network: up to {difference:.2e} apart on {rows} rows, \
         where {tolerance:.0e} is allowed"
    )]
    Parity {
        /// The engine.
        runtime: &'static str,
        /// The largest |a − b| / (1 + |a|).
        difference: f64,
        /// The largest that is allowed.
        tolerance: f64,
        /// How many rows were compared.
        rows: usize,
    },
    /// A version lacks a file that only versions trained here have.
    #[error("this version has no {file}")]
    NoFile {
        /// The file.
        file: &'static str,
    },
    /// A model to start from that lacks what only networks trained here have.
    #[error("training cannot start from {from}: it has no {file}")]
    NoStart {
        /// The version or folder.
        from: String,
        /// The file.
        file: &'static str,
    },
    /// A language model was asked to answer rows.
    #[error("this model continues texts and answers no rows")]
    OnlyContinues,
    /// A model that is no language model was asked to continue a text.
    #[error("this model does not continue texts")]
    NoLanguage,
    /// A model that neither continues texts nor draws samples was asked to generate.
    #[error("this model neither continues texts nor draws samples")]
    NoSamples,
    /// Rows without answers cannot be scored.
    #[error("there are no rows to score")]
    NoRows,
}

/// Weights from before a divergence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptWeights {
    /// The epoch whose weights these are, from 1.
    pub epoch: usize,
    /// The file (safetensors).
    pub file: PathBuf,
}

fn damaged_text(damaged: usize) -> String {
    match damaged {
        0 => String::new(),
        1 => " (one is there, and it is damaged)".to_owned(),
        many => format!(" ({many} are there, and all are damaged)"),
    }
}

impl From<RegistryError> for TrainError {
    fn from(error: RegistryError) -> Self {
        Self::Registry(Box::new(error))
    }
}

impl From<RuntimeError> for TrainError {
    fn from(error: RuntimeError) -> Self {
        Self::Runtime(Box::new(error))
    }
}

impl TrainError {
    /// Complaints about places in the project file.
    pub(crate) fn misfit(diagnostics: Vec<Diagnostic>) -> Self {
        Self::Project(ProjectError::Invalid { diagnostics })
    }

    /// The kind, for exit codes and protocols.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Project(error) => error.kind(),
            Self::Data(error) => error.kind(),
            Self::Model(error) => error.kind(),
            Self::Runtime(error) => error.kind(),
            Self::Document(error) => error.kind(),
            Self::Unreadable { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                ErrorKind::NotFound
            }
            Self::Unreadable { .. } => ErrorKind::Unavailable,
            Self::Registry(error) => error.kind(),
            Self::NoCheckpoint { .. } | Self::NoStart { .. } => ErrorKind::NotFound,
            Self::Diverged { .. } | Self::NoNumber { .. } | Self::NoRows | Self::OtherCheckpoint { .. } => {
                ErrorKind::InvalidArgument
            }
            Self::Stopped { .. } => ErrorKind::Cancelled,
            Self::Parity { .. } => ErrorKind::Internal,
            Self::NoFile { .. } | Self::OnlyContinues | Self::NoLanguage | Self::NoSamples => {
                ErrorKind::Unsupported
            }
        }
    }

    /// The way out, where one is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Project(error) => error.hint(),
            Self::Data(error) => error.hint(),
            Self::Model(error) => error.hint(),
            Self::Runtime(error) => error.hint(),
            Self::Registry(error) => error.hint(),
            Self::Diverged { hint, kept: None, .. } => Some(hint.clone()),
            Self::Diverged { hint, kept: Some(kept), .. } => {
                Some(format!("{hint}\nthe weights of epoch {} are kept in {}", kept.epoch, kept.file.display()))
            }
            Self::NoNumber { .. } => Some(
                "look for inputs far from those it was trained on; if there are none, the weights are damaged".to_owned(),
            ),
            Self::Stopped { resumable: true, .. } => Some("--resume goes on where it stopped".to_owned()),
            Self::NoCheckpoint { .. } => Some(
                "`checkpoint = { every_minutes = 1 }` in [training] writes more of them; without --resume, training \
                 begins anew"
                    .to_owned(),
            ),
            Self::NoStart { .. } => Some(
                "start_from needs network.json and weights.safetensors, as `modelyard export NAME --out FOLDER` writes \
                 them of a version trained here; an imported ONNX file cannot be trained on"
                    .to_owned(),
            ),
            Self::OtherCheckpoint { .. } => {
                Some("undo the change, or train anew without --resume".to_owned())
            }
            Self::Parity { .. } => Some(
                "nothing was published; please report this with the project file, as the exported network should \
                 give the same answers everywhere"
                    .to_owned(),
            ),
            Self::OnlyContinues => Some("`modelyard generate NAME --prompt TEXT` continues a text".to_owned()),
            Self::NoLanguage => Some(
                "language models have an output of kind \"next_token\"; `modelyard predict` answers rows".to_owned(),
            ),
            Self::NoSamples => Some(
                "texts are continued by a model whose output has the kind \"next_token\"; samples are drawn by one of \
                 the kind \"anomaly\" whose network has a layer gaussian_sample"
                    .to_owned(),
            ),
            Self::NoFile { .. } => Some(
                "imported models have no pipeline from rows to tensors: send tensors to `/v2/models/…/infer`".to_owned(),
            ),
            _ => None,
        }
    }
}
