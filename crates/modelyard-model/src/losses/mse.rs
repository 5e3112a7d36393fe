//! Mean squared error over the outputs of a row.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error_losses::ErrorLoss;

/// The mean of (output − target)².
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MeanSquaredError {}

impl ErrorLoss for MeanSquaredError {
    fn name(&self) -> &'static str {
        "mse"
    }

    #[inline(always)]
    fn of(&self, error: f32) -> (f32, f32) {
        (error * error, 2.0 * error)
    }
}
