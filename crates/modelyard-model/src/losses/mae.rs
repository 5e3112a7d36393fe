//! Mean absolute error over the outputs of a row: outliers weigh less than in the squared one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Loss, values};
use crate::Activation;
use crate::cpu::Arithmetic;
use crate::targets::Target;

/// The mean of |output − target|; its derivative at 0 is 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MeanAbsoluteError {}

impl Loss for MeanAbsoluteError {
    fn name(&self) -> &'static str {
        "mae"
    }

    fn check(&self, _width: usize) -> Result<(), (String, Option<String>)> {
        Ok(())
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
            sum += error.abs();
            *slope = if error == 0.0 { 0.0 } else { share.copysign(error) };
        }
        sum * share
    }

    fn row_from_probabilities(&self, output: &[f32], target: Target<'_>) -> f32 {
        let sum: f32 =
            output.iter().zip(values(target)).map(|(output, target)| (output - target).abs()).sum();
        sum / output.len() as f32
    }
}
