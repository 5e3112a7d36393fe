//! Where served models come from: a store that versions are published to, or a folder that lies there.

mod folder;
mod store;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use modelyard_registry::RouteChange;
use modelyard_registry::document::WiredGraph;
use modelyard_types::{Alias, ModelName, Version};

use crate::error::ServeError;
use crate::settings::ModelSettings;

pub use folder::{ModelFolder, RoutedFolder, read_config_override, read_triton_config};

/// What a source answers once it has looked.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = Result<T, ServeError>> + Send + 'a>>;

/// The files of one version by the names that [`modelyard_registry`] gives them, such as `model.onnx`.
pub type SourceFiles = BTreeMap<String, Bytes>;

/// One model as its source tells of it.
#[derive(Clone, Debug)]
pub struct SourceModel {
    /// Its name.
    pub name: ModelName,
    /// The aliases and what they point at.
    pub aliases: BTreeMap<Alias, Version>,
    /// Its versions, oldest first.
    pub versions: Vec<SourceVersion>,
    /// How its files want it to be served.
    pub settings: ModelSettings,
    /// The change that made its route; none where every request is left to the default version.
    pub route: Option<RouteChange>,
    /// The models that it joins, where it is a graph of them; its one version is its last change.
    pub graph: Option<WiredGraph>,
    /// Why none of it can be served, in a sentence that is safe to show.
    pub problem: Option<String>,
}

/// One version as its source tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceVersion {
    /// Its number.
    pub version: Version,
    /// Whether it may answer requests that name no version.
    pub may_answer: bool,
    /// Another number means other files; a store's versions never change.
    pub stamp: u64,
    /// The size of its network's files, which is about what it takes in memory.
    pub bytes: u64,
}

/// A place that models come from.
pub trait ModelSource: Send + Sync {
    /// A number that is another one whenever something changed: cheap to poll.
    fn revision(&self) -> Later<'_, u64>;

    /// All models by name, or those named.
    fn models<'a>(&'a self, only: Option<&'a [ModelName]>) -> Later<'a, Vec<SourceModel>>;

    /// A version that a caller names; none where there is none.
    fn find<'a>(&'a self, model: &'a ModelName, version: Version) -> Later<'a, Option<SourceVersion>>;

    /// The files of a version, checked where the source can.
    fn read<'a>(&'a self, model: &'a ModelName, version: Version) -> Later<'a, SourceFiles>;

    /// Takes the canary out of a route, where it is still that of the change `seen`, and says why.
    fn withdraw<'a>(&'a self, model: &'a ModelName, seen: u64, why: &'a str) -> Later<'a, ()>;
}
