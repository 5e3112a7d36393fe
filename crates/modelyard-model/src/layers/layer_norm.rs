//! Layer normalisation (Ba, Kiros & Hinton 2016), over the last axis as in Keras.

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Layer, MaskRule, Misfit, Parameter, last_axis};
use crate::export::{Export, ExportedLayer};
use crate::initializer::{Fans, Initializer};
use crate::kernels::layer_norm::{self as kernel, Moments, Scales};
use crate::onnx::proto::AttributeProto;
use crate::op::{Op, Pass, Place, Tape};

/// Brings the last axis of each row, step or pixel to mean 0 and deviation 1, then scales by `gamma` and shifts
/// by `beta`, both trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LayerNorm {
    /// Added to the variance (default 0.001).
    #[serde(default = "default_epsilon")]
    pub epsilon: f32,
}

fn default_epsilon() -> f32 {
    1e-3
}

impl Default for LayerNorm {
    fn default() -> Self {
        Self { epsilon: default_epsilon() }
    }
}

impl Layer for LayerNorm {
    fn kind(&self) -> &'static str {
        "layer_norm"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, Misfit> {
        check_epsilon(self.epsilon)?;
        Ok(input.to_vec())
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Keeps
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        parameters(["gamma", "beta"], last_axis(input)).into()
    }

    fn plan(&self, place: &Place<'_>) -> Option<Box<dyn Op>> {
        let positions_max = place.rows_max * place.input.iter().product::<usize>() / last_axis(place.input);
        Some(Box::new(Norm::take(&mut place.weights.iter(), self.epsilon, positions_max)))
    }

    fn export(&self, layer: &ExportedLayer<'_>, graph: &mut Export) {
        let (gamma, beta) = (graph.weights(layer, 0), graph.weights(layer, 1));
        // ONNX computes images with the channels second.
        let is_image = layer.input.len() == 3;
        if is_image {
            graph.transpose(&[0, 2, 3, 1]);
        }
        graph.layer_normalization(&gamma, &beta, self.epsilon);
        if is_image {
            graph.transpose(&[0, 3, 1, 2]);
        }
    }
}

/// Checks what is added to the variance, for every layer that normalises.
pub(crate) fn check_epsilon(epsilon: f32) -> Result<(), Misfit> {
    if epsilon > 0.0 && epsilon.is_finite() {
        return Ok(());
    }
    Err(Misfit::field("epsilon", format!("must be above 0, it is {epsilon}")))
}

/// Gamma and beta under these names.
pub(crate) fn parameters([gamma, beta]: [&'static str; 2], width: usize) -> [Parameter; 2] {
    let make = |name, initializer| {
        Parameter::trained(name, vec![width], initializer, Fans { inputs: 1, outputs: 1 })
    };
    [make(gamma, Initializer::Ones), make(beta, Initializer::Zeros)]
}

/// A layer normalisation with its buffers, alone or inside a larger operation.
pub(crate) struct Norm {
    epsilon: f32,
    gamma: Range<usize>,
    beta: Range<usize>,
    moments: Vec<Moments>,
    d_gamma: Vec<f32>,
    d_beta: Vec<f32>,
}

impl Norm {
    /// Takes the next two places: gamma's and beta's.
    pub(crate) fn take(
        places: &mut std::slice::Iter<'_, Range<usize>>,
        epsilon: f32,
        positions_max: usize,
    ) -> Self {
        let mut next = || places.next().expect("a place for each array that was declared").clone();
        let (gamma, beta) = (next(), next());
        let sums = vec![0.0; gamma.len()];
        let moments = vec![[0.0; 2]; positions_max];
        Self { epsilon, gamma, beta, moments, d_gamma: sums.clone(), d_beta: sums }
    }

    /// Normalises each position.
    pub(crate) fn run(&mut self, pass: &Pass<'_>, input: &[f32], output: &mut [f32]) {
        let [gamma, beta] = [&self.gamma, &self.beta].map(|place| &pass.parameters[place.clone()]);
        kernel::forward(Scales { gamma, beta, epsilon: self.epsilon }, input, output, &mut self.moments);
    }

    /// Turns the derivative by the output into that by the input, in place, and writes gamma's and beta's.
    pub(crate) fn back(&mut self, pass: &Pass<'_>, input: &[f32], delta: &mut [f32], gradients: &mut [f32]) {
        self.d_gamma.fill(0.0);
        self.d_beta.fill(0.0);
        let gamma = &pass.parameters[self.gamma.clone()];
        kernel::backward(gamma, (input, &self.moments), delta, &mut self.d_gamma, &mut self.d_beta);
        gradients[self.gamma.clone()].copy_from_slice(&self.d_gamma);
        gradients[self.beta.clone()].copy_from_slice(&self.d_beta);
    }
}

impl Op for Norm {
    fn forward(&mut self, pass: &Pass<'_>, input: &[f32], output: &mut [f32]) {
        self.run(pass, input, output);
    }

    fn backward(&mut self, pass: &Pass<'_>, tape: Tape<'_>) {
        self.back(pass, tape.input, tape.d_output, tape.gradients);
        if let Some(d_input) = tape.d_input {
            d_input.copy_from_slice(tape.d_output);
        }
    }
}

impl Export<'_> {
    /// Adds normalisation over the last axis.
    pub(crate) fn layer_normalization(&mut self, gamma: &str, beta: &str, epsilon: f32) {
        let attributes = vec![AttributeProto::int("axis", -1), AttributeProto::float("epsilon", epsilon)];
        self.chain("LayerNormalization", &[gamma, beta], attributes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LayerSpec;
    use crate::layers::contract;

    #[test]
    fn contract() {
        for input in [&[9][..], &[4, 37], &[3, 2, 5], &[5, 1]] {
            let layer = LayerSpec::LayerNorm(LayerNorm::default());
            contract::check(&layer, input);
            contract::check_inference(&layer, input);
        }
    }

    #[test]
    fn settings_that_cannot_work_are_said() {
        let layer = LayerSpec::LayerNorm(LayerNorm { epsilon: 0.0 });
        contract::check_error(layer, &[3], "epsilon must be above 0", "");
    }
}
