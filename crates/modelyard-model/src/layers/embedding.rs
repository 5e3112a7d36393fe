//! Token numbers as vectors that are learned.

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Layer, MaskRule, Misfit, Parameter};
use crate::export::{Export, ExportedLayer};
use crate::initializer::{Fans, Initializer};
use crate::kernels::rows;
use crate::onnx::proto::{AttributeProto, ElementType};
use crate::op::{Op, Pass, Place, Tape};

/// A learned row of `output_dim` values for each token. Takes [steps] token numbers from 0 to `input_dim` − 1 and
/// gives [steps, output_dim].
///
/// Where the layer takes the input itself, other numbers are refused; behind other layers they count as token 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Embedding {
    /// Size of the vocabulary: the largest token number plus 1.
    pub input_dim: usize,
    /// Values of each token's row.
    pub output_dim: usize,
    /// Whether token 0 is padding, which the layers behind leave out (default false).
    #[serde(default)]
    pub mask_zero: bool,
    /// How the rows start (default random_uniform).
    #[serde(default = "default_initializer")]
    pub embeddings_initializer: Initializer,
}

fn default_initializer() -> Initializer {
    Initializer::RandomUniform
}

/// Beyond this, 32-bit floats no longer tell neighbouring numbers apart.
const INPUT_DIM_MAX: usize = 1 << 24;

impl Embedding {
    /// An embedding with Keras's defaults.
    pub fn new(input_dim: usize, output_dim: usize) -> Self {
        Self { input_dim, output_dim, mask_zero: false, embeddings_initializer: default_initializer() }
    }
}

impl Layer for Embedding {
    fn kind(&self) -> &'static str {
        "embedding"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, Misfit> {
        if self.input_dim == 0 || self.input_dim > INPUT_DIM_MAX {
            return Err(Misfit::field(
                "input_dim",
                format!("must be between 1 and {INPUT_DIM_MAX}, it is {}", self.input_dim),
            ));
        }
        if self.output_dim == 0 {
            return Err(Misfit::field("output_dim", "must be at least 1"));
        }
        let &[steps] = input else {
            return Err(Misfit::Shape {
                wanted: "a row of token numbers [steps]".to_owned(),
                hint: "an embedding is the first layer behind the input that holds the tokens".to_owned(),
            });
        };
        Ok(vec![steps, self.output_dim])
    }

    fn mask_rule(&self) -> MaskRule {
        if self.mask_zero { MaskRule::Begins } else { MaskRule::Ends }
    }

    fn parameters(&self, _input: &[usize]) -> Vec<Parameter> {
        let fans = Fans { inputs: self.input_dim, outputs: self.output_dim };
        let shape = vec![self.input_dim, self.output_dim];
        vec![Parameter::trained("embeddings", shape, self.embeddings_initializer, fans)]
    }

    fn plan(&self, place: &Place<'_>) -> Option<Box<dyn Op>> {
        Some(Box::new(EmbeddingOp { width: self.output_dim, table: place.weights[0].clone() }))
    }

    fn export(&self, layer: &ExportedLayer<'_>, graph: &mut Export) {
        let table = graph.weights(layer, 0);
        let int64 = AttributeProto::int("to", i64::from(i32::from(ElementType::Int64)));
        graph.chain("Cast", &[], vec![int64]);
        let rows = graph.node("Gather", &[&table, &graph.last()], vec![AttributeProto::int("axis", 0)]);
        graph.set_last(rows);
    }
}

struct EmbeddingOp {
    width: usize,
    table: Range<usize>,
}

/// Where a token's row stands in a table of this length.
fn place(token: f32, table_len: usize, width: usize) -> Range<usize> {
    // Negative numbers and what is no number become 0.
    let from = (token as usize).saturating_mul(width);
    let from = if from < table_len { from } else { 0 };
    from..from + width
}

impl Op for EmbeddingOp {
    fn forward(&mut self, pass: &Pass<'_>, input: &[f32], output: &mut [f32]) {
        let table = &pass.parameters[self.table.clone()];
        for (&token, to) in input.iter().zip(output.chunks_exact_mut(self.width)) {
            to.copy_from_slice(&table[place(token, table.len(), self.width)]);
        }
    }

    fn backward(&mut self, _pass: &Pass<'_>, tape: Tape<'_>) {
        let table = &mut tape.gradients[self.table.clone()];
        table.fill(0.0);
        for (&token, from) in tape.input.iter().zip(tape.d_output.chunks_exact(self.width)) {
            let place = place(token, table.len(), self.width);
            rows::add(&mut table[place], from);
        }
        if let Some(d_input) = tape.d_input {
            d_input.fill(0.0);
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
        for mask_zero in [false, true] {
            let layer = LayerSpec::Embedding(Embedding { mask_zero, ..Embedding::new(3, 5) });
            contract::check(&layer, &[7]);
            contract::check_inference(&layer, &[7]);
        }
    }

    #[test]
    fn numbers_that_are_no_tokens_count_as_0() {
        let places =
            [0.0, 2.0, 2.9, 3.0, -1.0, 1e30, f32::NAN, f32::INFINITY].map(|token| place(token, 12, 4));
        assert_eq!(places, [0..4, 8..12, 8..12, 0..4, 0..4, 0..4, 0..4, 0..4]);
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let layer = |vocabulary, width| LayerSpec::Embedding(Embedding::new(vocabulary, width));
        contract::check_error(layer(5, 2), &[4, 4], "takes a row of token numbers [steps]", "first layer");
        contract::check_error(layer(0, 2), &[4], "input_dim must be between 1 and 16777216", "");
        contract::check_error(layer(1 << 25, 2), &[4], "input_dim must be between 1", "");
        contract::check_error(layer(5, 0), &[4], "output_dim must be at least 1", "");
    }
}
