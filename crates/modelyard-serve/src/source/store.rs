//! A registry as a source of models: what is published is served, routes included.

use std::collections::{BTreeMap, BTreeSet};

use modelyard_registry::document::Graph;
use modelyard_registry::{GraphChange, ModelSummary, ModelVersion, Registry, RegistryError};
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
            let graphs = graphs(self, only).await?;
            let of_graphs = steps_of(&graphs);
            let mut models = Vec::new();
            for summary in Registry::models(self).await? {
                let is_wanted = only.is_none_or(|only| only.contains(&summary.name));
                if is_wanted || of_graphs.contains(&summary.name) {
                    models.push(model(self, summary).await?);
                }
            }
            // Behind the models, so that these are there when a graph begins to answer.
            for (name, change) in graphs {
                models.push(joined(self, name, change).await?);
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
        graph: None,
        problem: None,
    })
}

/// A graph, or why its record cannot be read.
type Recorded = (ModelName, Result<GraphChange, RegistryError>);

/// The graphs in force, or those named.
async fn graphs(registry: &Registry, only: Option<&[ModelName]>) -> Result<Vec<Recorded>, ServeError> {
    let mut graphs = registry.graphs_each().await?;
    graphs.retain(|(name, _)| only.is_none_or(|only| only.contains(name)));
    Ok(graphs)
}

/// The models that run here as steps of graphs: who serves the graphs serves them.
fn steps_of(graphs: &[Recorded]) -> BTreeSet<ModelName> {
    let readable = graphs.iter().filter_map(|(_, change)| change.as_ref().ok()?.graph.as_ref());
    let steps = readable.flat_map(Graph::model_steps);
    steps.filter(|(_, step)| !step.is_remote()).filter_map(|(_, step)| step.name().ok()).collect()
}

/// A graph, held against its models as they are now. What is wrong with it keeps no other model from being served.
async fn joined(
    registry: &Registry,
    name: ModelName,
    change: Result<GraphChange, RegistryError>,
) -> Result<SourceModel, ServeError> {
    let number = change.as_ref().map_or(Version::FIRST, |change| change.number);
    let fitted = match change {
        Ok(change) => registry.fit_graph(&name, &change.graph.unwrap_or_default()).await?,
        Err(error) => Err(error.damage()?),
    };
    let (graph, problem) = match fitted {
        Ok(wired) => (Some(wired), None),
        Err(why) => (None, Some(why)),
    };
    let source = SourceVersion { version: number, may_answer: true, stamp: 0, bytes: 0 };
    Ok(SourceModel {
        name,
        aliases: BTreeMap::new(),
        versions: graph.iter().map(|_| source).collect(),
        settings: ModelSettings::default(),
        route: None,
        graph,
        problem,
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
