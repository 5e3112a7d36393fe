//! What is learned from validation rows once the network is trained: how wide a forecast's intervals must be to
//! hold their share of true values, and from which score on a row is anomalous.

use serde::{Deserialize, Serialize};

use super::{FittedOutput, Pipeline, TargetValues, Task};
use crate::dataset::{ColumnData, Dataset};
use crate::error::{DataError, Problem};
use crate::transform::quantile;

/// The share of true values in a forecast's intervals where nothing says otherwise.
const COVERAGE_USUAL: f64 = 0.9;
/// The share of healthy rows below the threshold where nothing says otherwise.
const HEALTHY_USUAL: f64 = 0.995;

/// What validation rows told about a trained network's answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Calibration {
    /// Of forecasts.
    Intervals {
        /// The share of true values that the intervals hold.
        coverage: f64,
        /// By how much to widen (or, below 0, narrow) each step's interval on both sides, in the data's own unit:
        /// split conformal prediction, and conformalized quantile regression where the network gives quantiles
        /// (Romano, Patterson and Candès 2019, equations 6 to 8).
        margins: Vec<f64>,
        /// The mean absolute error of the seasonal naive forecast one season ahead on the training rows, which
        /// MASE divides by (Hyndman and Koehler 2006).
        naive_error: f64,
    },
    /// Of anomaly scores.
    Threshold {
        /// The share of healthy rows that stay at or below it.
        quantile: f64,
        /// The score.
        score: f64,
    },
}

impl Pipeline {
    /// Learns from the network's outputs for the validation rows `rows` what only they can tell. Tasks other than
    /// forecasts and anomalies need nothing.
    ///
    /// # Errors
    /// [`DataError::Fit`] where there are no rows, or the network gives no numbers.
    ///
    /// # Panics
    /// Where there are not [`Pipeline::output_width`] outputs a row.
    pub fn calibrate(
        &mut self,
        data: &Dataset,
        training_rows: &[usize],
        rows: &[usize],
        outputs: &[f32],
    ) -> Result<(), DataError> {
        assert_eq!(outputs.len(), rows.len() * self.output_width(), "one output for each row");
        let name = match &self.task {
            Task::Forecast { output, .. } | Task::Anomaly { output, .. } => output.clone(),
            _ => return Ok(()),
        };
        let wrong = |problem: &str| Err(Problem::new(problem).in_fit(&name));
        if rows.is_empty() {
            return wrong(
                "without validation rows there is nothing to set the threshold or the intervals by",
            );
        }
        if outputs.iter().any(|value| !value.is_finite()) {
            return wrong("the network's answers on the validation rows are no numbers");
        }
        let declared = &self.spec.outputs[0];
        self.calibration = Some(match &self.task {
            Task::Forecast { quantiles, .. } => {
                let between = match quantiles.as_slice() {
                    [first, .., last] => last - first,
                    _ => COVERAGE_USUAL,
                };
                let coverage = declared.coverage.unwrap_or(between);
                Calibration::Intervals {
                    coverage,
                    margins: self.margins(data, rows, outputs, coverage)?,
                    naive_error: self.naive_error(data, training_rows),
                }
            }
            _ => {
                let share = declared.quantile.unwrap_or(HEALTHY_USUAL);
                let mut scores: Vec<f64> =
                    self.decode_values(outputs).iter().map(|v| f64::from(*v)).collect();
                scores.sort_unstable_by(f64::total_cmp);
                Calibration::Threshold { quantile: share, score: quantile(&scores, share) }
            }
        });
        Ok(())
    }

    /// The mean absolute difference of the training rows from those one season before; 0 where there are none.
    fn naive_error(&self, data: &Dataset, rows: &[usize]) -> f64 {
        let season = self.spec.windows.as_ref().and_then(|windows| windows.season).unwrap_or(1);
        let (Some(windows), Some(ColumnData::Numbers(column))) =
            (data.windows(), data.column(self.outputs[0].name()))
        else {
            return 0.0;
        };
        let seen = windows.rows_seen(rows).into_iter();
        let has_before = |row: &usize| *row >= windows.stretch(*row).start + season;
        let errors = seen.filter(has_before).map(|row| (column.get(row) - column.get(row - season)).abs());
        let (sum, count) =
            errors.filter(|error| error.is_finite()).fold((0.0, 0u64), |(s, c), e| (s + e, c + 1));
        if count == 0 { 0.0 } else { sum / count as f64 }
    }

    /// What was learned from the validation rows.
    pub fn calibration(&self) -> Option<&Calibration> {
        self.calibration.as_ref()
    }

    /// For each step, the score that the share `coverage` of rows keeps, with the correction for their number.
    fn margins(
        &self,
        data: &Dataset,
        rows: &[usize],
        outputs: &[f32],
        coverage: f64,
    ) -> Result<Vec<f64>, DataError> {
        let TargetValues::Values(truth) = self.targets(data, rows)? else {
            unreachable!("a forecast's targets are numbers")
        };
        let horizon = self.task.answer_width();
        let truth = self.decode_targets(&truth);
        let rank = ((rows.len() + 1) as f64 * coverage).ceil().min(rows.len() as f64).max(1.0) as usize;
        let mut misses = vec![Vec::with_capacity(rows.len()); horizon];
        for (row, truth) in outputs.chunks_exact(self.output_width()).zip(truth.chunks_exact(horizon)) {
            for (step, misses) in misses.iter_mut().enumerate() {
                let quantiles = self.quantiles_at(row, step);
                let truth = f64::from(truth[step]);
                let (low, high) = (quantiles[0], quantiles[quantiles.len() - 1]);
                misses.push((low - truth).max(truth - high));
            }
        }
        for misses in &mut misses {
            misses.sort_unstable_by(f64::total_cmp);
        }
        Ok(misses.iter().map(|misses| misses[rank - 1]).collect())
    }

    /// What the network says of one step in the data's own unit: its quantiles, ascending, or its one number.
    ///
    /// # Panics
    /// Where the task is no forecast, or the step is beyond its horizon.
    pub fn quantiles_at(&self, row: &[f32], step: usize) -> Vec<f64> {
        let count = row.len() / self.task.answer_width();
        let values = &row[step * count..(step + 1) * count];
        let mut quantiles: Vec<f64> =
            values.iter().map(|value| self.outputs[0].invert(f64::from(*value))).collect();
        // Quantiles learned one by one may cross; sorted they are no worse (Chernozhukov et al. 2010).
        quantiles.sort_unstable_by(f64::total_cmp);
        quantiles
    }

    /// Checks what a stored document says.
    pub(super) fn set_calibration(&mut self, calibration: Option<Calibration>) -> Result<(), Problem> {
        let sound = match (&calibration, &self.task) {
            (None, _) => true,
            (Some(Calibration::Intervals { margins, naive_error, .. }), Task::Forecast { horizon, .. }) => {
                margins.len() == *horizon
                    && margins.iter().chain([naive_error]).all(|value| value.is_finite())
            }
            (Some(Calibration::Threshold { score, .. }), Task::Anomaly { .. }) => score.is_finite(),
            _ => false,
        };
        if !sound {
            return Err(Problem::new("its calibration is of another kind of output"));
        }
        self.calibration = calibration;
        Ok(())
    }
}

impl Pipeline {
    /// Of rows with known labels, whether each is anomalous; none where nothing is known.
    ///
    /// # Errors
    /// [`DataError::Spec`] where the data set holds something else under the output's name.
    pub fn known_anomalies(&self, data: &Dataset, rows: &[usize]) -> Result<Option<Vec<bool>>, DataError> {
        let [FittedOutput::Anomaly { name }] = self.outputs.as_slice() else { return Ok(None) };
        match data.column(name) {
            None => Ok(None),
            Some(ColumnData::Numbers(known)) => {
                Ok(Some(rows.iter().map(|&row| known.get(row) == 1.0).collect()))
            }
            Some(_) => Err(super::output::wrong_column(name)),
        }
    }
}
