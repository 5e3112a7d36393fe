//! Accuracy: the share of rows called what they are, with Wilson's interval.

use super::{Interval, Metric, Sample, TaskKind};
use crate::evaluate::{Confusion, interval};

/// Accuracy: the share of rows called what they are, with Wilson's interval.
pub(super) struct Accuracy;

impl Metric for Accuracy {
    fn name(&self) -> &'static str {
        "accuracy"
    }

    fn summary(&self) -> &'static str {
        "The share of rows whose likeliest class is the true one (`accuracy_score`)."
    }

    fn fits(&self, task: TaskKind) -> bool {
        task.is_of_classes()
    }

    fn score(&self, sample: &Sample) -> Option<f64> {
        let confusion = Confusion::of(sample);
        (confusion.rows() > 0).then(|| confusion.hits() as f64 / confusion.rows() as f64)
    }

    fn interval(&self, sample: &Sample, score: f64) -> Option<Interval> {
        let rows = sample.rows() as f64;
        Some(interval::wilson(score * rows, rows))
    }
}
