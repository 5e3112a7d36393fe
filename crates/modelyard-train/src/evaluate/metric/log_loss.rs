//! Log loss: minus the logarithm of the probability given to the true class, on average.

use super::{Interval, Metric, Sample, TaskKind};
use crate::evaluate::interval;

/// Log loss: minus the logarithm of the probability given to the true class, on average.
pub(super) struct LogLoss;

impl Metric for LogLoss {
    fn name(&self) -> &'static str {
        "log_loss"
    }

    fn summary(&self) -> &'static str {
        "The mean of −ln p(true class), p kept at least 1.2e-7 away from 0 and 1 (`log_loss`)."
    }

    fn fits(&self, task: TaskKind) -> bool {
        task.is_of_classes()
    }

    fn higher_is_better(&self) -> bool {
        false
    }

    fn range(&self) -> (f64, f64) {
        (0.0, f64::INFINITY)
    }

    fn score(&self, sample: &Sample) -> Option<f64> {
        let losses = losses(sample)?;
        let mean = losses.iter().sum::<f64>() / losses.len() as f64;
        mean.is_finite().then_some(mean)
    }

    fn interval(&self, sample: &Sample, _score: f64) -> Option<Interval> {
        let interval = interval::of_mean(losses(sample)?.into_iter())?;
        Some(interval::clamp(interval, 0.0, f64::INFINITY))
    }
}

/// The loss of each row.
fn losses(sample: &Sample) -> Option<Vec<f64>> {
    let Sample::Classes { truth, probabilities, classes } = sample else {
        return None;
    };
    let least = f64::from(f32::EPSILON);
    let rows = truth.iter().zip(probabilities.chunks_exact(*classes));
    Some(rows.map(|(class, p)| -f64::from(p[*class as usize]).clamp(least, 1.0 - least).ln()).collect())
}
