//! Attention with its projections: the body of self-attention and of the Transformer's blocks.
//!
//! Queries, keys and values of all heads come out of one product for each input, a step's heads side by side;
//! a head is then a view with a stride, and nothing is transposed or copied.

use std::ops::Range;

use super::dropout::Drop;
use super::linear::{Linear, Then};
use super::{MultiHeadAttention, Parameter};
use crate::initializer::{Fans, Initializer};
use crate::kernels::attention::Softmax;
use crate::kernels::product::{Matrix, MatrixMut, Write};
use crate::kernels::small::{self, COLUMNS_MULTIPLE};
use crate::memory::{Hidden, product};
use crate::op::{Pass, Place, Purpose};

/// What attention reads.
#[derive(Clone, Copy)]
pub(crate) struct Sources<'a> {
    /// Where queries come from, [positions, features]; keys and values, too, without a memory.
    pub(crate) input: &'a [f32],
    /// Where keys and values come from in cross-attention.
    pub(crate) memory: Option<&'a [f32]>,
    /// 0 where a step of the keys is padding.
    pub(crate) mask: Option<&'a [f32]>,
}

/// What the backward pass reads and overwrites.
pub(crate) struct Deltas<'a> {
    /// The derivative by the output.
    pub(crate) output: &'a [f32],
    pub(crate) input: Option<&'a mut [f32]>,
    pub(crate) memory: Option<&'a mut [f32]>,
    /// The derivatives by all trained weights.
    pub(crate) gradients: &'a mut [f32],
}

/// The sizes of what attention reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach {
    /// Steps and features of the input.
    pub(crate) input: [usize; 2],
    /// Steps and features of the memory, in cross-attention.
    pub(crate) memory: Option<[usize; 2]>,
}

/// The names of a projection's kernel and bias.
type Names = [&'static str; 2];

/// Names for the arrays of self-attention: queries, keys and values in one, then the output.
pub(crate) const SELF_NAMES: [Names; 2] = [["qkv_kernel", "qkv_bias"], ["output_kernel", "output_bias"]];
/// Names for the arrays of cross-attention: queries, keys with values, then the output.
pub(crate) const CROSS_NAMES: [Names; 3] = [
    ["cross_query_kernel", "cross_query_bias"],
    ["cross_key_value_kernel", "cross_key_value_bias"],
    ["cross_output_kernel", "cross_output_bias"],
];

/// The arrays of weights, in the order in which [`Attention::take`] takes their places. A projection's fans are
/// those of queries, keys or values alone.
pub(crate) fn parameters(config: &MultiHeadAttention, reach: Reach) -> Vec<Parameter> {
    let width = config.num_heads * config.key_dim;
    let [_, features] = reach.input;
    let projection = |[kernel, bias]: Names, [inputs, outputs]: [usize; 2], parts: usize| {
        let fans = Fans { inputs, outputs };
        let shape = vec![inputs, parts * outputs];
        let kernel = Parameter::trained(kernel, shape, Initializer::GlorotUniform, fans);
        let bias = Parameter::trained(bias, vec![parts * outputs], Initializer::Zeros, fans);
        std::iter::once(kernel).chain(config.use_bias.then_some(bias))
    };
    match reach.memory {
        None => {
            let [qkv, output] = SELF_NAMES;
            let all = projection(qkv, [features, width], 3).chain(projection(output, [width, features], 1));
            all.collect()
        }
        Some([_, memory]) => {
            let [query, key_value, output] = CROSS_NAMES;
            projection(query, [features, width], 1)
                .chain(projection(key_value, [memory, width], 2))
                .chain(projection(output, [width, features], 1))
                .collect()
        }
    }
}

/// What [`Attention`] keeps: projections, shares, what the heads give, and on the way back the derivatives by all of
/// them.
pub(crate) fn hidden(config: &MultiHeadAttention, reach: Reach, purpose: Purpose) -> Hidden {
    let ([queries, _], width) = (reach.input, product(&[config.num_heads, config.key_dim]));
    let keys = reach.memory.map_or(queries, |[steps, _]| steps);
    let stride = keys.saturating_add(COLUMNS_MULTIPLE);
    let training = purpose == Purpose::Training;
    let projected = Hidden::per_row(&[queries.max(keys), 4, width]);
    let each_head = Hidden::per_row(&[config.num_heads, queries, stride]);
    projected
        .and(projected.and(each_head).when(training))
        .and(Hidden::fixed(&[if training { 3 } else { 1 }, queries, stride]))
        .and(Hidden::fixed(&[config.key_dim, stride]))
}

/// Attention with its buffers.
pub(crate) struct Attention {
    sizes: Sizes,
    causal: bool,
    /// Steps that come one at a time, at most; 0 where sequences come whole.
    steps_kept: usize,
    /// Queries, or queries, keys and values.
    query: Linear,
    /// Keys and values of cross-attention.
    memory: Option<Linear>,
    output: Linear,
    drop: Option<Drop>,
    projected: Projected,
    /// Each query's share of each key; in training for every row and head, otherwise for one.
    shares: Vec<f32>,
    keeps_shares: bool,
    /// One head's keys or values with a step in each column.
    turned: Vec<f32>,
    /// The shares of one head after dropout.
    dropped: Vec<f32>,
    /// What each head gives, heads side by side.
    context: Vec<f32>,
    d_projected: Projected,
    d_context: Vec<f32>,
    d_shares: Vec<f32>,
}

#[derive(Clone, Copy, Debug)]
struct Sizes {
    heads: usize,
    key_dim: usize,
    queries: usize,
    keys: usize,
}

/// Queries, keys and values of all rows and heads, or the derivatives by them.
struct Projected {
    /// Queries, or queries, keys and values of each step.
    queries: Vec<f32>,
    /// Keys and values of each step of a memory; empty in self-attention.
    memory: Vec<f32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operand {
    Query,
    Key,
    Value,
}

impl Attention {
    /// Takes the places of its weights and lays out its buffers.
    pub(crate) fn take(
        places: &mut std::slice::Iter<'_, Range<usize>>,
        config: &MultiHeadAttention,
        reach: Reach,
        place: &Place<'_>,
    ) -> Self {
        let [queries, features] = reach.input;
        let keys = reach.memory.map_or(queries, |[steps, _]| steps);
        let sizes = Sizes { heads: config.num_heads, key_dim: config.key_dim, queries, keys };
        let (width, use_bias) = (sizes.width(), config.use_bias);
        let own = if reach.memory.is_some() { width } else { 3 * width };
        let query = Linear::take(places, [features, own], use_bias);
        let memory = reach.memory.map(|[_, inputs]| Linear::take(places, [inputs, 2 * width], use_bias));
        let output = Linear::take(places, [width, features], use_bias);
        let steps_kept = place.steps_kept;
        let rows = place.rows_max;
        let trains = place.purpose == Purpose::Training;
        let which = if memory.is_some() { 2 } else { 1 };
        let drop = Drop::new(config.dropout, sizes.heads * sizes.area(), place, which);
        let training = |len: usize| vec![0.0; if trains { len } else { 0 }];
        let projected = || Projected {
            queries: vec![0.0; rows * queries.max(steps_kept) * own],
            memory: vec![0.0; if memory.is_some() { rows * keys * 2 * width } else { 0 }],
        };
        Self {
            causal: config.causal,
            steps_kept,
            shares: vec![0.0; (if trains { rows * sizes.heads } else { 1 } * sizes.area()).max(steps_kept)],
            keeps_shares: trains,
            turned: vec![0.0; sizes.key_dim * sizes.stride()],
            dropped: vec![0.0; if drop.is_some() { sizes.area() } else { 0 }],
            context: vec![0.0; rows * queries * width],
            d_projected: if trains { projected() } else { Projected { queries: vec![], memory: vec![] } },
            projected: projected(),
            d_context: training(rows * queries * width),
            d_shares: training(sizes.area()),
            drop,
            sizes,
            query,
            memory,
            output,
        }
    }

    /// Computes the output, [positions, features] like the input.
    pub(crate) fn forward(&mut self, pass: &Pass<'_>, sources: Sources<'_>, output: &mut [f32]) {
        if self.steps_kept > 0 {
            return self.step(pass, sources.input, output);
        }
        let positions = pass.rows * self.sizes.queries;
        let projected = &mut self.projected.queries[..positions * self.query.units];
        self.query.forward(pass, sources.input, projected, Then::default());
        if let (Some(linear), Some(memory)) = (&self.memory, sources.memory) {
            let len = pass.rows * self.sizes.keys * linear.units;
            linear.forward(pass, memory, &mut self.projected.memory[..len], Then::default());
        }
        for row in 0..pass.rows {
            for head in 0..self.sizes.heads {
                self.forward_head(pass, sources.mask, (row, head));
            }
        }
        let context = &self.context[..positions * self.sizes.width()];
        self.output.forward(pass, context, output, Then::default());
    }

    /// Causal self-attention of one step of one row to itself and to those before it, whose keys and values are kept.
    fn step(&mut self, pass: &Pass<'_>, input: &[f32], output: &mut [f32]) {
        let Sizes { key_dim, heads, .. } = self.sizes;
        let (width, units, seen) = (self.sizes.width(), self.query.units, pass.first_step + 1);
        let own = &mut self.projected.queries[pass.first_step * units..seen * units];
        self.query.forward(pass, input, own, Then::default());
        let scale = 1.0 / (key_dim as f32).sqrt();
        let softmax = Softmax { keys: seen, stride: seen, scale, causal: false, mask: None };
        let steps = &self.projected.queries[..seen * units];
        for head in 0..heads {
            // Queries, keys and values of all heads lie side by side in each step.
            let [query, key, value] = [0, 1, 2].map(|operand| {
                let start = operand * width + head * key_dim;
                start..start + key_dim
            });
            let query = &steps[pass.first_step * units..][query];
            let shares = &mut self.shares[..seen];
            for (share, step) in shares.iter_mut().zip(steps.chunks_exact(units)) {
                *share = query.iter().zip(&step[key.clone()]).map(|(query, key)| query * key).sum();
            }
            softmax.forward(shares);
            let context = &mut self.context[head * key_dim..(head + 1) * key_dim];
            context.fill(0.0);
            for (share, step) in shares.iter().zip(steps.chunks_exact(units)) {
                context.iter_mut().zip(&step[value.clone()]).for_each(|(sum, value)| *sum += share * value);
            }
        }
        self.output.forward(pass, &self.context[..width], output, Then::default());
    }

    /// Computes all derivatives; follows a `forward` with the same sources.
    pub(crate) fn backward(&mut self, pass: &Pass<'_>, sources: Sources<'_>, deltas: Deltas<'_>) {
        let Deltas { output: d_output, gradients, .. } = deltas;
        let positions = pass.rows * self.sizes.queries;
        let context = ..positions * self.sizes.width();
        self.output.gradients(pass, &self.context[context], d_output, gradients);
        self.output.back(pass, d_output, &mut self.d_context[context], Write::Replace);
        for row in 0..pass.rows {
            for head in 0..self.sizes.heads {
                self.backward_head(pass, sources.mask, (row, head));
            }
        }
        let d_projected = &self.d_projected.queries[..positions * self.query.units];
        self.query.gradients(pass, sources.input, d_projected, gradients);
        if let Some(delta) = deltas.input {
            self.query.back(pass, d_projected, delta, Write::Replace);
        }
        let (Some(linear), Some(memory)) = (&self.memory, sources.memory) else { return };
        let d_projected = &self.d_projected.memory[..pass.rows * self.sizes.keys * linear.units];
        linear.gradients(pass, memory, d_projected, gradients);
        if let Some(delta) = deltas.memory {
            linear.back(pass, d_projected, delta, Write::Replace);
        }
    }

    fn forward_head(&mut self, pass: &Pass<'_>, mask: Option<&[f32]>, (row, head): (usize, usize)) {
        let sizes = self.sizes;
        let operand = |operand| self.projected.view(sizes, operand, (row, head));
        let softmax = self.softmax(mask.map(|mask| &mask[row * sizes.keys..][..sizes.keys]));
        let shares = &mut self.shares[shares_at(self.keeps_shares, sizes, (row, head))];
        small::transpose(operand(Operand::Key), &mut self.turned, sizes.stride());
        small::multiply(sizes.scores_mut(shares), operand(Operand::Query), sizes.turned(&self.turned));
        softmax.forward(shares);
        let shares = match &self.drop {
            None => &*shares,
            Some(drop) => {
                self.dropped.copy_from_slice(shares);
                drop.apply(pass, (row, head * sizes.area()), &mut self.dropped);
                &self.dropped
            }
        };
        let start = sizes.context_at((row, head));
        let context =
            MatrixMut::strided(&mut self.context[start..], sizes.queries, sizes.key_dim, sizes.width());
        small::multiply(context, sizes.scores(shares), operand(Operand::Value));
    }

    fn backward_head(&mut self, pass: &Pass<'_>, mask: Option<&[f32]>, (row, head): (usize, usize)) {
        let sizes = self.sizes;
        let operand = |operand| self.projected.view(sizes, operand, (row, head));
        let softmax = self.softmax(mask.map(|mask| &mask[row * sizes.keys..][..sizes.keys]));
        let d_context = &self.d_context[sizes.context_at((row, head))..];
        let d_context = Matrix::strided(d_context, sizes.queries, sizes.key_dim, sizes.width());
        let d_shares = &mut self.d_shares;
        small::transpose(operand(Operand::Value), &mut self.turned, sizes.stride());
        small::multiply(sizes.scores_mut(d_shares), d_context, sizes.turned(&self.turned));
        let shares = &self.shares[shares_at(true, sizes, (row, head))];
        let mut given = shares;
        if let Some(drop) = &self.drop {
            let place = (row, head * sizes.area());
            drop.apply(pass, place, d_shares);
            self.dropped.copy_from_slice(shares);
            drop.apply(pass, place, &mut self.dropped);
            given = &self.dropped;
        }
        let d_projected = &mut self.d_projected;
        let d_value = d_projected.view_mut(sizes, Operand::Value, (row, head));
        small::multiply(d_value, sizes.scores(given).transposed(), d_context);
        softmax.backward(shares, d_shares);
        let d_query = d_projected.view_mut(sizes, Operand::Query, (row, head));
        small::multiply(d_query, sizes.scores(d_shares), operand(Operand::Key));
        let d_key = d_projected.view_mut(sizes, Operand::Key, (row, head));
        small::multiply(d_key, sizes.scores(d_shares).transposed(), operand(Operand::Query));
    }

    fn softmax<'a>(&self, mask: Option<&'a [f32]>) -> Softmax<'a> {
        let Sizes { keys, key_dim, .. } = self.sizes;
        let scale = 1.0 / (key_dim as f32).sqrt();
        Softmax { keys, stride: self.sizes.stride(), scale, causal: self.causal, mask }
    }
}

/// Where the shares of a row's head lie.
fn shares_at(keeps_all: bool, sizes: Sizes, (row, head): (usize, usize)) -> Range<usize> {
    let start = if keeps_all { (row * sizes.heads + head) * sizes.area() } else { 0 };
    start..start + sizes.area()
}

impl Sizes {
    /// Values of all heads of one step.
    fn width(self) -> usize {
        self.heads * self.key_dim
    }

    /// Values from one query's scores to the next one's: a multiple of every vector's length.
    fn stride(self) -> usize {
        self.keys.next_multiple_of(COLUMNS_MULTIPLE)
    }

    /// Scores of one head, gaps included.
    fn area(self) -> usize {
        self.queries * self.stride()
    }

    /// Where a head's context starts.
    fn context_at(self, (row, head): (usize, usize)) -> usize {
        row * self.queries * self.width() + head * self.key_dim
    }

    /// One head's scores or shares.
    fn scores(self, values: &[f32]) -> Matrix<'_> {
        Matrix::strided(values, self.queries, self.keys, self.stride())
    }

    /// One head's scores to be computed, gaps included.
    fn scores_mut(self, values: &mut [f32]) -> MatrixMut<'_> {
        MatrixMut::strided(values, self.queries, self.stride(), self.stride())
    }

    /// Keys or values with a step in each column, gaps included.
    fn turned(self, values: &[f32]) -> Matrix<'_> {
        Matrix::new(values, self.key_dim, self.stride())
    }
}

impl Projected {
    /// Steps of the operand, values from one step to the next, and where the head starts.
    fn place(&self, sizes: Sizes, operand: Operand, (row, head): (usize, usize)) -> [usize; 3] {
        let width = sizes.width();
        let (steps, parts, part) = match (operand, self.memory.is_empty()) {
            (Operand::Query, true) => (sizes.queries, 3, 0),
            (Operand::Query, false) => (sizes.queries, 1, 0),
            (Operand::Key, true) => (sizes.keys, 3, 1),
            (Operand::Key, false) => (sizes.keys, 2, 0),
            (Operand::Value, true) => (sizes.keys, 3, 2),
            (Operand::Value, false) => (sizes.keys, 2, 1),
        };
        let stride = parts * width;
        [steps, stride, row * steps * stride + part * width + head * sizes.key_dim]
    }

    fn is_in_memory(&self, operand: Operand) -> bool {
        operand != Operand::Query && !self.memory.is_empty()
    }

    fn view(&self, sizes: Sizes, operand: Operand, at: (usize, usize)) -> Matrix<'_> {
        let [steps, stride, start] = self.place(sizes, operand, at);
        let values = if self.is_in_memory(operand) { &self.memory } else { &self.queries };
        Matrix::strided(&values[start..], steps, sizes.key_dim, stride)
    }

    fn view_mut(&mut self, sizes: Sizes, operand: Operand, at: (usize, usize)) -> MatrixMut<'_> {
        let [steps, stride, start] = self.place(sizes, operand, at);
        let values = if self.is_in_memory(operand) { &mut self.memory } else { &mut self.queries };
        MatrixMut::strided(&mut values[start..], steps, sizes.key_dim, stride)
    }
}
