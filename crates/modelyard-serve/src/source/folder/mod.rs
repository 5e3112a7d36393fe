//! A folder of ONNX files or a Triton model repository as a source of models: read where it lies, looked at
//! again as often as a registry, never written to.

mod batching;
mod config;
mod fields;
mod layout;
mod override_json;
mod routed;
mod sequences;
mod text;
mod warmup;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use modelyard_types::{ModelName, Version};

use super::{Later, ModelSource, SourceFiles, SourceModel, SourceVersion};
use crate::error::ServeError;
use crate::settings::ModelSettings;
use layout::Found;

pub use override_json::read_config_override;
pub use routed::RoutedFolder;

/// Most bytes of one network's file: what the inspection lets through at most.
const NETWORK_BYTES_MAX: u64 = 2 << 30;

/// How a model wants to be served by the text of its `config.pbtxt`, but for what it says in other files. Safe on any
/// text.
///
/// # Errors
/// [`ServeError::ModelConfig`] for the first field that is not understood or not followed.
pub fn read_triton_config(text: &str) -> Result<ModelSettings, ServeError> {
    let parsed = config::parse(text).map_err(|refusal| refusal.of_file(config::CONFIG));
    Ok(parsed?.settings)
}

/// A folder of models.
#[derive(Clone, Debug)]
pub struct ModelFolder {
    path: Arc<Path>,
    own_name: Option<ModelName>,
}

impl ModelFolder {
    /// Looks into a folder: `name.onnx` files, Triton's `name/1/model.onnx` with `config.pbtxt`, or one model
    /// directly in it, which is then named `own_name`, or as its configuration or folder is.
    ///
    /// # Errors
    /// A folder that cannot be read, holds no model, or holds one with an unfit name. What is wrong with a
    /// single model is that model's problem, not an error here.
    pub fn open(path: &Path, own_name: Option<ModelName>) -> Result<Self, ServeError> {
        let folder = Self { path: path.into(), own_name };
        folder.scan().map(|_| folder.clone())
    }

    /// The names of its models.
    ///
    /// # Errors
    /// As [`ModelFolder::open`].
    pub fn names(&self) -> Result<Vec<ModelName>, ServeError> {
        Ok(self.scan()?.into_iter().map(|found| found.name).collect())
    }

    fn scan(&self) -> Result<Vec<Found>, ServeError> {
        layout::scan(&self.path, self.own_name.as_ref())
    }

    /// Scans off the async threads: it asks the file system many small things.
    fn scan_later<T: Send + 'static>(
        &self,
        make: impl FnOnce(Vec<Found>) -> T + Send + 'static,
    ) -> Later<'static, T> {
        let folder = self.clone();
        Box::pin(async move {
            let scanned = tokio::task::spawn_blocking(move || folder.scan().map(make)).await;
            // The task is lost only where the process is being ended.
            scanned.unwrap_or(Err(ServeError::Draining))
        })
    }

    fn find_network(&self, model: &ModelName, version: Version) -> Later<'static, Option<layout::Network>> {
        let model = model.clone();
        self.scan_later(move |found| {
            let found = found.into_iter().find(|found| found.name == model)?;
            found.versions.get(&version).cloned()
        })
    }
}

impl ModelSource for ModelFolder {
    fn revision(&self) -> Later<'_, u64> {
        self.scan_later(|found| {
            let mut hasher = DefaultHasher::new();
            for Found { name, stamp, problem, .. } in &found {
                (name, stamp, problem).hash(&mut hasher);
            }
            hasher.finish()
        })
    }

    fn models<'a>(&'a self, only: Option<&'a [ModelName]>) -> Later<'a, Vec<SourceModel>> {
        let only = only.map(<[ModelName]>::to_vec);
        self.scan_later(move |found| {
            let wanted = |found: &Found| only.as_ref().is_none_or(|only| only.contains(&found.name));
            found.into_iter().filter(wanted).map(model).collect()
        })
    }

    fn find<'a>(&'a self, model: &'a ModelName, number: Version) -> Later<'a, Option<SourceVersion>> {
        let network = self.find_network(model, number);
        Box::pin(async move { Ok(network.await?.map(|network| version(number, &network))) })
    }

    fn read<'a>(&'a self, model: &'a ModelName, number: Version) -> Later<'a, SourceFiles> {
        let network = self.find_network(model, number);
        Box::pin(async move {
            let gone = || ServeError::BadVersion {
                model: model.clone(),
                version: number,
                what: "its file is not there any more".to_owned(),
            };
            let path = network.await?.ok_or_else(gone)?.path;
            let read = tokio::task::spawn_blocking(move || read_network(&path)).await;
            let bytes = read.unwrap_or_else(|_| Err("reading its file was broken off".to_owned()));
            let unreadable = |what| ServeError::BadVersion { model: model.clone(), version: number, what };
            let bytes = bytes.map_err(unreadable)?;
            Ok(BTreeMap::from([("model.onnx".to_owned(), Bytes::from(bytes))]))
        })
    }

    fn withdraw<'a>(&'a self, _model: &'a ModelName, _seen: u64, _why: &'a str) -> Later<'a, ()> {
        // By itself a folder has no routes, so nothing can be taken out of one.
        Box::pin(async { Ok(()) })
    }
}

fn read_network(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |error: std::io::Error| format!("its file cannot be read: {error}");
    let bytes = std::fs::metadata(path).map_err(failed)?.len();
    if bytes > NETWORK_BYTES_MAX {
        return Err(format!("its file has {bytes} bytes, at most {NETWORK_BYTES_MAX} are taken"));
    }
    std::fs::read(path).map_err(failed)
}

fn model(found: Found) -> SourceModel {
    let versions = found.versions.iter().map(|(number, network)| version(*number, network));
    SourceModel {
        versions: versions.collect(),
        name: found.name,
        aliases: BTreeMap::new(),
        settings: found.config.settings,
        route: None,
        graph: None,
        problem: found.problem,
    }
}

fn version(version: Version, network: &layout::Network) -> SourceVersion {
    SourceVersion { version, may_answer: true, stamp: network.stamp, bytes: network.bytes }
}
