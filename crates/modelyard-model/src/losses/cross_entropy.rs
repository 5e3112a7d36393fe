//! Cross entropy between the classes' probabilities and the right class, fused with softmax.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Loss, PROBABILITY_MIN, Problem, check_smoothing};
use crate::Activation;
use crate::cpu::Arithmetic;
use crate::kernels::math;
use crate::targets::Target;

/// −ln of the right class's probability; for targets that are a distribution, the mean over it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CrossEntropy {
    /// This share of the target is spread evenly over all classes (Szegedy et al. 2016; default 0).
    #[serde(default)]
    pub label_smoothing: f32,
}

impl CrossEntropy {
    /// Target probability of a class that has probability `given` before smoothing.
    #[inline(always)]
    fn smooth(&self, given: f32, even: f32) -> f32 {
        given * (1.0 - self.label_smoothing) + even
    }
}

impl Loss for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn check(&self, width: usize) -> Result<(), Problem> {
        if width < 2 {
            let hint = "use binary_cross_entropy for one yes-or-no output".to_owned();
            return Err(("needs one output for each class, the network has one".to_owned(), Some(hint)));
        }
        check_smoothing(self.label_smoothing)
    }

    fn fused(&self, _width: usize) -> Option<Activation> {
        Some(Activation::Softmax)
    }

    fn classes(&self, width: usize) -> usize {
        width
    }

    #[inline(always)]
    fn row<A: Arithmetic>(&self, output: &[f32], target: Target<'_>, slope: &mut [f32]) -> f32 {
        let even = self.label_smoothing / output.len() as f32;
        let largest = output.iter().fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a });
        for (slope, &logit) in slope.iter_mut().zip(output) {
            *slope = math::exp::<A>(logit - largest);
        }
        let sum: f32 = slope.iter().sum();
        let (share, offset) = (1.0 / sum, largest + sum.ln());
        match target {
            Target::Class(class) => {
                let class = class as usize;
                for slope in slope.iter_mut() {
                    *slope = *slope * share - even;
                }
                slope[class] -= 1.0 - self.label_smoothing;
                let mut loss = (1.0 - self.label_smoothing) * (offset - output[class]);
                if even > 0.0 {
                    loss += even * output.iter().map(|logit| offset - logit).sum::<f32>();
                }
                loss
            }
            Target::Values(values) => {
                let total: f32 = values.iter().map(|&value| self.smooth(value, even)).sum();
                let mut loss = 0.0;
                for ((slope, &logit), &value) in slope.iter_mut().zip(output).zip(values) {
                    let wanted = self.smooth(value, even);
                    loss += wanted * (offset - logit);
                    *slope = *slope * share * total - wanted;
                }
                loss
            }
        }
    }

    fn row_from_probabilities(&self, output: &[f32], target: Target<'_>) -> f32 {
        let even = self.label_smoothing / output.len() as f32;
        let loss = |given: f32, p: f32| -self.smooth(given, even) * p.clamp(PROBABILITY_MIN, 1.0).ln();
        match target {
            Target::Class(class) => {
                let given = |at: usize| if at == class as usize { 1.0 } else { 0.0 };
                output.iter().enumerate().map(|(at, &p)| loss(given(at), p)).sum()
            }
            Target::Values(values) => output.iter().zip(values).map(|(&p, &value)| loss(value, p)).sum(),
        }
    }
}
