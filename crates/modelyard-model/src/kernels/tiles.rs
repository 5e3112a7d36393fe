//! Convolution by tiles that stay in registers, straight from the image: no columns of patches, no packing.
//!
//! With images [h, w, c] and kernels [kh, kw, c, filters], the values under one line of a window lie side by
//! side, and so do one value's weights for all filters. A tile of pixels by filters therefore takes one load
//! for some filters' weights and one broadcast for each pixel, and adds their products up in registers. Bias,
//! relu and 2×2 pooling happen there, too, before anything is written.

use pulp::{Arch, Simd, WithSimd};

use crate::layers::window::Window;

/// Kernels of more values than this (256 KiB) do not stay in cache while tiles go by; matrix products with
/// packing are faster then.
const KERNEL_VALUES_MAX: usize = 1 << 16;
/// Filters come in multiples of this: the width of the widest vectors.
const FILTERS_MULTIPLE: usize = 16;

/// A convolution by tiles, with a place for one image and its padding.
pub(crate) struct Tiles {
    arch: Arch,
    window: Window,
    shape: Shape,
    /// One image with zeros around it; empty where nothing is padded.
    padded: Vec<f32>,
}

/// The weights, and what happens to the sums while they are in registers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filters<'a> {
    pub(crate) kernel: &'a [f32],
    pub(crate) bias: Option<&'a [f32]>,
    /// The largest of each 2×2 outputs; these must be even in both directions.
    pub(crate) pool: bool,
    pub(crate) relu: bool,
}

/// The sizes that a tile must know.
#[derive(Clone, Copy, Debug)]
struct Shape {
    /// Output positions, before pooling.
    rows: usize,
    columns: usize,
    filters: usize,
    /// Lines of the window, and values of one.
    lines: usize,
    line_len: usize,
    /// Values from one line of the image to the next, and to the next output position in either direction.
    row_len: usize,
    row_step: usize,
    column_step: usize,
}

impl Tiles {
    /// A convolution by tiles, where that is the fastest way.
    pub(crate) fn new(window: &Window, filters: usize) -> Option<Self> {
        if !Self::fit(window, filters) {
            return None;
        }
        let (rows, columns) = (window.rows, window.columns);
        let padding = rows.before + rows.after() + columns.before + columns.after();
        let padded_rows = rows.before + rows.input + rows.after();
        let row_len = (columns.before + columns.input + columns.after()) * window.channels;
        Some(Self {
            arch: Arch::new(),
            window: *window,
            shape: Shape {
                rows: rows.output,
                columns: columns.output,
                filters,
                lines: rows.size,
                line_len: columns.size * window.channels,
                row_len,
                row_step: rows.stride * row_len,
                column_step: columns.stride * window.channels,
            },
            padded: vec![0.0; if padding > 0 { padded_rows * row_len } else { 0 }],
        })
    }

    /// Whether tiles are the fastest way.
    pub(crate) fn fit(window: &Window, filters: usize) -> bool {
        filters.is_multiple_of(FILTERS_MULTIPLE)
            && window.is_dense()
            && window.taps().saturating_mul(filters) <= KERNEL_VALUES_MAX
    }

    /// Convolves images one by one.
    pub(crate) fn run(&mut self, images: &[f32], filters: Filters<'_>, outputs: &mut [f32]) {
        let output_len =
            self.shape.rows * self.shape.columns * self.shape.filters / if filters.pool { 4 } else { 1 };
        let images = images.chunks_exact(self.window.input_len());
        for (image, output) in images.zip(outputs.chunks_exact_mut(output_len)) {
            let image = pad(&self.window, self.shape.row_len, image, &mut self.padded);
            self.arch.dispatch(Image { shape: self.shape, filters, image, output });
        }
    }
}

/// The image, with zeros around it where windows hang over its edge.
fn pad<'a>(window: &Window, row_len: usize, image: &'a [f32], padded: &'a mut [f32]) -> &'a [f32] {
    if padded.is_empty() {
        return image;
    }
    let line = window.columns.input * window.channels;
    let start = window.rows.before * row_len + window.columns.before * window.channels;
    for (to, from) in padded[start..].chunks_mut(row_len).zip(image.chunks_exact(line)) {
        to[..line].copy_from_slice(from);
    }
    padded
}

/// One image on its way through.
struct Image<'a> {
    shape: Shape,
    filters: Filters<'a>,
    image: &'a [f32],
    output: &'a mut [f32],
}

impl WithSimd for Image<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let vectors = Vectors::<S> {
            simd,
            shape: self.shape,
            relu: self.filters.relu,
            image: self.image,
            kernel: whole::<S>(self.filters.kernel),
            bias: self.filters.bias.map(whole::<S>),
        };
        let (output, rest) = S::as_mut_simd_f32s(self.output);
        assert!(rest.is_empty(), "filters are a multiple of every vector's length");
        match (self.filters.pool, vectors.row_len().is_multiple_of(2)) {
            (true, true) => vectors.run::<true, 2>(output),
            (true, false) => vectors.run::<true, 1>(output),
            (false, true) => vectors.run::<false, 2>(output),
            (false, false) => vectors.run::<false, 1>(output),
        }
    }
}

/// The larger of each two values.
#[inline(always)]
pub(super) fn larger<S: Simd>(simd: S, a: S::f32s, b: S::f32s) -> S::f32s {
    simd.select_f32s(simd.greater_than_f32s(b, a), b, a)
}

/// What is negative becomes 0, where `on`.
#[inline(always)]
pub(super) fn relu<S: Simd>(simd: S, on: bool, value: S::f32s) -> S::f32s {
    let zero = simd.splat_f32s(0.0);
    if on { simd.select_f32s(simd.less_than_f32s(value, zero), zero, value) } else { value }
}

/// Values as vectors; filters and channels are multiples of every vector's length.
#[inline(always)]
pub(super) fn whole<S: Simd>(values: &[f32]) -> &[S::f32s] {
    let (vectors, rest) = S::as_simd_f32s(values);
    assert!(rest.is_empty(), "filters are a multiple of every vector's length");
    vectors
}

/// One image with weights and bias as vectors along the filters.
#[derive(Clone, Copy)]
struct Vectors<'a, S: Simd> {
    simd: S,
    shape: Shape,
    relu: bool,
    image: &'a [f32],
    kernel: &'a [S::f32s],
    bias: Option<&'a [S::f32s]>,
}

// Loops over sums count, and do no more than they must: the compiler keeps the sums in registers only where it
// unrolls every loop over them early. With iterators, or with more work in one loop, tiles are four times slower.
#[expect(clippy::needless_range_loop, reason = "as said above")]
impl<S: Simd> Vectors<'_, S> {
    /// Vectors of one pixel's filters.
    #[inline(always)]
    fn row_len(&self) -> usize {
        self.shape.filters / S::F32_LANES
    }

    /// Walks over all tiles of `V` vectors of filters, by two lines of pixels where there are two.
    #[inline(always)]
    fn run<const POOL: bool, const V: usize>(self, output: &mut [S::f32s]) {
        for vector in (0..self.row_len()).step_by(V) {
            for y in (0..self.shape.rows).step_by(2) {
                if y + 1 < self.shape.rows {
                    self.line::<POOL, 2, V>(y, vector, output);
                } else {
                    self.line::<POOL, 1, V>(y, vector, output);
                }
            }
        }
    }

    /// Cuts `R` lines of pixels into tiles: as wide as there are registers for, the last ones not too narrow.
    #[inline(always)]
    fn line<const POOL: bool, const R: usize, const V: usize>(
        &self,
        y: usize,
        vector: usize,
        output: &mut [S::f32s],
    ) {
        let many = S::REGISTER_COUNT >= 32;
        let mut x = 0;
        while x < self.shape.columns {
            let left = self.shape.columns - x;
            x += match left {
                6.. if many && left % 6 != 2 => self.tile::<POOL, R, 6, V>(y, x, vector, output),
                4.. if many => self.tile::<POOL, R, 4, V>(y, x, vector, output),
                2.. => self.tile::<POOL, R, 2, V>(y, x, vector, output),
                _ => self.tile::<POOL, R, 1, V>(y, x, vector, output),
            };
        }
    }

    /// Computes `R` lines of `P` pixels from (y, x) for `V` vectors of filters; gives `P` back. With `POOL`, there
    /// are two lines and an even number of pixels.
    #[inline(always)]
    fn tile<const POOL: bool, const R: usize, const P: usize, const V: usize>(
        &self,
        y: usize,
        x: usize,
        vector: usize,
        output: &mut [S::f32s],
    ) -> usize {
        let sums = self.sums::<R, P, V>(y, x, vector);
        let (simd, columns, row_len) = (self.simd, self.shape.columns, self.row_len());
        if POOL {
            for pixel in 0..P / 2 {
                let at = (y / 2 * (columns / 2) + x / 2 + pixel) * row_len + vector;
                let to = &mut output[at..at + V];
                for v in 0..V {
                    let above = larger(simd, sums[0][2 * pixel][v], sums[0][2 * pixel + 1][v]);
                    let below = larger(simd, sums[R - 1][2 * pixel][v], sums[R - 1][2 * pixel + 1][v]);
                    to[v] = relu(simd, self.relu, larger(simd, above, below));
                }
            }
            return P;
        }
        for r in 0..R {
            let from = ((y + r) * columns + x) * row_len + vector;
            let line = &mut output[from..from + (P - 1) * row_len + V];
            for p in 0..P {
                for v in 0..V {
                    line[p * row_len + v] = relu(simd, self.relu, sums[r][p][v]);
                }
            }
        }
        P
    }

    /// The products of windows and weights, added up.
    #[inline(always)]
    fn sums<const R: usize, const P: usize, const V: usize>(
        &self,
        y: usize,
        x: usize,
        vector: usize,
    ) -> [[[S::f32s; V]; P]; R] {
        let (simd, shape, row_len) = (self.simd, &self.shape, self.row_len());
        let mut start_at = [simd.splat_f32s(0.0); V];
        if let Some(bias) = self.bias {
            start_at.copy_from_slice(&bias[vector..vector + V]);
        }
        let mut sums = [[start_at; P]; R];
        let start = y * shape.row_step + x * shape.column_step;
        let mut weights = self.kernel[vector..].chunks(row_len);
        for line in 0..shape.lines {
            let mut windows = [[&self.image[..0]; P]; R];
            for r in 0..R {
                for p in 0..P {
                    let start = start + r * shape.row_step + line * shape.row_len + p * shape.column_step;
                    windows[r][p] = &self.image[start..][..shape.line_len];
                }
            }
            for (tap, weights) in (0..shape.line_len).zip(&mut weights) {
                let weights = &weights[..V];
                for r in 0..R {
                    for p in 0..P {
                        let value = simd.splat_f32s(windows[r][p][tap]);
                        for v in 0..V {
                            sums[r][p][v] = simd.mul_add_e_f32s(value, weights[v], sums[r][p][v]);
                        }
                    }
                }
            }
        }
        sums
    }
}
