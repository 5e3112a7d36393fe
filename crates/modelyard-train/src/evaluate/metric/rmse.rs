//! RMSE: the root of the mean squared error.

use super::{Metric, Sample, TaskKind};

/// RMSE: the root of the mean squared error.
pub(super) struct Rmse;

impl Metric for Rmse {
    fn name(&self) -> &'static str {
        "rmse"
    }

    fn summary(&self) -> &'static str {
        "The root of the mean squared error; the mean over several outputs (`root_mean_squared_error`)."
    }

    fn fits(&self, task: TaskKind) -> bool {
        task == TaskKind::Regression
    }

    fn higher_is_better(&self) -> bool {
        false
    }

    fn score(&self, sample: &Sample) -> Option<f64> {
        let Sample::Values { truth, predicted, outputs } = sample else {
            return None;
        };
        let rows = sample.rows();
        let mut squares = vec![0.0; *outputs];
        for (i, (truth, predicted)) in truth.iter().zip(predicted).enumerate() {
            squares[i % outputs] += (f64::from(*truth) - f64::from(*predicted)).powi(2);
        }
        let roots = squares.iter().map(|sum| (sum / rows as f64).sqrt());
        (rows > 0).then(|| roots.sum::<f64>() / *outputs as f64)
    }

    fn range(&self) -> (f64, f64) {
        (0.0, f64::INFINITY)
    }
}
