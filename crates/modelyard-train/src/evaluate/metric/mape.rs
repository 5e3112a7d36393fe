//! MAPE: the mean absolute error as a share of the true value.

use super::mean_error::MeanError;

/// |truth − prediction| / |truth|, averaged.
pub(super) const MAPE: MeanError = MeanError {
    name: "mape",
    summary: "The mean of |error| / |true value|, over the rows whose true value is not 0 (`mean_absolute_percentage_error` divides by a tiny number there). Undefined where every true value is 0.",
    error: |truth, predicted| (truth != 0.0).then(|| (truth - predicted).abs() / truth.abs()),
};
