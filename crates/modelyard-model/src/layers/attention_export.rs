//! Attention, and what stands around it in a Transformer's block, as ONNX nodes.

use super::MultiHeadAttention;
use super::attention::Reach;
use super::residual::ResidualConfig;
use crate::Activation;
use crate::export::{Export, ExportedLayer};
use crate::kernels::attention::PADDING_SCORE;
use crate::onnx::proto::AttributeProto;

/// Lower than any score, padding's too: what causality hides.
const HIDDEN_SCORE: f32 = -1e30;

/// Writes a layer's arrays in the order of its parameters, as the parts of a block need them.
pub(crate) struct Writer<'a, 'n> {
    graph: &'a mut Export<'n>,
    layer: &'a ExportedLayer<'a>,
    next: usize,
}

impl<'a, 'n> Writer<'a, 'n> {
    pub(crate) fn new(graph: &'a mut Export<'n>, layer: &'a ExportedLayer<'a>) -> Self {
        Self { graph, layer, next: 0 }
    }

    /// Attention from the input to itself, or to a memory; gives what comes out.
    pub(crate) fn attention(
        &mut self,
        config: &MultiHeadAttention,
        reach: Reach,
        [input, memory]: [&str; 2],
        mask: Option<&str>,
    ) -> String {
        let width = config.num_heads * config.key_dim;
        let steps = reach.input[0];
        let keys = reach.memory.map_or(steps, |[steps, _]| steps);
        let [query, key, value] = if reach.memory.is_some() {
            let query = self.linear(input, config.use_bias);
            let key_value = self.linear(memory, config.use_bias);
            let [key, value] = self.split(&key_value, width);
            [query, key, value]
        } else {
            let all = self.linear(input, config.use_bias);
            self.split(&all, width)
        };
        let query = self.heads(&query, [steps, config.num_heads, config.key_dim], &[0, 2, 1, 3]);
        let key = self.heads(&key, [keys, config.num_heads, config.key_dim], &[0, 2, 3, 1]);
        let value = self.heads(&value, [keys, config.num_heads, config.key_dim], &[0, 2, 1, 3]);
        let mut scores = self.graph.node("MatMul", &[&query, &key], vec![]);
        let scale = self.constant(&scores, "scale", &[], &[1.0 / (config.key_dim as f32).sqrt()]);
        scores = self.graph.node("Mul", &[&scores, &scale], vec![]);
        if let Some(mask) = mask {
            scores = self.hide_padding(&scores, mask, keys);
        }
        if config.causal {
            scores = self.hide_future(&scores, [steps, keys]);
        }
        let shares = self.graph.node("Softmax", &[&scores], vec![AttributeProto::int("axis", -1)]);
        let context = self.graph.node("MatMul", &[&shares, &value], vec![]);
        let context = self.transpose(&context, &[0, 2, 1, 3]);
        let context = self.reshape(&context, &[0, steps, width]);
        self.linear(&context, config.use_bias)
    }

    /// `activation(input · kernel + bias) · kernel + bias`.
    pub(crate) fn feed_forward(&mut self, input: &str, activation: Activation) -> String {
        let hidden = self.linear(input, true);
        self.graph.set_last(hidden);
        self.graph.activation(Some(activation));
        let hidden = self.graph.last();
        self.linear(&hidden, true)
    }

    /// The next projection, of the last axis.
    fn linear(&mut self, input: &str, use_bias: bool) -> String {
        let kernel = self.weights();
        let product = self.graph.node("MatMul", &[input, &kernel], vec![]);
        if !use_bias {
            return product;
        }
        let bias = self.weights();
        self.graph.node("Add", &[&product, &bias], vec![])
    }

    /// The next layer normalisation.
    pub(crate) fn norm(&mut self, input: &str, epsilon: f32) -> String {
        let (gamma, beta) = (self.weights(), self.weights());
        self.graph.set_last(input.to_owned());
        self.graph.layer_normalization(&gamma, &beta, epsilon);
        self.graph.last()
    }

    /// A branch with a way past it. The norm's arrays stand behind the branch's.
    pub(crate) fn residual(
        &mut self,
        config: ResidualConfig,
        input: &str,
        branch_arrays: usize,
        branch: impl FnOnce(&mut Self, &str) -> String,
    ) -> String {
        let start = self.next;
        if !config.norm_first {
            let branch = branch(self, input);
            let sum = self.graph.node("Add", &[input, &branch], vec![]);
            return self.norm(&sum, config.epsilon);
        }
        self.next = start + branch_arrays;
        let normed = self.norm(input, config.epsilon);
        let behind = std::mem::replace(&mut self.next, start);
        let branch = branch(self, &normed);
        self.next = behind;
        self.graph.node("Add", &[input, &branch], vec![])
    }

    /// Puts a score far below all others where a key is padding; `mask` is [batch, keys].
    fn hide_padding(&mut self, scores: &str, mask: &str, keys: usize) -> String {
        let zero = self.constant(scores, "zero", &[], &[0.0]);
        let padding = self.constant(scores, "padding", &[], &[PADDING_SCORE]);
        let mask = self.reshape(mask, &[0, 1, 1, keys]);
        let is_padding = self.graph.node("Equal", &[&mask, &zero], vec![]);
        self.graph.node("Where", &[&is_padding, &padding, scores], vec![])
    }

    /// Puts a score below any other where a key's step is later than the query's.
    fn hide_future(&mut self, scores: &str, [queries, keys]: [usize; 2]) -> String {
        let numbers = |count: usize| (0..count).map(|at| at as f32).collect::<Vec<f32>>();
        let query = self.constant(scores, "query", &[queries, 1], &numbers(queries));
        let key = self.constant(scores, "key", &[1, keys], &numbers(keys));
        let hidden = self.constant(scores, "hidden", &[], &[HIDDEN_SCORE]);
        let is_later = self.graph.node("Greater", &[&key, &query], vec![]);
        self.graph.node("Where", &[&is_later, &hidden, scores], vec![])
    }

    /// Steps of heads side by side as heads of steps.
    fn heads(&mut self, value: &str, [steps, heads, key_dim]: [usize; 3], order: &[i64]) -> String {
        let value = self.reshape(value, &[0, steps, heads, key_dim]);
        self.transpose(&value, order)
    }

    fn split<const N: usize>(&mut self, value: &str, width: usize) -> [String; N] {
        let lengths = self.integers(value, "split", &[width; N]);
        let names: [String; N] = std::array::from_fn(|part| format!("{value}_{part}"));
        let outputs: Vec<&str> = names.iter().map(String::as_str).collect();
        let axis = vec![AttributeProto::int("axis", -1)];
        self.graph.node_to("Split", &[value, &lengths], &outputs, axis);
        names
    }

    /// Brings a value to this shape; 0 keeps the batch's dimension.
    fn reshape(&mut self, value: &str, shape: &[usize]) -> String {
        let shape = self.integers(value, "shape", shape);
        self.graph.node("Reshape", &[value, &shape], vec![])
    }

    fn transpose(&mut self, value: &str, order: &[i64]) -> String {
        self.graph.node("Transpose", &[value], vec![AttributeProto::ints("perm", order)])
    }

    fn weights(&mut self) -> String {
        self.next += 1;
        self.graph.weights(self.layer, self.next - 1)
    }

    fn constant(&mut self, value: &str, what: &str, shape: &[usize], values: &[f32]) -> String {
        self.graph.constant_f32(&format!("{value}_{what}"), shape, values)
    }

    fn integers(&mut self, value: &str, what: &str, values: &[usize]) -> String {
        let values: Vec<i64> = values.iter().map(|&n| n as i64).collect();
        self.graph.constant_i64(&format!("{value}_{what}"), &values)
    }
}
