//! Images stretched by whole factors, pixel by pixel or by straight lines between pixels.

use crate::cpu::{self, Arithmetic, Kernel};

/// Where an output position takes its value from: two input positions, and the second one's share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Source {
    first: usize,
    second: usize,
    share: f32,
}

/// The sources of a stretched image [h, w, c], along both axes.
#[derive(Clone, Debug)]
pub(crate) struct Stretch {
    rows: Vec<Source>,
    columns: Vec<Source>,
    /// Input columns.
    width: usize,
    channels: usize,
}

/// Sources along one axis where each position is repeated.
pub(crate) fn nearest(input: usize, factor: usize) -> Vec<Source> {
    (0..input * factor).map(|at| Source { first: at / factor, second: at / factor, share: 0.0 }).collect()
}

/// Sources along one axis where values lie at the centres of pixels and lines go from one to the next; beyond
/// the outermost centres the outermost values go on.
pub(crate) fn linear(input: usize, factor: usize) -> Vec<Source> {
    let source = |at: usize| {
        let place = ((at as f32 + 0.5) / factor as f32 - 0.5).max(0.0);
        let first = (place as usize).min(input - 1);
        Source { first, second: (first + 1).min(input - 1), share: place - first as f32 }
    };
    (0..input * factor).map(source).collect()
}

impl Stretch {
    /// From the sources along both axes, for an image [h, w, c].
    pub(crate) fn new(rows: Vec<Source>, columns: Vec<Source>, [_, width, channels]: [usize; 3]) -> Self {
        Self { rows, columns, width, channels }
    }

    /// Values of one output image.
    pub(crate) fn output_len(&self) -> usize {
        self.rows.len() * self.columns.len() * self.channels
    }

    /// Writes the stretched image.
    pub(crate) fn forward(&self, image: &[f32], output: &mut [f32]) {
        cpu::run(Forward { stretch: self, image, output });
    }

    /// Adds each output's derivative to the values that it was taken from.
    pub(crate) fn backward(&self, delta: &[f32], d_image: &mut [f32]) {
        cpu::run(Backward { stretch: self, delta, d_image });
    }

    /// The four values under an output position: where each begins, and its share.
    #[inline(always)]
    fn corners(&self, row: Source, column: Source) -> [(usize, f32); 4] {
        let at = |y: usize, x: usize| (y * self.width + x) * self.channels;
        let (below, right) = (row.share, column.share);
        [
            (at(row.first, column.first), (1.0 - below) * (1.0 - right)),
            (at(row.first, column.second), (1.0 - below) * right),
            (at(row.second, column.first), below * (1.0 - right)),
            (at(row.second, column.second), below * right),
        ]
    }
}

struct Forward<'a> {
    stretch: &'a Stretch,
    image: &'a [f32],
    output: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        let Self { stretch, image, output } = self;
        let channels = stretch.channels;
        let lines = output.chunks_exact_mut(stretch.columns.len() * channels);
        for (&row, line) in stretch.rows.iter().zip(lines) {
            for (&column, to) in stretch.columns.iter().zip(line.chunks_exact_mut(channels)) {
                if row.share == 0.0 && column.share == 0.0 {
                    let from = (row.first * stretch.width + column.first) * channels;
                    to.copy_from_slice(&image[from..from + channels]);
                    continue;
                }
                let corners = stretch.corners(row, column);
                let [a, b, c, d] = corners.map(|(from, _)| &image[from..from + channels]);
                let [p, q, r, s] = corners.map(|(_, share)| share);
                for ((((to, &a), &b), &c), &d) in to.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                    *to = A::mul_add(d, s, A::mul_add(c, r, A::mul_add(b, q, a * p)));
                }
            }
        }
    }
}

struct Backward<'a> {
    stretch: &'a Stretch,
    delta: &'a [f32],
    d_image: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        let Self { stretch, delta, d_image } = self;
        let channels = stretch.channels;
        d_image.fill(0.0);
        let lines = delta.chunks_exact(stretch.columns.len() * channels);
        for (&row, line) in stretch.rows.iter().zip(lines) {
            for (&column, delta) in stretch.columns.iter().zip(line.chunks_exact(channels)) {
                for (to, share) in stretch.corners(row, column).into_iter().filter(|&(_, share)| share > 0.0)
                {
                    for (to, &d) in d_image[to..to + channels].iter_mut().zip(delta) {
                        *to = A::mul_add(d, share, *to);
                    }
                }
            }
        }
    }
}
