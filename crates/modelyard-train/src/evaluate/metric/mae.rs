//! MAE: the mean absolute error.

use super::{Interval, Metric, Sample, TaskKind};
use crate::evaluate::interval;

/// MAE: the mean absolute error.
pub(super) struct Mae;

impl Metric for Mae {
    fn name(&self) -> &'static str {
        "mae"
    }

    fn summary(&self) -> &'static str {
        "The mean absolute error, over all outputs (`mean_absolute_error`)."
    }

    fn fits(&self, task: TaskKind) -> bool {
        task == TaskKind::Regression
    }

    fn higher_is_better(&self) -> bool {
        false
    }

    fn score(&self, sample: &Sample) -> Option<f64> {
        let errors = errors(sample)?;
        (!errors.is_empty()).then(|| errors.iter().sum::<f64>() / errors.len() as f64)
    }

    fn interval(&self, sample: &Sample, _score: f64) -> Option<Interval> {
        let interval = interval::of_mean(errors(sample)?.into_iter())?;
        Some(interval::clamp(interval, 0.0, f64::INFINITY))
    }
}

/// The absolute error of each value.
fn errors(sample: &Sample) -> Option<Vec<f64>> {
    let Sample::Values { truth, predicted, .. } = sample else {
        return None;
    };
    Some(truth.iter().zip(predicted).map(|(t, p)| (f64::from(*t) - f64::from(*p)).abs()).collect())
}
