//! Changing a graph of models, undoing the change, the history of both, and holding a graph against the
//! models that it joins.

use std::collections::BTreeMap;

use modelyard_types::{Alias, Caller, ErrorKind, ModelName, Signature, Version, VersionSelector};

use crate::document::{Graph, ModelStep, SignatureDocument, WiredGraph};
use crate::registry::Registry;
use crate::tables::Rows;
use crate::{ModelVersion, RegistryError};

/// A name less like any graph's than this is not suggested.
const LIKENESS_MIN: f64 = 0.7;

/// The wish for a new or another graph.
#[derive(Clone, Debug)]
pub struct NewGraph {
    /// The name under which it is served.
    pub name: ModelName,
    /// The whole graph, in place of the one before.
    pub graph: Graph,
    /// Who asks.
    pub by: Caller,
    /// The reason, for the history.
    pub why: String,
}

/// How a graph came to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GraphChangeKind {
    /// Somebody declared it.
    Set,
    /// Somebody undid the change before.
    Rollback,
    /// Somebody took it away.
    Deletion,
}

impl GraphChangeKind {
    const ALL: [Self; 3] = [Self::Set, Self::Rollback, Self::Deletion];

    /// The stable name, as the database and JSON show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Rollback => "rollback",
            Self::Deletion => "deletion",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// One line of a graph's history.
#[derive(Clone, Debug, PartialEq)]
pub struct GraphChange {
    /// Its number, from 1 for each graph: the version under which the graph is served.
    pub number: Version,
    /// How.
    pub kind: GraphChangeKind,
    /// The graph since; none where it was taken away.
    pub graph: Option<Graph>,
    /// When, in milliseconds since 1970 (UTC).
    pub at_unix_ms: u64,
    /// Who asked.
    pub by: String,
    /// The reason given.
    pub why: String,
    /// The change that undoing this one goes back to; none where there was no graph before.
    pub(crate) before: Option<Version>,
}

impl Registry {
    /// Puts a graph in the place of the one before, at once and whole. Where it is the same already, nothing
    /// changes.
    ///
    /// # Errors
    /// [`RegistryError::BadGraph`] for steps that cannot be joined, with the step;
    /// [`RegistryError::NameTaken`] where a model has the name.
    pub async fn set_graph(&self, new: NewGraph) -> Result<GraphChange, RegistryError> {
        let NewGraph { name, graph, by, why } = new;
        self.wire_graph(&name, &graph).await?;
        let mut rows = self.write().await?;
        if rows.latest(&name).await?.is_some() {
            return Err(RegistryError::NameTaken { name, by: "model" });
        }
        let current = rows.graph_change(&name).await?;
        if let Some(same) = current.clone().filter(|change| change.graph.as_ref() == Some(&graph)) {
            return Ok(same);
        }
        let before = current.as_ref().map(|change| change.number);
        let change = self.change(current.as_ref(), GraphChangeKind::Set, Some(graph), before);
        write(rows, &name, GraphChange { by: by.0, why, ..change }).await
    }

    /// Takes a graph away: it is not served any more. A rollback brings it back.
    ///
    /// # Errors
    /// [`RegistryError::NoSuchGraph`].
    pub async fn delete_graph(
        &self,
        name: &ModelName,
        by: &Caller,
        why: &str,
    ) -> Result<GraphChange, RegistryError> {
        let mut rows = self.write().await?;
        let Some(current) = rows.graph_change(name).await?.filter(|change| change.graph.is_some()) else {
            drop(rows);
            return Err(self.no_such_graph(name).await?);
        };
        let before = Some(current.number);
        let change = self.change(Some(&current), GraphChangeKind::Deletion, None, before);
        write(rows, name, GraphChange { by: by.0.clone(), why: why.to_owned(), ..change }).await
    }

    /// Undoes the last change of a graph. Repeated, it walks further back, as undo does. What comes back is
    /// held against the models as they are now.
    ///
    /// # Errors
    /// [`RegistryError::NoSuchGraph`]; [`RegistryError::NoGraphBefore`] where there is nothing to undo;
    /// [`RegistryError::BadGraph`] where the models do not go together any more;
    /// [`RegistryError::GraphChanged`] where somebody else was faster.
    pub async fn rollback_graph(
        &self,
        name: &ModelName,
        by: &Caller,
        why: &str,
    ) -> Result<GraphChange, RegistryError> {
        let mut rows = self.read().await?;
        let Some(current) = rows.graph_change(name).await? else {
            drop(rows);
            return Err(self.no_such_graph(name).await?);
        };
        let (graph, before) = match current.before {
            None if current.graph.is_none() => {
                return Err(RegistryError::NoGraphBefore { name: name.clone() });
            }
            None => (None, None),
            Some(number) => {
                let target = rows.graph_change_of(name, number).await?;
                (target.graph, target.before)
            }
        };
        drop(rows);
        if let Some(graph) = &graph {
            self.wire_graph(name, graph).await?;
        }
        let mut rows = self.write().await?;
        if graph.is_some() && rows.latest(name).await?.is_some() {
            return Err(RegistryError::NameTaken { name: name.clone(), by: "model" });
        }
        if rows.graph_change(name).await?.as_ref() != Some(&current) {
            return Err(RegistryError::GraphChanged { name: name.clone() });
        }
        let change = self.change(Some(&current), GraphChangeKind::Rollback, graph, before);
        write(rows, name, GraphChange { by: by.0.clone(), why: why.to_owned(), ..change }).await
    }

    /// The change that made a graph what it is.
    ///
    /// # Errors
    /// [`RegistryError::NoSuchGraph`] where it never was or was taken away.
    pub async fn graph(&self, name: &ModelName) -> Result<GraphChange, RegistryError> {
        let found = self.read().await?.graph_change(name).await?;
        match found.filter(|change| change.graph.is_some()) {
            Some(found) => Ok(found),
            None => Err(self.no_such_graph(name).await?),
        }
    }

    /// All graphs in force, by name.
    ///
    /// # Errors
    /// Where the store cannot be read, or the record of a graph is damaged.
    pub async fn graphs(&self) -> Result<Vec<(ModelName, GraphChange)>, RegistryError> {
        let graphs = self.graphs_each().await?;
        graphs.into_iter().map(|(name, change)| Ok((name, change?))).collect()
    }

    /// All graphs in force, by name, each by itself: a damaged one keeps no other from being read.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn graphs_each(
        &self,
    ) -> Result<Vec<(ModelName, Result<GraphChange, RegistryError>)>, RegistryError> {
        let mut changes = self.read().await?.graph_changes().await?;
        changes.retain(|(_, change)| change.as_ref().map_or(true, |change| change.graph.is_some()));
        Ok(changes)
    }

    /// Every change of a graph, newest first.
    ///
    /// # Errors
    /// [`RegistryError::NoSuchGraph`] where it never was.
    pub async fn graph_history(&self, name: &ModelName) -> Result<Vec<GraphChange>, RegistryError> {
        let changes = self.read().await?.graph_history(name).await?;
        if changes.is_empty() {
            return Err(self.no_such_graph(name).await?);
        }
        Ok(changes)
    }

    /// Holds a graph against the signatures of its models as they answer now.
    ///
    /// # Errors
    /// [`RegistryError::BadGraph`] with the step that does not fit or whose model is not there.
    pub async fn wire_graph(&self, name: &ModelName, graph: &Graph) -> Result<WiredGraph, RegistryError> {
        let bad = |why: String| RegistryError::BadGraph { name: name.clone(), why };
        graph.check().map_err(bad)?;
        let mut signatures = BTreeMap::new();
        for (step, model) in graph.model_steps() {
            let told = |why: String| bad(format!("step {step:?}: {why}"));
            let signature = match model.is_remote() {
                true => model.remote_signature().map_err(told)?.ok_or_else(|| {
                    told("what its model takes and gives is not known; write takes and gives".to_owned())
                })?,
                false => self.step_signature(model).await?.map_err(told)?,
            };
            signatures.insert(step.to_owned(), signature);
        }
        graph.clone().wire(&signatures).map_err(bad)
    }

    /// As [`Registry::wire_graph`]; what is wrong with the graph or the stored files of its models comes as a
    /// sentence, so that it can be told beside what is in order.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn fit_graph(
        &self,
        name: &ModelName,
        graph: &Graph,
    ) -> Result<Result<WiredGraph, String>, RegistryError> {
        match self.wire_graph(name, graph).await {
            Ok(wired) => Ok(Ok(wired)),
            Err(RegistryError::BadGraph { why, .. }) => Ok(Err(why)),
            Err(error) => error.damage().map(Err),
        }
    }

    /// What the model of a step takes and gives, or why that is not known.
    async fn step_signature(&self, step: &ModelStep) -> Result<Result<Signature, String>, RegistryError> {
        let (name, selector) = match step.name().and_then(|name| Ok((name, step.selector()?))) {
            Ok(both) => both,
            Err(why) => return Ok(Err(why)),
        };
        let version = match self.answering(&name, selector.as_ref()).await {
            Ok(Some(version)) => version,
            Ok(None) => return Ok(Err(format!("no version of {name} passed its gates"))),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
                return Ok(Err(match self.graph(&name).await {
                    Ok(_) => format!("{name} is a graph; a step runs a model"),
                    Err(_) => format!("{error}{hint}"),
                }));
            }
            Err(error) => return Err(error),
        };
        let Some(document) = self.load_file(&version, SignatureDocument::FILE).await? else {
            return Ok(Err(format!(
                "version {} of {name} has no {}",
                version.version,
                SignatureDocument::FILE
            )));
        };
        Ok(Ok(SignatureDocument::from_json(&document)?.to_signature()?))
    }

    /// The version that answers: the one named, else `live`, else the newest that passed its gates.
    async fn answering(
        &self,
        name: &ModelName,
        selector: Option<&VersionSelector>,
    ) -> Result<Option<ModelVersion>, RegistryError> {
        if let Some(selector) = selector {
            return self.find(name, selector).await.map(Some);
        }
        let mut versions = self.versions(name).await?;
        let live = versions.iter().position(|version| version.aliases.contains(&Alias::live()));
        let at = live.or_else(|| versions.iter().rposition(|version| version.gates_passed));
        Ok(at.map(|at| versions.swap_remove(at)))
    }

    /// The change that follows the newest one.
    fn change(
        &self,
        newest: Option<&GraphChange>,
        kind: GraphChangeKind,
        graph: Option<Graph>,
        before: Option<Version>,
    ) -> GraphChange {
        let number = newest.map_or(Version::FIRST, |newest| newest.number.next());
        let (by, why) = (String::new(), String::new());
        GraphChange { number, kind, graph, at_unix_ms: self.now_unix_ms(), by, why, before }
    }

    async fn no_such_graph(&self, name: &ModelName) -> Result<RegistryError, RegistryError> {
        let likeness = |known: &ModelName| strsim::jaro_winkler(known.as_str(), name.as_str());
        let graphs = self.graphs_each().await?;
        let near = graphs.iter().map(|(known, _)| (likeness(known), known));
        let nearest =
            near.filter(|(likeness, _)| *likeness >= LIKENESS_MIN).max_by(|a, b| a.0.total_cmp(&b.0));
        let nearest = nearest.map(|(_, known)| known.to_string());
        Ok(RegistryError::NoSuchGraph { name: name.clone(), nearest })
    }
}

async fn write(mut rows: Rows, name: &ModelName, change: GraphChange) -> Result<GraphChange, RegistryError> {
    rows.change_graph(name, &change).await?;
    rows.commit().await?;
    Ok(change)
}
