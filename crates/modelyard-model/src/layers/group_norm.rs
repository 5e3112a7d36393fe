//! Group normalisation (Wu & He 2018), over the last axis as in Keras: like batch normalisation, but each row
//! by itself, so that training and inference compute the same.

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::batch_norm::{DeltaSums, InputDelta, Moments, ScaleShift};
use super::layer_norm::check_epsilon;
use super::{Layer, MaskRule, Misfit, Parameter, last_axis};
use crate::cpu;
use crate::export::{Export, ExportedLayer, signed};
use crate::initializer::{Fans, Initializer};
use crate::onnx::proto::AttributeProto;
use crate::op::{Op, Pass, Place, Purpose, Tape};

/// Brings each group of neighbouring channels of each row to mean 0 and deviation 1 over all positions, then
/// scales each channel by `gamma` and shifts it by `beta`, both trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupNorm {
    /// Number of groups, which must divide the number of channels (default 32).
    #[serde(default = "default_groups")]
    pub groups: usize,
    /// Added to the variance (default 0.001).
    #[serde(default = "default_epsilon")]
    pub epsilon: f32,
}

fn default_groups() -> usize {
    32
}

fn default_epsilon() -> f32 {
    1e-3
}

impl Default for GroupNorm {
    fn default() -> Self {
        Self { groups: default_groups(), epsilon: default_epsilon() }
    }
}

impl Layer for GroupNorm {
    fn kind(&self) -> &'static str {
        "group_norm"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, Misfit> {
        let channels = last_axis(input);
        check_epsilon(self.epsilon)?;
        if self.groups == 0 || !channels.is_multiple_of(self.groups) {
            let message = format!("must divide the {channels} channels, it is {}", self.groups);
            return Err(Misfit::field("groups", message));
        }
        Ok(input.to_vec())
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Keeps
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        let shape = vec![last_axis(input)];
        let fans = Fans { inputs: 1, outputs: 1 };
        vec![
            Parameter::trained("gamma", shape.clone(), Initializer::Ones, fans),
            Parameter::trained("beta", shape, Initializer::Zeros, fans),
        ]
    }

    fn plan(&self, place: &Place<'_>) -> Option<Box<dyn Op>> {
        let channels = last_axis(place.input);
        let kept = if place.purpose == Purpose::Training { place.rows_max } else { 1 };
        Some(Box::new(GroupNormOp {
            epsilon: self.epsilon,
            row_len: place.input.iter().product(),
            in_group: channels / self.groups,
            gamma: place.weights[0].clone(),
            beta: place.weights[1].clone(),
            means: vec![0.0; kept * channels],
            inverses: vec![0.0; kept * channels],
            sums: vec![0.0; channels],
            products: vec![0.0; channels],
            scale: vec![0.0; channels],
            slope: vec![0.0; channels],
            shift: vec![0.0; channels],
        }))
    }

    /// ONNX has this operator only since opset 18; each group as one channel of an instance normalisation is
    /// the same.
    fn export(&self, layer: &ExportedLayer<'_>, graph: &mut Export) {
        graph.channels_second(layer.input, |graph, positions| {
            let channels = last_axis(layer.input);
            let ones = graph.constant_f32(&graph.name_of("ones"), &[self.groups], &vec![1.0; self.groups]);
            let zeros = graph.constant_f32(&graph.name_of("zeros"), &[self.groups], &vec![0.0; self.groups]);
            let grouped = graph.constant_i64(&graph.name_of("groups"), &[0, signed(self.groups), -1]);
            let shape: Vec<i64> =
                [0, signed(channels)].into_iter().chain(positions.iter().map(|&n| signed(n))).collect();
            let shape = graph.constant_i64(&graph.name_of("shape"), &shape);
            let per_channel: Vec<usize> =
                std::iter::once(channels).chain(positions.iter().map(|_| 1)).collect();
            let gamma = graph.turned_weights(layer, 0, &[0], &per_channel);
            let beta = graph.turned_weights(layer, 1, &[0], &per_channel);
            graph.chain("Reshape", &[&grouped], vec![]);
            let epsilon = AttributeProto::float("epsilon", self.epsilon);
            graph.chain("InstanceNormalization", &[&ones, &zeros], vec![epsilon]);
            graph.chain("Reshape", &[&shape], vec![]);
            graph.chain("Mul", &[&gamma], vec![]);
            graph.chain("Add", &[&beta], vec![]);
        });
    }
}

struct GroupNormOp {
    epsilon: f32,
    row_len: usize,
    /// Channels of one group.
    in_group: usize,
    gamma: Range<usize>,
    beta: Range<usize>,
    /// For each channel of each row its group's mean and one over its deviation; of the last row only where
    /// there is no way back.
    means: Vec<f32>,
    inverses: Vec<f32>,
    /// For each channel of one row Σx and Σx², on the way back Σdy and Σdy·(x − mean).
    sums: Vec<f64>,
    products: Vec<f64>,
    scale: Vec<f32>,
    slope: Vec<f32>,
    shift: Vec<f32>,
}

impl GroupNormOp {
    fn channels(&self) -> usize {
        self.scale.len()
    }

    /// Values of one group.
    fn count(&self) -> f64 {
        (self.row_len / self.channels() * self.in_group) as f64
    }

    /// Where a row's statistics lie.
    fn statistics(&self, row: usize) -> Range<usize> {
        let start = if self.means.len() == self.channels() { 0 } else { row * self.channels() };
        start..start + self.channels()
    }

    /// Mean and deviation of each group of one row, for each of its channels.
    fn measure(&mut self, row: usize, values: &[f32]) {
        let (place, count) = (self.statistics(row), self.count());
        self.sums.fill(0.0);
        self.products.fill(0.0);
        cpu::run(Moments { input: values, sum: &mut self.sums, squares: &mut self.products });
        let groups = self.sums.chunks_exact(self.in_group).zip(self.products.chunks_exact(self.in_group));
        let means = self.means[place.clone()].chunks_exact_mut(self.in_group);
        let inverses = self.inverses[place].chunks_exact_mut(self.in_group);
        for ((sums, squares), (means, inverses)) in groups.zip(means.zip(inverses)) {
            let mean = sums.iter().sum::<f64>() / count;
            let variance = (squares.iter().sum::<f64>() / count - mean * mean).max(0.0);
            means.fill(mean as f32);
            inverses.fill(1.0 / (variance as f32 + self.epsilon).sqrt());
        }
    }

    /// Adds one row's part of the gradients, and finds for each channel what its derivative by the input is
    /// made of: dx = γ·dy/σ − Σγ·dy/n/σ − (x − mean)·Σγ·dy·(x − mean)/n/σ³.
    fn find_slopes(&mut self, pass: &Pass<'_>, row: usize, gradients: &mut [f32]) {
        let (place, count) = (self.statistics(row), self.count());
        let (means, inverses) = (&self.means[place.clone()], &self.inverses[place]);
        let gamma = &pass.parameters[self.gamma.clone()];
        for channel in 0..gamma.len() {
            gradients[self.gamma.start + channel] += self.products[channel] as f32 * inverses[channel];
            gradients[self.beta.start + channel] += self.sums[channel] as f32;
        }
        let weighted = |sums: &[f64], gamma: &[f32]| {
            sums.iter().zip(gamma).map(|(sum, &gamma)| sum * f64::from(gamma)).sum::<f64>()
        };
        for start in (0..gamma.len()).step_by(self.in_group) {
            let group = start..start + self.in_group;
            let inverse = inverses[start];
            let mean_delta = (weighted(&self.sums[group.clone()], &gamma[group.clone()]) / count) as f32;
            let product = (weighted(&self.products[group.clone()], &gamma[group.clone()]) / count) as f32;
            let slope = product * inverse * inverse * inverse;
            self.slope[group.clone()].fill(slope);
            self.shift[group.clone()].fill(mean_delta * inverse - means[start] * slope);
            for channel in group {
                self.scale[channel] = gamma[channel] * inverse;
            }
        }
    }
}

impl Op for GroupNormOp {
    fn forward(&mut self, pass: &Pass<'_>, input: &[f32], output: &mut [f32]) {
        let gamma = &pass.parameters[self.gamma.clone()];
        let beta = &pass.parameters[self.beta.clone()];
        let rows = input.chunks_exact(self.row_len).zip(output.chunks_exact_mut(self.row_len));
        for (row, (input, output)) in rows.enumerate() {
            self.measure(row, input);
            let place = self.statistics(row);
            let (means, inverses) = (&self.means[place.clone()], &self.inverses[place]);
            for channel in 0..gamma.len() {
                self.scale[channel] = gamma[channel] * inverses[channel];
                self.shift[channel] = beta[channel] - means[channel] * self.scale[channel];
            }
            cpu::run(ScaleShift { input, output, scale: &self.scale, shift: &self.shift });
        }
    }

    fn backward(&mut self, pass: &Pass<'_>, tape: Tape<'_>) {
        let Tape { input, d_output, mut d_input, gradients, .. } = tape;
        gradients[self.gamma.clone()].fill(0.0);
        gradients[self.beta.clone()].fill(0.0);
        let rows = input.chunks_exact(self.row_len).zip(d_output.chunks_exact(self.row_len));
        for (row, (input, d_output)) in rows.enumerate() {
            self.sums.fill(0.0);
            self.products.fill(0.0);
            let mean = &self.means[self.statistics(row)];
            cpu::run(DeltaSums { input, d_output, mean, sum: &mut self.sums, product: &mut self.products });
            self.find_slopes(pass, row, gradients);
            let Some(d_input) = d_input.as_deref_mut() else { continue };
            let d_input = &mut d_input[row * self.row_len..(row + 1) * self.row_len];
            let (scale, slope, shift) = (&self.scale, &self.slope, &self.shift);
            cpu::run(InputDelta { input, d_output, d_input, scale, slope, shift });
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
        for groups in [1, 2, 6] {
            let layer = LayerSpec::GroupNorm(GroupNorm { groups, ..GroupNorm::default() });
            for input in [vec![3, 4, 6], vec![5, 6], vec![12]] {
                contract::check(&layer, &input);
                contract::check_inference(&layer, &input);
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let norm = |groups, epsilon| LayerSpec::GroupNorm(GroupNorm { groups, epsilon });
        contract::check_error(norm(4, 1e-3), &[5, 6], "groups must divide the 6 channels, it is 4", "");
        contract::check_error(norm(0, 1e-3), &[5, 6], "groups must divide the 6 channels, it is 0", "");
        contract::check_error(norm(2, f32::NAN), &[5, 6], "epsilon must be above 0", "");
    }
}
