//! What precision, recall and F1 have in common: a score of each class, averaged over the classes.

use super::{Metric, Sample, TaskKind};
use crate::evaluate::{Average, Confusion};

/// A score of each class, averaged.
pub(super) struct PerClass {
    pub(super) name: &'static str,
    pub(super) summary: &'static str,
    /// The score of one class.
    pub(super) score: fn(&Confusion, usize) -> f64,
    pub(super) average: Average,
}

impl Metric for PerClass {
    fn name(&self) -> &'static str {
        self.name
    }

    fn summary(&self) -> &'static str {
        self.summary
    }

    fn fits(&self, task: TaskKind) -> bool {
        match self.average {
            Average::Positive => task == TaskKind::Binary,
            Average::Macro | Average::Weighted => task.is_of_classes(),
        }
    }

    fn range(&self) -> (f64, f64) {
        (0.0, 1.0)
    }

    fn score(&self, sample: &Sample) -> Option<f64> {
        self.average.over(&Confusion::of(sample), self.score)
    }
}
