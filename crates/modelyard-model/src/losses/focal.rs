//! Focal loss (Lin et al. 2017, "Focal Loss for Dense Object Detection"): cross entropy in which rows that are
//! right already weigh little, for rare classes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Loss, PROBABILITY_MIN, Problem};
use crate::Activation;
use crate::cpu::Arithmetic;
use crate::kernels::math;
use crate::targets::Target;

/// −(1 − p)^gamma · ln p of the right class's probability p. Fused with softmax; with a single output, which
/// says how likely class 1 is, with sigmoid. Takes classes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Focal {
    /// How little easy rows weigh; 0 is cross entropy (default 2).
    #[serde(default = "default_gamma")]
    pub gamma: f32,
    /// Single output only: class 1 weighs this much and class 0 one minus it. When absent, both weigh 1; the
    /// paper has 0.25.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f32>,
}

fn default_gamma() -> f32 {
    2.0
}

impl Default for Focal {
    fn default() -> Self {
        Self { gamma: default_gamma(), alpha: None }
    }
}

impl Focal {
    /// The loss at probability `p`, whose logarithm is `ln_p`, and its derivative by p times p.
    #[inline(always)]
    fn of(&self, p: f32, ln_p: f32) -> (f32, f32) {
        let miss = (1.0 - p).max(PROBABILITY_MIN);
        let weight = miss.powf(self.gamma);
        (-weight * ln_p, weight * (self.gamma * p * ln_p / miss - 1.0))
    }

    /// What a row of class 1 (or, with a single output, 0) weighs.
    fn weight(&self, is_one: bool) -> f32 {
        self.alpha.map_or(1.0, |alpha| if is_one { alpha } else { 1.0 - alpha })
    }
}

/// The class that `values() == false` has made sure of.
#[inline(always)]
fn class(target: Target<'_>) -> usize {
    match target {
        Target::Class(class) => class as usize,
        Target::Values(_) => 0,
    }
}

impl Loss for Focal {
    fn name(&self) -> &'static str {
        "focal"
    }

    fn check(&self, width: usize) -> Result<(), Problem> {
        if !(self.gamma >= 0.0 && self.gamma.is_finite()) {
            return Err((format!("needs a gamma of at least 0, it is {}", self.gamma), None));
        }
        match self.alpha {
            Some(alpha) if !(alpha > 0.0 && alpha < 1.0) => {
                Err((format!("needs an alpha between 0 and 1, it is {alpha}"), None))
            }
            Some(_) if width > 1 => Err((
                "takes an alpha with a single output only".to_owned(),
                Some("weigh several classes by class_weights".to_owned()),
            )),
            _ => Ok(()),
        }
    }

    fn fused(&self, width: usize) -> Option<Activation> {
        Some(if width == 1 { Activation::Sigmoid } else { Activation::Softmax })
    }

    fn classes(&self, width: usize) -> usize {
        width.max(2)
    }

    fn takes_values(&self) -> bool {
        false
    }

    #[inline(always)]
    fn row<A: Arithmetic>(&self, output: &[f32], target: Target<'_>, slope: &mut [f32]) -> f32 {
        let class = class(target);
        if let ([logit], [slope]) = (output, &mut *slope) {
            let sign = if class == 1 { 1.0 } else { -1.0 };
            let logit = sign * logit;
            let p = math::sigmoid::<A>(logit);
            let ln_p = logit.min(0.0) - math::log1p_exp_neg_abs(logit);
            let (loss, derivative) = self.of(p, ln_p);
            let weight = self.weight(class == 1);
            *slope = weight * sign * derivative * (1.0 - p);
            return weight * loss;
        }
        let largest = output.iter().fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a });
        for (slope, &logit) in slope.iter_mut().zip(output) {
            *slope = math::exp::<A>(logit - largest);
        }
        let sum: f32 = slope.iter().sum();
        let (p, ln_p) = (slope[class] / sum, output[class] - largest - sum.ln());
        let (loss, derivative) = self.of(p, ln_p);
        for slope in slope.iter_mut() {
            *slope *= -derivative / sum;
        }
        slope[class] += derivative;
        loss
    }

    fn row_from_probabilities(&self, output: &[f32], target: Target<'_>) -> f32 {
        let class = class(target);
        let p = match (output, class) {
            ([p], 0) => 1.0 - p,
            ([p], _) => *p,
            _ => output[class],
        };
        let p = p.clamp(PROBABILITY_MIN, 1.0);
        let weight = if output.len() == 1 { self.weight(class == 1) } else { 1.0 };
        weight * self.of(p, p.ln()).0
    }
}
