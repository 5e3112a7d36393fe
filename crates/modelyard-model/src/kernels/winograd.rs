//! Convolution by a 3×3 window with fewer products: Winograd's F(2×2, 3×3).
//!
//! A tile of 2×2 outputs sees 4×4 inputs. Transformed, its sums are 16 products for each channel and filter
//! where the definition takes 36, and the products at one of the 16 places are a matrix product over tiles.
//! Sums round by a few units in the last place of the tile's largest values, and what is not finite spreads over
//! its tile.
//! Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015 (arXiv:1509.09308).

use pulp::{Arch, Simd, WithSimd};

use super::tiles::{Filters, larger, relu, whole};
use crate::layers::window::{Axis, Window};

/// Places of a transformed tile: 4×4.
const PLACES: usize = 16;
/// Tiles that are transformed and multiplied together: their values stay in the first-level cache.
const GROUP: usize = 8;
/// Channels and filters come in multiples of this: the width of the widest vectors.
const MULTIPLE: usize = 16;
/// Transforming the weights pays from this many tiles on.
const TILES_MIN: usize = 48;

/// A convolution by transformed tiles, with a place for each step.
pub(crate) struct Winograd {
    arch: Arch,
    window: Window,
    filters: usize,
    /// Tiles from top to bottom and from left to right; the last ones may hang over the output's edge.
    tiles: [usize; 2],
    /// One image with zeros around it: two lines for each row of tiles, and two more.
    padded: Vec<f32>,
    /// [16, channels, filters]
    weights: Vec<f32>,
    /// [16, group, channels]
    inputs: Vec<f32>,
    /// [16, group, filters]
    products: Vec<f32>,
}

impl Winograd {
    /// The transformed convolution, where there is one.
    pub(crate) fn new(window: &Window, filters: usize) -> Option<Self> {
        if !Self::fit(window, filters) {
            return None;
        }
        let (channels, tiles) =
            (window.channels, [window.rows, window.columns].map(|a| a.output.div_ceil(2)));
        Some(Self {
            arch: Arch::new(),
            window: *window,
            filters,
            tiles,
            padded: vec![0.0; (2 * tiles[0] + 2) * (2 * tiles[1] + 2) * channels],
            weights: vec![0.0; PLACES * channels * filters],
            inputs: vec![0.0; PLACES * GROUP * channels],
            products: vec![0.0; PLACES * GROUP * filters],
        })
    }

    /// Whether the window has this transform, and all values come in whole vectors.
    pub(crate) fn fit(window: &Window, filters: usize) -> bool {
        let plain = |axis: Axis| axis.size == 3 && axis.stride == 1 && axis.dilation == 1;
        plain(window.rows)
            && plain(window.columns)
            && window.channels.is_multiple_of(MULTIPLE)
            && filters.is_multiple_of(MULTIPLE)
    }

    /// The values that it keeps: those of one image, and those of the weights.
    pub(crate) fn hidden(window: &Window, filters: usize) -> [usize; 2] {
        let padded = (window.rows.output + 3)
            .saturating_mul(window.columns.output + 3)
            .saturating_mul(window.channels);
        let channels = window.channels;
        let weights = PLACES.saturating_mul(channels.saturating_mul(filters));
        let group = (PLACES * GROUP).saturating_mul(channels.saturating_add(filters));
        [padded, weights.saturating_add(group)]
    }

    /// Whether these images are worth transforming the weights.
    pub(crate) fn pays_for(&self, images: &[f32]) -> bool {
        images.len() / self.window.input_len() * self.tiles[0] * self.tiles[1] >= TILES_MIN
    }

    /// Convolves images one by one.
    pub(crate) fn run(&mut self, images: &[f32], filters: Filters<'_>, outputs: &mut [f32]) {
        let Self { arch, window, tiles, padded, weights, inputs, products, .. } = self;
        let (channels, count) = (window.channels, self.filters);
        arch.dispatch(Weights { kernel: filters.kernel, channels, filters: count, weights });
        let output = [window.rows.output, window.columns.output];
        let output_len = output[0] * output[1] * count / if filters.pool { 4 } else { 1 };
        for (image, to) in images.chunks_exact(window.input_len()).zip(outputs.chunks_exact_mut(output_len)) {
            pad(window, *tiles, image, padded);
            arch.dispatch(Image {
                shape: Shape { tiles: *tiles, output, channels, filters: count },
                padded,
                weights,
                inputs,
                products,
                filters,
                to,
            });
        }
    }
}

/// Copies what windows see of the image between the zeros around it.
fn pad(window: &Window, tiles: [usize; 2], image: &[f32], padded: &mut [f32]) {
    let (rows, columns, channels) = (window.rows, window.columns, window.channels);
    let row_len = (2 * tiles[1] + 2) * channels;
    let line = columns.input.min(2 * tiles[1] + 2 - columns.before) * channels;
    let lines = padded.chunks_exact_mut(row_len).skip(rows.before);
    for (to, from) in lines.zip(image.chunks_exact(columns.input * channels)) {
        to[columns.before * channels..][..line].copy_from_slice(&from[..line]);
    }
}

/// The weights on their way to the 16 places: `G g Gᵀ`.
struct Weights<'a> {
    kernel: &'a [f32],
    channels: usize,
    filters: usize,
    weights: &'a mut [f32],
}

impl WithSimd for Weights<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let kernel = whole::<S>(self.kernel);
        let (weights, _) = S::as_mut_simd_f32s(self.weights);
        let matrix = self.channels * self.filters / S::F32_LANES;
        let half = simd.splat_f32s(0.5);
        for at in 0..matrix {
            let mut rows = [[simd.splat_f32s(0.0); 3]; 4];
            for x in 0..3 {
                let (a, b, c) =
                    (kernel[x * matrix + at], kernel[(3 + x) * matrix + at], kernel[(6 + x) * matrix + at]);
                let column = spread(simd, half, [a, b, c]);
                for y in 0..4 {
                    rows[y][x] = column[y];
                }
            }
            for y in 0..4 {
                let places = spread(simd, half, rows[y]);
                for x in 0..4 {
                    weights[(4 * y + x) * matrix + at] = places[x];
                }
            }
        }
    }
}

/// Three weights as four: `G` of the source.
#[inline(always)]
fn spread<S: Simd>(simd: S, half: S::f32s, [a, b, c]: [S::f32s; 3]) -> [S::f32s; 4] {
    let (outer, middle) = (simd.mul_f32s(half, simd.add_f32s(a, c)), simd.mul_f32s(half, b));
    [a, simd.add_f32s(outer, middle), simd.sub_f32s(outer, middle), c]
}

/// Four inputs as four differences and sums: `Bᵀ` of the source.
#[inline(always)]
fn differ<S: Simd>(simd: S, [a, b, c, d]: [S::f32s; 4]) -> [S::f32s; 4] {
    [simd.sub_f32s(a, c), simd.add_f32s(b, c), simd.sub_f32s(c, b), simd.sub_f32s(b, d)]
}

/// Four products as two outputs: `Aᵀ` of the source.
#[inline(always)]
fn gather<S: Simd>(simd: S, [a, b, c, d]: [S::f32s; 4]) -> [S::f32s; 2] {
    let (sum, difference) = (simd.add_f32s(b, c), simd.sub_f32s(b, c));
    [simd.add_f32s(a, sum), simd.sub_f32s(difference, d)]
}

#[derive(Clone, Copy, Debug)]
struct Shape {
    tiles: [usize; 2],
    /// Output positions, before pooling.
    output: [usize; 2],
    channels: usize,
    filters: usize,
}

/// One image on its way through.
struct Image<'a> {
    shape: Shape,
    padded: &'a [f32],
    weights: &'a [f32],
    inputs: &'a mut [f32],
    products: &'a mut [f32],
    filters: Filters<'a>,
    to: &'a mut [f32],
}

impl WithSimd for Image<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let vectors = Vectors {
            simd,
            shape: self.shape,
            channels: self.shape.channels / S::F32_LANES,
            filters: self.shape.filters / S::F32_LANES,
            padded: whole::<S>(self.padded),
            weights: whole::<S>(self.weights),
            bias: self.filters.bias.map(whole::<S>),
            relu: self.filters.relu,
        };
        let (products, _) = S::as_mut_simd_f32s(self.products);
        let (to, _) = S::as_mut_simd_f32s(self.to);
        let tiles = self.shape.tiles[0] * self.shape.tiles[1];
        for first in (0..tiles).step_by(GROUP) {
            let group = first..tiles.min(first + GROUP);
            vectors.transform(group.clone(), S::as_mut_simd_f32s(self.inputs).0);
            vectors.multiply(group.len(), self.inputs, products);
            if self.filters.pool {
                vectors.write_pooled(group, products, to);
            } else {
                vectors.write(group, products, to);
            }
        }
    }
}

/// One image with weights and bias as vectors.
#[derive(Clone, Copy)]
struct Vectors<'a, S: Simd> {
    simd: S,
    shape: Shape,
    /// Vectors of one position's channels, and of its filters.
    channels: usize,
    filters: usize,
    padded: &'a [S::f32s],
    weights: &'a [S::f32s],
    bias: Option<&'a [S::f32s]>,
    relu: bool,
}

// Loops count, and closures are few: what is not inlined early loses the vectors (see tiles.rs).
#[expect(clippy::needless_range_loop, reason = "as said above")]
impl<S: Simd> Vectors<'_, S> {
    /// The tile's row and column.
    #[inline(always)]
    fn place(&self, tile: usize) -> [usize; 2] {
        [tile / self.shape.tiles[1], tile % self.shape.tiles[1]]
    }

    /// Transforms the inputs of a group of tiles.
    #[inline(always)]
    fn transform(&self, group: std::ops::Range<usize>, inputs: &mut [S::f32s]) {
        let step = self.channels;
        let row_len = (2 * self.shape.tiles[1] + 2) * step;
        for (slot, tile) in group.enumerate() {
            let [y, x] = self.place(tile);
            let start = 2 * y * row_len + 2 * x * step;
            for channel in 0..step {
                let mut lines = [[self.simd.splat_f32s(0.0); 4]; 4];
                for row in 0..4 {
                    let line = &self.padded[start + row * row_len + channel..][..3 * step + 1];
                    lines[row] = differ(self.simd, [line[0], line[step], line[2 * step], line[3 * step]]);
                }
                for column in 0..4 {
                    let places = differ(
                        self.simd,
                        [lines[0][column], lines[1][column], lines[2][column], lines[3][column]],
                    );
                    for row in 0..4 {
                        inputs[((4 * row + column) * GROUP + slot) * step + channel] = places[row];
                    }
                }
            }
        }
    }

    /// At each place: tiles by channels, times channels by filters.
    #[inline(always)]
    fn multiply(&self, tiles: usize, inputs: &[f32], products: &mut [S::f32s]) {
        for place in 0..PLACES {
            let inputs = &inputs[place * GROUP * self.shape.channels..][..GROUP * self.shape.channels];
            let weights = &self.weights[place * self.shape.channels * self.filters..];
            let products = &mut products[place * GROUP * self.filters..][..GROUP * self.filters];
            let mut filter = 0;
            while filter < self.filters {
                filter += if self.filters - filter >= 2 {
                    self.all_tiles::<2>(tiles, inputs, &weights[filter..], &mut products[filter..])
                } else {
                    self.all_tiles::<1>(tiles, inputs, &weights[filter..], &mut products[filter..])
                };
            }
        }
    }

    /// For `V` vectors of filters, by as many tiles at once as there are registers for; gives `V` back.
    #[inline(always)]
    fn all_tiles<const V: usize>(
        &self,
        tiles: usize,
        inputs: &[f32],
        weights: &[S::f32s],
        products: &mut [S::f32s],
    ) -> usize {
        let mut tile = 0;
        while tile < tiles {
            let inputs = &inputs[tile * self.shape.channels..];
            let products = &mut products[tile * self.filters..];
            tile += match tiles - tile {
                GROUP.. if S::REGISTER_COUNT >= 32 => self.rows::<GROUP, V>(inputs, weights, products),
                4.. => self.rows::<4, V>(inputs, weights, products),
                2.. => self.rows::<2, V>(inputs, weights, products),
                _ => self.rows::<1, V>(inputs, weights, products),
            };
        }
        V
    }

    /// `R` tiles; gives `R` back.
    #[inline(always)]
    fn rows<const R: usize, const V: usize>(
        &self,
        inputs: &[f32],
        weights: &[S::f32s],
        products: &mut [S::f32s],
    ) -> usize {
        let channels = self.shape.channels;
        let mut rows = [&inputs[..0]; R];
        for r in 0..R {
            rows[r] = &inputs[r * channels..][..channels];
        }
        let mut sums = [[self.simd.splat_f32s(0.0); V]; R];
        for (channel, weights) in (0..channels).zip(weights.chunks(self.filters)) {
            let weights = &weights[..V];
            for r in 0..R {
                let value = self.simd.splat_f32s(rows[r][channel]);
                for v in 0..V {
                    sums[r][v] = self.simd.mul_add_e_f32s(value, weights[v], sums[r][v]);
                }
            }
        }
        for r in 0..R {
            for v in 0..V {
                products[r * self.filters + v] = sums[r][v];
            }
        }
        R
    }

    /// The 2×2 outputs of one tile of the group for one vector of filters, with the bias.
    #[inline(always)]
    fn outputs(&self, slot: usize, filter: usize, products: &[S::f32s]) -> [[S::f32s; 2]; 2] {
        let mut columns = [[self.simd.splat_f32s(0.0); 4]; 2];
        for column in 0..4 {
            let line = 4 * GROUP * self.filters;
            let at = &products[(column * GROUP + slot) * self.filters + filter..][..3 * line + 1];
            let outputs = gather(self.simd, [at[0], at[line], at[2 * line], at[3 * line]]);
            columns[0][column] = outputs[0];
            columns[1][column] = outputs[1];
        }
        let mut bias = self.simd.splat_f32s(0.0);
        if let Some(values) = self.bias {
            bias = values[filter];
        }
        let [above, below] = [gather(self.simd, columns[0]), gather(self.simd, columns[1])];
        [
            [self.simd.add_f32s(above[0], bias), self.simd.add_f32s(above[1], bias)],
            [self.simd.add_f32s(below[0], bias), self.simd.add_f32s(below[1], bias)],
        ]
    }

    /// Writes what lies inside the output.
    #[inline(always)]
    fn write(&self, group: std::ops::Range<usize>, products: &[S::f32s], to: &mut [S::f32s]) {
        let [rows, columns] = self.shape.output;
        for (slot, tile) in group.enumerate() {
            let [y, x] = self.place(tile).map(|place| 2 * place);
            for filter in 0..self.filters {
                let outputs = self.outputs(slot, filter, products);
                for row in 0..2.min(rows - y) {
                    for column in 0..2.min(columns - x) {
                        let at = ((y + row) * columns + x + column) * self.filters + filter;
                        to[at] = relu(self.simd, self.relu, outputs[row][column]);
                    }
                }
            }
        }
    }

    /// Writes the largest of each tile; the output is even in both directions.
    #[inline(always)]
    fn write_pooled(&self, group: std::ops::Range<usize>, products: &[S::f32s], to: &mut [S::f32s]) {
        for (slot, tile) in group.enumerate() {
            for filter in 0..self.filters {
                let [above, below] = self.outputs(slot, filter, products);
                let above = larger(self.simd, above[0], above[1]);
                let below = larger(self.simd, below[0], below[1]);
                to[tile * self.filters + filter] =
                    relu(self.simd, self.relu, larger(self.simd, above, below));
            }
        }
    }
}
