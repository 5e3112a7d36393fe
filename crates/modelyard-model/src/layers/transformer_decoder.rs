//! The Transformer's decoder block: causal self-attention, attention to a memory, then two dense layers for each
//! step, each with a way past it.

use std::ops::RangeInclusive;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::attention::{self, Attention, Deltas, Reach, Sources};
use super::attention_export::Writer;
use super::feed_forward::{self, FeedForward};
use super::layer_norm;
use super::residual::{Residual, ResidualConfig};
use super::transformer_encoder::{check_block, default_activation, default_epsilon};
use super::{Layer, MaskRule, Misfit, MultiHeadAttention, Parameter, sequence_shape};
use crate::Activation;
use crate::export::{Export, ExportedLayer};
use crate::memory::Hidden;
use crate::op::{Op, Pass, Place, Purpose, Tape};

/// A decoder block (Vaswani et al. 2017, section 3.1) over the first input, a sequence [steps, features] whose shape
/// it keeps; the second input, [steps, features] of any sizes, is the memory that it attends to. A step sees only
/// itself and the steps before it, and the whole memory; of both not the padding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TransformerDecoder {
    /// Number of heads; divides the features among them.
    pub num_heads: usize,
    /// Number of values between the two dense layers.
    pub intermediate_dim: usize,
    /// Between the two dense layers (default relu).
    #[serde(default = "default_activation")]
    pub activation: Activation,
    /// Share of values that are dropped while training: of the attention, and behind each part (default 0).
    #[serde(default)]
    pub dropout: f32,
    /// Whether each part's input is normalised rather than its sum with the output (default false).
    #[serde(default)]
    pub norm_first: bool,
    /// Added to the variance by layer normalisation (default 0.00001).
    #[serde(default = "default_epsilon")]
    pub epsilon: f32,
}

impl TransformerDecoder {
    /// A decoder block with the usual defaults.
    pub fn new(num_heads: usize, intermediate_dim: usize) -> Self {
        Self {
            num_heads,
            intermediate_dim,
            activation: default_activation(),
            dropout: 0.0,
            norm_first: false,
            epsilon: default_epsilon(),
        }
    }

    fn attention(&self, features: usize, causal: bool) -> MultiHeadAttention {
        let attention = MultiHeadAttention::new(self.num_heads, features / self.num_heads);
        MultiHeadAttention { dropout: self.dropout, causal, ..attention }
    }

    fn residual(&self, shape: [usize; 2]) -> ResidualConfig {
        let Self { norm_first, dropout, epsilon, .. } = *self;
        ResidualConfig { norm_first, dropout, epsilon, shape }
    }
}

/// Steps and features of the sequence and of the memory.
fn shapes(inputs: &[Vec<usize>]) -> [[usize; 2]; 2] {
    [0, 1].map(|input: usize| [inputs[input][0], inputs[input][1]])
}

impl Layer for TransformerDecoder {
    fn kind(&self) -> &'static str {
        "transformer_decoder"
    }

    fn joins(&self) -> RangeInclusive<usize> {
        2..=2
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, Misfit> {
        let sizes = [self.num_heads, self.intermediate_dim];
        Ok(check_block(input, sizes, self.dropout, self.epsilon)?.to_vec())
    }

    fn joined_shape(&self, inputs: &[Vec<usize>]) -> Result<Vec<usize>, Misfit> {
        sequence_shape(&inputs[1])?;
        self.output_shape(&inputs[0])
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Crosses
    }

    fn joined_parameters(&self, inputs: &[Vec<usize>]) -> Vec<Parameter> {
        let [input, memory] = shapes(inputs);
        let features = input[1];
        let own = Reach { input, memory: None };
        let cross = Reach { input, memory: Some(memory) };
        let mut all = attention::parameters(&self.attention(features, true), own);
        all.extend(layer_norm::parameters(["attention_gamma", "attention_beta"], features));
        all.extend(attention::parameters(&self.attention(features, false), cross));
        all.extend(layer_norm::parameters(["cross_gamma", "cross_beta"], features));
        all.extend(feed_forward::parameters([features, self.intermediate_dim]));
        all.extend(layer_norm::parameters(["feed_forward_gamma", "feed_forward_beta"], features));
        all
    }

    fn hidden(&self, inputs: &[Vec<usize>], purpose: Purpose) -> Hidden {
        let [input, memory] = shapes(inputs);
        let [steps, features] = input;
        let attention =
            |memory| attention::hidden(&self.attention(features, true), Reach { input, memory }, purpose);
        attention(None)
            .and(attention(Some(memory)))
            .and(feed_forward::hidden([steps, self.intermediate_dim], purpose))
            .and(Hidden::per_row(&[8, steps, features]))
            .and(Hidden::per_row(&[2, memory[0], memory[1]]))
    }

    fn plan(&self, place: &Place<'_>) -> Option<Box<dyn Op>> {
        let [input, memory] = shapes(place.inputs);
        let [steps, features] = input;
        let places = &mut place.weights.iter();
        let residual = self.residual(input);
        let trains = place.purpose == Purpose::Training;
        let rows = |len: usize| vec![0.0; place.rows_max * len];
        let buffer = || rows(steps * features);
        let cross = Reach { input, memory: Some(memory) };
        let memory_len = memory[0] * memory[1];
        Some(Box::new(DecoderOp {
            attention: Attention::take(
                places,
                &self.attention(features, true),
                Reach { input, memory: None },
                place,
            ),
            attended: Residual::take(places, residual, place, 3),
            cross: Attention::take(places, &self.attention(features, false), cross, place),
            crossed: Residual::take(places, residual, place, 4),
            feed_forward: FeedForward::take(
                places,
                [steps, features, self.intermediate_dim],
                self.activation,
                place,
            ),
            fed: Residual::take(places, residual, place, 5),
            lens: [steps * features, memory_len],
            input: buffer(),
            memory: rows(memory_len),
            middles: [buffer(), buffer()],
            branch: buffer(),
            d_inlet: if trains { buffer() } else { Vec::new() },
            d_memory: if trains { rows(memory_len) } else { Vec::new() },
        }))
    }

    fn export(&self, layer: &ExportedLayer<'_>, graph: &mut Export) {
        let [input, memory] = shapes(layer.inputs);
        let (residual, features) = (self.residual(input), input[1]);
        let (own, cross) = (self.attention(features, true), self.attention(features, false));
        let (target, source) = (graph.last(), layer.others[0].as_str());
        let mut writer = Writer::new(graph, layer);
        let attended = writer.residual(residual, &target, 4, |writer, input_name| {
            writer.attention(&own, Reach { input, memory: None }, [input_name; 2], layer.mask.as_deref())
        });
        let crossed = writer.residual(residual, &attended, 6, |writer, input_name| {
            let reach = Reach { input, memory: Some(memory) };
            writer.attention(&cross, reach, [input_name, source], layer.memory_mask.as_deref())
        });
        let output = writer.residual(residual, &crossed, 4, |writer, input_name| {
            writer.feed_forward(input_name, self.activation)
        });
        graph.set_last(output);
    }
}

struct DecoderOp {
    attention: Attention,
    attended: Residual,
    cross: Attention,
    crossed: Residual,
    feed_forward: FeedForward,
    fed: Residual,
    /// Values of one row of the sequence and of the memory.
    lens: [usize; 2],
    /// The sequences of all rows, and the memories.
    input: Vec<f32>,
    memory: Vec<f32>,
    /// What goes from part to part.
    middles: [Vec<f32>; 2],
    /// What a part gives, or the derivative by it.
    branch: Vec<f32>,
    /// The derivative by what a part took.
    d_inlet: Vec<f32>,
    d_memory: Vec<f32>,
}

impl DecoderOp {
    /// Takes apart what lies side by side in each row.
    fn separate(&mut self, joined: &[f32]) {
        let [own, memory] = self.lens;
        let to = self.input.chunks_exact_mut(own).zip(self.memory.chunks_exact_mut(memory));
        for (row, (to_input, to_memory)) in joined.chunks_exact(own + memory).zip(to) {
            to_input.copy_from_slice(&row[..own]);
            to_memory.copy_from_slice(&row[own..]);
        }
    }
}

impl Op for DecoderOp {
    fn forward(&mut self, pass: &Pass<'_>, input: &[f32], output: &mut [f32]) {
        self.separate(input);
        let [len, memory_len] = self.lens.map(|len| pass.rows * len);
        let (input, branch) = (&self.input[..len], &mut self.branch[..len]);
        let [attended, crossed] = self.middles.each_mut().map(|middle| &mut middle[..len]);
        let inlet = self.attended.inlet(pass, input);
        self.attention.forward(pass, Sources { input: inlet, memory: None, mask: pass.mask }, branch);
        self.attended.join(pass, input, branch, attended);
        let inlet = self.crossed.inlet(pass, attended);
        let memory = Some(&self.memory[..memory_len]);
        self.cross.forward(pass, Sources { input: inlet, memory, mask: pass.memory_mask }, branch);
        self.crossed.join(pass, attended, branch, crossed);
        self.feed_forward.forward(pass, self.fed.inlet(pass, crossed), branch);
        self.fed.join(pass, crossed, branch, output);
    }

    fn backward(&mut self, pass: &Pass<'_>, tape: Tape<'_>) {
        let Tape { d_output: delta, d_input, gradients, .. } = tape;
        let [len, memory_len] = self.lens.map(|len| pass.rows * len);
        let (input, branch, d_inlet) =
            (&self.input[..len], &mut self.branch[..len], &mut self.d_inlet[..len]);
        let [attended, crossed] = self.middles.each_ref().map(|middle| &middle[..len]);
        self.fed.back_join(pass, delta, branch, gradients);
        self.feed_forward.backward(pass, self.fed.taken(crossed), (branch, d_inlet), gradients);
        self.fed.back_inlet(pass, (crossed, d_inlet), delta, gradients);

        self.crossed.back_join(pass, delta, branch, gradients);
        let memory = Some(&self.memory[..memory_len]);
        let sources = Sources { input: self.crossed.taken(attended), memory, mask: pass.memory_mask };
        let d_memory = &mut self.d_memory[..memory_len];
        let deltas = Deltas {
            output: branch,
            input: Some(d_inlet),
            memory: d_input.is_some().then_some(&mut *d_memory),
            gradients,
        };
        self.cross.backward(pass, sources, deltas);
        self.crossed.back_inlet(pass, (attended, d_inlet), delta, gradients);

        self.attended.back_join(pass, delta, branch, gradients);
        let sources = Sources { input: self.attended.taken(input), memory: None, mask: pass.mask };
        let deltas = Deltas { output: branch, input: Some(d_inlet), memory: None, gradients };
        self.attention.backward(pass, sources, deltas);
        self.attended.back_inlet(pass, (input, d_inlet), delta, gradients);

        let Some(d_input) = d_input else { return };
        let [own, memory] = self.lens;
        let from = delta.chunks_exact(own).zip(d_memory.chunks_exact(memory));
        for (row, (delta, d_memory)) in d_input.chunks_exact_mut(own + memory).zip(from) {
            row[..own].copy_from_slice(delta);
            row[own..].copy_from_slice(d_memory);
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
        for (norm_first, activation) in [(false, Activation::Relu), (true, Activation::Gelu)] {
            let layer = TransformerDecoder { norm_first, activation, ..TransformerDecoder::new(2, 7) };
            contract::check_join(&LayerSpec::TransformerDecoder(layer.clone()), &[vec![4, 6], vec![5, 3]]);
            contract::check_masked_memory(&LayerSpec::TransformerDecoder(layer), &[vec![3, 4], vec![6, 4]]);
        }
    }

    #[test]
    fn what_cannot_be_is_said() {
        let layer = || LayerSpec::TransformerDecoder(TransformerDecoder::new(4, 7));
        let check = |inputs: [&[usize]; 2], wanted: &str| {
            contract::check_join_error(layer(), &inputs.map(<[usize]>::to_vec), wanted);
        };
        check([&[9, 8], &[9]], "takes a sequence [steps, features]");
        check([&[8], &[9, 8]], "takes a sequence [steps, features]");
        check([&[9, 6], &[9, 8]], "num_heads must divide the 6 features of a step, it is 4");
    }
}
