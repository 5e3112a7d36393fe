//! Fine-tuning: training that starts from the weights of a model trained before, and from what its pipeline learned.

use std::io;
use std::path::Path;

use modelyard_data::Pipeline;
use modelyard_model::{Network, NetworkSpec};
use modelyard_registry::document::RunStart;
use modelyard_types::{ModelName, Version};
use sha2::{Digest, Sha256};

use crate::error::TrainError;
use crate::files;
use crate::fingerprint::hex;
use crate::project::{Problem, Project, Target};

/// More arrays of weights than this are not listed in a message.
const SHAPES_SHOWN: usize = 8;

/// A trained model to start from.
#[derive(Clone, Debug)]
pub struct Parent {
    name: String,
    version: Option<(ModelName, Version)>,
    digest: String,
    network: Network,
    pipeline: Option<Pipeline>,
}

impl Parent {
    /// A registered version; `file` gives the bytes of a file by its name.
    ///
    /// # Errors
    /// [`TrainError::NoStart`] where the version was not trained here, or the error of the damaged file.
    pub fn of_version<'a>(
        name: &ModelName,
        version: Version,
        digest: &str,
        file: impl Fn(&str) -> Option<&'a [u8]>,
    ) -> Result<Self, TrainError> {
        let label = format!("{name} version {version}");
        let find = |file_name: &'static str| {
            file(file_name).ok_or_else(|| TrainError::NoStart { from: label.clone(), file: file_name })
        };
        let network = Network::from_parts(find(files::NETWORK)?, find(files::WEIGHTS)?)?;
        let pipeline = file(files::PIPELINE).map(Pipeline::from_json).transpose()?;
        let version = Some((name.clone(), version));
        Ok(Self { name: label, version, digest: digest.to_owned(), network, pipeline })
    }

    /// A folder with a version's `network.json` and `weights.safetensors`, and its `pipeline.json` where it has one.
    ///
    /// # Errors
    /// [`TrainError::NoStart`] where one of the first two is not there, [`TrainError::Unreadable`] where a file
    /// cannot be read, or the error of the damaged file.
    pub fn of_folder(folder: &Path) -> Result<Self, TrainError> {
        let name = folder.display().to_string();
        let mut hash = Sha256::new();
        let mut read = |file: &str| {
            let path = folder.join(file);
            match std::fs::read(&path) {
                Ok(bytes) => {
                    hash.update(Sha256::digest(&bytes));
                    Ok(Some(bytes))
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(source) => Err(TrainError::Unreadable { path, source }),
            }
        };
        let missing = |file| TrainError::NoStart { from: name.clone(), file };
        let network = read(files::NETWORK)?.ok_or_else(|| missing(files::NETWORK))?;
        let weights = read(files::WEIGHTS)?.ok_or_else(|| missing(files::WEIGHTS))?;
        let pipeline = read(files::PIPELINE)?.map(|json| Pipeline::from_json(&json)).transpose()?;
        let network = Network::from_parts(&network, &weights)?;
        Ok(Self { name, version: None, digest: hex(&hash.finalize()), network, pipeline })
    }

    /// The digest of its files.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// What it learned of the data, where it kept that.
    pub(crate) fn pipeline(&self) -> Option<&Pipeline> {
        self.pipeline.as_ref()
    }
}

/// The network before its first step, with the weights of another in it.
#[derive(Clone, Debug)]
pub struct Start {
    /// Drawn weights and those taken over.
    pub(crate) network: Network,
    /// Whose they are and what became of each layer, for records.
    pub record: RunStart,
    version: Option<(ModelName, Version)>,
}

impl Start {
    /// Draws the first weights of a project's network, and takes over those of the parent that fit.
    ///
    /// # Errors
    /// At the project file's `start_from`, where no layer fits.
    pub(crate) fn new(project: &Project, parent: &Parent, spec: &NetworkSpec) -> Result<Self, TrainError> {
        let mut network = Network::init(spec.clone(), project.training().seed)?;
        let layers = network.take_weights(&parent.network);
        if layers.taken.is_empty() {
            let problem = Problem::new(format!(
                "no layer of this network has the name and the shapes of one in {}",
                parent.name
            ))
            .hint(format!(
                "it has {}; this network has {}. Layers are matched by `name`, or by place and kind where they have none",
                shown(&parent.network.weight_shapes()),
                shown(&network.weight_shapes())
            ));
            let place = "training.start_from";
            return Err(TrainError::misfit(vec![project.complain(place, Target::Value, problem)]));
        }
        let record = RunStart {
            from: parent.name.clone(),
            digest: parent.digest.clone(),
            taken: layers.taken,
            anew: layers.left,
            frozen: network.frozen_layers(),
        };
        Ok(Self { network, record, version: parent.version.clone() })
    }

    /// The version it started from, where that is one of the model of this name.
    pub fn parent_of(&self, name: &ModelName) -> Option<Version> {
        self.version.as_ref().filter(|(model, _)| model == name).map(|(_, version)| *version)
    }
}

fn shown(shapes: &[String]) -> String {
    match shapes.get(..SHAPES_SHOWN) {
        Some(first) if shapes.len() > SHAPES_SHOWN => format!("{}, …", first.join(", ")),
        _ => shapes.join(", "),
    }
}
