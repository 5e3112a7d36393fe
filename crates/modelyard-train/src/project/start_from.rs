//! `training.start_from`: the model whose weights training starts from, as it is written and as it is meant.

use std::path::PathBuf;

use modelyard_types::{Alias, ModelName, VersionSelector};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::diagnostic::Problem;
use super::validate::Finding;

/// `training.start_from`: fine-tuning. Layers of the same name (`0.dense`, or the `name` that a layer was given)
/// whose weights have the same shapes take them over; all others are drawn anew. Inputs that are declared as they
/// were there keep their fitted transforms, vocabularies included. `trainable = false` freezes a layer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StartFrom {
    /// A model of the same store, by its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Its version: a number or an alias. When absent: `live`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<VersionKey>,
    /// Instead of a model: a folder with a version's files, as `modelyard export NAME --out FOLDER` writes them,
    /// relative to the project file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
}

/// A version as the project file names it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum VersionKey {
    /// By number.
    Number(#[schemars(range(min = 1))] u64),
    /// By alias, or by a number in quotes.
    Alias(String),
}

/// Where training takes its first weights from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartingPoint {
    /// A version in the store.
    Version(ModelName, VersionSelector),
    /// A folder, relative to the project's.
    Folder(PathBuf),
}

impl StartFrom {
    /// What is meant, or why it means nothing.
    pub(super) fn resolve(&self) -> Result<StartingPoint, Finding> {
        let at = |key: &str, problem| Finding::at(format!("training.start_from{key}"), problem);
        match (&self.model, &self.folder) {
            (Some(model), None) => {
                let name = model.parse::<ModelName>();
                let name = name.map_err(|error| at(".model", Problem::new(error.to_string())))?;
                let version = match &self.version {
                    None => Ok(VersionSelector::Alias(Alias::live())),
                    Some(VersionKey::Number(number)) => number.to_string().parse(),
                    Some(VersionKey::Alias(alias)) => alias.parse(),
                };
                let version = version.map_err(|error| at(".version", Problem::new(error.to_string())))?;
                Ok(StartingPoint::Version(name, version))
            }
            (None, Some(folder)) if self.version.is_none() => Ok(StartingPoint::Folder(folder.into())),
            _ => Err(at(
                "",
                Problem::new("training starts from a model of the store, or from a folder")
                    .expected("{ model = \"digits\", version = 3 } or { folder = \"digits-3\" }"),
            )),
        }
    }
}
