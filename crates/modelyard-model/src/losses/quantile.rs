//! Quantile (pinball) loss (Koenker & Bassett 1978): outputs that the truth stays below with given
//! probabilities.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Loss, Problem, values};
use crate::Activation;
use crate::cpu::Arithmetic;
use crate::targets::Target;

/// For each target one output for each quantile q: the mean of q · e where e = target − output is above 0,
/// (q − 1) · e elsewhere. The outputs of a target stand side by side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quantile {
    /// The quantiles, rising, each between 0 and 1 (default [0.1, 0.5, 0.9]).
    #[serde(default = "default_quantiles")]
    pub quantiles: Vec<f32>,
}

fn default_quantiles() -> Vec<f32> {
    vec![0.1, 0.5, 0.9]
}

impl Default for Quantile {
    fn default() -> Self {
        Self { quantiles: default_quantiles() }
    }
}

impl Quantile {
    /// The loss of one output and its derivative by the output.
    #[inline(always)]
    fn of(quantile: f32, error: f32) -> (f32, f32) {
        let slope = if error > 0.0 { quantile } else { quantile - 1.0 };
        (slope * error, if error == 0.0 { 0.0 } else { -slope })
    }
}

impl Loss for Quantile {
    fn name(&self) -> &'static str {
        "quantile"
    }

    fn check(&self, width: usize) -> Result<(), Problem> {
        let quantiles = &self.quantiles;
        let inside = quantiles.iter().all(|q| *q > 0.0 && *q < 1.0);
        if quantiles.is_empty() || !inside || quantiles.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err((
                format!("needs rising quantiles between 0 and 1, they are {quantiles:?}"),
                Some("quantiles = [0.1, 0.5, 0.9]".to_owned()),
            ));
        }
        if !width.is_multiple_of(quantiles.len()) {
            let count = quantiles.len();
            return Err((
                format!("needs {count} outputs for each target, the network has {width} in all"),
                Some(format!("end the network in {count} units for each number that is asked for")),
            ));
        }
        Ok(())
    }

    fn fused(&self, _width: usize) -> Option<Activation> {
        None
    }

    fn classes(&self, _width: usize) -> usize {
        0
    }

    fn targets(&self, width: usize) -> usize {
        // An empty list is refused by `check`.
        width / self.quantiles.len().max(1)
    }

    #[inline(always)]
    fn row<A: Arithmetic>(&self, output: &[f32], target: Target<'_>, slope: &mut [f32]) -> f32 {
        let count = self.quantiles.len();
        let share = 1.0 / output.len() as f32;
        let mut sum = 0.0;
        let targets =
            values(target).iter().zip(output.chunks_exact(count)).zip(slope.chunks_exact_mut(count));
        for ((&target, outputs), slopes) in targets {
            for ((&quantile, &output), slope) in self.quantiles.iter().zip(outputs).zip(slopes) {
                let (loss, derivative) = Self::of(quantile, target - output);
                sum += loss;
                *slope = share * derivative;
            }
        }
        sum * share
    }

    fn row_from_probabilities(&self, output: &[f32], target: Target<'_>) -> f32 {
        let targets = values(target).iter().zip(output.chunks_exact(self.quantiles.len()));
        let losses = targets.flat_map(|(target, outputs)| {
            let each = self.quantiles.iter().zip(outputs);
            each.map(move |(&quantile, output)| Self::of(quantile, target - output).0)
        });
        losses.sum::<f32>() / output.len() as f32
    }
}
