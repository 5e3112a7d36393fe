//! Answering a request with a graph of models: every step queues in its own model's scheduler or goes to another
//! server, with the request's deadline; steps that do not wait for each other run at once; the first failure
//! gives up the others and is told with its step.

mod breaker;
mod budget;
mod combine;
mod remote;
mod scatter;
mod walk;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock, Weak};

use futures_util::stream::{self, FuturesUnordered, StreamExt, TryStreamExt};
use modelyard_registry::document::{ModelStep, WiredGraph};
use modelyard_types::{Clock, ErrorKind, ModelName, NamedTensor, Signature, VersionSelector};

use crate::error::ServeError;
use crate::pool::{Ran, Work};
use crate::server::Server;
use crate::statistics::Times;
use crate::telemetry::{StepTelemetry, Telemetry, VersionTelemetry};
use crate::urgency::Urgency;
use remote::{Asking, Servers};
use walk::{Start, Walk};

pub use remote::{RemoteAnswer, RemoteCall, RemoteFailure, RemoteModels};

/// Parts of one scattered request that are under way at once, for each place that runs them.
const PARTS_PER_PLACE: usize = 8;

/// What a graph needs of the server around it.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) server: Weak<Server>,
    pub(crate) remote: Arc<OnceLock<Arc<dyn RemoteModels>>>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// A graph that answers requests.
pub(crate) struct GraphRun {
    name: ModelName,
    wired: WiredGraph,
    places: BTreeMap<String, Place>,
    around: Surroundings,
    telemetry: VersionTelemetry,
}

/// Where a model step runs.
struct Place {
    at: At,
    telemetry: StepTelemetry,
}

enum At {
    Here { model: ModelName, version: Option<VersionSelector> },
    Servers(Servers),
}

impl GraphRun {
    /// A graph ready to answer.
    ///
    /// # Errors
    /// A name that no model or version can have, which a checked graph does not hold.
    pub(crate) fn new(
        name: &ModelName,
        wired: WiredGraph,
        around: Surroundings,
        telemetry: VersionTelemetry,
        all: &Telemetry,
    ) -> Result<Self, String> {
        let mut places = BTreeMap::new();
        for (step, model) in wired.graph.model_steps() {
            let at = match model.is_remote() {
                true => At::Servers(Servers::new(model.servers.clone())),
                false => At::Here { model: model.name()?, version: model.selector()? },
            };
            places.insert(step.to_owned(), Place { at, telemetry: all.graph_step(name, step) });
        }
        Ok(Self { name: name.clone(), wired, places, around, telemetry })
    }

    /// The graph, as it was held against its models.
    pub(crate) fn wired(&self) -> &WiredGraph {
        &self.wired
    }

    /// What it takes and gives.
    pub(crate) fn signature(&self) -> &Signature {
        &self.wired.signature
    }

    /// The series of the graph as a whole.
    pub(crate) fn telemetry(&self) -> &VersionTelemetry {
        &self.telemetry
    }

    /// Answers one request. Dropping the future gives up every step.
    pub(crate) fn run(
        &self,
        work: Work,
    ) -> Pin<Box<dyn Future<Output = Result<Ran, ServeError>> + Send + '_>> {
        Box::pin(async move {
            let (began, rows) = (self.around.clock.now(), work.rows);
            let outputs = self.walk(work.inputs, work.urgency).await?;
            let took = self.around.clock.now().saturating_duration_since(began);
            let times = Times { compute: took, ..Times::default() };
            self.telemetry.rode(times.queue, took);
            self.telemetry.computed(rows, took, self.around.clock.wall());
            Ok(Ran { outputs, times })
        })
    }

    async fn walk(&self, inputs: Vec<NamedTensor>, urgency: Urgency) -> Result<Vec<NamedTensor>, ServeError> {
        let mut walk = Walk::new(&self.wired.graph, inputs);
        let mut running = FuturesUnordered::new();
        loop {
            let starts = walk.advance().map_err(|stuck| {
                let cause = ServeError::Joint { what: stuck.why };
                ServeError::Step { step: stuck.step, cause: Box::new(cause) }
            })?;
            running.extend(starts.into_iter().map(|start| self.step(start, urgency)));
            let Some(ended) = running.next().await else { break };
            let (step, outputs) = ended?;
            walk.give(step, outputs);
        }
        walk.outputs().ok_or_else(|| self.broken("a step did not give what it should".to_owned()))
    }

    /// Runs a model step, whose failure is told with its name.
    async fn step<'g>(
        &self,
        start: Start<'g>,
        urgency: Urgency,
    ) -> Result<(&'g str, Vec<NamedTensor>), ServeError> {
        let Start { step, model, inputs } = start;
        let place = &self.places[step];
        let began = self.around.clock.now();
        let outcome = self.whole_or_scattered(place, model, inputs, urgency).await;
        let took = self.around.clock.now().saturating_duration_since(began);
        place.telemetry.ended(took, outcome.as_ref().err().map(ServeError::kind));
        match outcome {
            Ok(outputs) => Ok((step, outputs)),
            Err(cause) => Err(ServeError::Step { step: step.to_owned(), cause: Box::new(cause) }),
        }
    }

    async fn whole_or_scattered(
        &self,
        place: &Place,
        model: &ModelStep,
        inputs: Vec<NamedTensor>,
        urgency: Urgency,
    ) -> Result<Vec<NamedTensor>, ServeError> {
        let rows = inputs.first().map_or(0, |input| input.tensor.rows());
        let Some(rows_max) = model.scatter_rows.filter(|rows_max| rows > *rows_max) else {
            return self.part(place, model, inputs, urgency).await;
        };
        if let Some(other) = inputs.iter().find(|input| input.tensor.rows() != rows) {
            let what =
                format!("its inputs have {rows} rows and {:?} has {}", other.name, other.tensor.rows());
            return Err(ServeError::Joint { what });
        }
        let places = if let At::Servers(servers) = &place.at { servers.len() } else { 1 };
        let parts = scatter::cut(&inputs, rows, rows_max);
        drop(inputs);
        let parts = parts.into_iter().map(|part| self.part(place, model, part, urgency));
        let answers: Vec<_> = stream::iter(parts).buffered(places * PARTS_PER_PLACE).try_collect().await?;
        scatter::gather(&answers).map_err(|what| ServeError::Joint { what })
    }

    async fn part(
        &self,
        place: &Place,
        step: &ModelStep,
        inputs: Vec<NamedTensor>,
        urgency: Urgency,
    ) -> Result<Vec<NamedTensor>, ServeError> {
        match &place.at {
            At::Here { model, version } => {
                let server = self.around.server.upgrade().ok_or(ServeError::Draining)?;
                let version = server.open_for_step(model, version.as_ref()).await?;
                Ok(version.infer(inputs, &[], urgency).await?.answer)
            }
            At::Servers(servers) => {
                let call = RemoteCall {
                    model: step.model.clone(),
                    version: step.version.clone(),
                    inputs,
                    priority: urgency.priority,
                };
                let outputs = self.ask(servers, &place.telemetry, &call, urgency).await?;
                self.check_given(step, &outputs)?;
                Ok(outputs)
            }
        }
    }

    async fn ask(
        &self,
        servers: &Servers,
        telemetry: &StepTelemetry,
        call: &RemoteCall,
        urgency: Urgency,
    ) -> Result<Vec<NamedTensor>, ServeError> {
        let client = self.around.remote.get().ok_or_else(|| ServeError::Joint {
            what: "this process speaks to no other servers".to_owned(),
        })?;
        let clock = self.around.clock.as_ref();
        let asking = Asking { graph: &self.name, client: client.as_ref(), clock, telemetry, urgency };
        servers.ask(&asking, call).await
    }

    /// Whether another server gave what the graph was promised.
    fn check_given(&self, step: &ModelStep, outputs: &[NamedTensor]) -> Result<(), ServeError> {
        let promised = step.remote_signature().map_err(|what| self.broken(what))?.unwrap_or_default();
        let unlike = |message: String| ServeError::Remote { kind: ErrorKind::Internal, message };
        for spec in &promised.outputs {
            let given = outputs.iter().find(|output| output.name == spec.name);
            let given = given.ok_or_else(|| unlike(format!("its answer has no output {:?}", spec.name)))?;
            if given.tensor.data_type() != spec.data_type {
                let is = given.tensor.data_type();
                return Err(unlike(format!("its output {:?} is {is}, not {}", spec.name, spec.data_type)));
            }
        }
        Ok(())
    }

    fn broken(&self, what: String) -> ServeError {
        ServeError::Broken { model: self.name.clone(), what }
    }
}
