//! The convolution of images and series: straight from the image where the kernel stays in cache, and otherwise as a matrix
//! product over columns of image patches, which the way back takes always.

use std::ops::Range;

use super::window::Window;
use crate::Activation;
use crate::activation::{self, Saved};
use crate::kernels::columns;
use crate::kernels::direct::Direct;
use crate::kernels::pooling::{self, Halving};
use crate::kernels::product::{Matrix, Write, multiply};
use crate::kernels::rows;
use crate::kernels::tiles::Filters;
use crate::memory::Hidden;
use crate::op::{Op, Pass, Place, Purpose, Tape};

/// What a layer that convolves has settled: `activation(input ∗ kernel + bias)`. Its weights are a kernel of
/// window by filters, and perhaps a bias.
pub(super) struct Convolution {
    pub(super) window: Window,
    pub(super) filters: usize,
    pub(super) activation: Option<Activation>,
}

impl Convolution {
    /// What the operation keeps: columns, sums before pooling and values before the activation.
    pub(super) fn hidden(&self, purpose: Purpose) -> Hidden {
        let (positions, training) = (self.window.positions(), purpose == Purpose::Training);
        let in_columns = training || !Direct::fit(&self.window, self.filters);
        Hidden::fixed(&[positions, self.window.taps()])
            .when(in_columns)
            .and(Hidden::fixed(&[positions, self.filters]))
            .and(Hidden::fixed(&[BLOCK_VALUES]))
            .and(Direct::hidden(&self.window, self.filters))
            .and(Hidden::per_row(&[positions, self.filters]).when(training))
    }
}

/// What a block of images needs, columns first of all, stays below this many values, so that it stays in a core's
/// second-level cache (here 512 KiB).
pub(super) const BLOCK_VALUES: usize = 131_072;

pub(super) struct ConvolutionOp {
    window: Window,
    filters: usize,
    kernel: Range<usize>,
    bias: Option<Range<usize>>,
    activation: Option<Activation>,
    /// Computes the 2×2 max pooling that follows, too.
    pool: Option<Halving>,
    /// A 1×1 convolution: the image is its own column matrix.
    own_columns: bool,
    /// The way forward without columns, where that is faster.
    direct: Option<Direct>,
    /// Images per block.
    block: usize,
    columns: Vec<f32>,
    products: Vec<f32>,
    winners: Vec<u8>,
    before: Saved,
}

impl ConvolutionOp {
    pub(super) fn new(convolution: Convolution, place: &Place<'_>) -> Self {
        let Convolution { mut window, filters, activation } = convolution;
        if place.pooled {
            // Pooling leaves an odd last row or column out, so nobody needs to compute it.
            window.rows.output -= window.rows.output % 2;
            window.columns.output -= window.columns.output % 2;
        }
        let products = window.positions() * filters;
        let pool = place.pooled.then_some(Halving {
            height: window.rows.output,
            width: window.columns.output,
            channels: filters,
        });
        let output = pool.map_or(products, |pool| pool.output_len());
        let own_columns =
            window.taps() == window.channels && window.positions() * window.channels == window.input_len();
        let training = place.purpose == Purpose::Training;
        let direct = Direct::new(&window, filters);
        let column_len = if own_columns || (direct.is_some() && !training) {
            0
        } else {
            window.positions() * window.taps()
        };
        let image_len = column_len + if pool.is_some() { products } else { 0 };
        let block = (BLOCK_VALUES / image_len.max(1)).clamp(1, place.rows_max);
        Self {
            filters,
            kernel: place.weights[0].clone(),
            bias: place.weights.get(1).cloned(),
            activation,
            own_columns,
            direct,
            block,
            columns: vec![0.0; block * column_len],
            products: vec![0.0; if pool.is_some() { block * products } else { 0 }],
            winners: vec![0; if pool.is_some() && training { place.rows_max * output } else { 0 }],
            before: Saved::new(activation, place, output),
            pool,
            window,
        }
    }

    fn positions(&self) -> usize {
        self.window.positions()
    }

    /// Values of one output image.
    fn output_len(&self) -> usize {
        self.pool.map_or(self.positions() * self.filters, |pool| pool.output_len())
    }

    fn forward_block(&mut self, pass: &Pass<'_>, images: &[f32], output: &mut [f32], first: usize) {
        let part = first * self.output_len()..first * self.output_len() + output.len();
        let bias = self.bias.clone().map(|bias| &pass.parameters[bias]);
        let activation = self.activation;
        if let (Some(direct), true) = (&mut self.direct, self.winners.is_empty()) {
            // Nobody needs to know which values won, so it all happens in registers.
            let relu = activation == Some(Activation::Relu);
            let kernel = &pass.parameters[self.kernel.clone()];
            direct.run(images, Filters { kernel, bias, pool: self.pool.is_some(), relu }, output);
            let rest = activation.filter(|_| !relu);
            return rows::bias_activate(output, None, self.filters, rest, self.before.part_mut(part));
        }
        let Some(pool) = self.pool else {
            self.convolve(pass, images, output);
            return rows::bias_activate(output, bias, self.filters, activation, self.before.part_mut(part));
        };
        let mut products = std::mem::take(&mut self.products);
        let values = images.len() / self.window.input_len() * self.positions() * self.filters;
        self.convolve(pass, images, &mut products[..values]);
        let winners = if self.winners.is_empty() { None } else { Some(&mut self.winners[part]) };
        pooling::halve(&pool, &products[..values], bias, output, winners);
        self.products = products;
        if let Some(activation) = activation {
            activation::apply(activation, output, self.filters);
        }
    }

    /// The sums of products of some images, without bias.
    fn convolve(&mut self, pass: &Pass<'_>, images: &[f32], sums: &mut [f32]) {
        let kernel = &pass.parameters[self.kernel.clone()];
        if let Some(direct) = &mut self.direct {
            return direct.run(images, Filters { kernel, bias: None, pool: false, relu: false }, sums);
        }
        let kernel = Matrix::new(kernel, self.window.taps(), self.filters);
        let patches = patches(&self.window, self.own_columns, &mut self.columns, images);
        multiply(sums, Write::Replace, patches, kernel, pass.parallelism);
    }

    fn backward_block(&mut self, pass: &Pass<'_>, block: Block<'_>, gradients: &mut [f32]) {
        let Block { first, images, d_output, d_images } = block;
        let (filters, taps) = (self.filters, self.window.taps());
        let rows = images.len() / self.window.input_len() * self.positions();
        let part = first * self.output_len()..first * self.output_len() + d_output.len();
        let delta = match self.pool {
            None => d_output,
            Some(pool) => {
                let products = &mut self.products[..rows * filters];
                pooling::halve_back(&pool, d_output, &self.winners[part], products);
                products
            }
        };
        let delta = Matrix::new(delta, rows, filters);
        let write = if first == 0 { Write::Replace } else { Write::Add };
        let patches = patches(&self.window, self.own_columns, &mut self.columns, images);
        multiply(&mut gradients[self.kernel.clone()], write, patches.transposed(), delta, pass.parallelism);
        let Some(d_images) = d_images else { return };
        let kernel = Matrix::new(&pass.parameters[self.kernel.clone()], taps, filters).transposed();
        if self.own_columns {
            return multiply(d_images, Write::Replace, delta, kernel, pass.parallelism);
        }
        let d_columns = &mut self.columns[..rows * taps];
        multiply(d_columns, Write::Replace, delta, kernel, pass.parallelism);
        columns::scatter(&self.window, d_columns, d_images);
    }
}

/// The patches of a block of images as a matrix, one row for each output position.
fn patches<'a>(window: &Window, own_columns: bool, columns: &'a mut [f32], images: &'a [f32]) -> Matrix<'a> {
    let rows = images.len() / window.input_len() * window.positions();
    if own_columns {
        return Matrix::new(images, rows, window.taps());
    }
    let columns = &mut columns[..rows * window.taps()];
    columns::gather(window, images, columns);
    Matrix::new(columns, rows, window.taps())
}

/// A few images on their way back.
struct Block<'a> {
    /// The first image's row.
    first: usize,
    images: &'a [f32],
    d_output: &'a [f32],
    d_images: Option<&'a mut [f32]>,
}

impl Op for ConvolutionOp {
    fn forward(&mut self, pass: &Pass<'_>, input: &[f32], output: &mut [f32]) {
        let inputs = input.chunks(self.block * self.window.input_len());
        let outputs = output.chunks_mut(self.block * self.output_len());
        for (at, (images, output)) in inputs.zip(outputs).enumerate() {
            self.forward_block(pass, images, output, at * self.block);
        }
    }

    fn backward(&mut self, pass: &Pass<'_>, tape: Tape<'_>) {
        let Tape { input, output, d_output, mut d_input, gradients } = tape;
        if let Some(activation) = self.activation {
            activation::back(activation, output, self.before.part(0..output.len()), d_output, self.filters);
        }
        if let Some(bias) = self.bias.clone() {
            rows::sum_rows(d_output, &mut gradients[bias], Write::Replace);
        }
        let (block, input_len, output_len) = (self.block, self.window.input_len(), self.output_len());
        for first in (0..pass.rows).step_by(block) {
            let end = (first + block).min(pass.rows);
            let block = Block {
                first,
                images: &input[first * input_len..end * input_len],
                d_output: &d_output[first * output_len..end * output_len],
                d_images: d_input
                    .as_deref_mut()
                    .map(|d_input| &mut d_input[first * input_len..end * input_len]),
            };
            self.backward_block(pass, block, gradients);
        }
    }
}
