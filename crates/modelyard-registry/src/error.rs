//! What can go wrong in the registry, in the words of whoever asked for it.

use modelyard_storage::StorageError;
use modelyard_types::{Alias, ErrorKind, ModelName, Version};

use crate::document::DocumentError;
use crate::version::FileFault;

/// The registry could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// A model that nobody has published.
    #[error("no model named {name:?} is registered", name = name.as_str())]
    NoSuchModel {
        /// The name asked for.
        name: ModelName,
        /// The nearest name that is there.
        nearest: Option<String>,
    },
    /// A version that the model does not have.
    #[error("{name} has no version {version}")]
    NoSuchVersion {
        /// The model.
        name: ModelName,
        /// The version asked for.
        version: Version,
        /// The newest one it has.
        latest: Version,
    },
    /// An alias that the model does not have.
    #[error("{name} has no alias {alias:?}", alias = alias.as_str())]
    NoSuchAlias {
        /// The model.
        name: ModelName,
        /// The alias asked for.
        alias: Alias,
        /// The aliases it has.
        known: Vec<String>,
    },
    /// A version that missed a gate of its project.
    #[error("version {version} of {name} missed a gate, so {alias} was not moved to it")]
    GatesMissed {
        /// The model.
        name: ModelName,
        /// The version.
        version: Version,
        /// The alias that stays where it is.
        alias: Alias,
    },
    /// An alias that has only ever pointed at one version, or was rolled back to its first.
    #[error("{alias} of {name} points at version {version} and pointed at nothing before it")]
    NothingBefore {
        /// The model.
        name: ModelName,
        /// The alias.
        alias: Alias,
        /// Where it points.
        version: Version,
    },
    /// A route whose numbers or names make no sense.
    #[error("the route of {name} was not changed: {why}")]
    BadRoute {
        /// The model.
        name: ModelName,
        /// What is wrong.
        why: String,
    },
    /// A route for a model that lies elsewhere, under the name of one that is registered.
    #[error("the store registers a model named {name} of its own, whose route this would be")]
    OwnModel {
        /// The name of both.
        name: ModelName,
    },
    /// A canary that missed a gate of its project.
    #[error("version {version} of {name} missed a gate, so it answers no requests")]
    CanaryMissedGates {
        /// The model.
        name: ModelName,
        /// The version.
        version: Version,
    },
    /// A route that was never changed, or whose every change was undone.
    #[error("the route of {name} is as it was at first: there is nothing to undo")]
    NoRouteBefore {
        /// The model.
        name: ModelName,
    },
    /// A graph whose steps cannot be joined, or that makes no sense.
    #[error("the steps of the graph {name} do not go together: {why}")]
    BadGraph {
        /// The graph.
        name: ModelName,
        /// What is wrong, and where.
        why: String,
    },
    /// A graph that is not there.
    #[error("there is no graph named {name:?}", name = name.as_str())]
    NoSuchGraph {
        /// The name asked for.
        name: ModelName,
        /// The nearest name that is there.
        nearest: Option<String>,
    },
    /// A graph that was never changed, or whose every change was undone.
    #[error("the graph {name} is as it was at first: there is nothing to undo")]
    NoGraphBefore {
        /// The graph.
        name: ModelName,
    },
    /// A graph that somebody else changed meanwhile.
    #[error("the graph {name} was changed by somebody else at the same moment")]
    GraphChanged {
        /// The graph.
        name: ModelName,
    },
    /// A name that means something else already.
    #[error("the name {name} is taken by a {by}, and both would be served under it")]
    NameTaken {
        /// The name.
        name: ModelName,
        /// What has it, such as a model or a graph.
        by: &'static str,
    },
    /// A run that the store does not have.
    #[error("there is no run {id}")]
    NoSuchRun {
        /// The number asked for.
        id: u64,
        /// The newest run there is.
        newest: Option<u64>,
    },
    /// A run that another process is training.
    #[error("run {id} is being trained by another process")]
    RunIsOpen {
        /// The run.
        id: u64,
    },
    /// Files that cannot make a version.
    #[error("this cannot be published: {why}")]
    BadFiles {
        /// The reason.
        why: String,
    },
    /// A parent that the model does not have.
    #[error("{name} has no version {parent} to be the parent of a new one")]
    NoSuchParent {
        /// The model.
        name: ModelName,
        /// The parent named.
        parent: Version,
    },
    /// A new model whose name differs from another one's by upper and lower case only.
    #[error("a model named {known} is registered, and {name} differs from it by upper and lower case only")]
    OtherSpelling {
        /// The name that was to be new.
        name: ModelName,
        /// The name that is there.
        known: ModelName,
    },
    /// A stored file is not what was published.
    #[error("{file} of {name} version {version} is damaged: {fault}")]
    Corrupt {
        /// The model.
        name: ModelName,
        /// The version.
        version: Version,
        /// The file's name.
        file: String,
        /// How it differs.
        fault: FileFault,
    },
    /// A row of the database that contradicts itself.
    #[error("the record of {what} is damaged: {why}")]
    BrokenRow {
        /// What the row is about.
        what: String,
        /// How it contradicts itself.
        why: String,
    },
    /// A document of a version could not be read or written.
    #[error("a document could not be used")]
    Document(#[from] DocumentError),
    /// The store underneath failed.
    #[error("the store could not be used")]
    Storage(#[from] StorageError),
}

impl RegistryError {
    /// What is stored and damaged, in a sentence with the way out, so that one damaged file or record keeps
    /// nothing else from being served.
    ///
    /// # Errors
    /// Every other error, as it is.
    pub fn damage(self) -> Result<String, Self> {
        let what = match &self {
            Self::Corrupt { .. } | Self::BrokenRow { .. } => self.to_string(),
            Self::Document(error) => error.to_string(),
            _ => return Err(self),
        };
        Ok(self.hint().map_or_else(|| what.clone(), |hint| format!("{what}; {hint}")))
    }

    /// The protocol-independent kind.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSuchModel { .. }
            | Self::NoSuchVersion { .. }
            | Self::NoSuchAlias { .. }
            | Self::NoSuchGraph { .. }
            | Self::NoSuchRun { .. } => ErrorKind::NotFound,
            Self::GatesMissed { .. }
            | Self::CanaryMissedGates { .. }
            | Self::NothingBefore { .. }
            | Self::NoRouteBefore { .. }
            | Self::NoGraphBefore { .. }
            | Self::GraphChanged { .. }
            | Self::RunIsOpen { .. } => ErrorKind::FailedPrecondition,
            Self::BadFiles { .. }
            | Self::NoSuchParent { .. }
            | Self::BadRoute { .. }
            | Self::OwnModel { .. }
            | Self::BadGraph { .. }
            | Self::NameTaken { .. }
            | Self::OtherSpelling { .. } => ErrorKind::InvalidArgument,
            Self::Corrupt { .. } | Self::BrokenRow { .. } => ErrorKind::DataCorrupt,
            Self::Document(error) => error.kind(),
            Self::Storage(error) => error.kind(),
        }
    }

    /// A way out, where one is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoSuchModel { nearest, .. } => match nearest {
                Some(nearest) => Some(format!("did you mean {nearest:?}?")),
                None => Some("`modelyard models list` shows what is registered".to_owned()),
            },
            Self::NoSuchVersion { latest, .. } => Some(format!("the newest version is {latest}")),
            Self::NoSuchAlias { known, .. } if known.is_empty() => {
                Some("it has no alias yet; `modelyard models promote` makes one".to_owned())
            }
            Self::NoSuchAlias { known, .. } => Some(format!("its aliases are {}", known.join(", "))),
            Self::GatesMissed { name, version, .. } => Some(format!(
                "`modelyard models show {name} {version}` shows the scores and gates; \
                 `modelyard models promote --force` moves the alias all the same"
            )),
            Self::CanaryMissedGates { name, version } => Some(format!(
                "`modelyard models show {name} {version}` shows the scores and gates; --force lets it answer \
                 all the same; as a shadow it needs no gates"
            )),
            Self::OwnModel { .. } => Some(
                "keep the routes of a folder's models in a store of their own, named by --store; \
                 `modelyard serve --models FOLDER --routes STORE` makes it"
                    .to_owned(),
            ),
            Self::NoSuchGraph { nearest: Some(nearest), .. } => Some(format!("did you mean {nearest:?}?")),
            Self::NoSuchGraph { .. } => Some("`modelyard graphs list` shows what there is".to_owned()),
            Self::GraphChanged { name } => {
                Some(format!("`modelyard graphs history {name}` shows what was changed; try again"))
            }
            Self::NameTaken { .. } => Some("choose another name".to_owned()),
            Self::NoSuchRun { newest, .. } => Some(match newest {
                Some(newest) => format!("the newest run is {newest}; `modelyard runs list` shows all"),
                None => "nothing was trained in this store yet".to_owned(),
            }),
            Self::OtherSpelling { known, .. } => {
                Some(format!("publish under {known:?}, or choose a name that differs in more than case"))
            }
            Self::RunIsOpen { .. } => Some("stop it first, or wait until it is done".to_owned()),
            Self::Corrupt { .. } => {
                Some("publish the same files again to repair it, or roll back to another version".to_owned())
            }
            Self::Storage(error) => error.hint(),
            _ => None,
        }
    }
}
