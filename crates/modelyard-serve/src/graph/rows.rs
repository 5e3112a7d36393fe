//! Rows by name through a graph: each step that takes from the request has them prepared by its own model's
//! pipeline, and the answer is named by the pipeline of the models that it comes from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use modelyard_data::{FieldInfo, OutputActivation, Pipeline, Row, Task};
use modelyard_registry::document::{Combine, Graph, REQUEST, Source, Step, Work};
use modelyard_types::{NamedTensor, Tensor};

use super::walk::Walk;
use super::{At, GraphRun};
use crate::error::ServeError;
use crate::rollout::Routed;
use crate::version::ServedVersion;

/// The steps of a graph that take from the request: models here, of one input each, so that rows may go in.
pub(super) struct Fronts {
    /// The request's tensor that each takes.
    all: BTreeMap<String, String>,
    /// Those of them that every request needs.
    always: Vec<String>,
}

/// How rows by name go through a graph just now.
pub struct GraphRows {
    /// A step that takes rows; all that do take the same ones.
    first: String,
    /// The versions of the steps that take rows of every request: they run the steps, too, though routes may choose
    /// others by then. What only one way of a switch needs is not opened before that way is taken.
    versions: BTreeMap<String, Routed>,
}

/// Rows by name on their way.
pub(super) struct NamedRows {
    rows: Arc<Vec<Row>>,
    way: GraphRows,
}

impl GraphRows {
    /// The inputs by name that a row has.
    pub fn fields(&self) -> &[FieldInfo] {
        self.versions[&self.first].fields().unwrap_or_default()
    }
}

impl Fronts {
    /// Those of a graph; none where rows by name cannot go in.
    pub(super) fn of(graph: &Graph) -> Option<Self> {
        let takes = |step: &&Step| step.sources().iter().any(|source| source.step == REQUEST);
        let all: Option<BTreeMap<_, _>> = graph.steps.iter().filter(takes).map(front).collect();
        let all = all.filter(|_| graph.inputs.is_empty())?;
        let always: BTreeSet<&str> = Walk::always(graph).collect();
        let always = all.keys().filter(|step| always.contains(step.as_str())).cloned().collect();
        Some(Self { all, always })
    }

    /// Whether a step is one of them.
    pub(super) fn has(&self, step: &str) -> bool {
        self.all.contains_key(step)
    }

    /// What stands for the request's tensors: each front gets what its own pipeline makes of the rows, and nobody
    /// else takes any.
    pub(super) fn request(&self) -> Vec<NamedTensor> {
        let names: BTreeSet<&String> = self.all.values().collect();
        let empty = || Tensor::new(vec![0], Vec::<f32>::new().into()).expect("no values for no rows");
        names.into_iter().map(|name| NamedTensor { name: name.clone(), tensor: empty() }).collect()
    }
}

/// The step, and the request's tensor that it takes.
fn front(step: &Step) -> Option<(String, String)> {
    let Work::Model(model) = &step.work else { return None };
    let mut inputs = model.inputs.values();
    let only = inputs.next().filter(|_| inputs.next().is_none() && !model.is_remote())?;
    Some((step.name.clone(), only.tensor.clone()?))
}

impl GraphRun {
    /// How rows by name go through it; none where its models do not take the same ones.
    ///
    /// # Errors
    /// A model that every request needs and that cannot be opened, with its step.
    pub(crate) async fn way_of_rows(&self) -> Result<Option<GraphRows>, ServeError> {
        let Some(fronts) = &self.fronts else { return Ok(None) };
        let mut versions = BTreeMap::new();
        for step in &fronts.always {
            let failed = |cause| ServeError::Step { step: step.clone(), cause: Box::new(cause) };
            versions.insert(step.clone(), self.open(step).await.map_err(failed)?);
        }
        let Some(first) = fronts.always.first().cloned() else { return Ok(None) };
        let mut fields = versions.values().map(|version| taken_by(version));
        let Some(own) = fields.next().flatten() else { return Ok(None) };
        if !fields.all(|other| other.is_some_and(|other| are_alike(own, other))) {
            return Ok(None);
        }
        Ok(Some(GraphRows { first, versions }))
    }

    /// The version that runs a step here now.
    pub(super) async fn open(&self, step: &str) -> Result<Routed, ServeError> {
        let server = self.around.server.upgrade().ok_or(ServeError::Draining)?;
        let At::Here { model, version } = &self.places[step].at else {
            return Err(self.broken("a step elsewhere opens no model here".to_owned()));
        };
        server.open_for_step(model, version.as_ref()).await
    }
}

impl NamedRows {
    pub(super) fn new(rows: Arc<Vec<Row>>, way: GraphRows) -> Self {
        Self { rows, way }
    }

    /// The version that was chosen for a step before.
    pub(super) fn version(&self, step: &str) -> Option<&Routed> {
        self.way.versions.get(step)
    }

    /// What a version makes of the rows.
    ///
    /// # Errors
    /// Rows that do not fit its pipeline.
    pub(super) async fn prepared(&self, version: &Arc<ServedVersion>) -> Result<NamedTensor, ServeError> {
        let first = &self.way.first;
        // Behind a switch it was not looked at before.
        if !taken_by(version).is_some_and(|fields| are_alike(self.way.fields(), fields)) {
            let what = format!("its model takes other columns than that of step {first:?}; send tensors");
            return Err(ServeError::Joint { what });
        }
        version.prepared(&self.rows).await
    }
}

/// The columns that a version takes; none where it takes no rows, or continues texts.
fn taken_by(version: &ServedVersion) -> Option<&[FieldInfo]> {
    version.fields().filter(|_| !version.continues_texts())
}

/// The version whose pipeline names the answer at the end of a walk; none where the answer stays numbers.
pub(super) fn named_by(
    walk: &Walk<'_>,
    versions: &BTreeMap<&str, Arc<ServedVersion>>,
) -> Option<Arc<ServedVersion>> {
    let mut outputs = walk.graph().outputs.values();
    let output = outputs.next().filter(|_| outputs.next().is_none())?;
    let mut found = Backs::default();
    if !found.add(walk, output) {
        return None;
    }
    let Backs { models: backs, votes, .. } = found;
    let pipelines = backs.iter().map(|step| versions.get(step)?.pipeline());
    let all: Vec<&Pipeline> = pipelines.collect::<Option<_>>()?;
    let first = *all.first()?;
    let are_probabilities = matches!(first.task(), Task::Classification { .. })
        && first.output_activation() == OutputActivation::Softmax;
    // The shares of a vote are probabilities only where the models' numbers are.
    let is_known = !votes || are_probabilities;
    let are_alike = all.iter().all(|other| {
        (first.task(), first.output_activation(), first.calibration())
            == (other.task(), other.output_activation(), other.calibration())
    });
    let gives_back = all.iter().any(|own| own.gives_input_back());
    (is_known && are_alike && !gives_back).then(|| Arc::clone(&versions[backs[0]]))
}

/// What an answer is made of.
#[derive(Default)]
struct Backs<'g> {
    /// The model steps.
    models: Vec<&'g str>,
    /// Whether some of it comes by a vote.
    votes: bool,
    /// Steps that were looked at: many may take from the same one.
    seen: BTreeSet<&'g str>,
}

impl<'g> Backs<'g> {
    /// Adds what a tensor is made of, on the ways that were taken; false where others have a part in it.
    fn add(&mut self, walk: &Walk<'g>, from: &Source) -> bool {
        let Some(step) = walk.graph().step(&from.step) else { return false };
        if !self.seen.insert(&step.name) {
            return true;
        }
        match &step.work {
            Work::Model(model) => {
                self.models.push(&step.name);
                !model.is_remote()
            }
            Work::Combine(combine) => {
                self.votes |= combine.combine == Combine::Vote;
                combine.of.iter().all(|from| self.add(walk, from))
            }
            Work::Switch(switch) => {
                let way = walk.chosen(switch).ok().flatten();
                way.is_some_and(|from| self.add(walk, from))
            }
        }
    }
}

/// Whether rows for one model are rows for the other.
fn are_alike(one: &[FieldInfo], other: &[FieldInfo]) -> bool {
    let known = |field: &FieldInfo| {
        other.iter().any(|like| (&like.name, like.kind, like.steps) == (&field.name, field.kind, field.steps))
    };
    one.len() == other.len() && one.iter().all(known)
}
