//! Huber's loss (1964): squared near zero, absolute further out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Problem;
use super::error_losses::ErrorLoss;

/// The mean of e²/2 where |e| ≤ delta, delta · (|e| − delta/2) elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Huber {
    /// Where the loss turns from squared to absolute (default 1).
    #[serde(default = "default_delta")]
    pub delta: f32,
}

fn default_delta() -> f32 {
    1.0
}

impl Default for Huber {
    fn default() -> Self {
        Self { delta: default_delta() }
    }
}

impl ErrorLoss for Huber {
    fn name(&self) -> &'static str {
        "huber"
    }

    fn check(&self) -> Result<(), Problem> {
        if self.delta > 0.0 && self.delta.is_finite() {
            return Ok(());
        }
        Err((format!("needs a delta above 0, it is {}", self.delta), None))
    }

    #[inline(always)]
    fn of(&self, error: f32) -> (f32, f32) {
        let near = error.abs().min(self.delta);
        (near * (error.abs() - 0.5 * near), error.clamp(-self.delta, self.delta))
    }
}
