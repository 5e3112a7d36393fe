//! Token numbers at the edge: an embedding has a row for each of its tokens, and no number else may go in.

use std::ops::Range;

use crate::layers::LayerSpec;
use crate::layout::Layout;
use crate::wiring::Value;
use crate::{ModelError, NetworkSpec};

/// Where in a row of a network's input an embedding's token numbers stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenInput {
    /// The embedding's place among the layers, counted from 0.
    pub layer: usize,
    /// The name of the input part that it takes; none where the input is one part without a name.
    pub part: Option<String>,
    /// Where in a row the part lies.
    pub places: Range<usize>,
    /// How many tokens the embedding knows (`input_dim`): numbers from 0 to one less may go in.
    pub tokens: usize,
}

impl NetworkSpec {
    /// The embeddings that take their numbers from the input itself.
    ///
    /// # Errors
    /// Where the network cannot be: see [`NetworkSpec::shapes`].
    pub fn token_inputs(&self) -> Result<Vec<TokenInput>, ModelError> {
        Ok(token_inputs(self, &self.layout()?))
    }
}

/// The same where the layout is known already.
pub(crate) fn token_inputs(spec: &NetworkSpec, layout: &Layout) -> Vec<TokenInput> {
    let of_layer = |(at, node): (usize, &crate::Node)| {
        let (LayerSpec::Embedding(embedding), [Value::Input(part)]) =
            (&node.layer, layout.layers[at].sources.as_slice())
        else {
            return None;
        };
        Some(TokenInput {
            layer: at,
            part: spec.inputs.get(*part).map(|part| part.name.clone()),
            places: layout.parts[*part].1.clone(),
            tokens: embedding.input_dim,
        })
    };
    spec.layers.iter().enumerate().filter_map(of_layer).collect()
}

/// Checks the token numbers of all rows.
///
/// # Errors
/// [`ModelError::Token`] with the first that is none.
pub(crate) fn check(inputs: &[f32], row_len: usize, known: &[TokenInput]) -> Result<(), ModelError> {
    for TokenInput { layer, places, tokens, .. } in known {
        let is_token = |&number: &f32| number >= 0.0 && number < *tokens as f32 && number.fract() == 0.0;
        for (row, values) in inputs.chunks_exact(row_len).enumerate() {
            let numbers = &values[places.clone()];
            if let Some(step) = numbers.iter().position(|number| !is_token(number)) {
                let (layer, got, tokens) = (*layer, numbers[step], *tokens);
                return Err(ModelError::Token { layer, row, step, got, tokens });
            }
        }
    }
    Ok(())
}
