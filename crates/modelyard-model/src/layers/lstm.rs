//! Long short-term memory (Hochreiter & Schmidhuber 1997; with forget gates, Gers et al. 2000), as in Keras.

use std::ops::Range;

use pulp::Simd;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::recurrent::{
    After, Back, Before, Cell, Direction, Operator, Recurrent, RecurrentOp, Settings, StepBack,
};
use crate::initializer::Initializer;
use crate::kernels::vectors;
use crate::op::{Op, Place};

/// A sequence [steps, features] step by step through gates that keep, forget and give: sigmoid gates, tanh for
/// candidate and output. Steps that are padding leave the state as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lstm {
    /// Number of units: outputs of each step.
    pub units: usize,
    /// Whether every step's output comes out, [steps, units], or the last one's only, [units] (default false).
    #[serde(default)]
    pub return_sequences: bool,
    /// Whether the sequence is walked from its end; all steps then come out in that order (default false).
    #[serde(default)]
    pub go_backwards: bool,
    /// Whether biases are added (default true).
    #[serde(default = "super::default_true")]
    pub use_bias: bool,
    /// Whether the forget gate's bias starts at 1 (default true).
    #[serde(default = "super::default_true")]
    pub unit_forget_bias: bool,
    /// How the inputs' weights start (default glorot_uniform).
    #[serde(default)]
    pub kernel_initializer: Initializer,
    /// How the state's weights start (default orthogonal).
    #[serde(default = "super::default_orthogonal")]
    pub recurrent_initializer: Initializer,
    /// How the biases start (default zeros).
    #[serde(default = "super::default_zeros")]
    pub bias_initializer: Initializer,
}

impl Lstm {
    /// An LSTM with Keras's defaults, of which the last output comes out.
    pub fn new(units: usize) -> Self {
        Self {
            units,
            return_sequences: false,
            go_backwards: false,
            use_bias: true,
            unit_forget_bias: true,
            kernel_initializer: Initializer::GlorotUniform,
            recurrent_initializer: Initializer::Orthogonal,
            bias_initializer: Initializer::Zeros,
        }
    }
}

impl Recurrent for Lstm {
    fn name(&self) -> &'static str {
        "lstm"
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
        // Keras: input, forget, candidate, output. ONNX: input, output, forget, candidate.
        Operator { name: "LSTM", gates: &[0, 3, 1, 2], two_biases: false, activation: None }
    }

    fn op(&self, place: &Place<'_>, direction: Direction) -> Box<dyn Op> {
        Box::new(RecurrentOp::new(LstmCell, &self.settings(), place, direction))
    }

    fn ones(&self) -> Range<usize> {
        if self.unit_forget_bias { self.units..2 * self.units } else { 0..0 }
    }
}

/// Sums and what is kept: input gate, forget gate, candidate, output gate.
#[derive(Clone, Copy)]
struct LstmCell;

impl Cell for LstmCell {
    const GATES: usize = 4;
    const SUMS: usize = 4;
    const CARRY: bool = true;

    #[inline(always)]
    fn forward<S: Simd>(
        self,
        simd: S,
        [input, forget, candidate, output]: [S::f32s; 4],
        before: Before<S::f32s>,
    ) -> After<S::f32s> {
        let ([input, forget, output], candidate) =
            vectors::three_sigmoids_and_tanh(simd, [input, forget, output], candidate);
        let new = simd.mul_f32s(input, candidate);
        let carry = simd.mul_add_e_f32s(forget, before.carry, new);
        let carry_tanh = vectors::tanh(simd, carry);
        let state = simd.mul_f32s(output, carry_tanh);
        After { kept: [input, forget, candidate, output], state, carry, carry_tanh }
    }

    #[inline(always)]
    fn backward<S: Simd>(self, simd: S, step: StepBack<S::f32s>) -> Back<S::f32s> {
        let [input, forget, candidate, output] = step.kept;
        let one = simd.splat_f32s(1.0);
        // The slope of a sigmoid, y · (1 − y), and of tanh, 1 − y².
        let sigmoid = |y| simd.mul_f32s(y, simd.sub_f32s(one, y));
        let tanh = |y| simd.negate_mul_add_e_f32s(y, y, one);
        let through_output = simd.mul_f32s(step.d_state, output);
        let d_carry = simd.mul_add_e_f32s(through_output, tanh(step.carry_tanh), step.d_carry);
        let d_input = simd.mul_f32s(simd.mul_f32s(d_carry, candidate), sigmoid(input));
        let d_forget = simd.mul_f32s(simd.mul_f32s(d_carry, step.before.carry), sigmoid(forget));
        let d_candidate = simd.mul_f32s(simd.mul_f32s(d_carry, input), tanh(candidate));
        let d_output = simd.mul_f32s(simd.mul_f32s(step.d_state, step.carry_tanh), sigmoid(output));
        Back {
            d_sums: [d_input, d_forget, d_candidate, d_output],
            d_state: simd.splat_f32s(0.0),
            d_carry: simd.mul_f32s(d_carry, forget),
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
        let base = Lstm::new(5);
        for layer in [
            base.clone(),
            Lstm { return_sequences: true, ..base.clone() },
            Lstm { go_backwards: true, ..base.clone() },
            Lstm { go_backwards: true, return_sequences: true, use_bias: false, ..base.clone() },
            Lstm { return_sequences: true, ..Lstm::new(16) },
            Lstm::new(35),
        ] {
            let layer = LayerSpec::Lstm(layer);
            contract::check(&layer, &[6, 3]);
            contract::check_masked(&layer, &[6, 3]);
            contract::check_masked_inference(&layer, &[6, 3]);
            contract::check_inference(&layer, &[6, 3]);
        }
        contract::check_inference(&LayerSpec::Lstm(Lstm::new(64)), &[40, 8]);
        contract::check(&LayerSpec::Lstm(Lstm::new(3)), &[1, 1]);
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let layer = |units| LayerSpec::Lstm(Lstm::new(units));
        contract::check_error(layer(3), &[12], "takes a sequence [steps, features]", "embedding layer");
        contract::check_error(layer(3), &[4, 4, 1], "takes a sequence [steps, features]", "reshape");
        contract::check_error(layer(0), &[4, 4], "units must be at least 1", "");
    }
}
