//! Mean absolute error over the outputs of a row: outliers weigh less than in the squared one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error_losses::ErrorLoss;

/// The mean of |output − target|; its derivative at 0 is 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MeanAbsoluteError {}

impl ErrorLoss for MeanAbsoluteError {
    fn name(&self) -> &'static str {
        "mae"
    }

    #[inline(always)]
    fn of(&self, error: f32) -> (f32, f32) {
        (error.abs(), if error == 0.0 { 0.0 } else { 1f32.copysign(error) })
    }
}
