//! The schedules of the learning rate: one file each, one trait, and the one list that names them.
//!
//! A schedule gives, for each step, what the optimizer's `learning_rate` is multiplied with. It is a function of
//! the step alone, but for [`Memory`]: what a schedule that watches scores remembers, which checkpoints keep.

mod constant;
mod cosine;
mod exponential;
mod one_cycle;
mod plateau;
mod step;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use constant::Constant;
pub use cosine::Cosine;
pub use exponential::Exponential;
pub use one_cycle::OneCycle;
pub use plateau::Plateau;
pub use step::StepDecay;

/// How the learning rate changes over the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ScheduleSpec {
    /// It stays as the optimizer's `learning_rate` says.
    Constant(Constant),
    /// It falls along half a cosine (Loshchilov and Hutter 2017).
    Cosine(Cosine),
    /// It is multiplied by a factor every so many epochs.
    Step(StepDecay),
    /// It is multiplied by a factor over each epoch, a little at every step.
    Exponential(Exponential),
    /// It is multiplied by a factor when the validation rows no longer get better, as Keras's
    /// `ReduceLROnPlateau`.
    Plateau(Plateau),
    /// It rises to the optimizer's `learning_rate` and falls far below where it began (Smith and Topin 2019), as
    /// PyTorch's `OneCycleLR`.
    OneCycle(OneCycle),
}

impl ScheduleSpec {
    /// The list of kinds.
    pub(crate) fn schedule(&self) -> &dyn Schedule {
        match self {
            Self::Constant(schedule) => schedule,
            Self::Cosine(schedule) => schedule,
            Self::Step(schedule) => schedule,
            Self::Exponential(schedule) => schedule,
            Self::Plateau(schedule) => schedule,
            Self::OneCycle(schedule) => schedule,
        }
    }

    /// The score on the validation rows that moves the learning rate: `loss` or a metric's name.
    pub fn watched(&self) -> Option<&str> {
        match self {
            Self::Plateau(plateau) => Some(&plateau.metric),
            _ => None,
        }
    }
}

/// What a kind of schedule must know about itself.
pub(crate) trait Schedule {
    /// What the learning rate is multiplied with in a step.
    fn factor(&self, at: Moment, memory: &Memory) -> f64;

    /// Hears the watched score after each epoch.
    fn epoch_over(&self, _memory: &mut Memory, _watched: Watched) {}
}

/// Where a run stands, counted from the end of the warm-up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Moment {
    /// Steps done.
    pub(crate) done: u64,
    /// Steps of the whole run; at least 1.
    pub(crate) all: u64,
    /// Steps of one epoch; at least 1.
    pub(crate) per_epoch: u64,
}

impl Moment {
    /// How much of the run is done, from 0 to 1.
    fn share(self) -> f64 {
        (self.done as f64 / self.all as f64).min(1.0)
    }

    /// Epochs done, with the fraction of the one that runs.
    fn epochs(self) -> f64 {
        self.done as f64 / self.per_epoch as f64
    }
}

/// What a schedule that watches scores remembers from epoch to epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Memory {
    /// The factor in force.
    factor: f64,
    /// The best score so far.
    best: Option<f64>,
    /// Epochs without a better one.
    waited: usize,
    /// Epochs to come that do not count.
    cooling: usize,
}

impl Default for Memory {
    fn default() -> Self {
        Self { factor: 1.0, best: None, waited: 0, cooling: 0 }
    }
}

/// A score on the validation rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Watched {
    pub(crate) score: f64,
    pub(crate) higher_is_better: bool,
}

impl Watched {
    /// By how much this is better than another score.
    fn gain(self, other: f64) -> f64 {
        if self.higher_is_better { self.score - other } else { other - self.score }
    }
}

/// The learning rate of every step of one run: a warm-up, then a schedule.
#[derive(Clone, Debug)]
pub(crate) struct Rates {
    pub(crate) spec: ScheduleSpec,
    /// The optimizer's own learning rate.
    pub(crate) base: f32,
    /// Steps over which the rate rises along a line.
    pub(crate) warmup: u64,
    /// Steps of the whole run, the warm-up included.
    pub(crate) all: u64,
    /// Steps of one epoch.
    pub(crate) per_epoch: u64,
}

impl Rates {
    /// The learning rate of the step after `done` steps.
    pub(crate) fn at(&self, done: u64, memory: &Memory) -> f32 {
        if done < self.warmup {
            return (f64::from(self.base) * (done + 1) as f64 / self.warmup as f64) as f32;
        }
        let all = self.all.saturating_sub(self.warmup).max(1);
        let moment = Moment { done: done - self.warmup, all, per_epoch: self.per_epoch.max(1) };
        (f64::from(self.base) * self.spec.schedule().factor(moment, memory)) as f32
    }
}

#[cfg(test)]
mod tests;
