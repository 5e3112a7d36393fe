//! The training loop: epochs of shuffled mini-batches through the engine, validation after each, early stopping,
//! and the scores of what came out.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use modelyard_data::{Augmentation, TargetValues};
use modelyard_model::{Engine, EngineConfig, ModelError, Network, Step, Targets};
use modelyard_registry::document::Scores;
use modelyard_types::Clock;

use crate::class_weights::class_weights;
use crate::error::TrainError;
use crate::evaluate::metric::Metric;
use crate::evaluate::{self, SplitMix};
use crate::inputs::InputRows;
use crate::prepare::Prepared;
use crate::progress::{EpochRecord, Progress, RunPlan, StepRecord};
use crate::project::{Project, StoppingMetric, Training};
use crate::schedule::{Memory, Rates, Watched};
use crate::scores::{FORWARD_ROWS, score_parts};

/// Progress is told this often.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// What training needs to know about where it runs.
#[derive(Clone, Copy)]
pub struct Host<'a> {
    /// The time.
    pub clock: &'a dyn Clock,
    /// How many threads train where the project file does not say.
    pub threads: usize,
    /// Name and version of the program, for the lineage.
    pub program: &'a str,
}

/// What training made.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The network with its weights.
    pub network: Network,
    /// Every epoch.
    pub history: Vec<EpochRecord>,
    /// The epoch whose weights these are, from 1.
    pub kept_epoch: usize,
    /// The scores on every part, and the gates.
    pub scores: Scores,
    /// How many threads trained.
    pub threads: usize,
    /// How long training took, scoring excluded.
    pub elapsed: Duration,
}

/// Trains the project's network on prepared data.
///
/// # Errors
/// [`TrainError::Diverged`] where the loss is no longer a number, [`TrainError::Stopped`] soon after `stop` is set,
/// and whatever the engine or the pipeline refuse.
pub fn fit(
    project: &Project,
    prepared: &Prepared,
    host: &Host<'_>,
    progress: &mut dyn Progress,
    stop: &AtomicBool,
) -> Result<Trained, TrainError> {
    let started = host.clock.now();
    let mut run = Run::new(project, prepared, host, stop)?;
    progress.started(&run.plan);
    let mut history = Vec::new();
    let mut best: Option<Best> = None;
    for epoch in 1..=run.plan.epochs {
        let mut record = run.epoch(epoch, progress)?;
        let watched = run.validate(&mut record)?;
        record.elapsed = host.clock.now().duration_since(run.epoch_started);
        let verdict = best_so_far(&run, best.as_ref(), watched, epoch);
        record.best = verdict == Verdict::Better;
        progress.epoch(&record);
        history.push(record);
        match verdict {
            Verdict::Better => best = Some(run.best(watched, epoch)),
            Verdict::Stop => break,
            Verdict::Wait => {}
        }
    }
    let kept_epoch =
        best.as_ref().filter(|best| best.network.is_some()).map_or(history.len(), |best| best.epoch);
    let network = best.and_then(|best| best.network).unwrap_or_else(|| run.engine.network());
    let threads = run.plan.threads;
    let elapsed = host.clock.now().duration_since(started);
    drop(run);
    let scores = score_parts(project, prepared, &network, threads)?;
    Ok(Trained { network, history, kept_epoch, scores, threads, elapsed })
}

/// The best epoch so far.
struct Best {
    epoch: usize,
    watched: f64,
    /// Its weights, where they are to be restored.
    network: Option<Network>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Better,
    Wait,
    Stop,
}

/// Whether an epoch is the best, one to wait through, or the last.
fn best_so_far(run: &Run<'_>, best: Option<&Best>, watched: Option<f64>, epoch: usize) -> Verdict {
    let (Some(stopping), Some(watched)) = (&run.training.early_stopping, watched) else {
        return Verdict::Wait;
    };
    let Some(best) = best else {
        return Verdict::Better;
    };
    let higher = stopping.watched().higher_is_better();
    let gain = if higher { watched - best.watched } else { best.watched - watched };
    if gain > stopping.min_delta || best.watched.is_nan() {
        Verdict::Better
    } else if epoch - best.epoch >= stopping.patience {
        Verdict::Stop
    } else {
        Verdict::Wait
    }
}

/// One part of the rows, ready for the engine.
struct Part<'a> {
    inputs: InputRows<'a>,
    truth: TargetValues,
}

impl<'a> Part<'a> {
    fn new(prepared: &'a Prepared, rows: &'a [usize]) -> Result<Self, TrainError> {
        let inputs = InputRows::new(&prepared.pipeline, &prepared.dataset, rows)?;
        let truth = prepared.pipeline.targets(&prepared.dataset, rows)?;
        Ok(Self { inputs, truth })
    }
}

/// [`Engine::step`] or [`Engine::gather`].
type Learn = fn(&mut Engine, &[f32], Targets<'_>, Option<&[f32]>) -> Result<Step, ModelError>;

/// The learning rate of every step.
fn rates(training: &Training, engine: &Engine, mini_batches: usize) -> Rates {
    let per_epoch = mini_batches.div_ceil(training.accumulate) as u64;
    let warmup = training.warmup.unwrap_or_default();
    Rates {
        spec: training.schedule.clone(),
        base: engine.learning_rate(),
        warmup: warmup.steps.unwrap_or(warmup.epochs.unwrap_or(0).saturating_mul(per_epoch)),
        all: training.epochs as u64 * per_epoch,
        per_epoch,
    }
}

/// The state of a training run: everything is allocated once, ahead of the first step.
struct Run<'a> {
    training: &'a Training,
    prepared: &'a Prepared,
    clock: &'a dyn Clock,
    stop: &'a AtomicBool,
    plan: RunPlan,
    engine: Engine,
    rates: Rates,
    /// What the schedule remembers.
    memory: Memory,
    metric: &'static dyn Metric,
    train: Part<'a>,
    /// What changes training images anew in each epoch.
    augmentation: Option<Augmentation>,
    validation: Option<Part<'a>>,
    /// The weight of each class; none where all count the same.
    weights: Option<Vec<f32>>,
    random: SplitMix,
    order: Vec<usize>,
    batch: MiniBatch,
    epoch_started: Instant,
}

/// One mini-batch; the buffers are reused.
#[derive(Default)]
struct MiniBatch {
    inputs: Vec<f32>,
    classes: Vec<u32>,
    values: Vec<f32>,
    weights: Vec<f32>,
}

impl<'a> Run<'a> {
    fn new(
        project: &'a Project,
        prepared: &'a Prepared,
        host: &Host<'a>,
        stop: &'a AtomicBool,
    ) -> Result<Self, TrainError> {
        let training = project.training();
        let threads = training.threads.unwrap_or(host.threads).max(1);
        let network = Network::init(prepared.network.clone(), training.seed)?;
        let parameters = network.parameter_count();
        let train = Part::new(prepared, &prepared.parts.train)?;
        let validation = match prepared.parts.validation.as_slice() {
            [] => None,
            rows => Some(Part::new(prepared, rows)?),
        };
        let rows = train.inputs.len();
        let config = EngineConfig {
            loss: prepared.loss.clone(),
            optimizer: training.optimizer.clone(),
            clip_norm: training.clip_norm,
            clip_value: training.clip_value,
            average_decay: training.average.map(|average| average.decay),
            mini_batch_max: training.batch_size.min(rows),
            threads,
            seed: training.seed,
        };
        let engine = Engine::new(network, config)?;
        let mini_batches = rows.div_ceil(training.batch_size);
        let rates = rates(training, &engine, mini_batches);
        let metric = evaluate::leading_metric(evaluate::task_kind(prepared.pipeline.task()));
        let weights = class_weights(project, &prepared.pipeline, &train.truth)?;
        Ok(Self {
            plan: RunPlan {
                epochs: training.epochs,
                rows,
                steps: mini_batches,
                threads,
                parameters,
                metric: metric.name(),
            },
            rates,
            memory: Memory::default(),
            random: SplitMix(training.seed),
            order: (0..rows).collect(),
            batch: MiniBatch::default(),
            epoch_started: host.clock.now(),
            clock: host.clock,
            training,
            prepared,
            stop,
            engine,
            metric,
            augmentation: Augmentation::new(&project.pipeline().inputs, &prepared.pipeline, training.seed),
            train,
            validation,
            weights,
        })
    }

    /// One pass over the training rows.
    fn epoch(&mut self, epoch: usize, progress: &mut dyn Progress) -> Result<EpochRecord, TrainError> {
        self.epoch_started = self.clock.now();
        self.random.shuffle(&mut self.order);
        let mut teller = Teller::new(self.epoch_started);
        let mut loss_sum = 0.0;
        let mut rows_done = 0;
        for step in 1..=self.plan.steps {
            if self.stop.load(Ordering::Relaxed) {
                return Err(TrainError::Stopped { epoch });
            }
            self.schedule(epoch, step);
            let from = (step - 1) * self.training.batch_size;
            let to = (from + self.training.batch_size).min(self.plan.rows);
            let is_last = step.is_multiple_of(self.training.accumulate) || step == self.plan.steps;
            let loss = self.learn(epoch, from..to, if is_last { Engine::step } else { Engine::gather })?;
            if !loss.is_finite() {
                return Err(self.diverged(epoch, step, loss));
            }
            loss_sum += f64::from(loss) * (to - from) as f64;
            rows_done = to;
            if teller.due(step, self.plan.steps) {
                let elapsed = teller.elapsed(self.clock);
                progress.steps(&StepRecord { epoch, step, rows: to, loss: loss_sum / to as f64, elapsed });
            }
        }
        let elapsed = self.clock.now().duration_since(self.epoch_started);
        Ok(EpochRecord {
            epoch,
            loss: loss_sum / rows_done.max(1) as f64,
            validation_loss: None,
            metric: None,
            best: false,
            learning_rate: self.engine.learning_rate(),
            rows_per_second: rows_done as f64 / elapsed.as_secs_f64().max(1e-9),
            elapsed,
        })
    }

    /// Sets the learning rate of the step that begins with this mini-batch.
    fn schedule(&mut self, epoch: usize, mini_batch: usize) {
        if (mini_batch - 1).is_multiple_of(self.training.accumulate) {
            let in_epoch = (mini_batch - 1) / self.training.accumulate;
            let done = (epoch - 1) as u64 * self.rates.per_epoch + in_epoch as u64;
            self.engine.set_learning_rate(self.rates.at(done, &self.memory));
        }
    }

    /// Learns from the rows at these places of the epoch's order; gives the mean loss.
    fn learn(&mut self, epoch: usize, rows: Range<usize>, learn: Learn) -> Result<f32, TrainError> {
        let places = &self.order[rows];
        let batch = &mut self.batch;
        self.train.inputs.gather(places, &mut batch.inputs)?;
        if let Some(augmentation) = &self.augmentation {
            augmentation.apply(&mut batch.inputs, places, epoch);
        }
        let targets = match &self.train.truth {
            TargetValues::Classes(truth) => {
                batch.classes.clear();
                batch.classes.extend(places.iter().map(|&place| truth[place]));
                Targets::Classes(&batch.classes)
            }
            TargetValues::Values(truth) => {
                let width = self.prepared.pipeline.output_width();
                batch.values.clear();
                for &place in places {
                    batch.values.extend_from_slice(&truth[place * width..(place + 1) * width]);
                }
                Targets::Values(&batch.values)
            }
        };
        let weights = self.weights.as_ref().map(|weights| {
            batch.weights.clear();
            batch.weights.extend(batch.classes.iter().map(|class| weights[*class as usize]));
            batch.weights.as_slice()
        });
        Ok(learn(&mut self.engine, &batch.inputs, targets, weights)?.loss)
    }

    /// Scores the validation rows; gives what early stopping watches.
    fn validate(&mut self, record: &mut EpochRecord) -> Result<Option<f64>, TrainError> {
        let Some(part) = &self.validation else {
            return Ok(None);
        };
        let outputs = forward(&mut self.engine, &part.inputs)?;
        let loss = f64::from(self.engine.loss_of(&outputs, targets_of(&part.truth), None)?);
        let sample = evaluate::sample(&self.prepared.pipeline, &part.truth, &outputs);
        record.validation_loss = Some(loss).filter(|loss| loss.is_finite());
        record.metric = self.metric.score(&sample).filter(|score| score.is_finite());
        let score = |watched| match watched {
            StoppingMetric::Loss => Some(loss),
            StoppingMetric::Metric(metric) => metric.score(&sample),
        };
        if let Some(watched) = self.rates.spec.watched().map(StoppingMetric::named)
            && let Some(score) = score(watched)
        {
            let watched = Watched { score, higher_is_better: watched.higher_is_better() };
            self.rates.spec.schedule().epoch_over(&mut self.memory, watched);
        }
        Ok(self.training.early_stopping.as_ref().and_then(|stopping| score(stopping.watched())))
    }

    fn best(&self, watched: Option<f64>, epoch: usize) -> Best {
        let restore = self.training.early_stopping.as_ref().is_some_and(|stopping| stopping.restore_best);
        Best { epoch, watched: watched.unwrap_or(f64::NAN), network: restore.then(|| self.engine.network()) }
    }

    fn diverged(&self, epoch: usize, step: usize, loss: f32) -> TrainError {
        let rate = self.engine.learning_rate();
        let mut ways = vec![format!("a smaller learning_rate (such as {:e})", rate / 10.0)];
        if self.training.clip_norm.is_none() {
            ways.push("clip_norm = 1.0".to_owned());
        }
        ways.push(
            "a scaling transform (standard, min_max) on inputs and outputs of large numbers".to_owned(),
        );
        TrainError::Diverged {
            epoch,
            step,
            loss,
            learning_rate: rate,
            hint: format!("try {}", ways.join(", or ")),
        }
    }
}

/// The network's outputs for all rows of a part.
fn forward(engine: &mut Engine, inputs: &InputRows<'_>) -> Result<Vec<f32>, TrainError> {
    let mut outputs = Vec::new();
    let mut some = Vec::new();
    let mut block = Vec::new();
    let places: Vec<usize> = (0..inputs.len()).collect();
    for places in places.chunks(FORWARD_ROWS) {
        inputs.gather(places, &mut block)?;
        engine.forward(&block, places.len(), &mut some)?;
        outputs.extend_from_slice(&some);
    }
    Ok(outputs)
}

fn targets_of(truth: &TargetValues) -> Targets<'_> {
    match truth {
        TargetValues::Classes(classes) => Targets::Classes(classes),
        TargetValues::Values(values) => Targets::Values(values),
    }
}

/// Decides after which steps progress is told, without reading the clock at each.
struct Teller {
    started: Instant,
    told: Instant,
    next: usize,
    every: usize,
}

impl Teller {
    fn new(started: Instant) -> Self {
        Self { started, told: started, next: 1, every: 1 }
    }

    fn due(&self, step: usize, last: usize) -> bool {
        step >= self.next || step == last
    }

    /// The time since the epoch began; doubles or halves the pause until the next telling.
    fn elapsed(&mut self, clock: &dyn Clock) -> Duration {
        let now = clock.now();
        let pause = now.duration_since(self.told);
        self.told = now;
        if pause < TELL_EVERY / 2 {
            self.every *= 2;
        } else if pause > TELL_EVERY * 2 {
            self.every = (self.every / 2).max(1);
        }
        self.next += self.every;
        now.duration_since(self.started)
    }
}
