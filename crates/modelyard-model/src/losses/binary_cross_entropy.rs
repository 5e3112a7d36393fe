//! Binary cross entropy: each output says yes or no on its own; fused with sigmoid.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Loss, PROBABILITY_MIN, Problem, check_smoothing};
use crate::Activation;
use crate::cpu::Arithmetic;
use crate::kernels::math;
use crate::targets::Target;

/// The mean over outputs of −t ln p − (1 − t) ln(1 − p). Takes values between 0 and 1, or, with one output,
/// the classes 0 and 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BinaryCrossEntropy {
    /// Targets are moved by this share towards one half (default 0).
    #[serde(default)]
    pub label_smoothing: f32,
}

impl BinaryCrossEntropy {
    #[inline(always)]
    fn wanted(&self, target: Target<'_>, at: usize) -> f32 {
        let given = match target {
            Target::Class(class) => class as f32,
            Target::Values(values) => values[at],
        };
        given * (1.0 - self.label_smoothing) + 0.5 * self.label_smoothing
    }
}

impl Loss for BinaryCrossEntropy {
    fn name(&self) -> &'static str {
        "binary_cross_entropy"
    }

    fn check(&self, _width: usize) -> Result<(), Problem> {
        check_smoothing(self.label_smoothing)
    }

    fn fused(&self, _width: usize) -> Option<Activation> {
        Some(Activation::Sigmoid)
    }

    fn classes(&self, width: usize) -> usize {
        if width == 1 { 2 } else { 0 }
    }

    #[inline(always)]
    fn row<A: Arithmetic>(&self, output: &[f32], target: Target<'_>, slope: &mut [f32]) -> f32 {
        let share = 1.0 / output.len() as f32;
        let mut sum = 0.0;
        for (at, (slope, &logit)) in slope.iter_mut().zip(output).enumerate() {
            let wanted = self.wanted(target, at);
            // −t ln σ(z) − (1 − t) ln(1 − σ(z)) without overflow at either end.
            let positive = if logit < 0.0 { 0.0 } else { logit };
            sum += positive - logit * wanted + math::log1p_exp_neg_abs(logit);
            *slope = share * (math::sigmoid::<A>(logit) - wanted);
        }
        sum * share
    }

    fn row_from_probabilities(&self, output: &[f32], target: Target<'_>) -> f32 {
        let loss = |(at, &p): (usize, &f32)| {
            let (wanted, p) = (self.wanted(target, at), p.clamp(PROBABILITY_MIN, 1.0 - PROBABILITY_MIN));
            -wanted * p.ln() - (1.0 - wanted) * (1.0 - p).ln()
        };
        output.iter().enumerate().map(loss).sum::<f32>() / output.len() as f32
    }
}
