//! A training run in memory: the engine, the rows in this epoch's order, and where in it the run stands.

use std::ops::Range;
use std::time::{Duration, Instant};

use modelyard_data::{Augmentation, NO_TOKEN, TargetValues};
use modelyard_model::{Engine, EngineConfig, ModelError, NO_CLASS, Network, Step, Targets};
use modelyard_types::Clock;

use crate::checkpoint::{Checkpoint, Position};
use crate::class_weights::class_weights;
use crate::error::TrainError;
use crate::evaluate::metric::{self, Metric, score_of};
use crate::evaluate::{self, SplitMix};
use crate::fit::{Host, Job};
use crate::inputs::InputRows;
use crate::judge::judge;
use crate::prepare::Prepared;
use crate::progress::{EpochRecord, RunPlan, StepRecord};
use crate::project::{StoppingMetric, Training};
use crate::schedule::{Memory, Rates, Watched};

const _: () = assert!(NO_TOKEN == NO_CLASS, "a token that is not there is a class that is not there");

/// Progress is told this often.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// The state of a training run: everything is allocated once, ahead of the first step.
pub(crate) struct Run<'a> {
    pub(crate) training: &'a Training,
    pub(crate) plan: RunPlan,
    pub(crate) engine: Engine,
    pub(crate) position: Position,
    pub(crate) history: Vec<EpochRecord>,
    /// What the schedule remembers.
    pub(crate) memory: Memory,
    /// This epoch's order of the training rows.
    pub(crate) order: Vec<usize>,
    prepared: &'a Prepared,
    clock: &'a dyn Clock,
    rates: Rates,
    metric: &'static dyn Metric,
    train: Part<'a>,
    /// What changes training images anew in each epoch.
    augmentation: Option<Augmentation>,
    validation: Option<Part<'a>>,
    /// The weight of each class; none where all count the same.
    weights: Option<Vec<f32>>,
    batch: MiniBatch,
    teller: Teller,
}

/// One part of the rows, ready for the engine.
struct Part<'a> {
    inputs: InputRows<'a>,
    truth: TargetValues,
}

/// One mini-batch; the buffers are reused.
#[derive(Default)]
struct MiniBatch {
    inputs: Vec<f32>,
    classes: Vec<u32>,
    values: Vec<f32>,
    weights: Vec<f32>,
}

/// What [`Run::step`] did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stepped {
    /// Whether it is time to tell progress; the clock has just been read then.
    pub(crate) tell: bool,
}

/// [`Engine::step`] or [`Engine::gather`].
type Learn = fn(&mut Engine, &[f32], Targets<'_>, Option<&[f32]>) -> Result<Step, ModelError>;

impl<'a> Part<'a> {
    fn new(prepared: &'a Prepared, rows: &'a [usize]) -> Result<Self, TrainError> {
        let inputs = InputRows::new(&prepared.pipeline, &prepared.dataset, rows)?;
        let truth = prepared.pipeline.targets(&prepared.dataset, rows)?;
        Ok(Self { inputs, truth })
    }
}

impl<'a> Run<'a> {
    pub(crate) fn new(job: &Job<'a>, host: &Host<'a>) -> Result<Self, TrainError> {
        let (project, prepared) = (job.project, job.prepared);
        let training = project.training();
        let threads = training.threads.unwrap_or(host.threads).max(1);
        let threads = job.resume.map_or(threads, |checkpoint| checkpoint.threads);
        let network = match &prepared.start {
            Some(start) => start.network.clone(),
            None => Network::init(prepared.network.clone(), training.seed)?,
        };
        let parameters = network.parameter_count();
        let train = Part::new(prepared, &prepared.parts.train)?;
        let validation = match prepared.parts.validation.as_slice() {
            [] => None,
            rows => Some(Part::new(prepared, rows)?),
        };
        let rows = train.inputs.len();
        let engine = Engine::new(network, engine_config(training, prepared, threads, rows))?;
        let metric = evaluate::leading_metric(evaluate::task_of(&prepared.pipeline));
        let weights = class_weights(project, &prepared.pipeline, &train.truth)?;
        let steps = rows.div_ceil(training.batch_size);
        let plan =
            RunPlan { epochs: training.epochs, rows, steps, threads, parameters, metric: metric.name() };
        let position =
            Position { epoch: 1, mini_batches: 0, loss_sum_bits: 0, random: training.seed, seconds: 0.0 };
        Ok(Self {
            rates: rates(training, &engine, steps),
            plan,
            position,
            history: Vec::new(),
            memory: Memory::default(),
            order: (0..rows).collect(),
            batch: MiniBatch::default(),
            teller: Teller::new(host.clock.now(), Duration::ZERO, 0),
            clock: host.clock,
            training,
            prepared,
            engine,
            metric,
            augmentation: Augmentation::new(&project.pipeline().inputs, &prepared.pipeline, training.seed),
            train,
            validation,
            weights,
        })
    }

    /// Takes over where a checkpoint stands.
    pub(crate) fn resume(&mut self, checkpoint: &Checkpoint) -> Result<(), TrainError> {
        self.engine.restore(&checkpoint.engine)?;
        self.position = checkpoint.position.clone();
        self.memory = checkpoint.memory.clone();
        self.history = checkpoint.history.clone();
        self.order = checkpoint.order.clone();
        Ok(())
    }

    /// Begins the epoch in which the run stands, or goes on with it.
    pub(crate) fn enter_epoch(&mut self) {
        let before = Duration::try_from_secs_f64(self.position.seconds).unwrap_or_default();
        self.teller = Teller::new(self.clock.now(), before, self.position.mini_batches);
        if self.position.mini_batches == 0 {
            let mut random = SplitMix(self.position.random);
            random.shuffle(&mut self.order);
            self.position.random = random.0;
        }
    }

    /// Steps of the optimizer done in the whole run.
    pub(crate) fn steps_done(&self) -> u64 {
        let in_epoch = self.position.mini_batches.div_ceil(self.training.accumulate) as u64;
        (self.position.epoch - 1) as u64 * self.rates.per_epoch + in_epoch
    }

    /// Takes the next step of this epoch: one mini-batch, or as many as are accumulated; none where the epoch is
    /// over.
    pub(crate) fn step(&mut self) -> Result<Option<Stepped>, TrainError> {
        let first = self.position.mini_batches;
        if first == self.plan.steps {
            return Ok(None);
        }
        self.engine.set_learning_rate(self.rates.at(self.steps_done(), &self.memory));
        let end = (first + self.training.accumulate).min(self.plan.steps);
        for mini_batch in first..end {
            let from = mini_batch * self.training.batch_size;
            let to = (from + self.training.batch_size).min(self.plan.rows);
            let step =
                self.learn(from..to, if mini_batch + 1 == end { Engine::step } else { Engine::gather })?;
            if !step.is_finite() {
                return Err(self.diverged(mini_batch + 1, ruin(&step)));
            }
            let sum = self.loss_sum() + f64::from(step.loss) * (to - from) as f64;
            self.position.loss_sum_bits = sum.to_bits();
        }
        self.position.mini_batches = end;
        let tell = self.teller.due(end, self.plan.steps);
        if tell {
            self.position.seconds = self.teller.elapsed(self.clock).as_secs_f64();
        }
        Ok(Some(Stepped { tell }))
    }

    /// Where the run stands, as of the last reading of the clock.
    pub(crate) fn record(&self) -> StepRecord {
        let rows = self.rows_done();
        StepRecord {
            epoch: self.position.epoch,
            step: self.position.mini_batches,
            rows,
            loss: self.loss_sum() / rows.max(1) as f64,
            elapsed: Duration::try_from_secs_f64(self.position.seconds).unwrap_or_default(),
        }
    }

    fn loss_sum(&self) -> f64 {
        f64::from_bits(self.position.loss_sum_bits)
    }

    fn rows_done(&self) -> usize {
        (self.position.mini_batches * self.training.batch_size).min(self.plan.rows)
    }

    /// Learns from the rows at these places of the epoch's order.
    fn learn(&mut self, rows: Range<usize>, learn: Learn) -> Result<Step, TrainError> {
        let places = &self.order[rows];
        let batch = &mut self.batch;
        self.train.inputs.gather(places, &mut batch.inputs)?;
        if let Some(augmentation) = &self.augmentation {
            augmentation.apply(&mut batch.inputs, places, self.position.epoch);
        }
        let targets = match &self.train.truth {
            TargetValues::Classes(truth) => {
                batch.classes.clear();
                batch.classes.extend(places.iter().map(|&place| truth[place]));
                Targets::Classes(&batch.classes)
            }
            TargetValues::Tokens(truth) => {
                batch.classes.clear();
                for &place in places {
                    batch.classes.extend_from_slice(&truth.tokens[place * truth.steps..][..truth.steps]);
                }
                Targets::Classes(&batch.classes)
            }
            TargetValues::Input => Targets::Values(&batch.inputs),
            TargetValues::Values(truth) => {
                let width = self.prepared.pipeline.task().answer_width();
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
        Ok(learn(&mut self.engine, &batch.inputs, targets, weights)?)
    }

    /// Scores the validation rows at the end of an epoch; gives its record and what early stopping watches.
    pub(crate) fn validate(&mut self) -> Result<(EpochRecord, Option<f64>), TrainError> {
        let mut record = self.epoch_record();
        let Some(part) = &self.validation else {
            record.elapsed = self.teller.elapsed(self.clock);
            return Ok((record, None));
        };
        let judged = judge(&mut self.engine, self.prepared, &part.inputs, &part.truth);
        let (loss, sample) = judged.map_err(|error| self.judged(error))?;
        if !loss.is_finite() {
            return Err(self.diverged(self.plan.steps, format!("the loss on validation rows became {loss}")));
        }
        record.validation_loss = Some(loss);
        for metric in metric::fitting(sample.task()) {
            let score = score_of(metric, &sample).filter(|score| score.is_finite());
            record.metrics.extend(score.map(|score| (metric.name().to_owned(), score)));
        }
        record.metric = record.metrics.get(self.metric.name()).copied();
        let score = |watched| match watched {
            StoppingMetric::Loss => Some(loss),
            StoppingMetric::Metric(metric) => score_of(metric, &sample),
        };
        if let Some(watched) = self.rates.spec.watched().map(StoppingMetric::named)
            && let Some(score) = score(watched).filter(|score| score.is_finite())
        {
            let watched = Watched { score, higher_is_better: watched.higher_is_better() };
            self.rates.spec.schedule().epoch_over(&mut self.memory, watched);
        }
        let watched = self.training.early_stopping.as_ref().and_then(|stopping| score(stopping.watched()));
        record.elapsed = self.teller.elapsed(self.clock);
        Ok((record, watched))
    }

    /// The record of an epoch whose steps are done.
    fn epoch_record(&mut self) -> EpochRecord {
        let elapsed = self.teller.elapsed(self.clock);
        EpochRecord {
            epoch: self.position.epoch,
            loss: self.loss_sum() / self.plan.rows.max(1) as f64,
            validation_loss: None,
            metric: None,
            metrics: std::collections::BTreeMap::new(),
            best: false,
            learning_rate: self.engine.learning_rate(),
            rows_per_second: self.plan.rows as f64 / elapsed.as_secs_f64().max(1e-9),
            elapsed,
        }
    }

    /// Adds an epoch to the history and turns to the next.
    pub(crate) fn end_epoch(&mut self, record: EpochRecord) {
        self.history.push(record);
        let (epoch, random) = (self.position.epoch + 1, self.position.random);
        self.position = Position { epoch, mini_batches: 0, loss_sum_bits: 0, random, seconds: 0.0 };
    }

    /// What an error that came up behind the last step says about training.
    pub(crate) fn judged(&self, error: TrainError) -> TrainError {
        match error {
            TrainError::NoNumber { value, .. } => {
                self.diverged(self.plan.steps, format!("an answer of the network became {value}"))
            }
            other => other,
        }
    }

    fn diverged(&self, mini_batch: usize, found: String) -> TrainError {
        let rate = self.engine.learning_rate();
        let mut ways = vec![format!("a smaller learning_rate (such as {:e})", rate / 10.0)];
        if self.training.clip_norm.is_none() {
            ways.push("clip_norm = 1.0".to_owned());
        }
        ways.push(
            "a scaling transform (standard, min_max) on inputs and outputs of large numbers".to_owned(),
        );
        TrainError::Diverged {
            epoch: self.position.epoch.min(self.plan.epochs),
            step: mini_batch,
            found,
            learning_rate: rate,
            hint: format!("try {}", ways.join(", or ")),
            kept: None,
        }
    }
}

fn engine_config(training: &Training, prepared: &Prepared, threads: usize, rows: usize) -> EngineConfig {
    EngineConfig {
        loss: prepared.loss.clone(),
        optimizer: training.optimizer.clone(),
        clip_norm: training.clip_norm,
        clip_value: training.clip_value,
        average_decay: training.average.map(|average| average.decay),
        mini_batch_max: training.batch_size.min(rows),
        threads,
        seed: training.seed,
    }
}

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

/// Decides after which steps progress is told, without reading the clock at each.
struct Teller {
    started: Instant,
    /// The time of this epoch before an interruption.
    before: Duration,
    told: Instant,
    next: usize,
    every: usize,
}

impl Teller {
    fn new(started: Instant, before: Duration, done: usize) -> Self {
        Self { started, before, told: started, next: done + 1, every: 1 }
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
        self.before + now.duration_since(self.started)
    }
}

/// What of a step is no number.
fn ruin(step: &Step) -> String {
    match step {
        Step { loss, .. } if !loss.is_finite() => format!("the loss became {loss}"),
        Step { penalty, .. } if !penalty.is_finite() => {
            format!("what its layers add to the loss became {penalty}")
        }
        Step { loss, .. } => format!("the gradients became infinite, at a loss of {loss},"),
    }
}
