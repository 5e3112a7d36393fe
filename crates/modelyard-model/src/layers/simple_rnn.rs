//! The plain recurrent layer (Elman 1990): the state is an activation of inputs and state before.

use pulp::Simd;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::recurrent::{
    After, Back, Before, Cell, Direction, Operator, Recurrent, RecurrentOp, Settings, StepBack,
};
use crate::initializer::Initializer;
use crate::kernels::vectors;
use crate::op::{Op, Place};

/// A sequence [steps, features] step by step: `activation(input · kernel + state · recurrent_kernel + bias)`.
/// Steps that are padding leave the state as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SimpleRnn {
    /// Number of units: outputs of each step.
    pub units: usize,
    /// `tanh` or `relu` (default tanh).
    #[serde(default)]
    pub activation: RnnActivation,
    /// Whether every step's output comes out, [steps, units], or the last one's only, [units] (default false).
    #[serde(default)]
    pub return_sequences: bool,
    /// Whether the sequence is walked from its end; all steps then come out in that order (default false).
    #[serde(default)]
    pub go_backwards: bool,
    /// Whether a bias is added (default true).
    #[serde(default = "super::default_true")]
    pub use_bias: bool,
    /// How the inputs' weights start (default glorot_uniform).
    #[serde(default)]
    pub kernel_initializer: Initializer,
    /// How the state's weights start (default orthogonal).
    #[serde(default = "super::default_orthogonal")]
    pub recurrent_initializer: Initializer,
    /// How the bias starts (default zeros).
    #[serde(default = "super::default_zeros")]
    pub bias_initializer: Initializer,
}

/// The activation of a plain recurrent layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RnnActivation {
    /// The hyperbolic tangent.
    #[default]
    Tanh,
    /// max(x, 0).
    Relu,
}

impl SimpleRnn {
    /// A plain recurrent layer with Keras's defaults, of which the last output comes out.
    pub fn new(units: usize) -> Self {
        Self {
            units,
            activation: RnnActivation::Tanh,
            return_sequences: false,
            go_backwards: false,
            use_bias: true,
            kernel_initializer: Initializer::GlorotUniform,
            recurrent_initializer: Initializer::Orthogonal,
            bias_initializer: Initializer::Zeros,
        }
    }
}

impl Recurrent for SimpleRnn {
    fn name(&self) -> &'static str {
        "simple_rnn"
    }

    fn settings(&self) -> Settings {
        Settings {
            units: self.units,
            return_sequences: self.return_sequences,
            go_backwards: self.go_backwards,
            use_bias: self.use_bias,
            kernel_initializer: self.kernel_initializer,
            recurrent_initializer: self.recurrent_initializer,
            bias_initializer: self.bias_initializer,
        }
    }

    fn operator(&self) -> Operator {
        let activation = match self.activation {
            RnnActivation::Tanh => "Tanh",
            RnnActivation::Relu => "Relu",
        };
        Operator { name: "RNN", gates: &[0], two_biases: false, activation: Some(activation) }
    }

    fn op(&self, place: &Place<'_>, direction: Direction) -> Box<dyn Op> {
        Box::new(RecurrentOp::new(SimpleCell(self.activation), &self.settings(), place, direction))
    }
}

/// One sum; kept is the state itself.
#[derive(Clone, Copy)]
struct SimpleCell(RnnActivation);

impl Cell for SimpleCell {
    const GATES: usize = 1;
    const SUMS: usize = 1;
    const CARRY: bool = false;

    #[inline(always)]
    fn forward<S: Simd>(self, simd: S, sums: [S::f32s; 4], before: Before<S::f32s>) -> After<S::f32s> {
        let zero = simd.splat_f32s(0.0);
        let state = match self.0 {
            RnnActivation::Tanh => vectors::tanh(simd, sums[0]),
            RnnActivation::Relu => simd.select_f32s(simd.less_than_f32s(sums[0], zero), zero, sums[0]),
        };
        let kept = [state, zero, zero, zero];
        After { kept, state, carry: before.carry, carry_tanh: before.carry }
    }

    #[inline(always)]
    fn backward<S: Simd>(self, simd: S, step: StepBack<S::f32s>) -> Back<S::f32s> {
        let (zero, one, state) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0), step.kept[0]);
        let slope = match self.0 {
            RnnActivation::Tanh => simd.negate_mul_add_e_f32s(state, state, one),
            RnnActivation::Relu => simd.select_f32s(simd.greater_than_f32s(state, zero), one, zero),
        };
        let d_sum = simd.mul_f32s(step.d_state, slope);
        Back { d_sums: [d_sum, zero, zero, zero], d_state: zero, d_carry: step.d_carry }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LayerSpec;
    use crate::layers::contract;

    #[test]
    fn contract() {
        let base = SimpleRnn::new(5);
        for layer in [
            base.clone(),
            SimpleRnn { activation: RnnActivation::Relu, return_sequences: true, ..base.clone() },
            SimpleRnn { go_backwards: true, return_sequences: true, use_bias: false, ..base.clone() },
            SimpleRnn { return_sequences: true, ..SimpleRnn::new(16) },
            SimpleRnn::new(35),
        ] {
            let layer = LayerSpec::SimpleRnn(layer);
            contract::check(&layer, &[6, 3]);
            contract::check_masked(&layer, &[6, 3]);
            contract::check_masked_inference(&layer, &[6, 3]);
            contract::check_inference(&layer, &[6, 3]);
        }
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let layer = LayerSpec::SimpleRnn(SimpleRnn::new(3));
        contract::check_error(layer, &[12], "takes a sequence [steps, features]", "embedding layer");
    }
}
