//! Pooling loops: windows of any size, and the 2×2 maximum that runs inside a convolution.

use crate::cpu::{self, Arithmetic, Kernel};
use crate::layers::window::Window;

/// The largest value of each window of one image, and its place in the image.
pub(crate) fn max(window: &Window, image: &[f32], pooled: &mut [f32], winners: &mut [u32]) {
    cpu::run(Max { window, image, pooled, winners });
}

/// The mean of each window of one image, over the positions that lie inside.
pub(crate) fn average(window: &Window, image: &[f32], pooled: &mut [f32]) {
    cpu::run(Average { window, image, pooled });
}

/// Adds each mean's derivative to the positions that it was taken from.
pub(crate) fn average_back(window: &Window, delta: &[f32], image: &mut [f32]) {
    cpu::run(AverageBack { window, delta, image });
}

/// One over the number of positions of a window that lie inside the image.
fn share(window: &Window, at: usize) -> f32 {
    let (y, x) = (at / window.columns.output, at % window.columns.output);
    1.0 / (window.rows.inside(y).len() * window.columns.inside(x).len()) as f32
}

/// Calls back with the place of each position under output position `at`.
#[inline(always)]
fn for_each_source(window: &Window, at: usize, mut visit: impl FnMut(usize)) {
    let (y, x) = (at / window.columns.output, at % window.columns.output);
    for tap_y in window.rows.inside(y) {
        let row = window.rows.source(y, tap_y) * window.columns.input;
        for tap_x in window.columns.inside(x) {
            visit((row + window.columns.source(x, tap_x)) * window.channels);
        }
    }
}

struct Average<'a> {
    window: &'a Window,
    image: &'a [f32],
    pooled: &'a mut [f32],
}

impl Kernel for Average<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        let Self { window, image, pooled } = self;
        let channels = window.channels;
        for (at, pooled) in pooled.chunks_exact_mut(channels).enumerate() {
            pooled.fill(0.0);
            let share = share(window, at);
            for_each_source(window, at, |from| {
                for (sum, &value) in pooled.iter_mut().zip(&image[from..from + channels]) {
                    *sum = A::mul_add(value, share, *sum);
                }
            });
        }
    }
}

struct AverageBack<'a> {
    window: &'a Window,
    delta: &'a [f32],
    image: &'a mut [f32],
}

impl Kernel for AverageBack<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        let Self { window, delta, image } = self;
        let channels = window.channels;
        for (at, delta) in delta.chunks_exact(channels).enumerate() {
            let share = share(window, at);
            for_each_source(window, at, |from| {
                for (to, &d) in image[from..from + channels].iter_mut().zip(delta) {
                    *to = A::mul_add(d, share, *to);
                }
            });
        }
    }
}

struct Max<'a> {
    window: &'a Window,
    image: &'a [f32],
    pooled: &'a mut [f32],
    winners: &'a mut [u32],
}

impl Kernel for Max<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        let Self { window, image, pooled, winners } = self;
        let channels = window.channels;
        let outputs = pooled.chunks_exact_mut(channels).zip(winners.chunks_exact_mut(channels));
        for (at, (pooled, winners)) in outputs.enumerate() {
            let mut first = true;
            for_each_source(window, at, |from| {
                let values = &image[from..from + channels];
                for (channel, &value) in values.iter().enumerate() {
                    if first || value > pooled[channel] {
                        pooled[channel] = value;
                        winners[channel] = (from + channel) as u32;
                    }
                }
                first = false;
            });
        }
    }
}

/// An image to be halved in both directions by 2×2 maxima; an odd last row or column is left out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Halving {
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) channels: usize,
}

impl Halving {
    fn input_len(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Values of one output image.
    pub(crate) fn output_len(&self) -> usize {
        (self.height / 2) * (self.width / 2) * self.channels
    }

    /// Where the four values of output position (y, x) start: left above, right above, left below, right below.
    #[inline(always)]
    fn corners(&self, y: usize, x: usize) -> [usize; 4] {
        let above = (2 * y * self.width + 2 * x) * self.channels;
        let below = above + self.width * self.channels;
        [above, above + self.channels, below, below + self.channels]
    }
}

/// Pools images and adds the bias; `winners` receives which of the four values was the largest.
pub(crate) fn halve(
    shape: &Halving,
    images: &[f32],
    bias: Option<&[f32]>,
    pooled: &mut [f32],
    winners: Option<&mut [u8]>,
) {
    let output_len = shape.output_len();
    let images = images.chunks_exact(shape.input_len()).zip(pooled.chunks_exact_mut(output_len));
    match winners {
        None => images.for_each(|(image, pooled)| cpu::run(Halve { shape, image, bias, pooled })),
        Some(winners) => {
            for ((image, pooled), winners) in images.zip(winners.chunks_exact_mut(output_len)) {
                cpu::run(HalveTracked { shape, image, bias, pooled, winners });
            }
        }
    }
}

/// Hands each pooled value's derivative to the value that won, and zero to the others.
pub(crate) fn halve_back(shape: &Halving, delta: &[f32], winners: &[u8], d_images: &mut [f32]) {
    if shape.height % 2 == 1 || shape.width % 2 == 1 {
        d_images.fill(0.0);
    }
    let output_len = shape.output_len();
    let outputs = delta.chunks_exact(output_len).zip(winners.chunks_exact(output_len));
    for (d_image, (delta, winners)) in d_images.chunks_exact_mut(shape.input_len()).zip(outputs) {
        cpu::run(HalveBack { shape, delta, winners, d_image });
    }
}

struct Halve<'a> {
    shape: &'a Halving,
    image: &'a [f32],
    bias: Option<&'a [f32]>,
    pooled: &'a mut [f32],
}

impl Kernel for Halve<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        let channels = self.shape.channels;
        let width = self.shape.width / 2;
        for (at, pooled) in self.pooled.chunks_exact_mut(channels).enumerate() {
            let [a, b, c, d] =
                self.shape.corners(at / width, at % width).map(|from| &self.image[from..from + channels]);
            for ((((to, &a), &b), &c), &d) in pooled.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                let above = if b > a { b } else { a };
                let below = if d > c { d } else { c };
                *to = if below > above { below } else { above };
            }
            if let Some(bias) = self.bias {
                for (to, &bias) in pooled.iter_mut().zip(bias) {
                    *to += bias;
                }
            }
        }
    }
}

struct HalveTracked<'a> {
    shape: &'a Halving,
    image: &'a [f32],
    bias: Option<&'a [f32]>,
    pooled: &'a mut [f32],
    winners: &'a mut [u8],
}

impl Kernel for HalveTracked<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        let channels = self.shape.channels;
        let width = self.shape.width / 2;
        let outputs = self.pooled.chunks_exact_mut(channels).zip(self.winners.chunks_exact_mut(channels));
        for (at, (pooled, winners)) in outputs.enumerate() {
            let [a, b, c, d] =
                self.shape.corners(at / width, at % width).map(|from| &self.image[from..from + channels]);
            let corners = a.iter().zip(b).zip(c).zip(d);
            for ((to, winner), (((&a, &b), &c), &d)) in pooled.iter_mut().zip(winners).zip(corners) {
                let (mut best, mut which) = (a, 0);
                (best, which) = if b > best { (b, 1) } else { (best, which) };
                (best, which) = if c > best { (c, 2) } else { (best, which) };
                (best, which) = if d > best { (d, 3) } else { (best, which) };
                *to = best;
                *winner = which;
            }
            if let Some(bias) = self.bias {
                for (to, &bias) in pooled.iter_mut().zip(bias) {
                    *to += bias;
                }
            }
        }
    }
}

struct HalveBack<'a> {
    shape: &'a Halving,
    delta: &'a [f32],
    winners: &'a [u8],
    d_image: &'a mut [f32],
}

impl Kernel for HalveBack<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        let channels = self.shape.channels;
        let width = self.shape.width / 2;
        let outputs = self.delta.chunks_exact(channels).zip(self.winners.chunks_exact(channels));
        for (at, (delta, winners)) in outputs.enumerate() {
            for (which, to) in (0u8..).zip(self.shape.corners(at / width, at % width)) {
                let to = &mut self.d_image[to..to + channels];
                for ((to, &d), &winner) in to.iter_mut().zip(delta).zip(winners) {
                    *to = if winner == which { d } else { 0.0 };
                }
            }
        }
    }
}
