//! The optimizers: one file each, one trait, and the one list that names them. Each is one fused pass over
//! all weights, in parallel where there are many.
//!
//! Names, defaults and formulas are Keras 3's. `weight_decay` is decoupled from the gradient for all of
//! them (Loshchilov & Hutter 2019), and covers every trained weight.

mod adam;
mod adamw;
mod rmsprop;
mod sgd;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use adam::Adam;
pub use adamw::AdamW;
pub use rmsprop::RmsProp;
pub use sgd::Sgd;

use crate::ModelError;
use crate::cpu::{self, Arithmetic, Kernel};

/// How weights follow their gradients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum OptimizerSpec {
    /// Gradient descent, with momentum where wanted.
    Sgd(Sgd),
    /// Steps divided by the gradient's recent size.
    #[serde(rename = "rmsprop")]
    RmsProp(RmsProp),
    /// Momentum and size together.
    Adam(Adam),
    /// Adam with weight decay.
    #[serde(rename = "adamw")]
    AdamW(AdamW),
}

/// Hands the optimizer of each kind to a generic expression.
macro_rules! with_optimizer {
    ($spec:expr, $optimizer:ident => $result:expr) => {
        match $spec {
            OptimizerSpec::Sgd($optimizer) => $result,
            OptimizerSpec::RmsProp($optimizer) => $result,
            OptimizerSpec::Adam($optimizer) => $result,
            OptimizerSpec::AdamW($optimizer) => $result,
        }
    };
}

/// What a kind of optimizer must know about itself.
trait Optimizer: Sync {
    /// Its name in the project file.
    fn name(&self) -> &'static str;

    /// Its learning rate as declared.
    fn learning_rate(&self) -> f32;

    /// The settings that must lie between 0 and below 1, and those that must not be negative, by name.
    fn settings(&self) -> Settings;

    /// How many values it remembers for each weight: 0, 1 or 2.
    fn memories(&self) -> usize;

    /// Moves a part of the weights.
    fn update<A: Arithmetic>(&self, step: &StepNumbers, part: Part<'_>);
}

/// The settings of an optimizer, sorted by what they may be.
#[derive(Default)]
struct Settings {
    /// At least 0 and below 1.
    shares: Vec<(&'static str, f32)>,
    /// At least 0.
    sizes: Vec<(&'static str, f32)>,
}

/// What is the same for all weights in one step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StepNumbers {
    /// The learning rate now.
    pub(crate) learning_rate: f32,
    /// Counts from 1.
    pub(crate) step: u64,
    /// What every gradient is multiplied with: clipping by norm.
    pub(crate) gradient_scale: f32,
    /// Gradients are cut at plus and minus this; infinite for none.
    pub(crate) clip_value: f32,
}

impl StepNumbers {
    /// The gradient after clipping.
    #[inline(always)]
    fn clip(&self, gradient: f32) -> f32 {
        let scaled = gradient * self.gradient_scale;
        let scaled = if scaled > self.clip_value { self.clip_value } else { scaled };
        if scaled < -self.clip_value { -self.clip_value } else { scaled }
    }

    /// What a weight is multiplied with for decay.
    #[inline(always)]
    fn decay(&self, weight_decay: f32) -> f32 {
        1.0 - self.learning_rate * weight_decay
    }
}

/// A part of all weights with their gradients and what the optimizer remembers of them; unused memories are
/// empty.
pub(crate) struct Part<'a> {
    pub(crate) weights: &'a mut [f32],
    pub(crate) gradients: &'a [f32],
    pub(crate) memories: [&'a mut [f32]; 2],
}

impl<'a> Part<'a> {
    fn split(self, at: usize) -> (Part<'a>, Part<'a>) {
        let (weights, weights_rest) = self.weights.split_at_mut(at);
        let (gradients, gradients_rest) = self.gradients.split_at(at);
        let [first, second] = self.memories.map(|memory| memory.split_at_mut(at.min(memory.len())));
        (
            Part { weights, gradients, memories: [first.0, second.0] },
            Part { weights: weights_rest, gradients: gradients_rest, memories: [first.1, second.1] },
        )
    }
}

/// Parts smaller than this (128 KiB of weights) are not worth another thread.
const PART_MIN: usize = 32_768;

impl OptimizerSpec {
    /// The optimizer's name in the project file.
    pub fn name(&self) -> &'static str {
        with_optimizer!(self, optimizer => optimizer.name())
    }

    /// The learning rate as declared.
    pub fn learning_rate(&self) -> f32 {
        with_optimizer!(self, optimizer => optimizer.learning_rate())
    }

    /// How many values are remembered for each weight.
    pub(crate) fn memories(&self) -> usize {
        with_optimizer!(self, optimizer => optimizer.memories())
    }

    /// Checks every setting.
    pub(crate) fn check(&self) -> Result<(), ModelError> {
        let settings = with_optimizer!(self, optimizer => optimizer.settings());
        let error = |field, wanted: &str, value: f32| {
            let message = format!("must be {wanted}, it is {value}");
            Err(ModelError::Config { field, message, hint: None })
        };
        let rate = self.learning_rate();
        if !(rate > 0.0 && rate.is_finite()) {
            return error("learning_rate", "above 0", rate);
        }
        for (field, value) in settings.shares {
            if !(0.0..1.0).contains(&value) {
                return error(field, "at least 0 and below 1", value);
            }
        }
        for (field, value) in settings.sizes {
            if !(value >= 0.0 && value.is_finite()) {
                return error(field, "at least 0", value);
            }
        }
        Ok(())
    }

    /// Moves all weights, on this thread.
    pub(crate) fn update(&self, step: &StepNumbers, part: Part<'_>) {
        with_optimizer!(self, optimizer => cpu::run(Update { optimizer, step, part }));
    }

    /// Moves all weights, on all threads of the rayon pool that the caller runs in.
    pub(crate) fn update_parallel(&self, step: &StepNumbers, part: Part<'_>) {
        let len = part.weights.len();
        if len <= PART_MIN {
            return self.update(step, part);
        }
        let (left, right) = part.split(len / 2);
        rayon::join(|| self.update_parallel(step, left), || self.update_parallel(step, right));
    }
}

struct Update<'a, O> {
    optimizer: &'a O,
    step: &'a StepNumbers,
    part: Part<'a>,
}

impl<O: Optimizer> Kernel for Update<'_, O> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        self.optimizer.update::<A>(self.step, self.part);
    }
}

fn default_learning_rate() -> f32 {
    1e-3
}

fn default_epsilon() -> f32 {
    1e-7
}

#[cfg(test)]
mod tests;
