//! A model step of one request: prepared, cut where it is to be scattered, and run here or by other servers.

use std::sync::Arc;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use modelyard_registry::document::ModelStep;
use modelyard_types::{ErrorKind, ModelName, NamedTensor, TensorSpec, VersionSelector};

use super::follow::Followed;
use super::remote::{Asking, RemoteCall};
use super::walk::Start;
use super::{Asked, At, Gave, GraphRun, Place, StepPast, scatter};
use crate::error::ServeError;
use crate::journey::{HOPS_MAX, Terms};
use crate::rollout::Routed;
use crate::version::check_answer;

/// Parts of one scattered request that are under way at once, for each place that runs them.
const PARTS_PER_PLACE: usize = 8;

/// A model step of one request, or one part of it.
#[derive(Clone, Copy)]
pub(super) struct Task<'g> {
    pub(super) step: &'g str,
    pub(super) model: &'g ModelStep,
    pub(super) place: &'g Place,
    pub(super) terms: &'g Terms,
    pub(super) part: Option<usize>,
    /// The version that runs all of it, where one was opened before.
    chosen: Option<&'g Routed>,
}

impl<'g> Task<'g> {
    /// All of a step.
    pub(super) fn whole(step: &'g str, model: &'g ModelStep, place: &'g Place, terms: &'g Terms) -> Self {
        Self { step, model, place, terms, part: None, chosen: None }
    }

    /// What another server is asked for it.
    pub(super) fn call(&self, inputs: Vec<NamedTensor>) -> RemoteCall {
        RemoteCall {
            model: self.model.model.clone(),
            version: self.model.version.clone(),
            inputs,
            priority: self.terms.urgency.priority,
            sequence: None,
        }
    }
}

impl GraphRun {
    /// Runs a model step, whose failure is told with its name.
    pub(super) async fn step<'g>(
        &'g self,
        start: Start<'g>,
        asked: &'g Asked,
        past: Option<StepPast>,
    ) -> Result<Gave<'g>, ServeError> {
        let Start { step, model, inputs } = start;
        let task = Task::whole(step, model, &self.places[step], &asked.terms);
        let began = self.around.clock.now();
        let outcome = match &asked.sequence {
            Some(_) => self.piece(task, inputs, asked, past).await,
            None => self.tensors_or_rows(task, inputs, asked).await,
        };
        let took = self.around.clock.now().saturating_duration_since(began);
        task.place.telemetry.ended(took, outcome.as_ref().err().map(ServeError::kind));
        outcome.map_err(|cause| ServeError::Step { step: step.to_owned(), cause: Box::new(cause) })
    }

    /// Runs it with its tensors, or with what its own model's pipeline makes of rows by name.
    async fn tensors_or_rows<'g>(
        &self,
        task: Task<'g>,
        mut inputs: Vec<NamedTensor>,
        asked: &Asked,
    ) -> Result<Gave<'g>, ServeError> {
        let step = task.step;
        let rows = asked.rows.as_ref().filter(|_| matches!(task.place.at, At::Here { .. }));
        let Some(rows) = rows else {
            let outputs = self.whole_or_scattered(task, inputs).await?;
            return Ok(Gave { step, outputs, version: None, past: None });
        };
        let opened;
        let chosen = match rows.version(step) {
            Some(chosen) => chosen,
            None => {
                opened = self.open(step).await?;
                &opened
            }
        };
        if self.fronts.as_ref().is_some_and(|fronts| fronts.has(step)) {
            inputs = vec![rows.prepared(chosen).await?];
        }
        let outputs = self.whole_or_scattered(Task { chosen: Some(chosen), ..task }, inputs).await?;
        Ok(Gave { step, outputs, version: Some(Arc::clone(chosen)), past: None })
    }

    pub(super) async fn whole_or_scattered(
        &self,
        task: Task<'_>,
        inputs: Vec<NamedTensor>,
    ) -> Result<Vec<NamedTensor>, ServeError> {
        let rows = inputs.first().map_or(0, |input| input.tensor.rows());
        let Some(rows_max) = task.model.scatter_rows.filter(|rows_max| rows > *rows_max) else {
            return self.part(task, inputs).await;
        };
        if let Some(other) = inputs.iter().find(|input| input.tensor.rows() != rows) {
            let what =
                format!("its inputs have {rows} rows and {:?} has {}", other.name, other.tensor.rows());
            return Err(ServeError::Joint { what });
        }
        let places = if let At::Servers(servers) = &task.place.at { servers.len() } else { 1 };
        let parts = scatter::cut(&inputs, rows, rows_max);
        drop(inputs);
        let parts = parts.into_iter().enumerate();
        let parts = parts.map(|(number, part)| self.part(Task { part: Some(number), ..task }, part));
        let answers: Vec<_> = stream::iter(parts).buffered(places * PARTS_PER_PLACE).try_collect().await?;
        scatter::gather(&answers).map_err(|what| self.broken(what))
    }

    async fn part(&self, task: Task<'_>, inputs: Vec<NamedTensor>) -> Result<Vec<NamedTensor>, ServeError> {
        match &task.place.at {
            At::Here { model, version } => {
                let mut followed = Followed::begin(&task, self.around.clock.as_ref());
                let outcome = self.ask_here((model, version.as_ref()), inputs, &task, &mut followed).await;
                if let Some(followed) = followed {
                    followed.end(&outcome);
                }
                outcome
            }
            At::Servers(servers) => {
                let call = task.call(inputs);
                let (_, outputs) = servers.ask(&self.asking(&task)?, &call).await?;
                self.check_given(task.model, &outputs, |_| {})?;
                Ok(outputs)
            }
        }
    }

    async fn ask_here(
        &self,
        (model, version): (&ModelName, Option<&VersionSelector>),
        inputs: Vec<NamedTensor>,
        task: &Task<'_>,
        followed: &mut Option<Followed<'_>>,
    ) -> Result<Vec<NamedTensor>, ServeError> {
        let server = self.around.server.upgrade().ok_or(ServeError::Draining)?;
        let opened;
        let version = match task.chosen {
            Some(chosen) => chosen,
            None => {
                opened = server.open_for_step(model, version).await?;
                &opened
            }
        };
        if let Some(followed) = followed {
            followed.span.version = Some(version.version().get());
        }
        let answered = version.infer(inputs, &[], task.terms.urgency.into()).await?;
        if let Some(followed) = followed {
            followed.span.times = Some(answered.times);
        }
        Ok(answered.answer)
    }

    /// How other servers are asked for a step.
    ///
    /// # Errors
    /// A request that came through too many servers, or a process that speaks to none.
    pub(super) fn asking<'a>(&'a self, task: &'a Task<'a>) -> Result<Asking<'a>, ServeError> {
        if task.terms.journey.hops >= HOPS_MAX {
            return Err(ServeError::TooManyHops { graph: self.name.clone(), limit: HOPS_MAX });
        }
        let nobody = || self.broken("this process speaks to no other servers".to_owned());
        let client = self.around.remote.get().ok_or_else(nobody)?;
        let clock = self.around.clock.as_ref();
        Ok(Asking { graph: &self.name, client: client.as_ref(), clock, task })
    }

    /// Whether another server gave what the graph was promised, once that is made as free as it may be.
    pub(super) fn check_given(
        &self,
        step: &ModelStep,
        outputs: &[NamedTensor],
        free: impl Fn(&mut TensorSpec),
    ) -> Result<(), ServeError> {
        let mut promised = step.remote_signature().map_err(|what| self.broken(what))?.unwrap_or_default();
        promised.outputs.iter_mut().for_each(free);
        let unlike = |message: String| ServeError::Remote { kind: ErrorKind::Internal, message };
        for spec in &promised.outputs {
            let given = outputs.iter().find(|output| output.name == spec.name);
            let given = given.ok_or_else(|| unlike(format!("its answer has no output {:?}", spec.name)))?;
            if spec.check(&given.tensor).is_err() {
                let (is, shape) = (given.tensor.data_type(), given.tensor.shape());
                let sizes: Vec<String> = spec.shape.iter().map(ToString::to_string).collect();
                let promised = format!("{} [{}]", spec.data_type, sizes.join(", "));
                return Err(unlike(format!("its output {:?} is {is} {shape:?}, not {promised}", spec.name)));
            }
        }
        check_answer(outputs).map_err(|error| unlike(error.to_string()))
    }
}
