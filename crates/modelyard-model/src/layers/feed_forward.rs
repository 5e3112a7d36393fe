//! The part of a Transformer's block that treats every step alone: two dense layers.

use std::ops::Range;

use super::Parameter;
use super::linear::{Linear, Then};
use crate::Activation;
use crate::activation::{self, Saved};
use crate::initializer::{Fans, Initializer};
use crate::kernels::product::Write;
use crate::memory::Hidden;
use crate::op::{Pass, Place, Purpose};

/// `activation(input · hidden + bias) · output + bias`, with the hidden values of all rows.
pub(crate) struct FeedForward {
    hidden: Linear,
    output: Linear,
    activation: Activation,
    before: Saved,
    values: Vec<f32>,
    delta: Vec<f32>,
}

/// The arrays of weights, in the order in which [`FeedForward::take`] takes their places.
pub(crate) fn parameters([features, units]: [usize; 2]) -> Vec<Parameter> {
    let kernel = |name, inputs, outputs| {
        let fans = Fans { inputs, outputs };
        Parameter::trained(name, vec![inputs, outputs], Initializer::GlorotUniform, fans)
    };
    let bias = |name, outputs| {
        Parameter::trained(name, vec![outputs], Initializer::Zeros, Fans { inputs: 1, outputs })
    };
    vec![
        kernel("hidden_kernel", features, units),
        bias("hidden_bias", units),
        kernel("feed_forward_kernel", units, features),
        bias("feed_forward_bias", features),
    ]
}

/// What [`FeedForward`] keeps: the hidden values, on the way back also those before the activation and the derivatives.
pub(crate) fn hidden([steps, units]: [usize; 2], purpose: Purpose) -> Hidden {
    Hidden::per_row(&[if purpose == Purpose::Training { 3 } else { 1 }, steps, units])
}

impl FeedForward {
    /// Takes the places of its weights and lays out its buffers.
    pub(crate) fn take(
        places: &mut std::slice::Iter<'_, Range<usize>>,
        [steps, features, units]: [usize; 3],
        activation: Activation,
        place: &Place<'_>,
    ) -> Self {
        let len = place.rows_max * steps * units;
        Self {
            hidden: Linear::take(places, [features, units], true),
            output: Linear::take(places, [units, features], true),
            activation,
            before: Saved::new(Some(activation), place, steps * units),
            values: vec![0.0; len],
            delta: vec![0.0; if place.purpose == Purpose::Training { len } else { 0 }],
        }
    }

    pub(crate) fn forward(&mut self, pass: &Pass<'_>, input: &[f32], output: &mut [f32]) {
        let len = input.len() / self.hidden.inputs * self.hidden.units;
        let before = self.before.part_mut(0..len);
        let then = Then { activation: Some(self.activation), before };
        self.hidden.forward(pass, input, &mut self.values[..len], then);
        self.output.forward(pass, &self.values[..len], output, Then::default());
    }

    /// Computes all derivatives; `d_input` is overwritten.
    pub(crate) fn backward(
        &mut self,
        pass: &Pass<'_>,
        input: &[f32],
        (d_output, d_input): (&[f32], &mut [f32]),
        gradients: &mut [f32],
    ) {
        let len = input.len() / self.hidden.inputs * self.hidden.units;
        let (values, delta) = (&self.values[..len], &mut self.delta[..len]);
        self.output.gradients(pass, values, d_output, gradients);
        self.output.back(pass, d_output, delta, Write::Replace);
        activation::back(self.activation, values, self.before.part(0..len), delta, self.hidden.units);
        self.hidden.gradients(pass, input, delta, gradients);
        self.hidden.back(pass, delta, d_input, Write::Replace);
    }
}
