//! R²: the share of the variance that the predictions explain.

use super::{Metric, Sample, TaskKind};

/// R²: the share of the variance that the predictions explain.
pub(super) struct R2;

impl Metric for R2 {
    fn name(&self) -> &'static str {
        "r2"
    }

    fn summary(&self) -> &'static str {
        "The coefficient of determination; the mean over several outputs (`r2_score`). A constant truth scores 1 if met exactly, else 0; fewer than two rows are undefined."
    }

    fn fits(&self, task: TaskKind) -> bool {
        task == TaskKind::Regression
    }

    fn score(&self, sample: &Sample) -> Option<f64> {
        let Sample::Values { truth, predicted, outputs } = sample else {
            return None;
        };
        if sample.rows() < 2 {
            return None;
        }
        let of = |output| {
            let column = |values: &[f32]| -> Vec<f64> {
                values.iter().skip(output).step_by(*outputs).map(|value| f64::from(*value)).collect()
            };
            determination(&column(truth), &column(predicted))
        };
        Some((0..*outputs).map(of).sum::<f64>() / *outputs as f64)
    }
}

/// R² of one output.
fn determination(truth: &[f64], predicted: &[f64]) -> f64 {
    let mean = truth.iter().sum::<f64>() / truth.len() as f64;
    let total: f64 = truth.iter().map(|t| (t - mean).powi(2)).sum();
    let left: f64 = truth.iter().zip(predicted).map(|(t, p)| (t - p).powi(2)).sum();
    match (total > 0.0, left > 0.0) {
        (true, _) => 1.0 - left / total,
        (false, false) => 1.0,
        (false, true) => 0.0,
    }
}
