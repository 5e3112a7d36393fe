//! The training loop's body: forward, loss, backward, sum over shards, optimizer; planned once, then run
//! without allocating.
//!
//! A mini-batch is cut into one shard for each thread; each shard walks forward and back through buffers of
//! its own, and only then are the gradients added up, in a fixed order: the same seed and the same number of
//! threads give bit-identical weights. Two exceptions: too little work for a second thread stays on the
//! caller's, and a network of large dense layers runs as one shard whose matrix products use all threads,
//! because there the gradients are larger than what the rows bring.

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::inference::{Inference, Weights};
use crate::kernels::product::Parallelism;
use crate::kernels::rows as row_kernels;
use crate::learner::Learner;
use crate::losses::{LossSpec, Rows};
use crate::memory;
use crate::op::{Pass, RowShares};
use crate::optimizers::OptimizerSpec;
use crate::plan::Plan;
use crate::rng::mix;
use crate::shard::{Lesson, Phase, Shard};
use crate::targets::{Targets, check_len};
use crate::{ModelError, Network};

/// How a network is to be trained.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineConfig {
    /// What to make small.
    pub loss: LossSpec,
    /// How weights follow their gradients.
    pub optimizer: OptimizerSpec,
    /// All gradients together are scaled down to this Euclidean norm when they are longer.
    pub clip_norm: Option<f32>,
    /// Each gradient is cut at plus and minus this.
    pub clip_value: Option<f32>,
    /// Keeps a running average of the weights, of which each step leaves this share: the network that is
    /// trained is then the average.
    pub average_decay: Option<f32>,
    /// The largest number of rows of one mini-batch: buffers are laid out for it.
    pub mini_batch_max: usize,
    /// How many threads compute.
    pub threads: usize,
    /// Draws dropout's masks.
    pub seed: u64,
}

/// What one step found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The mean loss of the mini-batch's rows, by their weights, before the step; as [`Engine::loss_of`] measures it.
    pub loss: f32,
    /// What layers add to that loss (a `gaussian_sample` its divergence): the mean over the rows, by their weights.
    pub penalty: f32,
    /// The Euclidean norm of all gradients before clipping; none where they were only gathered.
    pub gradient_norm: Option<f32>,
}

impl Step {
    /// False where the loss, or the norm of the gradients, is infinite or not a number: the weights were then left as
    /// they were, and what was gathered is forgotten.
    pub fn is_finite(&self) -> bool {
        (self.loss + self.penalty).is_finite() && self.gradient_norm.is_none_or(f32::is_finite)
    }
}

/// One planned training loop body with its network.
pub struct Engine {
    pub(crate) network: Network,
    pub(crate) learner: Learner,
    config: EngineConfig,
    plan: Plan,
    mode: Mode,
    /// `None` where one thread does it all.
    pool: Option<ThreadPool>,
    shards: Vec<Shard>,
    phases: Vec<Phase>,
    inference: Vec<Inference>,
}

/// Where the threads are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Each has a part of the mini-batch.
    Shards,
    /// All work on the same matrix product.
    Products,
}

/// Networks of dense layers with more weights than this run in [`Mode::Products`].
const PRODUCTS_PARAMETERS_MIN: usize = 1 << 20;
/// A shard gets at least this much work (forward, multiplications and additions), or there are fewer shards.
const SHARD_WORK_MIN: usize = 3_000_000;
/// More threads than this are a slip of the pen.
const THREADS_MAX: usize = 1024;

impl Engine {
    /// Checks the configuration against the network, lays out every buffer and starts the threads.
    ///
    /// # Errors
    /// Where a setting can never work, loss and network do not go together, the buffers would be absurdly
    /// large, or threads cannot be had.
    pub fn new(network: Network, config: EngineConfig) -> Result<Self, ModelError> {
        check_config(&config)?;
        config.optimizer.check()?;
        let spec = network.spec();
        let plan = Plan::new(spec, network.layout().clone(), config.loss.fused(&network.layout().output));
        config.loss.check(&plan.layout.output, plan.ending)?;
        let mode = if plan.is_dense && plan.layout.trained_len >= PRODUCTS_PARAMETERS_MIN {
            Mode::Products
        } else {
            Mode::Shards
        };
        let shard_count = match mode {
            Mode::Shards => config.threads.min(config.mini_batch_max),
            Mode::Products => 1,
        };
        let shard_rows = shard_rows_max(&plan, config.mini_batch_max, shard_count);
        memory::check_training(&plan, shard_rows, shard_count)?;
        let mut shards: Vec<Shard> = (0..shard_count).map(|_| Shard::new(&plan, shard_rows)).collect();
        let inference_plan = Plan::new(spec, network.layout().clone(), None);
        Ok(Self {
            learner: Learner::new(&network, &config),
            mode,
            pool: start_threads(config.threads)?,
            phases: shards[0].phases(),
            shards,
            inference: (0..shard_count).map(|_| Inference::new(&inference_plan)).collect(),
            plan,
            network,
            config,
        })
    }

    /// Learns from one mini-batch, and from those gathered before it. A loss or gradients that are infinite or no
    /// numbers leave the weights as they were: see [`Step::is_finite`].
    ///
    /// # Errors
    /// Where lengths do not fit, the mini-batch is larger than planned, or a target or weight cannot be used.
    pub fn step(
        &mut self,
        inputs: &[f32],
        targets: Targets<'_>,
        row_weights: Option<&[f32]>,
    ) -> Result<Step, ModelError> {
        let batch = self.batch(inputs, targets, row_weights)?;
        Ok(self.learn(&batch, Then::Step))
    }

    /// Keeps a mini-batch's gradients for the next [`Self::step`], which is then that of one mini-batch of all
    /// their rows (but that batch normalisation sees each mini-batch alone). Gives the loss alone.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub fn gather(
        &mut self,
        inputs: &[f32],
        targets: Targets<'_>,
        row_weights: Option<&[f32]>,
    ) -> Result<Step, ModelError> {
        let batch = self.batch(inputs, targets, row_weights)?;
        Ok(self.learn(&batch, Then::Gather))
    }

    /// Changes the learning rate for the steps to come.
    pub fn set_learning_rate(&mut self, rate: f32) {
        self.learner.learning_rate = rate;
    }

    /// The learning rate of the next step.
    pub fn learning_rate(&self) -> f32 {
        self.learner.learning_rate
    }

    /// The network as it is now: with averaged weights where an average is kept.
    pub fn network(&self) -> Network {
        self.learner.average.as_ref().unwrap_or(&self.network).clone()
    }

    /// The network's answers to any number of rows, in inference mode; `outputs` is replaced.
    ///
    /// # Errors
    /// Where `inputs` does not hold `rows` rows.
    pub fn forward(&mut self, inputs: &[f32], rows: usize, outputs: &mut Vec<f32>) -> Result<(), ModelError> {
        check_len("inputs", inputs.len(), rows.saturating_mul(self.plan.input_len))?;
        outputs.resize(rows * self.plan.output_len, 0.0);
        let shards = self.shards_for(rows);
        let (input_len, output_len) = (self.plan.input_len, self.plan.output_len);
        let network = self.learner.average.as_ref().unwrap_or(&self.network);
        let weights = |parallelism| Weights {
            parameters: network.parameters(),
            state: network.state(),
            parallelism,
            first_step: 0,
        };
        let part = rows.div_ceil(shards).max(1);
        match &self.pool {
            Some(pool) if self.mode == Mode::Products => {
                let weights = weights(Parallelism::Threads(self.config.threads));
                let inference = &mut self.inference[0];
                pool.install(|| inference.run(weights, inputs, outputs));
            }
            Some(pool) if shards > 1 => pool.install(|| {
                let weights = weights(Parallelism::Single);
                let parts =
                    inputs.par_chunks(part * input_len).zip(outputs.par_chunks_mut(part * output_len));
                let parts = parts.zip(&mut self.inference);
                parts.for_each(|((inputs, outputs), inference)| inference.run(weights, inputs, outputs));
            }),
            _ => self.inference[0].run(weights(Parallelism::Single), inputs, outputs),
        }
        Ok(())
    }

    /// The mean loss, by row weights, of outputs that [`Self::forward`] gave: for validation.
    ///
    /// # Errors
    /// Where lengths do not fit, or a target or weight cannot be used.
    pub fn loss_of(
        &self,
        outputs: &[f32],
        targets: Targets<'_>,
        row_weights: Option<&[f32]>,
    ) -> Result<f32, ModelError> {
        let width = self.plan.output_len;
        let rows = outputs.len() / width;
        check_len("outputs", outputs.len(), rows * width)?;
        let shape = self.config.loss.shape(&self.plan.layout.output);
        self.config.loss.check_targets(targets, rows, shape)?;
        let weight = targets.total_weight(row_weights, rows, shape.steps)?;
        let rows = Rows { outputs, targets, weights: row_weights, first_row: 0, shape };
        let sum = self.config.loss.sum(rows, self.plan.ends_in_logits, &mut vec![0.0; shape.width]);
        Ok(if weight > 0.0 { (sum / weight) as f32 } else { 0.0 })
    }

    /// How many rows `inputs` holds.
    fn rows_of(&self, inputs: &[f32]) -> Result<usize, ModelError> {
        let len = self.plan.input_len;
        let rows = inputs.len() / len;
        check_len("inputs", inputs.len(), rows.max(1) * len)?;
        Ok(rows)
    }

    /// Into how many shards this many rows are cut.
    fn shards_for(&self, rows: usize) -> usize {
        let by_work = rows.saturating_mul(self.plan.work()) / SHARD_WORK_MIN;
        by_work.clamp(1, self.shards.len()).min(rows.max(1))
    }

    /// Checks a mini-batch.
    fn batch<'a>(
        &self,
        inputs: &'a [f32],
        targets: Targets<'a>,
        row_weights: Option<&'a [f32]>,
    ) -> Result<Batch<'a>, ModelError> {
        let rows = self.rows_of(inputs)?;
        if rows > self.config.mini_batch_max {
            let (wanted, got) = (self.config.mini_batch_max * self.plan.input_len, inputs.len());
            return Err(ModelError::Length { what: "inputs of the largest mini-batch", wanted, got });
        }
        let shape = self.config.loss.shape(&self.plan.layout.output);
        self.config.loss.check_targets(targets, rows, shape)?;
        let weight = targets.total_weight(row_weights, rows, shape.steps)?;
        let one_over = |weight: f64| if weight > 0.0 { 1.0 / weight } else { 0.0 };
        let all_rows =
            row_weights.map_or(rows as f64, |weights| weights.iter().copied().map(f64::from).sum());
        let shares = RowShares { weights: row_weights, scale: one_over(all_rows) as f32, parts: 1 };
        Ok(Batch { inputs, targets, row_weights, rows, weight, scale: one_over(weight), shares })
    }

    /// Learns from a mini-batch on as many threads as it is worth.
    fn learn(&mut self, batch: &Batch<'_>, then: Then) -> Step {
        let shards = self.shards_for(batch.rows);
        match self.pool.take() {
            Some(pool) if shards > 1 || self.mode == Mode::Products => {
                let step = pool.install(|| self.learn_on(batch, shards, self.config.threads, then));
                self.pool = Some(pool);
                step
            }
            pool => {
                self.pool = pool;
                self.learn_on(batch, shards, 1, then)
            }
        }
    }

    /// Learns from a mini-batch on the threads of the pool that the caller runs in.
    fn learn_on(&mut self, batch: &Batch<'_>, shards: usize, threads: usize, then: Then) -> Step {
        let mut step = self.pass(batch, shards, threads);
        if !step.is_finite() {
            self.learner.forget();
            return step;
        }
        all_reduce(&mut self.shards[..shards]);
        let shard = &mut self.shards[0];
        match then {
            Then::Gather => self.learner.gather(&shard.gradients, batch.weight, threads),
            Then::Step => {
                let norm = self.learner.step(&mut self.network, shard, batch.weight, threads);
                step.gradient_norm = Some(norm);
                if !step.is_finite() {
                    return step;
                }
            }
        }
        self.learner.batches += 1;
        self.shards[0].update_state(self.network.weights_mut().1);
        if then == Then::Step {
            self.learner.average(&self.network, threads);
        }
        step
    }

    /// Forward, loss and backward; gives what was found. The gradients are then in the shards.
    fn pass(&mut self, batch: &Batch<'_>, shards: usize, threads: usize) -> Step {
        let parallelism = match self.mode {
            Mode::Products if threads > 1 => Parallelism::Threads(threads),
            _ => Parallelism::Single,
        };
        for phase in &self.phases {
            let run = |(at, shard): (usize, &mut Shard)| {
                let (first, end) = (batch.rows * at / shards, batch.rows * (at + 1) / shards);
                let pass = Pass {
                    parameters: self.network.parameters(),
                    state: self.network.state(),
                    rows: end - first,
                    rows_total: batch.rows,
                    first_row: first,
                    key: mix(self.config.seed ^ mix(self.learner.batches)),
                    shares: batch.shares,
                    mask: None,
                    memory_mask: None,
                    parallelism,
                    first_step: 0,
                };
                shard.run(phase, &pass, &batch.lesson(&self.config.loss, &self.plan, first..end));
            };
            let active = &mut self.shards[..shards];
            if shards > 1 {
                active.par_iter_mut().enumerate().with_max_len(1).for_each(run);
            } else {
                active.iter_mut().enumerate().for_each(run);
            }
            if let Some(meet) = phase.meet {
                add_sums(active, meet);
            }
        }
        let shards = &self.shards[..shards];
        let loss = (shards.iter().map(|shard| shard.loss).sum::<f64>() * batch.scale) as f32;
        let penalty = shards.iter().map(|shard| shard.penalty).sum::<f64>() as f32;
        Step { loss, penalty, gradient_norm: None }
    }
}

/// What becomes of a mini-batch's gradients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// The weights follow them.
    Step,
    /// They wait for the next step.
    Gather,
}

/// One mini-batch with its checks behind it.
struct Batch<'a> {
    inputs: &'a [f32],
    targets: Targets<'a>,
    row_weights: Option<&'a [f32]>,
    rows: usize,
    /// All losses' weights together: each weighs what its row weighs.
    weight: f64,
    /// One over the losses' weights: makes a sum over them a mean.
    scale: f64,
    /// What each row weighs in a mean over rows.
    shares: RowShares<'a>,
}

impl<'a> Batch<'a> {
    /// What a shard of these rows is to learn.
    fn lesson(&self, loss: &'a LossSpec, plan: &Plan, rows: std::ops::Range<usize>) -> Lesson<'a> {
        Lesson {
            inputs: &self.inputs[rows.start * plan.input_len..rows.end * plan.input_len],
            rows: Rows {
                outputs: &[],
                targets: self.targets,
                weights: self.row_weights,
                first_row: rows.start,
                shape: loss.shape(&plan.layout.output),
            },
            loss,
            scale: self.scale as f32,
        }
    }
}

/// Adds the gradients of all shards up into the first, in their order: the one place where gradients meet.
fn all_reduce(shards: &mut [Shard]) {
    const PART: usize = 16_384;
    let Some((first, rest)) = shards.split_first_mut() else { return };
    for shard in rest {
        let parts = first.gradients.par_chunks_mut(PART).zip(shard.gradients.par_chunks(PART));
        parts.for_each(|(to, from)| row_kernels::add(to, from));
    }
}

/// Gives every shard the total of the sums that the operation `meet` gathered, added up in their order.
fn add_sums(shards: &mut [Shard], meet: usize) {
    let Some((first, rest)) = shards.split_first_mut() else { return };
    let total = first.sums(meet);
    for shard in rest.iter_mut() {
        for (total, &sum) in total.iter_mut().zip(shard.sums(meet).iter()) {
            *total += sum;
        }
    }
    for shard in rest {
        shard.sums(meet).copy_from_slice(total);
    }
}

/// The largest number of rows that one shard may get: its share of the largest mini-batch, or as many as are
/// too little work for one shard more.
fn shard_rows_max(plan: &Plan, mini_batch_max: usize, shards: usize) -> usize {
    let alone = if shards == 1 { mini_batch_max } else { 2 * SHARD_WORK_MIN / plan.work().max(1) + 1 };
    mini_batch_max.div_ceil(shards).max(alone.min(mini_batch_max))
}

fn check_config(config: &EngineConfig) -> Result<(), ModelError> {
    let error = |field, message: String| Err(ModelError::Config { field, message, hint: None });
    if config.threads == 0 || config.threads > THREADS_MAX {
        return error("threads", format!("must be between 1 and {THREADS_MAX}, it is {}", config.threads));
    }
    if config.mini_batch_max == 0 {
        return error("batch_size", "must be at least 1".to_owned());
    }
    if let Some(decay) = config.average_decay.filter(|decay| !(0.0..1.0).contains(decay)) {
        return error("average", format!("must have a decay of at least 0 and below 1, it is {decay}"));
    }
    for (field, value) in [("clip_norm", config.clip_norm), ("clip_value", config.clip_value)] {
        if let Some(value) = value.filter(|value| !(*value > 0.0 && value.is_finite())) {
            return error(field, format!("must be above 0, it is {value}"));
        }
    }
    Ok(())
}

fn start_threads(threads: usize) -> Result<Option<ThreadPool>, ModelError> {
    if threads == 1 {
        return Ok(None);
    }
    let pool = ThreadPoolBuilder::new().num_threads(threads).thread_name(|at| format!("train-{at}")).build();
    pool.map(Some).map_err(|source| ModelError::Threads { threads, source })
}
