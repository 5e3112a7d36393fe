//! What training tells while it runs. The binary draws bars from it; time left follows from the counts.

use std::time::Duration;

pub use modelyard_registry::document::EpochRecord;

/// Hears of a run's progress.
pub trait Progress {
    /// Training begins.
    fn started(&mut self, plan: &RunPlan);

    /// Some steps are done: told about ten times a second, and after the last step of each epoch.
    fn steps(&mut self, now: &StepRecord);

    /// An epoch is over and the validation rows are scored.
    fn epoch(&mut self, record: &EpochRecord);

    /// Something went wrong that does not end training.
    fn warning(&mut self, text: &str);
}

/// Hears and says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn started(&mut self, _plan: &RunPlan) {}
    fn steps(&mut self, _now: &StepRecord) {}
    fn epoch(&mut self, _record: &EpochRecord) {}
    fn warning(&mut self, _text: &str) {}
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
