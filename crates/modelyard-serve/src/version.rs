//! One model version in memory: its network behind a pool of sessions, and its fitted pipeline.

mod arrival;
mod drawing;
mod engine;
mod finite;
mod generation;
mod pieces;
mod rows;
mod stateful;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use modelyard_data::{Answer, FieldInfo, Pipeline, Row, Task};
use modelyard_registry::document::WiredGraph;
use modelyard_runtime::{LoadOptions, LoadedModel, ModelFiles, RuntimeError, Runtimes};
use modelyard_types::{Clock, Deadline, ModelName, NamedTensor, Signature, Version};

use crate::batch;
use crate::config::ServeConfig;
use crate::cost::RowCost;
use crate::error::ServeError;
use crate::graph::{GraphRun, Surroundings};
use crate::journey::Terms;
use crate::pool::{Pool, Ran, Work};
use crate::settings::ModelSettings;
use crate::source::{SourceFiles, SourceVersion};
use crate::stateful::SequenceSettings;
use crate::statistics::{Statistics, Times};
use crate::telemetry::{Held, Telemetry};
use crate::warm::warm;
use engine::Engine;
use finite::check_finite;

pub use drawing::Drawing;
pub use finite::check_answer;
pub use generation::Generation;
use pieces::Pieces;
pub(crate) use pieces::{Past, Piece};
pub use rows::GraphAnswer;
use stateful::Stateful;

/// A loaded version, ready to answer. In-flight requests keep it alive after a switch to another.
pub struct ServedVersion {
    model: ModelName,
    source: SourceVersion,
    settings: Arc<ModelSettings>,
    limits: ServeConfig,
    engine: Engine,
    labels: BTreeMap<String, Vec<String>>,
    pipeline: Option<Pipeline>,
    fields: Option<Vec<FieldInfo>>,
    pipeline_cost: RowCost,
    decoder: Option<drawing::Decoder>,
    /// Made for the first sequence.
    pieces: OnceLock<Pieces>,
    /// How it takes part in sequences, where its settings tell.
    stateful: Option<Stateful>,
    clock: Arc<dyn Clock>,
    /// When it was asked last, in turns of the server.
    used: AtomicU64,
    _held: Held,
}

/// An answer, and how long its parts took.
#[derive(Debug)]
pub struct Answered<T> {
    /// Tensors, or named answers.
    pub answer: T,
    /// The wait and the run.
    pub times: Times,
}

/// What loading a version needs beside its files.
pub(crate) struct Loader {
    pub(crate) runtimes: Arc<Runtimes>,
    pub(crate) config: ServeConfig,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) telemetry: Telemetry,
}

/// A version that is to be loaded, and how it wants to be served.
#[derive(Clone)]
pub(crate) struct Wanted {
    pub(crate) model: ModelName,
    pub(crate) source: SourceVersion,
    pub(crate) settings: Arc<ModelSettings>,
}

impl Loader {
    /// Loads, warms up and times a version. Takes as long as the network is large: not for async threads.
    pub(crate) fn load(&self, wanted: Wanted, files: &SourceFiles) -> Result<ServedVersion, ServeError> {
        let Wanted { model, source, settings } = wanted;
        let version = source.version;
        let pipeline = match files.get("pipeline.json") {
            Some(json) => Some(Pipeline::from_json(json).map_err(|source| ServeError::Pipeline {
                model: model.clone(),
                version,
                source: Box::new(source),
            })?),
            None => None,
        };
        let unfit = |source: RuntimeError| ServeError::Load {
            model: model.clone(),
            version,
            source: Box::new(source),
        };
        let network = self.network(&settings, files).map_err(unfit)?;
        let misfit = pipeline.as_ref().and_then(|pipeline| misfit(pipeline, network.signature()));
        let declared = settings.declared.as_ref();
        if let Some(what) = misfit.or_else(|| declared?.misfit(network.signature())) {
            return Err(ServeError::BadVersion { model, version, what });
        }
        let fit = |sequences| Stateful::fit(sequences, declared, network.signature());
        let stateful = match settings.sequences.as_ref().map(fit).transpose() {
            Ok(stateful) => stateful,
            Err(what) => return Err(ServeError::BadVersion { model, version, what }),
        };
        let telemetry = Arc::new(self.telemetry.version(&model, version));
        let limits = settings.limits(&self.config);
        let start =
            |network| Pool::start(&model, network, &limits, Arc::clone(&self.clock), Arc::clone(&telemetry));
        let pool = start(warm(Arc::clone(&network), &settings.warmup)).map_err(unfit)?;
        let decoder = match drawing::load(pipeline.as_ref(), files, &self.runtimes).map_err(unfit)? {
            Some(network) => {
                let pool = start(Arc::clone(&network)).map_err(unfit)?;
                Some(drawing::Decoder { network, pool })
            }
            None => None,
        };
        Ok(ServedVersion {
            model,
            source,
            limits,
            settings: Arc::clone(&settings),
            engine: Engine::Sessions { network, pool },
            labels: settings.labels.clone(),
            fields: pipeline.as_ref().map(Pipeline::input_fields),
            pipeline,
            pipeline_cost: RowCost::new(None),
            decoder,
            pieces: OnceLock::new(),
            stateful,
            clock: Arc::clone(&self.clock),
            used: AtomicU64::new(0),
            _held: self.telemetry.hold(source.bytes),
        })
    }

    /// A graph as a version: its number is that of the change that made it.
    pub(crate) fn join(
        &self,
        wanted: Wanted,
        graph: WiredGraph,
        around: Surroundings,
    ) -> Result<ServedVersion, ServeError> {
        let Wanted { model, source, settings } = wanted;
        let telemetry = self.telemetry.version(&model, source.version);
        let clock = Arc::clone(&self.clock);
        let run = GraphRun::new(&model, graph, around, telemetry, &self.telemetry);
        let run = run.map_err(|what| ServeError::Unservable { model: model.clone(), what })?;
        Ok(ServedVersion {
            model,
            source,
            limits: settings.limits(&self.config),
            labels: settings.labels.clone(),
            settings,
            engine: Engine::Graph(Box::new(run)),
            pipeline: None,
            fields: None,
            pipeline_cost: RowCost::new(None),
            decoder: None,
            pieces: OnceLock::new(),
            stateful: None,
            clock,
            used: AtomicU64::new(0),
            _held: self.telemetry.hold(source.bytes),
        })
    }

    /// The network in the engine that was chosen for it, or in the best one.
    fn network(
        &self,
        settings: &ModelSettings,
        files: &SourceFiles,
    ) -> Result<Arc<dyn LoadedModel>, RuntimeError> {
        let files = ModelFiles {
            onnx: files.get("model.onnx").map(AsRef::as_ref),
            network: files.get("network.json").map(AsRef::as_ref),
            weights: files.get("weights.safetensors").map(AsRef::as_ref),
        };
        let runtime = match &settings.runtime {
            Some(name) => self.runtimes.by_name(name)?,
            None => self.runtimes.choose(&files)?,
        };
        let options = LoadOptions { threads: settings.threads.unwrap_or(LoadOptions::default().threads) };
        runtime.load(&files, &options)
    }
}

/// How a pipeline does not fit its network, which can only be a version put together wrongly.
fn misfit(pipeline: &Pipeline, signature: &Signature) -> Option<String> {
    match (signature.inputs.as_slice(), signature.outputs.as_slice()) {
        ([input], [_]) if input.shape.len() == pipeline.input_shape().len() + 1 => None,
        _ => Some("its pipeline does not fit its network's inputs and outputs".to_owned()),
    }
}

/// The outputs that are wanted, in that order; all where none is named.
fn picked(mut outputs: Vec<NamedTensor>, wanted: &[String]) -> Vec<NamedTensor> {
    if wanted.is_empty() {
        return outputs;
    }
    let mut take = |name: &String| {
        let at = outputs.iter().position(|output| output.name == *name)?;
        Some(outputs.swap_remove(at))
    };
    wanted.iter().filter_map(&mut take).collect()
}

impl ServedVersion {
    /// The model's name.
    pub fn model(&self) -> &ModelName {
        &self.model
    }

    /// The version's number.
    pub fn version(&self) -> Version {
        self.source.version
    }

    /// The limits in force for it: the server's with the model's own wishes in them.
    pub fn limits(&self) -> &ServeConfig {
        &self.limits
    }

    /// The instant now, by its clock.
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Notes that it was asked in this turn.
    pub(crate) fn touch(&self, turn: u64) {
        self.used.store(turn, Ordering::Relaxed);
    }

    /// The turn in which it was asked last.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Bytes of its network's file, by which it counts in the memory budget.
    pub fn bytes(&self) -> u64 {
        self.source.bytes
    }

    /// What its source told of it when it was loaded.
    pub(crate) fn source(&self) -> SourceVersion {
        self.source
    }

    /// Whether it is what a source has, served as wanted.
    pub(crate) fn is(&self, source: &SourceVersion, settings: &ModelSettings) -> bool {
        (self.source.version, self.source.stamp) == (source.version, source.stamp)
            && *self.settings == *settings
    }

    /// The graph of models that it is; none where it has a network of its own.
    pub(crate) fn graph(&self) -> Option<&WiredGraph> {
        match &self.engine {
            Engine::Graph(run) => Some(run.wired()),
            Engine::Sessions { .. } => None,
        }
    }

    /// Whether it is a graph of models.
    pub fn is_graph(&self) -> bool {
        self.graph().is_some()
    }

    /// The engine that runs it; `graph` for a graph of models.
    pub fn runtime(&self) -> &'static str {
        self.engine.name()
    }

    /// Most rows of one batch; none where its requests are not joined.
    pub fn batch_rows_max(&self) -> Option<usize> {
        self.engine.batch_rows_max()
    }

    /// The tensors that it takes and gives: its network's, but for those that belong to the server.
    pub fn signature(&self) -> &Signature {
        self.stateful.as_ref().map_or_else(|| self.engine.signature(), |stateful| &stateful.signature)
    }

    /// What its network wants of sequences, where it takes requests of sequences only.
    pub fn sequences(&self) -> Option<&SequenceSettings> {
        self.settings.sequences.as_ref()
    }

    /// The inputs by name that [`ServedVersion::predict`] takes; none where it takes only tensors.
    pub fn fields(&self) -> Option<&[FieldInfo]> {
        self.fields.as_deref()
    }

    /// Whether it takes rows by name.
    pub fn has_pipeline(&self) -> bool {
        self.pipeline.is_some()
    }

    /// The names of the classes that an output of its network stands for, where it chooses among them.
    pub fn labels(&self, output: &str) -> Option<&[String]> {
        if let Some(labels) = self.labels.get(output) {
            return Some(labels);
        }
        match self.pipeline.as_ref()?.task() {
            Task::Classification { classes, .. } => Some(classes),
            _ => None,
        }
    }

    /// Tensors in, tensors out: the outputs named, in that order, or all of them.
    ///
    /// # Errors
    /// Where the tensors do not fit, a limit is passed, or the network fails.
    pub async fn infer(
        &self,
        inputs: Vec<NamedTensor>,
        wanted: &[String],
        terms: Terms,
    ) -> Result<Answered<Vec<NamedTensor>>, ServeError> {
        let arrived = self.arrive();
        arrived.end(self.answer(inputs, wanted, terms).await)
    }

    /// Rows by name in, named answers out, one for each row; a language model continues their texts.
    ///
    /// # Errors
    /// As [`ServedVersion::infer`], and where the rows do not fit the pipeline or there is none.
    pub async fn predict(
        self: &Arc<Self>,
        rows: Vec<Row>,
        deadline: Deadline,
    ) -> Result<Answered<Vec<Answer>>, ServeError> {
        if self.continues_texts() {
            return self.generate(&rows, &Generation::default(), deadline).await;
        }
        let arrived = self.arrive();
        arrived.end(self.answer_rows(rows, deadline).await)
    }

    /// What it did since it was loaded.
    pub fn statistics(&self) -> Statistics {
        self.engine.telemetry().statistics()
    }

    /// Refuses at once where no request could be queued now: cheaper than reading one first.
    ///
    /// # Errors
    /// [`ServeError::QueueFull`].
    pub fn check_room(&self) -> Result<(), ServeError> {
        if self.engine.is_full() {
            let full = ServeError::QueueFull { model: self.model.clone() };
            return self.arrive().end(Err(full));
        }
        Ok(())
    }

    /// Counts the time that an answer took to be written.
    pub fn encoded(&self, took: Duration) {
        self.engine.telemetry().encoded(took);
    }

    /// Rows that wait for a batch now.
    pub fn queued_rows(&self) -> usize {
        let pieces = self.pieces.get().and_then(|pieces| pieces.as_ref().ok());
        let beside = [pieces.map(|pieces| &pieces.pool), self.decoder.as_ref().map(|decoder| &decoder.pool)];
        let rows = beside.into_iter().flatten().map(Pool::queued_rows);
        self.engine.queued_rows() + rows.sum::<usize>()
    }

    /// Brings the rows that wait, and how many batches are computed at once, into the telemetry.
    pub(crate) fn show_queue(&self) {
        let telemetry = self.engine.telemetry();
        telemetry.waiting(self.queued_rows());
        telemetry.sessions(self.engine.sessions_at_once());
    }

    async fn answer(
        &self,
        mut inputs: Vec<NamedTensor>,
        wanted: &[String],
        Terms { urgency, journey }: Terms,
    ) -> Result<Answered<Vec<NamedTensor>>, ServeError> {
        if self.stateful.is_some() {
            return Err(ServeError::SequenceNeeded { model: self.model.clone() });
        }
        let signature = self.signature();
        let rows = signature.check_inputs(&inputs).map_err(ServeError::Input)?;
        self.check_outputs(wanted)?;
        self.check_rows(rows)?;
        for input in &inputs {
            check_finite(input)?;
        }
        batch::order_inputs(signature, &mut inputs);
        let shape = batch::row_shape(signature, &inputs);
        let work = Work { inputs, rows, shape, urgency };
        let Ran { outputs, times } = self.engine.run(work, journey).await?;
        Ok(Answered { answer: picked(outputs, wanted), times })
    }

    fn broken(&self, what: &str) -> ServeError {
        ServeError::Broken { model: self.model.clone(), what: what.to_owned() }
    }

    fn check_rows(&self, rows: usize) -> Result<(), ServeError> {
        match rows {
            0 => Err(ServeError::NoRows),
            _ if rows > self.limits.request_rows_max => {
                Err(ServeError::TooManyRows { rows, limit: self.limits.request_rows_max })
            }
            _ => Ok(()),
        }
    }

    fn check_outputs(&self, wanted: &[String]) -> Result<(), ServeError> {
        let outputs = &self.signature().outputs;
        let known = |name: &String| outputs.iter().any(|spec| spec.name == *name);
        for (at, name) in wanted.iter().enumerate() {
            if !known(name) {
                let known = outputs.iter().map(|spec| spec.name.clone()).collect();
                return Err(ServeError::UnknownOutput { name: name.clone(), known });
            }
            if wanted[..at].contains(name) {
                return Err(ServeError::DuplicateOutput { name: name.clone() });
            }
        }
        Ok(())
    }
}
