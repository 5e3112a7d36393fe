//! Rows by name through a graph: each step that takes from the request has them prepared by its own model's
//! pipeline, and the answer is named by the pipeline of the models that it comes from.

use std::collections::BTreeMap;
use std::sync::Arc;

use modelyard_data::{FieldInfo, OutputActivation, Pipeline, Task};
use modelyard_registry::document::{Combine, Graph, REQUEST, Source, Step, Work};
use modelyard_types::NamedTensor;

use super::{At, GraphRun};
use crate::error::ServeError;
use crate::rollout::Routed;

/// The steps at both ends of a graph whose requests may be rows.
pub(super) struct Ends {
    /// Those that take from the request: models here, of one input each.
    fronts: Vec<Front>,
    /// Those whose numbers the one output is made of; none where something else has a part in it.
    backs: Option<Vec<String>>,
    /// Whether the output is a vote, whose shares are probabilities only where the models' numbers are.
    votes: bool,
}

struct Front {
    step: String,
    /// The request's tensor that it takes.
    tensor: String,
}

/// How rows by name go through a graph just now.
pub struct GraphRows {
    /// A step that takes rows; all that do take the same ones.
    first: String,
    /// The versions at both ends, by step: they run the steps, too, though routes may choose others by then.
    versions: BTreeMap<String, Routed>,
    /// The step whose model's pipeline names the answer.
    names: Option<String>,
}

/// What goes into a graph, and what was decided and prepared of its steps before.
#[derive(Default)]
pub(crate) struct Prepared {
    /// The request's tensors.
    pub(crate) request: Vec<NamedTensor>,
    /// What each step gets that takes from the request.
    pub(super) inputs: BTreeMap<String, NamedTensor>,
    pub(super) versions: BTreeMap<String, Routed>,
}

impl GraphRows {
    /// The inputs by name that a row has.
    pub fn fields(&self) -> &[FieldInfo] {
        self.versions[&self.first].fields().unwrap_or_default()
    }

    /// The pipeline that names the answer; none where the answer stays numbers.
    pub(crate) fn names(&self) -> Option<Arc<crate::version::ServedVersion>> {
        self.names.as_ref().map(|step| Arc::clone(&self.versions[step]))
    }
}

impl Ends {
    /// The ends of a graph; none where rows by name cannot go in.
    pub(super) fn of(graph: &Graph) -> Option<Self> {
        let takes = |step: &&Step| step.sources().iter().any(|source| source.step == REQUEST);
        let fronts: Option<Vec<Front>> = graph.steps.iter().filter(takes).map(front).collect();
        let fronts = fronts.filter(|_| graph.inputs.is_empty())?;
        let (mut backs, mut votes) = (Vec::new(), false);
        let mut outputs = graph.outputs.values();
        let output = outputs.next().filter(|_| outputs.next().is_none());
        let known = output.is_some_and(|output| find_backs(graph, output, &mut backs, &mut votes));
        Some(Self { fronts, backs: known.then_some(backs), votes })
    }
}

fn front(step: &Step) -> Option<Front> {
    let Work::Model(model) = &step.work else { return None };
    let mut inputs = model.inputs.values();
    let only = inputs.next().filter(|_| inputs.next().is_none() && !model.is_remote())?;
    Some(Front { step: step.name.clone(), tensor: only.tensor.clone()? })
}

/// Adds the model steps that a tensor is made of; false where others have a part in it.
fn find_backs(graph: &Graph, from: &Source, backs: &mut Vec<String>, votes: &mut bool) -> bool {
    let Some(step) = graph.step(&from.step) else { return false };
    let mut all =
        |sources: Vec<&Source>| sources.into_iter().all(|from| find_backs(graph, from, backs, votes));
    match &step.work {
        Work::Model(model) if model.is_remote() => false,
        Work::Model(_) => {
            if !backs.contains(&step.name) {
                backs.push(step.name.clone());
            }
            true
        }
        Work::Combine(combine) => {
            let known = all(combine.of.iter().collect());
            *votes |= combine.combine == Combine::Vote;
            known
        }
        Work::Switch(switch) => {
            all(switch.cases.iter().map(|case| &case.take).chain([&switch.default]).collect())
        }
    }
}

impl GraphRun {
    /// How rows by name go through it; none where its models do not take the same ones.
    ///
    /// # Errors
    /// A model at one of its ends that cannot be opened, with its step.
    pub(crate) async fn way_of_rows(&self) -> Result<Option<GraphRows>, ServeError> {
        let Some(ends) = &self.ends else { return Ok(None) };
        let mut versions = BTreeMap::new();
        let fronts = ends.fronts.iter().map(|front| &front.step);
        for step in fronts.clone().chain(ends.backs.iter().flatten()) {
            if !versions.contains_key(step) {
                versions.insert(step.clone(), self.open(step).await?);
            }
        }
        let mut fields =
            fronts.map(|step| versions[step].fields().filter(|_| !versions[step].continues_texts()));
        let Some(own) = fields.next().flatten() else { return Ok(None) };
        if !fields.all(|other| other.is_some_and(|other| are_alike(own, other))) {
            return Ok(None);
        }
        let Some(first) = ends.fronts.first().map(|front| front.step.clone()) else { return Ok(None) };
        let names = ends.backs.as_ref().and_then(|backs| named_by(backs, &versions, ends.votes));
        Ok(Some(GraphRows { first, versions, names }))
    }

    async fn open(&self, step: &str) -> Result<Routed, ServeError> {
        let failed = |cause| ServeError::Step { step: step.to_owned(), cause: Box::new(cause) };
        let server = self.around.server.upgrade().ok_or(ServeError::Draining)?;
        let At::Here { model, version } = &self.places[step].at else {
            return Err(failed(self.broken("a step elsewhere prepares no rows".to_owned())));
        };
        server.open_for_step(model, version.as_ref()).await.map_err(failed)
    }

    /// The versions that prepare rows, each with its step and the request's tensor that it takes.
    pub(crate) fn preparing<'r>(
        &'r self,
        rows: &'r GraphRows,
    ) -> impl Iterator<Item = (&'r str, &'r str, &'r Routed)> {
        let fronts = self.ends.iter().flat_map(|ends| &ends.fronts);
        fronts.map(|front| (front.step.as_str(), front.tensor.as_str(), &rows.versions[&front.step]))
    }
}

impl GraphRows {
    /// What goes into the graph, by what its steps were prepared: the step, the request's tensor, and that.
    pub(crate) fn with(self, all: Vec<(String, String, NamedTensor)>) -> Prepared {
        let mut request = BTreeMap::new();
        let mut inputs = BTreeMap::new();
        for (step, tensor, input) in all {
            // Where several steps take the same one, the first stands for it: none of them looks at it.
            request
                .entry(tensor)
                .or_insert_with_key(|name| NamedTensor { name: name.clone(), tensor: input.tensor.clone() });
            inputs.insert(step, input);
        }
        Prepared { request: request.into_values().collect(), inputs, versions: self.versions }
    }
}

/// Whether rows for one model are rows for the other.
fn are_alike(one: &[FieldInfo], other: &[FieldInfo]) -> bool {
    let known = |field: &FieldInfo| {
        other.iter().any(|like| (&like.name, like.kind, like.steps) == (&field.name, field.kind, field.steps))
    };
    one.len() == other.len() && one.iter().all(known)
}

/// The first of these steps, where all of their models read their numbers alike.
fn named_by(backs: &[String], versions: &BTreeMap<String, Routed>, votes: bool) -> Option<String> {
    let pipeline = |step: &String| versions[step].pipeline().filter(|pipeline| !pipeline.gives_input_back());
    let first = pipeline(backs.first()?)?;
    let are_probabilities = matches!(first.task(), Task::Classification { .. })
        && first.output_activation() == OutputActivation::Softmax;
    if votes && !are_probabilities {
        return None;
    }
    let reads_alike = |other: &Pipeline| {
        (first.task(), first.output_activation(), first.calibration())
            == (other.task(), other.output_activation(), other.calibration())
    };
    let all = backs.iter().all(|step| pipeline(step).is_some_and(reads_alike));
    all.then(|| backs[0].clone())
}
