//! The Transformer's encoder block: self-attention, then two dense layers for each step, each with a way past it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::attention::{self, Attention, Deltas, Reach, Sources};
use super::attention_export::Writer;
use super::dropout::check_rate;
use super::feed_forward::{self, FeedForward};
use super::layer_norm::{self, check_epsilon};
use super::residual::{Residual, ResidualConfig};
use super::{Layer, MaskRule, Misfit, MultiHeadAttention, Parameter, sequence_shape};
use crate::Activation;
use crate::export::{Export, ExportedLayer};
use crate::memory::Hidden;
use crate::op::{Op, Pass, Place, Purpose, Tape};

/// An encoder block over a sequence [steps, features], whose shape it keeps (Vaswani et al. 2017, section 3.1); with
/// `causal` it is what a language model is made of. Steps of padding are not attended to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TransformerEncoder {
    /// Number of heads; divides the features among them.
    pub num_heads: usize,
    /// Number of values between the two dense layers.
    pub intermediate_dim: usize,
    /// Between the two dense layers (default relu).
    #[serde(default = "default_activation")]
    pub activation: Activation,
    /// Share of values that are dropped while training: of the attention, and behind either part (default 0).
    #[serde(default)]
    pub dropout: f32,
    /// Whether either part's input is normalised rather than its sum with the output (default false).
    #[serde(default)]
    pub norm_first: bool,
    /// Whether a step sees only itself and the steps before it (default false).
    #[serde(default)]
    pub causal: bool,
    /// Added to the variance by layer normalisation (default 0.00001).
    #[serde(default = "default_epsilon")]
    pub epsilon: f32,
}

pub(super) fn default_activation() -> Activation {
    Activation::Relu
}

pub(super) fn default_epsilon() -> f32 {
    1e-5
}

impl TransformerEncoder {
    /// An encoder block with the usual defaults.
    pub fn new(num_heads: usize, intermediate_dim: usize) -> Self {
        Self {
            num_heads,
            intermediate_dim,
            activation: default_activation(),
            dropout: 0.0,
            norm_first: false,
            causal: false,
            epsilon: default_epsilon(),
        }
    }

    fn attention(&self, features: usize) -> MultiHeadAttention {
        let key_dim = features / self.num_heads;
        let attention = MultiHeadAttention::new(self.num_heads, key_dim);
        MultiHeadAttention { dropout: self.dropout, causal: self.causal, ..attention }
    }

    fn residual(&self, shape: [usize; 2]) -> ResidualConfig {
        let Self { norm_first, dropout, epsilon, .. } = *self;
        ResidualConfig { norm_first, dropout, epsilon, shape }
    }
}

/// Checks what both kinds of block must have, and gives steps and features.
pub(super) fn check_block(
    input: &[usize],
    [num_heads, intermediate_dim]: [usize; 2],
    dropout: f32,
    epsilon: f32,
) -> Result<[usize; 2], Misfit> {
    let [steps, features] = sequence_shape(input)?;
    if num_heads == 0 || !features.is_multiple_of(num_heads) {
        let message = format!("must divide the {features} features of a step, it is {num_heads}");
        return Err(Misfit::field("num_heads", message));
    }
    if intermediate_dim == 0 {
        return Err(Misfit::field("intermediate_dim", "must be at least 1"));
    }
    check_rate("dropout", dropout)?;
    check_epsilon(epsilon)?;
    Ok([steps, features])
}

impl Layer for TransformerEncoder {
    fn kind(&self) -> &'static str {
        "transformer_encoder"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, Misfit> {
        let sizes = [self.num_heads, self.intermediate_dim];
        Ok(check_block(input, sizes, self.dropout, self.epsilon)?.to_vec())
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Keeps
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        let features = input[1];
        let reach = Reach { input: [input[0], features], memory: None };
        let mut all = attention::parameters(&self.attention(features), reach);
        all.extend(layer_norm::parameters(["attention_gamma", "attention_beta"], features));
        all.extend(feed_forward::parameters([features, self.intermediate_dim]));
        all.extend(layer_norm::parameters(["feed_forward_gamma", "feed_forward_beta"], features));
        all
    }

    fn hidden(&self, inputs: &[Vec<usize>], purpose: Purpose) -> Hidden {
        let [steps, features] = [inputs[0][0], inputs[0][1]];
        let reach = Reach { input: [steps, features], memory: None };
        attention::hidden(&self.attention(features), reach, purpose)
            .and(feed_forward::hidden([steps, self.intermediate_dim], purpose))
            .and(Hidden::per_row(&[5, steps, features]))
    }

    fn plan(&self, place: &Place<'_>) -> Option<Box<dyn Op>> {
        let [steps, features] = [place.input[0], place.input[1]];
        let places = &mut place.weights.iter();
        let reach = Reach { input: [steps, features], memory: None };
        let residual = self.residual([steps, features]);
        let buffer = |needed: bool| vec![0.0; if needed { place.rows_max * steps * features } else { 0 }];
        Some(Box::new(EncoderOp {
            attention: Attention::take(places, &self.attention(features), reach, place),
            attended: Residual::take(places, residual, place, 3),
            feed_forward: FeedForward::take(
                places,
                [steps, features, self.intermediate_dim],
                self.activation,
                place,
            ),
            fed: Residual::take(places, residual, place, 4),
            middle: buffer(true),
            branch: buffer(true),
            d_inlet: buffer(place.purpose == Purpose::Training),
        }))
    }

    fn export(&self, layer: &ExportedLayer<'_>, graph: &mut Export) {
        let [steps, features] = [layer.input[0], layer.input[1]];
        let reach = Reach { input: [steps, features], memory: None };
        let (config, residual) = (self.attention(features), self.residual([steps, features]));
        let input = graph.last();
        let mut writer = Writer::new(graph, layer);
        let middle = writer.residual(residual, &input, 4, |writer, input| {
            writer.attention(&config, reach, [input, input], layer.mask.as_deref())
        });
        let output = writer
            .residual(residual, &middle, 4, |writer, input| writer.feed_forward(input, self.activation));
        graph.set_last(output);
    }
}

struct EncoderOp {
    attention: Attention,
    attended: Residual,
    feed_forward: FeedForward,
    fed: Residual,
    /// What goes from the attention to the dense layers.
    middle: Vec<f32>,
    /// What either part gives, or the derivative by it.
    branch: Vec<f32>,
    /// The derivative by what either part took.
    d_inlet: Vec<f32>,
}

impl Op for EncoderOp {
    fn forward(&mut self, pass: &Pass<'_>, input: &[f32], output: &mut [f32]) {
        let (middle, branch) = (&mut self.middle[..input.len()], &mut self.branch[..input.len()]);
        let inlet = self.attended.inlet(pass, input);
        self.attention.forward(pass, Sources { input: inlet, memory: None, mask: pass.mask }, branch);
        self.attended.join(pass, input, branch, middle);
        self.feed_forward.forward(pass, self.fed.inlet(pass, middle), branch);
        self.fed.join(pass, middle, branch, output);
    }

    fn backward(&mut self, pass: &Pass<'_>, tape: Tape<'_>) {
        let Tape { input, d_output: delta, d_input, gradients, .. } = tape;
        let len = input.len();
        let (middle, branch, d_inlet) =
            (&self.middle[..len], &mut self.branch[..len], &mut self.d_inlet[..len]);
        self.fed.back_join(pass, delta, branch, gradients);
        self.feed_forward.backward(pass, self.fed.taken(middle), (branch, d_inlet), gradients);
        self.fed.back_inlet(pass, (middle, d_inlet), delta, gradients);
        self.attended.back_join(pass, delta, branch, gradients);
        let sources = Sources { input: self.attended.taken(input), memory: None, mask: pass.mask };
        let deltas = Deltas { output: branch, input: Some(d_inlet), memory: None, gradients };
        self.attention.backward(pass, sources, deltas);
        self.attended.back_inlet(pass, (input, d_inlet), delta, gradients);
        if let Some(d_input) = d_input {
            d_input.copy_from_slice(delta);
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
        for (norm_first, causal, activation) in [
            (false, false, Activation::Relu),
            (true, true, Activation::Gelu),
            (false, true, Activation::Gelu),
            (true, false, Activation::Relu),
        ] {
            let layer =
                TransformerEncoder { norm_first, causal, activation, ..TransformerEncoder::new(2, 7) };
            let dropped = LayerSpec::TransformerEncoder(TransformerEncoder { dropout: 0.3, ..layer.clone() });
            let layer = LayerSpec::TransformerEncoder(layer);
            contract::check(&layer, &[5, 6]);
            contract::check_masked(&layer, &[6, 4]);
            contract::check_inference(&layer, &[5, 6]);
            contract::check_masked_inference(&layer, &[6, 4]);
            contract::check(&dropped, &[5, 6]);
        }
    }

    #[test]
    fn what_cannot_be_is_said() {
        let check = |layer: TransformerEncoder, input: &[usize], wanted: &str| {
            contract::check_error(LayerSpec::TransformerEncoder(layer), input, wanted, "");
        };
        check(TransformerEncoder::new(2, 7), &[9], "takes a sequence [steps, features]");
        check(
            TransformerEncoder::new(4, 7),
            &[9, 6],
            "num_heads must divide the 6 features of a step, it is 4",
        );
        check(TransformerEncoder::new(0, 7), &[9, 6], "num_heads must divide");
        check(TransformerEncoder::new(2, 0), &[9, 6], "intermediate_dim must be at least 1");
        let plain = || TransformerEncoder::new(2, 7);
        check(TransformerEncoder { dropout: -0.1, ..plain() }, &[9, 6], "dropout must be at least 0");
        check(TransformerEncoder { epsilon: f32::NAN, ..plain() }, &[9, 6], "epsilon must be above 0");
    }
}
