//! Self-attention with several heads (Vaswani et al. 2017): every step takes from every other what fits it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::attention::{self, Attention, Deltas, Reach, Sources};
use super::attention_export::Writer;
use super::dropout::check_rate;
use super::{Layer, MaskRule, Misfit, Parameter, sequence_shape};
use crate::export::{Export, ExportedLayer};
use crate::memory::Hidden;
use crate::op::{Op, Pass, Place, Purpose, Tape};

/// Self-attention over a sequence [steps, features], whose shape it keeps. Steps of padding are not attended to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MultiHeadAttention {
    /// Number of heads.
    pub num_heads: usize,
    /// Length of each head's queries, keys and values.
    pub key_dim: usize,
    /// Share of the attention that is dropped while training (default 0).
    #[serde(default)]
    pub dropout: f32,
    /// Whether a step sees only itself and the steps before it (default false).
    #[serde(default)]
    pub causal: bool,
    /// Whether the projections have a bias (default true).
    #[serde(default = "super::default_true")]
    pub use_bias: bool,
}

impl MultiHeadAttention {
    /// Attention with Keras's defaults.
    pub fn new(num_heads: usize, key_dim: usize) -> Self {
        Self { num_heads, key_dim, dropout: 0.0, causal: false, use_bias: true }
    }
}

/// More weights than this for one head's queries are a slip of the pen; sums of sizes below it cannot overflow.
const WIDTH_MAX: usize = 1 << 20;

impl Layer for MultiHeadAttention {
    fn kind(&self) -> &'static str {
        "multi_head_attention"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, Misfit> {
        for (field, value) in [("num_heads", self.num_heads), ("key_dim", self.key_dim)] {
            if value == 0 || value > WIDTH_MAX {
                return Err(Misfit::field(field, format!("must be from 1 to {WIDTH_MAX}, it is {value}")));
            }
        }
        check_rate("dropout", self.dropout)?;
        Ok(sequence_shape(input)?.to_vec())
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Keeps
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        attention::parameters(self, Reach { input: [input[0], input[1]], memory: None })
    }

    fn hidden(&self, inputs: &[Vec<usize>], purpose: Purpose) -> Hidden {
        attention::hidden(self, Reach { input: [inputs[0][0], inputs[0][1]], memory: None }, purpose)
    }

    fn plan(&self, place: &Place<'_>) -> Option<Box<dyn Op>> {
        let reach = Reach { input: [place.input[0], place.input[1]], memory: None };
        Some(Box::new(SelfAttentionOp(Attention::take(&mut place.weights.iter(), self, reach, place))))
    }

    fn export(&self, layer: &ExportedLayer<'_>, graph: &mut Export) {
        let reach = Reach { input: [layer.input[0], layer.input[1]], memory: None };
        let input = graph.last();
        let output =
            Writer::new(graph, layer).attention(self, reach, [&input, &input], layer.mask.as_deref());
        graph.set_last(output);
    }
}

struct SelfAttentionOp(Attention);

impl Op for SelfAttentionOp {
    fn forward(&mut self, pass: &Pass<'_>, input: &[f32], output: &mut [f32]) {
        self.0.forward(pass, Sources { input, memory: None, mask: pass.mask }, output);
    }

    fn backward(&mut self, pass: &Pass<'_>, tape: Tape<'_>) {
        let sources = Sources { input: tape.input, memory: None, mask: pass.mask };
        let Tape { d_output: output, d_input: input, gradients, .. } = tape;
        self.0.backward(pass, sources, Deltas { output, input, memory: None, gradients });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LayerSpec;
    use crate::layers::contract;

    #[test]
    fn contract() {
        for (heads, causal, dropout) in [(1, false, 0.0), (3, true, 0.0), (2, false, 0.4)] {
            let layer = MultiHeadAttention { causal, dropout, ..MultiHeadAttention::new(heads, 4) };
            let layer = LayerSpec::MultiHeadAttention(layer);
            contract::check(&layer, &[6, 5]);
            contract::check_masked(&layer, &[6, 5]);
            if dropout == 0.0 {
                contract::check_inference(&layer, &[6, 5]);
                contract::check_masked_inference(&layer, &[6, 5]);
            }
        }
        let layer = MultiHeadAttention { use_bias: false, ..MultiHeadAttention::new(2, 16) };
        contract::check(&LayerSpec::MultiHeadAttention(layer.clone()), &[16, 8]);
        contract::check_inference(&LayerSpec::MultiHeadAttention(layer), &[16, 8]);
    }

    #[test]
    fn what_cannot_be_is_said() {
        let layer = |heads, key_dim| LayerSpec::MultiHeadAttention(MultiHeadAttention::new(heads, key_dim));
        contract::check_error(layer(2, 4), &[9], "takes a sequence [steps, features]", "embedding");
        contract::check_error(layer(0, 4), &[9, 4], "num_heads must be from 1", "");
        contract::check_error(layer(2, usize::MAX), &[9, 4], "key_dim must be from 1", "");
        let dropped = MultiHeadAttention { dropout: 1.0, ..MultiHeadAttention::new(2, 4) };
        contract::check_error(
            LayerSpec::MultiHeadAttention(dropped),
            &[9, 4],
            "dropout must be at least 0",
            "",
        );
    }
}
