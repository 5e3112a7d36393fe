//! The pinball loss: its minimum is at a quantile of what may come, so that a network can say how sure it is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Loss, values};
use crate::Activation;
use crate::cpu::Arithmetic;
use crate::targets::Target;

/// The mean of q · e where the target is e above the output, (1 − q) · e where it is e below (Koenker and Bassett
/// 1978). Outputs stand as steps × quantiles, and the targets hold each step's value once for each quantile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Quantile {
    /// The quantiles of each step, between 0 and 1. Where the output declares its `quantiles`, those are taken.
    pub quantiles: Vec<f32>,
}

impl Default for Quantile {
    fn default() -> Self {
        Self { quantiles: vec![0.5] }
    }
}

impl Quantile {
    /// The losses of each output and their derivatives by it, both without the share of one output.
    fn losses(&self, output: &[f32], target: Target<'_>) -> impl Iterator<Item = (f32, f32)> {
        let quantiles = self.quantiles.iter().cycle();
        output.iter().zip(values(target)).zip(quantiles).map(|((&output, &target), &quantile)| {
            let above = target - output;
            match above {
                0.0 => (0.0, 0.0),
                above if above > 0.0 => (quantile * above, -quantile),
                above => ((quantile - 1.0) * above, 1.0 - quantile),
            }
        })
    }
}

impl Loss for Quantile {
    fn name(&self) -> &'static str {
        "quantile"
    }

    fn check(&self, width: usize) -> Result<(), (String, Option<String>)> {
        if self.quantiles.is_empty() || !self.quantiles.iter().all(|q| *q > 0.0 && *q < 1.0) {
            let message = format!("needs quantiles between 0 and 1, it has {:?}", self.quantiles);
            return Err((message, Some("as in quantiles = [0.1, 0.5, 0.9]".to_owned())));
        }
        let count = self.quantiles.len();
        if width.is_multiple_of(count) {
            return Ok(());
        }
        Err((format!("has {count} quantiles, and {width} outputs are no multiple of that"), None))
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
        for (slope, (loss, derivative)) in slope.iter_mut().zip(self.losses(output, target)) {
            sum += loss;
            *slope = derivative * share;
        }
        sum * share
    }

    fn row_from_probabilities(&self, output: &[f32], target: Target<'_>) -> f32 {
        self.losses(output, target).map(|(loss, _)| loss).sum::<f32>() / output.len() as f32
    }
}
