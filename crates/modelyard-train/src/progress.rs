//! What training tells while it runs. The binary draws bars from it; time left follows from the counts.

use std::time::Duration;

/// Hears of a run's progress.
pub trait Progress {
    /// Training begins.
    fn started(&mut self, plan: &RunPlan);

    /// Some steps are done: told about ten times a second, and after the last step of each epoch.
    fn steps(&mut self, now: &StepRecord);

    /// An epoch is over and the validation rows are scored.
    fn epoch(&mut self, record: &EpochRecord);
}

/// Hears and says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn started(&mut self, _plan: &RunPlan) {}
    fn steps(&mut self, _now: &StepRecord) {}
    fn epoch(&mut self, _record: &EpochRecord) {}
}

/// What is going to be done.
#[derive(Clone, Debug, PartialEq)]
pub struct RunPlan {
    /// Epochs, at most.
    pub epochs: usize,
    /// Rows per epoch.
    pub rows: usize,
    /// Steps per epoch.
    pub steps: usize,
    /// Threads.
    pub threads: usize,
    /// Weights of the network.
    pub parameters: usize,
    /// The name of the metric in [`EpochRecord::metric`].
    pub metric: &'static str,
}

/// Where the run stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepRecord {
    /// The epoch, from 1.
    pub epoch: usize,
    /// Steps done in this epoch.
    pub step: usize,
    /// Rows done in this epoch.
    pub rows: usize,
    /// The mean training loss of this epoch so far.
    pub loss: f64,
    /// Training time of this epoch so far.
    pub elapsed: Duration,
}

/// How an epoch went.
#[derive(Clone, Debug, PartialEq)]
pub struct EpochRecord {
    /// The epoch, from 1.
    pub epoch: usize,
    /// The mean training loss.
    pub loss: f64,
    /// The mean loss on the validation rows; none where there are none.
    pub validation_loss: Option<f64>,
    /// The leading metric on the validation rows; none where there are none or it is undefined.
    pub metric: Option<f64>,
    /// Whether this is the best epoch so far, by what early stopping watches.
    pub best: bool,
    /// The learning rate of the last step.
    pub learning_rate: f32,
    /// Training rows a second, without the validation.
    pub rows_per_second: f64,
    /// The time of the epoch, validation included.
    pub elapsed: Duration,
}
