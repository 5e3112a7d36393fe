//! A registry as a source of models: what is published is served, routes included.

use modelyard_registry::{ModelSummary, ModelVersion, Registry};
use modelyard_types::{Caller, ErrorKind, ModelName, Version, VersionSelector};

use super::{Later, ModelSource, SourceFiles, SourceModel, SourceVersion};
use crate::error::ServeError;
use crate::settings::ModelSettings;

/// Files that a network is loaded from; others of a version are for people.
const NETWORK_FILES: [&str; 3] = ["model.onnx", "network.json", "weights.safetensors"];

impl ModelSource for Registry {
    fn revision(&self) -> Later<'_, u64> {
        Box::pin(async { Ok(Registry::revision(self).await?) })
    }

    fn models<'a>(&'a self, only: Option<&'a [ModelName]>) -> Later<'a, Vec<SourceModel>> {
        Box::pin(async move {
            let mut models = Vec::new();
            for summary in Registry::models(self).await? {
                if only.is_none_or(|only| only.contains(&summary.name)) {
                    models.push(model(self, summary).await?);
                }
            }
            Ok(models)
        })
    }

    fn find<'a>(&'a self, model: &'a ModelName, number: Version) -> Later<'a, Option<SourceVersion>> {
        Box::pin(async move {
            match Registry::find(self, model, &VersionSelector::Number(number)).await {
                Ok(record) => Ok(Some(version(&record))),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error.into()),
            }
        })
    }

    fn read<'a>(&'a self, model: &'a ModelName, number: Version) -> Later<'a, SourceFiles> {
        Box::pin(async move {
            let record = Registry::find(self, model, &VersionSelector::Number(number)).await?;
            Ok(self.load(&record).await?.into_map())
        })
    }

    fn withdraw<'a>(&'a self, model: &'a ModelName, seen: u64, why: &'a str) -> Later<'a, ()> {
        Box::pin(async move {
            let by = Caller("server".to_owned());
            Ok(self.withdraw_canary(model, seen, &by, why).await.map(drop)?)
        })
    }
}

async fn model(registry: &Registry, summary: ModelSummary) -> Result<SourceModel, ServeError> {
    let mut versions: Vec<SourceVersion> =
        registry.versions(&summary.name).await?.iter().map(version).collect();
    versions.sort_by_key(|version| version.version);
    let route = registry.route(&summary.name).await?;
    Ok(SourceModel {
        name: summary.name,
        aliases: summary.aliases.into_iter().collect(),
        versions,
        settings: ModelSettings::default(),
        route: route.filter(|change| !change.route.is_empty()),
        problem: None,
    })
}

fn version(record: &ModelVersion) -> SourceVersion {
    let network = record.files.iter().filter(|file| NETWORK_FILES.contains(&file.name.as_str()));
    SourceVersion {
        version: record.version,
        may_answer: record.gates_passed,
        stamp: 0,
        // A version may have the same weights in two forms, of which one is loaded.
        bytes: network.map(|file| file.size).max().unwrap_or(0),
    }
}
