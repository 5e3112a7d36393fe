//! Depthwise convolution: each channel under a window of its own, by tiles of pixels and channels that stay in
//! registers. There is one product per weight and pixel: far too few to reach the rate of matrix products.

use std::ops::Range;

use crate::cpu::{self, Arithmetic, Kernel};
use crate::layers::window::Window;

/// Pixels of a tile: so many times is a weight used once it is loaded.
const PIXELS: usize = 4;
/// Channels of a tile: the width of the widest vectors.
const LANES: usize = 16;

/// A depthwise convolution of images one by one, with room for one of them.
pub(crate) struct Depthwise {
    /// The window over an image in which each channel stands `multiplier` times.
    window: Window,
    multiplier: usize,
    /// One such image, and its derivative; empty where each channel stands once.
    wide: Vec<f32>,
    d_wide: Vec<f32>,
}

/// A few images on their way back.
pub(crate) struct Images<'a> {
    pub(crate) images: &'a [f32],
    /// The derivative by the outputs.
    pub(crate) delta: &'a [f32],
    /// The derivative by the images, to be overwritten; `None` where nobody needs it.
    pub(crate) d_images: Option<&'a mut [f32]>,
}

impl Depthwise {
    /// For images of this window, each of whose channels gives `multiplier` channels.
    pub(crate) fn new(window: Window, multiplier: usize) -> Self {
        let window = Window { channels: window.channels * multiplier, ..window };
        let len = if multiplier == 1 { 0 } else { window.input_len() };
        Self { window, multiplier, wide: vec![0.0; len], d_wide: vec![0.0; len] }
    }

    /// Values of one input image.
    pub(crate) fn input_len(&self) -> usize {
        self.window.input_len() / self.multiplier
    }

    /// Values of one output image.
    pub(crate) fn output_len(&self) -> usize {
        self.window.positions() * self.window.channels
    }

    /// Convolves images with a kernel [h, w, channels · multiplier].
    pub(crate) fn forward(&mut self, kernel: &[f32], images: &[f32], outputs: &mut [f32]) {
        let (input_len, output_len) = (self.input_len(), self.output_len());
        for (image, output) in images.chunks_exact(input_len).zip(outputs.chunks_exact_mut(output_len)) {
            let image = widen(image, self.multiplier, &mut self.wide);
            cpu::run(Forward { window: &self.window, kernel, image, output });
        }
    }

    /// Writes the derivative by the images, where it is wanted, and adds to that by the kernel.
    pub(crate) fn backward(&mut self, kernel: &[f32], images: Images<'_>, d_kernel: &mut [f32]) {
        let Images { images, delta, d_images } = images;
        let (input_len, output_len) = (self.input_len(), self.output_len());
        let window = &self.window;
        let rows = images.chunks_exact(input_len).zip(delta.chunks_exact(output_len));
        let Some(d_images) = d_images else {
            for (image, delta) in rows {
                let image = widen(image, self.multiplier, &mut self.wide);
                cpu::run(KernelDelta { window, image, delta, d_kernel });
            }
            return;
        };
        for ((image, delta), d_image) in rows.zip(d_images.chunks_exact_mut(input_len)) {
            let image = widen(image, self.multiplier, &mut self.wide);
            cpu::run(KernelDelta { window, image, delta, d_kernel });
            if self.d_wide.is_empty() {
                cpu::run(ImageDelta { window, kernel, delta, d_image });
                continue;
            }
            cpu::run(ImageDelta { window, kernel, delta, d_image: &mut self.d_wide });
            for (d, wide) in d_image.iter_mut().zip(self.d_wide.chunks_exact(self.multiplier)) {
                *d = wide.iter().sum();
            }
        }
    }
}

/// The image with each channel repeated as often as it gives channels.
fn widen<'a>(image: &'a [f32], multiplier: usize, wide: &'a mut [f32]) -> &'a [f32] {
    if wide.is_empty() {
        return image;
    }
    for (to, &value) in wide.chunks_exact_mut(multiplier).zip(image) {
        to.fill(value);
    }
    wide
}

/// Output positions side by side, and the part of their windows that lies inside the image.
struct Spot {
    y: usize,
    x: usize,
    lines: Range<usize>,
    columns: Range<usize>,
}

/// What is done with a tile of `P` output positions side by side by `W` channels.
trait Tile {
    fn tile<A: Arithmetic, const P: usize, const W: usize>(&mut self, spot: &Spot, channel: usize);
}

/// Walks over all tiles: several positions at a time where their windows lie inside the image's line.
#[inline(always)]
fn for_each_tile<A: Arithmetic>(window: &Window, work: &mut impl Tile) {
    let whole = window.columns.whole();
    for y in 0..window.rows.output {
        let mut x = 0;
        while x < window.columns.output {
            let spot = Spot { y, x, lines: window.rows.inside(y), columns: window.columns.inside(x) };
            if whole.contains(&x) && x + PIXELS <= whole.end {
                for_all_channels::<A, PIXELS>(window.channels, &spot, work);
                x += PIXELS;
            } else {
                for_all_channels::<A, 1>(window.channels, &spot, work);
                x += 1;
            }
        }
    }
}

#[inline(always)]
fn for_all_channels<A: Arithmetic, const P: usize>(channels: usize, spot: &Spot, work: &mut impl Tile) {
    let tiled = channels - channels % LANES;
    for channel in (0..tiled).step_by(LANES) {
        work.tile::<A, P, LANES>(spot, channel);
    }
    for channel in tiled..channels {
        work.tile::<A, P, 1>(spot, channel);
    }
}

impl Spot {
    /// Each position of the window: its place in the kernel, and under it the first output position's place in the
    /// image. They are walked by loops and not by a callback, which would be compiled without the vectors of the loop
    /// around it.
    #[inline(always)]
    fn taps<'a>(&'a self, window: &'a Window) -> Taps<'a> {
        Taps { spot: self, window, line: self.lines.start, column: self.columns.start }
    }

    /// The place of the first output position.
    #[inline(always)]
    fn output(&self, window: &Window) -> usize {
        (self.y * window.columns.output + self.x) * window.channels
    }
}

struct Taps<'a> {
    spot: &'a Spot,
    window: &'a Window,
    line: usize,
    column: usize,
}

impl Iterator for Taps<'_> {
    type Item = (usize, usize);

    #[inline(always)]
    fn next(&mut self) -> Option<(usize, usize)> {
        let Self { spot, window, .. } = *self;
        if self.column >= spot.columns.end {
            self.column = spot.columns.start;
            self.line += 1;
        }
        if self.line >= spot.lines.end || self.column >= spot.columns.end {
            return None;
        }
        let row = window.rows.source(spot.y, self.line) * window.columns.input;
        let from = row + window.columns.source(spot.x, self.column);
        let tap = self.line * window.columns.size + self.column;
        self.column += 1;
        Some((tap * window.channels, from * window.channels))
    }
}

#[inline(always)]
fn load<const W: usize>(values: &[f32], at: usize) -> &[f32; W] {
    values[at..].first_chunk().expect("tiles end where rows of channels end")
}

#[inline(always)]
fn load_mut<const W: usize>(values: &mut [f32], at: usize) -> &mut [f32; W] {
    values[at..].first_chunk_mut().expect("tiles end where rows of channels end")
}

struct Forward<'a> {
    window: &'a Window,
    kernel: &'a [f32],
    image: &'a [f32],
    output: &'a mut [f32],
}

impl Tile for Forward<'_> {
    #[inline(always)]
    fn tile<A: Arithmetic, const P: usize, const W: usize>(&mut self, spot: &Spot, channel: usize) {
        let step = self.window.columns.stride * self.window.channels;
        let mut sums = [[0.0; W]; P];
        for (tap, from) in spot.taps(self.window) {
            let weights = load::<W>(self.kernel, tap + channel);
            for (pixel, sums) in sums.iter_mut().enumerate() {
                let values = load::<W>(self.image, from + pixel * step + channel);
                for ((sum, &value), &weight) in sums.iter_mut().zip(values).zip(weights) {
                    *sum = A::mul_add(value, weight, *sum);
                }
            }
        }
        let start = spot.output(self.window) + channel;
        for (pixel, sums) in sums.iter().enumerate() {
            *load_mut(self.output, start + pixel * self.window.channels) = *sums;
        }
    }
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(mut self) {
        for_each_tile::<A>(self.window, &mut self);
    }
}

/// `d_kernel += image · delta`.
struct KernelDelta<'a> {
    window: &'a Window,
    image: &'a [f32],
    delta: &'a [f32],
    d_kernel: &'a mut [f32],
}

impl Tile for KernelDelta<'_> {
    #[inline(always)]
    fn tile<A: Arithmetic, const P: usize, const W: usize>(&mut self, spot: &Spot, channel: usize) {
        let step = self.window.columns.stride * self.window.channels;
        let start = spot.output(self.window) + channel;
        let delta: [[f32; W]; P] =
            std::array::from_fn(|pixel| *load(self.delta, start + pixel * self.window.channels));
        for (tap, from) in spot.taps(self.window) {
            let slopes = load_mut::<W>(self.d_kernel, tap + channel);
            for (pixel, delta) in delta.iter().enumerate() {
                let values = load::<W>(self.image, from + pixel * step + channel);
                for ((slope, &value), &d) in slopes.iter_mut().zip(values).zip(delta) {
                    *slope = A::mul_add(value, d, *slope);
                }
            }
        }
    }
}

impl Kernel for KernelDelta<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(mut self) {
        for_each_tile::<A>(self.window, &mut self);
    }
}

/// `d_image = delta · kernel`, each position's share added where it was taken from.
struct ImageDelta<'a> {
    window: &'a Window,
    kernel: &'a [f32],
    delta: &'a [f32],
    d_image: &'a mut [f32],
}

impl Kernel for ImageDelta<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        let Self { window, kernel, delta, d_image } = self;
        let channels = window.channels;
        d_image.fill(0.0);
        for (at, delta) in delta.chunks_exact(channels).enumerate() {
            let (y, x) = (at / window.columns.output, at % window.columns.output);
            let spot = Spot { y, x, lines: window.rows.inside(y), columns: window.columns.inside(x) };
            for (tap, from) in spot.taps(window) {
                let weights = &kernel[tap..tap + channels];
                for ((to, &d), &weight) in d_image[from..from + channels].iter_mut().zip(delta).zip(weights) {
                    *to = A::mul_add(d, weight, *to);
                }
            }
        }
    }
}
