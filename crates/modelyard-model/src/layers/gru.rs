//! The gated recurrent unit (Cho et al. 2014), as Keras computes it by default: the reset gate acts after the
//! product with the state's weights (`reset_after = true`), as cuDNN has it.

use pulp::Simd;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::recurrent::{
    After, Back, Before, Cell, Direction, Operator, Recurrent, RecurrentOp, Settings, StepBack,
};
use crate::initializer::Initializer;
use crate::kernels::vectors;
use crate::op::{Op, Place};

/// A sequence [steps, features] step by step through gates that update and reset: sigmoid gates, a tanh
/// candidate. Steps that are padding leave the state as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gru {
    /// Number of units: outputs of each step.
    pub units: usize,
    /// Whether every step's output comes out, [steps, units], or the last one's only, [units] (default false).
    #[serde(default)]
    pub return_sequences: bool,
    /// Whether the sequence is walked from its end; all steps then come out in that order (default false).
    #[serde(default)]
    pub go_backwards: bool,
    /// Whether biases are added, to inputs and to the state one each (default true).
    #[serde(default = "super::default_true")]
    pub use_bias: bool,
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

impl Gru {
    /// A GRU with Keras's defaults, of which the last output comes out.
    pub fn new(units: usize) -> Self {
        Self {
            units,
            return_sequences: false,
            go_backwards: false,
            use_bias: true,
            kernel_initializer: Initializer::GlorotUniform,
            recurrent_initializer: Initializer::Orthogonal,
            bias_initializer: Initializer::Zeros,
        }
    }
}

impl Recurrent for Gru {
    fn name(&self) -> &'static str {
        "gru"
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
        // Both: update, reset, candidate.
        Operator { name: "GRU", gates: &[0, 1, 2], two_biases: true, activation: None }
    }

    fn op(&self, place: &Place<'_>, direction: Direction) -> Box<dyn Op> {
        Box::new(RecurrentOp::new(GruCell, &self.settings(), place, direction))
    }
}

/// Sums: the candidate's share of the state, update, reset, the candidate's share of the inputs. Kept: the same,
/// the gates and the candidate with their activation.
#[derive(Clone, Copy)]
struct GruCell;

impl Cell for GruCell {
    const GATES: usize = 3;
    const SUMS: usize = 4;
    const CARRY: bool = false;

    #[inline(always)]
    fn forward<S: Simd>(
        self,
        simd: S,
        [of_state, update, reset, of_inputs]: [S::f32s; 4],
        before: Before<S::f32s>,
    ) -> After<S::f32s> {
        let [update, reset] = vectors::two_sigmoids(simd, [update, reset]);
        let candidate = vectors::tanh(simd, simd.mul_add_e_f32s(reset, of_state, of_inputs));
        let change = simd.sub_f32s(before.state, candidate);
        let state = simd.mul_add_e_f32s(update, change, candidate);
        let kept = [of_state, update, reset, candidate];
        After { kept, state, carry: before.carry, carry_tanh: before.carry }
    }

    #[inline(always)]
    fn backward<S: Simd>(self, simd: S, step: StepBack<S::f32s>) -> Back<S::f32s> {
        let [of_state, update, reset, candidate] = step.kept;
        let one = simd.splat_f32s(1.0);
        let sigmoid = |y| simd.mul_f32s(y, simd.sub_f32s(one, y));
        let change = simd.sub_f32s(step.before.state, candidate);
        let d_update = simd.mul_f32s(simd.mul_f32s(step.d_state, change), sigmoid(update));
        let slope = simd.negate_mul_add_e_f32s(candidate, candidate, one);
        let through_candidate = simd.mul_f32s(step.d_state, simd.sub_f32s(one, update));
        let d_of_inputs = simd.mul_f32s(through_candidate, slope);
        let d_reset = simd.mul_f32s(simd.mul_f32s(d_of_inputs, of_state), sigmoid(reset));
        let d_of_state = simd.mul_f32s(d_of_inputs, reset);
        Back {
            d_sums: [d_of_state, d_update, d_reset, d_of_inputs],
            d_state: simd.mul_f32s(step.d_state, update),
            d_carry: step.d_carry,
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
        let base = Gru::new(5);
        for layer in [
            base.clone(),
            Gru { return_sequences: true, ..base.clone() },
            Gru { go_backwards: true, ..base.clone() },
            Gru { go_backwards: true, return_sequences: true, use_bias: false, ..base.clone() },
            Gru { return_sequences: true, ..Gru::new(16) },
            Gru::new(35),
        ] {
            let layer = LayerSpec::Gru(layer);
            contract::check(&layer, &[6, 3]);
            contract::check_masked(&layer, &[6, 3]);
            contract::check_masked_inference(&layer, &[6, 3]);
            contract::check_inference(&layer, &[6, 3]);
        }
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let layer = LayerSpec::Gru(Gru::new(3));
        contract::check_error(layer, &[12], "takes a sequence [steps, features]", "embedding layer");
    }
}
