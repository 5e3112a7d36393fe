//! What MAE and MAPE have in common: the mean of an error of each value, and its normal interval.

use super::{Interval, Metric, Sample, TaskKind};
use crate::evaluate::interval;

/// The mean of an error that each value has.
pub(super) struct MeanError {
    pub(super) name: &'static str,
    pub(super) summary: &'static str,
    /// The error of a true and a predicted value; none where it is undefined.
    pub(super) error: fn(f64, f64) -> Option<f64>,
}

impl MeanError {
    fn errors(&self, sample: &Sample) -> Option<Vec<f64>> {
        let Sample::Values { truth, predicted, .. } = sample else {
            return None;
        };
        let pairs = truth.iter().zip(predicted).map(|(t, p)| (f64::from(*t), f64::from(*p)));
        Some(pairs.filter_map(|(truth, predicted)| (self.error)(truth, predicted)).collect())
    }
}

impl Metric for MeanError {
    fn name(&self) -> &'static str {
        self.name
    }

    fn summary(&self) -> &'static str {
        self.summary
    }

    fn fits(&self, task: TaskKind) -> bool {
        task == TaskKind::Regression
    }

    fn higher_is_better(&self) -> bool {
        false
    }

    fn range(&self) -> (f64, f64) {
        (0.0, f64::INFINITY)
    }

    fn score(&self, sample: &Sample) -> Option<f64> {
        let errors = self.errors(sample)?;
        (!errors.is_empty()).then(|| errors.iter().sum::<f64>() / errors.len() as f64)
    }

    /// By the mean errors of the rows: those of one row's outputs are not independent.
    fn interval(&self, sample: &Sample, score: f64) -> Option<Interval> {
        let rows: Vec<usize> = (0..sample.rows()).collect();
        let of_rows: Vec<f64> = rows.chunks(1).filter_map(|row| self.score(&sample.pick(row))).collect();
        let (low, high) = interval::of_mean(of_rows.into_iter())?;
        let half = (high - low) / 2.0;
        Some(interval::clamp((score - half, score + half), 0.0, f64::INFINITY))
    }
}
