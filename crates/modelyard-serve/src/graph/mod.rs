//! Answering a request with a graph of models: every step queues in its own model's scheduler or goes to another
//! server, with the request's deadline; steps that do not wait for each other run at once; the first failure
//! gives up the others and is told with its step.

mod breaker;
mod budget;
mod combine;
mod follow;
mod remote;
mod rows;
mod scatter;
mod walk;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use futures_util::stream::{self, FuturesUnordered, StreamExt, TryStreamExt};
use modelyard_registry::document::{ModelStep, WiredGraph};
use modelyard_types::{Clock, ErrorKind, ModelName, NamedTensor, Signature, VersionSelector};

use crate::error::ServeError;
use crate::journey::{HOPS_MAX, Journey, Terms};
use crate::pool::{Ran, Work};
use crate::rollout::Routed;
use crate::server::Server;
use crate::statistics::Times;
use crate::telemetry::{StepTelemetry, Telemetry, VersionTelemetry};
use crate::version::check_answer;
use follow::Followed;
use remote::{Asking, Servers};
use rows::{Ends, Prepared};
use walk::{Start, Walk};

pub use remote::{RemoteAnswer, RemoteCall, RemoteFailure, RemoteModels, RemoteServer, RemoteTerms};
pub use rows::GraphRows;

/// Parts of one scattered request that are under way at once, for each place that runs them.
const PARTS_PER_PLACE: usize = 8;

/// What a graph needs of the server around it.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) server: Weak<Server>,
    pub(crate) remote: Arc<OnceLock<Arc<dyn RemoteModels>>>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Most rows under way at once: other servers tell of their queues too late.
    pub(crate) rows_max: usize,
}

/// A graph that answers requests.
pub(crate) struct GraphRun {
    name: ModelName,
    wired: WiredGraph,
    places: BTreeMap<String, Place>,
    /// Where rows by name may go in.
    ends: Option<Ends>,
    around: Surroundings,
    /// Rows under way.
    rows: AtomicUsize,
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

/// A model step of one request, or one part of it.
#[derive(Clone, Copy)]
struct Task<'g> {
    step: &'g str,
    model: &'g ModelStep,
    place: &'g Place,
    terms: &'g Terms,
    part: Option<usize>,
    /// The version that runs it, where that was chosen before.
    chosen: Option<&'g Routed>,
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
        let ends = Ends::of(&wired.graph);
        Ok(Self { name: name.clone(), wired, places, ends, around, rows: AtomicUsize::new(0), telemetry })
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

    /// Rows under way.
    pub(crate) fn rows(&self) -> usize {
        self.rows.load(Ordering::Relaxed)
    }

    /// Whether not one more row would be taken.
    pub(crate) fn is_full(&self) -> bool {
        self.rows() >= self.around.rows_max
    }

    /// Takes in a request of so many rows.
    ///
    /// # Errors
    /// [`ServeError::QueueFull`].
    fn enter(&self, rows: usize) -> Result<UnderWay<'_>, ServeError> {
        let entered = UnderWay { all: &self.rows, rows };
        let before = self.rows.fetch_add(rows, Ordering::Relaxed);
        if before.saturating_add(rows) > self.around.rows_max {
            return Err(ServeError::QueueFull { model: self.name.clone() });
        }
        Ok(entered)
    }

    /// Answers one request. Dropping the future gives up every step.
    pub(crate) fn run(
        &self,
        work: Work,
        journey: Journey,
    ) -> Pin<Box<dyn Future<Output = Result<Ran, ServeError>> + Send + '_>> {
        let terms = Terms { urgency: work.urgency, journey };
        let request = Prepared { request: work.inputs, ..Prepared::default() };
        Box::pin(self.run_prepared(request, work.rows, terms))
    }

    /// As [`GraphRun::run`], with the versions and inputs of some steps chosen and prepared before.
    ///
    /// # Errors
    /// As [`GraphRun::run`].
    pub(crate) async fn run_prepared(
        &self,
        mut prepared: Prepared,
        rows: usize,
        terms: Terms,
    ) -> Result<Ran, ServeError> {
        let began = self.around.clock.now();
        let _under_way = self.enter(rows)?;
        let request = std::mem::take(&mut prepared.request);
        let outputs = self.walk(request, &prepared, &terms).await?;
        let took = self.around.clock.now().saturating_duration_since(began);
        let times = Times { compute: took, ..Times::default() };
        self.telemetry.rode(times.queue, took);
        self.telemetry.computed(rows, took, self.around.clock.wall());
        Ok(Ran { outputs, times })
    }

    async fn walk(
        &self,
        inputs: Vec<NamedTensor>,
        prepared: &Prepared,
        terms: &Terms,
    ) -> Result<Vec<NamedTensor>, ServeError> {
        let mut walk = Walk::new(&self.wired.graph, inputs);
        let mut running = FuturesUnordered::new();
        loop {
            let starts = walk.advance().map_err(|stuck| {
                let what = stuck.why;
                let cause = if stuck.by_request { ServeError::Joint { what } } else { self.broken(what) };
                ServeError::Step { step: stuck.step, cause: Box::new(cause) }
            })?;
            running.extend(starts.into_iter().map(|start| self.step(start, prepared, terms)));
            let Some(ended) = running.next().await else { break };
            let (step, outputs) = ended?;
            walk.give(step, outputs);
        }
        walk.outputs().ok_or_else(|| self.broken("a step did not give what it should".to_owned()))
    }

    /// Runs a model step, whose failure is told with its name.
    async fn step<'g>(
        &'g self,
        start: Start<'g>,
        prepared: &'g Prepared,
        terms: &'g Terms,
    ) -> Result<(&'g str, Vec<NamedTensor>), ServeError> {
        let Start { step, model, inputs } = start;
        let inputs = prepared.inputs.get(step).map_or(inputs, |input| vec![input.clone()]);
        let chosen = prepared.versions.get(step);
        let task = Task { step, model, place: &self.places[step], terms, part: None, chosen };
        let began = self.around.clock.now();
        let outcome = self.whole_or_scattered(task, inputs).await;
        let took = self.around.clock.now().saturating_duration_since(began);
        task.place.telemetry.ended(took, outcome.as_ref().err().map(ServeError::kind));
        match outcome {
            Ok(outputs) => Ok((step, outputs)),
            Err(cause) => Err(ServeError::Step { step: step.to_owned(), cause: Box::new(cause) }),
        }
    }

    async fn whole_or_scattered(
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
                let call = RemoteCall {
                    model: task.model.model.clone(),
                    version: task.model.version.clone(),
                    inputs,
                    priority: task.terms.urgency.priority,
                };
                let outputs = self.ask(servers, &task, &call).await?;
                self.check_given(task.model, &outputs)?;
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

    async fn ask(
        &self,
        servers: &Servers,
        task: &Task<'_>,
        call: &RemoteCall,
    ) -> Result<Vec<NamedTensor>, ServeError> {
        if task.terms.journey.hops >= HOPS_MAX {
            return Err(ServeError::TooManyHops { graph: self.name.clone(), limit: HOPS_MAX });
        }
        let nobody = || self.broken("this process speaks to no other servers".to_owned());
        let client = self.around.remote.get().ok_or_else(nobody)?;
        let clock = self.around.clock.as_ref();
        servers.ask(&Asking { graph: &self.name, client: client.as_ref(), clock, task }, call).await
    }

    /// Whether another server gave what the graph was promised.
    fn check_given(&self, step: &ModelStep, outputs: &[NamedTensor]) -> Result<(), ServeError> {
        let promised = step.remote_signature().map_err(|what| self.broken(what))?.unwrap_or_default();
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

    fn broken(&self, what: String) -> ServeError {
        ServeError::Broken { model: self.name.clone(), what }
    }
}

/// The rows of a request on its way, given back when it ends, however it does.
struct UnderWay<'g> {
    all: &'g AtomicUsize,
    rows: usize,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.all.fetch_sub(self.rows, Ordering::Relaxed);
    }
}
