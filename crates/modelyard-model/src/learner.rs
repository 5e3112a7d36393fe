//! What follows a mini-batch's gradients: gathering them over several mini-batches, clipping, the optimizer,
//! and the running average of the weights.

use std::ops::Range;

use rayon::prelude::*;

use crate::kernels::rows as row_kernels;
use crate::optimizers::{OptimizerSpec, Part, StepNumbers};
use crate::shard::Shard;
use crate::{EngineConfig, Network};

/// Moves a network's weights, and remembers what the steps to come need.
pub(crate) struct Learner {
    optimizer: OptimizerSpec,
    clip_norm: Option<f32>,
    clip_value: Option<f32>,
    average_decay: Option<f32>,
    /// The stretches of the trained weights that are moved.
    moved: Vec<Range<usize>>,
    /// Gradients of the mini-batches since the last step, each times its weight; empty where there are none.
    gathered: Vec<f32>,
    gathered_weight: f64,
    /// The sum of squares of each part of the gradients.
    squares: Vec<f64>,
    pub(crate) learning_rate: f32,
    /// Steps of the optimizer so far.
    pub(crate) steps: u64,
    /// Mini-batches so far: part of the key of every random mask.
    pub(crate) batches: u64,
    /// What the optimizer remembers of each weight.
    pub(crate) memories: [Vec<f32>; 2],
    /// The network with averaged weights and running statistics.
    pub(crate) average: Option<Network>,
}

/// Loops over all weights are cut into parts of this many for threads.
const PART: usize = 32_768;

impl Learner {
    pub(crate) fn new(network: &Network, config: &EngineConfig) -> Self {
        let len = network.parameters().len();
        let memory = |at| vec![0.0; if config.optimizer.memories() > at { len } else { 0 }];
        Self {
            clip_norm: config.clip_norm,
            clip_value: config.clip_value,
            average_decay: config.average_decay,
            moved: network.layout().moved(),
            gathered: Vec::new(),
            gathered_weight: 0.0,
            squares: Vec::new(),
            learning_rate: config.optimizer.learning_rate(),
            steps: 0,
            batches: 0,
            memories: [memory(0), memory(1)],
            average: config.average_decay.map(|_| network.clone()),
            optimizer: config.optimizer.clone(),
        }
    }

    /// What moves the weights.
    pub(crate) fn optimizer(&self) -> &OptimizerSpec {
        &self.optimizer
    }

    /// Whether mini-batches wait for their step.
    pub(crate) fn is_gathering(&self) -> bool {
        self.gathered_weight > 0.0
    }

    /// Forgets the mini-batches that wait for their step.
    pub(crate) fn forget(&mut self) {
        self.gathered.fill(0.0);
        self.gathered_weight = 0.0;
    }

    /// Keeps a mini-batch's mean gradients for the step to come.
    pub(crate) fn gather(&mut self, gradients: &[f32], weight: f64, threads: usize) {
        self.gathered.resize(gradients.len(), 0.0);
        let factor = weight as f32;
        in_parts(threads, &mut self.gathered, gradients, |sum, from| {
            row_kernels::add_scaled(sum, from, factor);
        });
        self.gathered_weight += weight;
    }

    /// Takes one step: by these gradients alone, or by the mean of all that were gathered, these included.
    /// Gives the gradients' norm; where that is no finite number, nothing moves.
    pub(crate) fn step(
        &mut self,
        network: &mut Network,
        shard: &mut Shard,
        weight: f64,
        threads: usize,
    ) -> f32 {
        if self.is_gathering() {
            self.gather(&shard.gradients, weight, threads);
            let scale = (1.0 / self.gathered_weight) as f32;
            shard.gradients.iter_mut().zip(&self.gathered).for_each(|(to, sum)| *to = sum * scale);
            self.forget();
        }
        let norm = self.norm(&shard.gradients, threads);
        if !norm.is_finite() {
            return norm;
        }
        self.steps += 1;
        let numbers = StepNumbers {
            learning_rate: self.learning_rate,
            step: self.steps,
            gradient_scale: match self.clip_norm {
                Some(longest) if norm > longest => longest / norm,
                _ => 1.0,
            },
            clip_value: self.clip_value.unwrap_or(f32::INFINITY),
        };
        self.move_weights(network, &shard.gradients, &numbers, threads);
        norm
    }

    /// Pulls the average towards the network as it is now, running statistics included. The share that is
    /// kept grows from 2/11 to the declared decay, so that the first weights are soon forgotten: TensorFlow's
    /// `ExponentialMovingAverage` with `num_updates`.
    pub(crate) fn average(&mut self, network: &Network, threads: usize) {
        let (Some(average), Some(decay)) = (&mut self.average, self.average_decay) else { return };
        let steps = self.steps as f32;
        let keep = decay.min((1.0 + steps) / (10.0 + steps));
        let (weights, state) = average.weights_mut();
        for (to, from) in [(weights, network.parameters()), (state, network.state())] {
            in_parts(threads, to, from, |to, from| row_kernels::blend(to, from, keep));
        }
    }

    /// The Euclidean norm of the gradients of all weights that are moved: the same on any number of threads.
    fn norm(&mut self, gradients: &[f32], threads: usize) -> f32 {
        let mut sum = 0.0;
        for moved in &self.moved {
            let gradients = &gradients[moved.clone()];
            self.squares.resize(gradients.len().div_ceil(PART), 0.0);
            let squares_of = |(square, part): (&mut f64, &[f32])| *square = row_kernels::sum_of_squares(part);
            if threads > 1 {
                self.squares.par_iter_mut().zip(gradients.par_chunks(PART)).for_each(squares_of);
            } else {
                self.squares.iter_mut().zip(gradients.chunks(PART)).for_each(squares_of);
            }
            sum += self.squares.iter().sum::<f64>();
        }
        sum.sqrt() as f32
    }

    fn move_weights(
        &mut self,
        network: &mut Network,
        gradients: &[f32],
        numbers: &StepNumbers,
        threads: usize,
    ) {
        let (weights, _) = network.weights_mut();
        for moved in &self.moved {
            let part = Part {
                weights: &mut weights[moved.clone()],
                gradients: &gradients[moved.clone()],
                memories: self.memories.each_mut().map(|memory| match memory.len() {
                    0 => &mut memory[..],
                    _ => &mut memory[moved.clone()],
                }),
            };
            if threads > 1 {
                self.optimizer.update_parallel(numbers, part);
            } else {
                self.optimizer.update(numbers, part);
            }
        }
    }
}

/// Runs a loop over two equally long slices, in parts on the caller's pool where there are threads.
fn in_parts(threads: usize, to: &mut [f32], from: &[f32], run: impl Fn(&mut [f32], &[f32]) + Sync) {
    if threads > 1 {
        to.par_chunks_mut(PART).zip(from.par_chunks(PART)).for_each(|(to, from)| run(to, from));
    } else {
        run(to, from);
    }
}
