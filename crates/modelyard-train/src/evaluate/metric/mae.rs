//! MAE: the mean absolute error.

use super::mean_error::MeanError;

/// |truth − prediction|, averaged.
pub(super) const MAE: MeanError = MeanError {
    name: "mae",
    summary: "The mean absolute error, over all outputs (`mean_absolute_error`).",
    error: |truth, predicted| Some((truth - predicted).abs()),
};
