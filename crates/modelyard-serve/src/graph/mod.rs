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
mod sequence;
mod step;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use futures_util::stream::{FuturesUnordered, StreamExt};
use modelyard_data::Row;
use modelyard_registry::document::WiredGraph;
use modelyard_types::{Clock, ModelName, NamedTensor, Signature, VersionSelector};

use crate::error::ServeError;
use crate::journey::{Journey, Terms};
use crate::pool::{Ran, Work};
use crate::sequence::SequenceStep;
use crate::server::Server;
use crate::statistics::Times;
use crate::telemetry::{StepTelemetry, Telemetry, VersionTelemetry};
use crate::version::ServedVersion;
use remote::Servers;
use rows::{Fronts, NamedRows};
use walk::Walk;

pub use remote::{RemoteAnswer, RemoteCall, RemoteFailure, RemoteModels, RemoteServer, RemoteTerms};
pub use rows::GraphRows;
pub(crate) use sequence::{StepPast, StepPasts};

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
    /// The steps that every request takes.
    always: BTreeSet<String>,
    /// Where rows by name may go in.
    fronts: Option<Fronts>,
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

/// One request: what goes along with it to its steps.
struct Asked {
    terms: Terms,
    /// What the steps that take from the request are given instead of its tensors.
    rows: Option<NamedRows>,
    /// Its place in a sequence.
    sequence: Option<SequenceStep>,
    /// Steps by which other servers may have gone on with the sequence.
    gone_on: AtomicUsize,
}

/// What a step gave.
struct Gave<'g> {
    step: &'g str,
    outputs: Vec<NamedTensor>,
    /// The version that was opened for the whole of it, where rows by name went in.
    version: Option<Arc<ServedVersion>>,
    /// What it remembers of the request's sequence.
    past: Option<StepPast>,
}

/// What a graph gave.
struct Answer {
    ran: Ran,
    /// The version whose pipeline names it, where rows by name went in.
    names: Option<Arc<ServedVersion>>,
    /// What its steps remember of the request's sequence.
    pasts: StepPasts,
}

impl Asked {
    /// A request with tensors that is in no sequence.
    fn new(terms: Terms) -> Self {
        Self { terms, rows: None, sequence: None, gone_on: AtomicUsize::new(0) }
    }
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
        let always = Walk::always(&wired.graph).map(str::to_owned).collect();
        let fronts = Fronts::of(&wired.graph);
        let (name, rows) = (name.clone(), AtomicUsize::new(0));
        Ok(Self { name, wired, places, always, fronts, around, rows, telemetry })
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
        let asked = Asked::new(Terms { urgency: work.urgency, journey });
        Box::pin(async move {
            let answer = self.answer(work.inputs, work.rows, &asked, StepPasts::new()).await?;
            Ok(answer.ran)
        })
    }

    /// Answers rows by name, and tells whose pipeline names what they gave.
    ///
    /// # Errors
    /// As [`GraphRun::run`], and rows that a step's pipeline cannot take.
    pub(crate) async fn run_rows(
        &self,
        rows: Arc<Vec<Row>>,
        way: GraphRows,
        terms: Terms,
    ) -> Result<(Ran, Option<Arc<ServedVersion>>), ServeError> {
        let request = self.fronts.as_ref().map(Fronts::request).unwrap_or_default();
        let count = rows.len();
        let asked = Asked { rows: Some(NamedRows::new(rows, way)), ..Asked::new(terms) };
        let Answer { ran, names, .. } = self.answer(request, count, &asked, StepPasts::new()).await?;
        Ok((ran, names))
    }

    async fn answer(
        &self,
        request: Vec<NamedTensor>,
        rows: usize,
        asked: &Asked,
        pasts: StepPasts,
    ) -> Result<Answer, ServeError> {
        let began = self.around.clock.now();
        let _under_way = self.enter(rows)?;
        let mut answer = self.walk(request, asked, pasts).await?;
        let took = self.around.clock.now().saturating_duration_since(began);
        answer.ran.times.compute = took;
        self.telemetry.rode(answer.ran.times.queue, took);
        self.telemetry.computed(rows, took, self.around.clock.wall());
        Ok(answer)
    }

    async fn walk(
        &self,
        request: Vec<NamedTensor>,
        asked: &Asked,
        mut pasts: StepPasts,
    ) -> Result<Answer, ServeError> {
        let mut walk = Walk::new(&self.wired.graph, request);
        let (mut running, mut versions) = (FuturesUnordered::new(), BTreeMap::new());
        loop {
            let starts = walk.advance().map_err(|stuck| {
                let what = stuck.why;
                let cause = if stuck.by_request { ServeError::Joint { what } } else { self.broken(what) };
                ServeError::Step { step: stuck.step, cause: Box::new(cause) }
            })?;
            for start in starts {
                let past = pasts.remove(start.step);
                running.push(self.step(start, asked, past));
            }
            let Some(ended) = running.next().await else { break };
            let Gave { step, outputs, version, past } = ended?;
            versions.extend(version.map(|version| (step, version)));
            pasts.extend(past.map(|past| (step.to_owned(), past)));
            walk.give(step, outputs);
        }
        let names = asked.rows.as_ref().and_then(|_| rows::named_by(&walk, &versions));
        let outputs = walk.outputs();
        let outputs = outputs.ok_or_else(|| self.broken("a step did not give what it should".to_owned()))?;
        Ok(Answer { ran: Ran { outputs, times: Times::default() }, names, pasts })
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
