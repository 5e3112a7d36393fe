//! Huber's loss (1964): squared near zero, absolute further out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Loss, values};
use crate::Activation;
use crate::cpu::Arithmetic;
use crate::targets::Target;

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

impl Huber {
    #[inline(always)]
    fn value(&self, error: f32) -> f32 {
        let near = error.abs().min(self.delta);
        near * (error.abs() - 0.5 * near)
    }
}

impl Loss for Huber {
    fn name(&self) -> &'static str {
        "huber"
    }

    fn check(&self, _width: usize) -> Result<(), (String, Option<String>)> {
        if self.delta > 0.0 && self.delta.is_finite() {
            return Ok(());
        }
        Err((format!("needs a delta above 0, it is {}", self.delta), None))
    }

    fn fused(&self) -> Option<Activation> {
        None
    }

    fn classes(&self, _width: usize) -> usize {
        0
    }

    #[inline(always)]
    fn row<A: Arithmetic>(&self, output: &[f32], target: Target<'_>, slope: &mut [f32]) -> f32 {
        let share = 1.0 / output.len() as f32;
        let mut sum = 0.0;
        for ((slope, &output), &target) in slope.iter_mut().zip(output).zip(values(target)) {
            let error = output - target;
            sum += self.value(error);
            *slope = share * error.clamp(-self.delta, self.delta);
        }
        sum * share
    }

    fn row_from_probabilities(&self, output: &[f32], target: Target<'_>) -> f32 {
        let sum: f32 =
            output.iter().zip(values(target)).map(|(output, target)| self.value(output - target)).sum();
        sum / output.len() as f32
    }
}
