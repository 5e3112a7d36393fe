//! A registered version beside a data file: what `predict` and `evaluate` work on.

use std::path::{Path, PathBuf};

use clap::Args;
use modelyard_data::read::format_of;
use modelyard_data::{Dataset, Format, Paths, PipelineSpec, SourceSpec, SplitSpec};
use modelyard_registry::{ModelVersion, VersionFiles};
use modelyard_train::{Project, TrainedModel, files};
use modelyard_types::{ModelName, VersionSelector};

use crate::cli::StoreArgs;
use crate::failure::{Exit, Failure};
use crate::wiring;

/// A version and a data file.
#[derive(Debug, Args)]
pub(crate) struct ModelAndData {
    /// The model's name.
    pub(crate) model: ModelName,
    /// The data: a CSV, TSV, JSON lines, Parquet, IDX or NPY file, or a folder of images.
    pub(crate) data: PathBuf,
    /// A version number or an alias.
    #[arg(long, env = "MODELYARD_MODEL_VERSION", default_value = "live", value_name = "VERSION")]
    pub(crate) model_version: VersionSelector,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// A version that was trained here, in memory.
pub(crate) struct Stored {
    /// Its record.
    pub(crate) version: ModelVersion,
    /// Its network and pipeline.
    pub(crate) model: TrainedModel,
    /// The project that it was trained from.
    pub(crate) project: Project,
}

impl Stored {
    /// Loads the version that is named.
    ///
    /// # Errors
    /// A version that is not there, is damaged, or was not trained here.
    pub(crate) fn load(asked: &ModelAndData) -> Result<Self, Failure> {
        let (version, files) = wiring::block_on(async {
            let registry = wiring::open_existing(&asked.store.store).await?;
            let version = registry.find(&asked.model, &asked.model_version).await?;
            let files = registry.load(&version).await?;
            Ok((version, files))
        })?;
        let model = TrainedModel::from_files(|name| files.get(name).map(AsRef::as_ref))?;
        let project = project_of(&version, &files)?;
        Ok(Self { version, model, project })
    }

    /// Reads a data file as the project's own data is read, with these columns.
    ///
    /// # Errors
    /// A file that is not there, or does not fit.
    pub(crate) fn read(
        &self,
        data: &Path,
        labels: Option<&Path>,
        spec: &PipelineSpec,
    ) -> Result<Dataset, Failure> {
        if !data.exists() {
            return Err(Failure::new(Exit::NotFound, format!("there is no {}", data.display())));
        }
        Ok(modelyard_data::read(&self.source(data, labels), Path::new(""), spec)?)
    }

    /// The project's source with another file in it.
    pub(crate) fn source(&self, data: &Path, labels: Option<&Path>) -> SourceSpec {
        let paths = |path: &Path| Paths::One(path.to_string_lossy().into_owned());
        let declared = self.project.data();
        SourceSpec {
            source: paths(data),
            labels: labels.map(paths),
            test_source: None,
            test_labels: None,
            format: declared.format.filter(|format| !tells_another_format(data, *format)),
            // The file is read whole, so that nothing has to say how it is divided; windows are the pipeline's.
            split: SplitSpec::default(),
            windows: None,
            ..declared.clone()
        }
    }
}

/// Whether a file's name says that it is in another format than the project's own data. `.txt` says nothing: tables
/// come under that name, too.
fn tells_another_format(data: &Path, declared: Format) -> bool {
    format_of(data).is_some_and(|told| told != declared && told != Format::TextLines)
}

fn project_of(version: &ModelVersion, files: &VersionFiles) -> Result<Project, Failure> {
    let bytes = files.get(files::PROJECT).ok_or_else(|| {
        let message = format!("{} version {} has no {}", version.name, version.version, files::PROJECT);
        Failure::new(Exit::BadInput, message)
    })?;
    let label = format!("{} of {} version {}", files::PROJECT, version.name, version.version);
    Ok(Project::parse(bytes, &label, Path::new(""))?)
}
