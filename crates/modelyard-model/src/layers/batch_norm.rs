//! Batch normalisation (Ioffe & Szegedy 2015), over the last axis as in Keras.
//!
//! The statistics are those of the whole mini-batch however it is sharded: shards meet here, add up their
//! sums in a fixed order, and go on. In inference the running statistics are used.

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::layer_norm::check_epsilon;
use super::{Layer, MaskRule, Misfit, Parameter, Role, last_axis};
use crate::cpu::{self, Arithmetic, Kernel};
use crate::export::{Export, ExportedLayer};
use crate::initializer::{Fans, Initializer};
use crate::op::{Op, Pass, Place, Purpose, Tape};

/// Brings each channel to mean 0 and deviation 1, then scales by `gamma` and shifts by `beta`, both trained.
/// Of sequences, all steps count, padding too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchNorm {
    /// Share of the running statistics that each step keeps (default 0.99).
    #[serde(default = "default_momentum")]
    pub momentum: f32,
    /// Added to the variance (default 0.001).
    #[serde(default = "default_epsilon")]
    pub epsilon: f32,
}

fn default_momentum() -> f32 {
    0.99
}

fn default_epsilon() -> f32 {
    1e-3
}

impl Default for BatchNorm {
    fn default() -> Self {
        Self { momentum: default_momentum(), epsilon: default_epsilon() }
    }
}

impl Layer for BatchNorm {
    fn kind(&self) -> &'static str {
        "batch_norm"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, Misfit> {
        if !(0.0..=1.0).contains(&self.momentum) {
            return Err(Misfit::field(
                "momentum",
                format!("must be between 0 and 1, it is {}", self.momentum),
            ));
        }
        check_epsilon(self.epsilon)?;
        Ok(input.to_vec())
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        let shape = vec![last_axis(input)];
        let make = |name, initializer, role| {
            let fans = Fans { inputs: 1, outputs: 1 };
            Parameter { role, ..Parameter::trained(name, shape.clone(), initializer, fans) }
        };
        vec![
            make("gamma", Initializer::Ones, Role::Trained),
            make("beta", Initializer::Zeros, Role::Trained),
            make("moving_mean", Initializer::Zeros, Role::State),
            make("moving_variance", Initializer::Ones, Role::State),
        ]
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Keeps
    }

    fn plan(&self, place: &Place<'_>) -> Option<Box<dyn Op>> {
        let channels = last_axis(place.input);
        // A frozen norm answers by its running statistics, as in Keras.
        let purpose = if place.trainable { place.purpose } else { Purpose::Inference };
        let weights: [Range<usize>; 4] =
            place.weights.to_vec().try_into().expect("parameters() names four arrays");
        Some(Box::new(BatchNormOp {
            config: self.clone(),
            purpose,
            positions: place.input.iter().product::<usize>() / channels,
            weights,
            sums: vec![0.0; 2 * channels],
            own_sums: vec![0.0; 2 * channels],
            mean: vec![0.0; channels],
            variance: vec![0.0; channels],
            scale: vec![0.0; channels],
            slope: vec![0.0; channels],
            shift: vec![0.0; channels],
            count: 1.0,
        }))
    }

    fn export(&self, layer: &ExportedLayer<'_>, graph: &mut Export) {
        let weights: Vec<String> = (0..4).map(|at| graph.weights(layer, at)).collect();
        let weights: Vec<&str> = weights.iter().map(String::as_str).collect();
        graph.channels_second(layer.input, |graph, _| graph.batch_normalization(&weights, self.epsilon));
    }
}

struct BatchNormOp {
    config: BatchNorm,
    purpose: Purpose,
    /// Positions of one row: height times width, or steps.
    positions: usize,
    /// gamma, beta, running mean, running variance.
    weights: [Range<usize>; 4],
    /// For each channel two sums, of this shard or (once merged) of all: forward Σx and Σx², backward Σdy
    /// and Σdy·(x − mean).
    sums: Vec<f64>,
    /// This shard's part of the backward sums: its part of the gradients.
    own_sums: Vec<f64>,
    mean: Vec<f32>,
    variance: Vec<f32>,
    scale: Vec<f32>,
    slope: Vec<f32>,
    shift: Vec<f32>,
    /// Values of each channel in the whole mini-batch.
    count: f64,
}

impl BatchNormOp {
    fn inverse_deviation(&self, channel: usize) -> f32 {
        1.0 / (self.variance[channel] + self.config.epsilon).sqrt()
    }

    /// Mean and variance from the merged sums.
    fn finish_statistics(&mut self, rows_total: usize) {
        self.count = (rows_total * self.positions) as f64;
        let (sum, squares) = self.sums.split_at(self.mean.len());
        for (channel, (sum, squares)) in sum.iter().zip(squares).enumerate() {
            let mean = sum / self.count;
            self.mean[channel] = mean as f32;
            self.variance[channel] = (squares / self.count - mean * mean).max(0.0) as f32;
        }
    }
}

impl Op for BatchNormOp {
    fn forward(&mut self, pass: &Pass<'_>, input: &[f32], output: &mut [f32]) {
        match self.purpose {
            Purpose::Training => self.finish_statistics(pass.rows_total),
            Purpose::Inference => {
                self.mean.copy_from_slice(&pass.state[self.weights[2].clone()]);
                self.variance.copy_from_slice(&pass.state[self.weights[3].clone()]);
            }
        }
        let gamma = &pass.parameters[self.weights[0].clone()];
        let beta = &pass.parameters[self.weights[1].clone()];
        for channel in 0..self.mean.len() {
            self.scale[channel] = gamma[channel] * self.inverse_deviation(channel);
            self.shift[channel] = beta[channel] - self.mean[channel] * self.scale[channel];
        }
        cpu::run(ScaleShift { input, output, scale: &self.scale, shift: &self.shift });
    }

    fn backward(&mut self, pass: &Pass<'_>, tape: Tape<'_>) {
        let channels = self.mean.len();
        let gamma = &pass.parameters[self.weights[0].clone()];
        for (channel, gamma) in gamma.iter().enumerate() {
            let inverse = self.inverse_deviation(channel);
            tape.gradients[self.weights[0].start + channel] =
                self.own_sums[channels + channel] as f32 * inverse;
            tape.gradients[self.weights[1].start + channel] = self.own_sums[channel] as f32;
            // dx = scale · (dy − Σdy / n − (x − mean) · Σdy·(x − mean) / n · inverse²)
            let scale = gamma * inverse;
            let slope = (self.sums[channels + channel] / self.count) as f32 * inverse * inverse * scale;
            self.scale[channel] = scale;
            self.slope[channel] = slope;
            self.shift[channel] =
                (self.sums[channel] / self.count) as f32 * scale - self.mean[channel] * slope;
        }
        let Some(d_input) = tape.d_input else { return };
        cpu::run(InputDelta {
            input: tape.input,
            d_output: tape.d_output,
            d_input,
            scale: &self.scale,
            slope: &self.slope,
            shift: &self.shift,
        });
    }

    fn gather(&mut self, _pass: &Pass<'_>, input: &[f32], d_output: Option<&[f32]>) {
        self.sums.fill(0.0);
        let (first, second) = self.sums.split_at_mut(self.mean.len());
        match d_output {
            None => cpu::run(Moments { input, sum: first, squares: second }),
            Some(d_output) => {
                cpu::run(DeltaSums { input, d_output, mean: &self.mean, sum: first, product: second });
                self.own_sums.copy_from_slice(&self.sums);
            }
        }
    }

    fn sums(&mut self) -> Option<&mut [f64]> {
        (self.purpose == Purpose::Training).then_some(self.sums.as_mut_slice())
    }

    fn update_state(&self, state: &mut [f32]) {
        if self.purpose == Purpose::Inference {
            return;
        }
        let keep = self.config.momentum;
        for (range, batch) in [(&self.weights[2], &self.mean), (&self.weights[3], &self.variance)] {
            for (running, &batch) in state[range.clone()].iter_mut().zip(batch) {
                *running = *running * keep + batch * (1.0 - keep);
            }
        }
    }
}

/// `output = input · scale + shift`, channel by channel.
pub(super) struct ScaleShift<'a> {
    pub(super) input: &'a [f32],
    pub(super) output: &'a mut [f32],
    pub(super) scale: &'a [f32],
    pub(super) shift: &'a [f32],
}

impl Kernel for ScaleShift<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        let channels = self.scale.len();
        for (to, from) in self.output.chunks_exact_mut(channels).zip(self.input.chunks_exact(channels)) {
            for (((to, &from), &scale), &shift) in to.iter_mut().zip(from).zip(self.scale).zip(self.shift) {
                *to = A::mul_add(from, scale, shift);
            }
        }
    }
}

/// Adds each channel's values and their squares.
pub(super) struct Moments<'a> {
    pub(super) input: &'a [f32],
    pub(super) sum: &'a mut [f64],
    pub(super) squares: &'a mut [f64],
}

impl Kernel for Moments<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        for row in self.input.chunks_exact(self.sum.len()) {
            for ((&x, sum), squares) in row.iter().zip(self.sum.iter_mut()).zip(self.squares.iter_mut()) {
                let x = f64::from(x);
                *sum += x;
                *squares += x * x;
            }
        }
    }
}

/// Adds each channel's derivatives, and these times the distance from the mean.
pub(super) struct DeltaSums<'a> {
    pub(super) input: &'a [f32],
    pub(super) d_output: &'a [f32],
    pub(super) mean: &'a [f32],
    pub(super) sum: &'a mut [f64],
    pub(super) product: &'a mut [f64],
}

impl Kernel for DeltaSums<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        let channels = self.mean.len();
        for (row, delta) in self.input.chunks_exact(channels).zip(self.d_output.chunks_exact(channels)) {
            let sums = self.sum.iter_mut().zip(self.product.iter_mut());
            for (((&x, &d), &mean), (sum, product)) in row.iter().zip(delta).zip(self.mean).zip(sums) {
                *sum += f64::from(d);
                *product += f64::from(d * (x - mean));
            }
        }
    }
}

/// `d_input = d_output · scale − input · slope − shift`.
pub(super) struct InputDelta<'a> {
    pub(super) input: &'a [f32],
    pub(super) d_output: &'a [f32],
    pub(super) d_input: &'a mut [f32],
    pub(super) scale: &'a [f32],
    pub(super) slope: &'a [f32],
    pub(super) shift: &'a [f32],
}

impl Kernel for InputDelta<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        let channels = self.scale.len();
        let rows = self.input.chunks_exact(channels).zip(self.d_output.chunks_exact(channels));
        for (to, (row, delta)) in self.d_input.chunks_exact_mut(channels).zip(rows) {
            let factors = self.scale.iter().zip(self.slope).zip(self.shift);
            for (((to, &x), &d), ((&scale, &slope), &shift)) in to.iter_mut().zip(row).zip(delta).zip(factors)
            {
                *to = d * scale - A::mul_add(x, slope, shift);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LayerSpec;
    use crate::layers::contract;

    #[test]
    fn contract() {
        contract::check(&LayerSpec::BatchNorm(BatchNorm::default()), &[4]);
        contract::check(&LayerSpec::BatchNorm(BatchNorm::default()), &[4, 5]);
        contract::check(&LayerSpec::BatchNorm(BatchNorm::default()), &[3, 2, 5]);
    }

    #[test]
    fn settings_that_cannot_work_are_said() {
        let norm = |momentum, epsilon| LayerSpec::BatchNorm(BatchNorm { momentum, epsilon });
        contract::check_error(norm(1.5, 1e-3), &[3], "momentum must be between 0 and 1", "");
        contract::check_error(norm(0.9, 0.0), &[3], "epsilon must be above 0", "");
    }
}
