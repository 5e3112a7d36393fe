//! MAPE: the mean absolute error as a share of the true value.

use super::{Interval, Metric, Sample, TaskKind};
use crate::evaluate::interval;

/// MAPE: the mean absolute error as a share of the true value.
pub(super) struct Mape;

impl Metric for Mape {
    fn name(&self) -> &'static str {
        "mape"
    }

    fn summary(&self) -> &'static str {
        "The mean of |error| / |true value|, over the rows whose true value is not 0 (`mean_absolute_percentage_error` divides by a tiny number there). Undefined where every true value is 0."
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

/// The relative error of each value whose truth is not 0.
fn errors(sample: &Sample) -> Option<Vec<f64>> {
    let Sample::Values { truth, predicted, .. } = sample else {
        return None;
    };
    let pairs = truth.iter().zip(predicted).map(|(t, p)| (f64::from(*t), f64::from(*p)));
    Some(pairs.filter(|(t, _)| *t != 0.0).map(|(t, p)| (t - p).abs() / t.abs()).collect())
}
