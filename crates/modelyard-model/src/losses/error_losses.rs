//! What losses over single errors have in common: the mean over a row's outputs of a function of
//! output − target.

use super::{Loss, Problem, values};
use crate::Activation;
use crate::cpu::Arithmetic;
use crate::targets::Target;

/// A loss that is a function of each output's error.
pub(super) trait ErrorLoss {
    /// The loss's name in the project file.
    fn name(&self) -> &'static str;

    /// Checks its own settings.
    fn check(&self) -> Result<(), Problem> {
        Ok(())
    }

    /// The loss of one error, and its derivative.
    fn of(&self, error: f32) -> (f32, f32);
}

impl<E: ErrorLoss> Loss for E {
    fn name(&self) -> &'static str {
        ErrorLoss::name(self)
    }

    fn check(&self, _width: usize) -> Result<(), Problem> {
        ErrorLoss::check(self)
    }

    fn fused(&self, _width: usize) -> Option<Activation> {
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
            let (loss, derivative) = self.of(output - target);
            sum += loss;
            *slope = share * derivative;
        }
        sum * share
    }

    fn row_from_probabilities(&self, output: &[f32], target: Target<'_>) -> f32 {
        let losses = output.iter().zip(values(target)).map(|(output, target)| self.of(output - target).0);
        losses.sum::<f32>() / output.len() as f32
    }
}
