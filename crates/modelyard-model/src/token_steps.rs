//! A causal network one step at a time: what attention made of earlier steps is kept, so that a new token costs a step
//! and not the whole window.

use crate::inference::{Inference, Weights};
use crate::kernels::product::Parallelism;
use crate::layers::LayerSpec;
use crate::layout::Layout;
use crate::plan::Plan;
use crate::tokens::{self, TokenInput, token_inputs};
use crate::{ModelError, Network, NetworkSpec};

/// A network from [steps] to [steps, tokens], planned for one step; keys and values of earlier ones lie in its
/// operations.
pub(crate) struct TokenSteps {
    inference: Inference,
    tokens: Vec<TokenInput>,
}

impl TokenSteps {
    /// Plans a network; none where one of its layers needs more than the steps before, and keeps nothing of them.
    pub(crate) fn new(network: &Network) -> Option<Self> {
        let (spec, whole) = (network.spec(), network.layout());
        let &[steps] = whole.input.as_slice() else { return None };
        let goes = spec.layers.iter().zip(&whole.layers).all(|(node, layer)| {
            is_stepwise(&node.layer) && layer.masks == [None; 2] && layer.output.first() == Some(&steps)
        });
        if !goes || !spec.inputs.is_empty() {
            return None;
        }
        let one = NetworkSpec { input: vec![1], ..spec.clone() };
        let layout = one_step_of(&one, whole)?;
        let tokens = token_inputs(&one, &layout);
        let plan = Plan::of_steps(&one, layout, steps);
        Some(Self { inference: Inference::of_rows(&plan, 1), tokens })
    }

    /// Takes in the token of step `at`, which follows the last one taken in or is the first; gives what the network
    /// expects next.
    ///
    /// # Errors
    /// [`ModelError::Token`] where the token is none of the network's.
    pub(crate) fn step(
        &mut self,
        network: &Network,
        (at, token): (usize, f32),
        outputs: &mut [f32],
    ) -> Result<(), ModelError> {
        tokens::check(&[token], 1, &self.tokens)?;
        let weights = Weights {
            parameters: network.parameters(),
            state: network.state(),
            parallelism: Parallelism::Single,
            first_step: at,
        };
        self.inference.run(weights, &[token], outputs);
        Ok(())
    }
}

/// Whether a layer treats each step by itself, or keeps what it needs of earlier ones.
fn is_stepwise(layer: &LayerSpec) -> bool {
    match layer {
        LayerSpec::Embedding(_)
        | LayerSpec::PositionalEncoding(_)
        | LayerSpec::Dense(_)
        | LayerSpec::LayerNorm(_)
        | LayerSpec::Activation(_)
        | LayerSpec::Dropout(_)
        | LayerSpec::Add(_)
        | LayerSpec::Multiply(_) => true,
        LayerSpec::Concatenate(concatenate) => concatenate.axis == -1,
        LayerSpec::TransformerEncoder(encoder) => encoder.causal,
        LayerSpec::MultiHeadAttention(attention) => attention.causal,
        _ => false,
    }
}

/// The shapes of one step, and the places of the whole network's weights.
fn one_step_of(one: &NetworkSpec, whole: &Layout) -> Option<Layout> {
    let mut layout = one.layout().ok()?;
    layout.trained_len = whole.trained_len;
    layout.state_len = whole.state_len;
    for (layer, whole) in layout.layers.iter_mut().zip(&whole.layers) {
        layer.parameters.clone_from(&whole.parameters);
        layer.places.clone_from(&whole.places);
    }
    Some(layout)
}
