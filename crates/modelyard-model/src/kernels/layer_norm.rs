//! Layer normalisation, forward and backward, a position at a time while it is in cache.

use crate::cpu::{self, Arithmetic, Kernel};

/// Sums that are added up side by side: as many as the widest vectors hold.
const LANES: usize = 16;

/// A position's mean, and one over its deviation.
pub(crate) type Moments = [f32; 2];

/// What scales and shifts the normalised values, each of the last axis's length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scales<'a> {
    pub(crate) gamma: &'a [f32],
    pub(crate) beta: &'a [f32],
    /// Added to the variance.
    pub(crate) epsilon: f32,
}

/// Normalises each position; `moments` keeps what the backward pass needs.
pub(crate) fn forward(scales: Scales<'_>, input: &[f32], output: &mut [f32], moments: &mut [Moments]) {
    cpu::run(Forward { scales, input, output, moments });
}

/// Turns `delta`, the derivative by the output, into that by the input, and adds those by gamma and beta to
/// `d_gamma` and `d_beta`.
pub(crate) fn backward(
    gamma: &[f32],
    (input, moments): (&[f32], &[Moments]),
    delta: &mut [f32],
    d_gamma: &mut [f32],
    d_beta: &mut [f32],
) {
    cpu::run(Backward { gamma, input, moments, delta, d_gamma, d_beta });
}

struct Forward<'a> {
    scales: Scales<'a>,
    input: &'a [f32],
    output: &'a mut [f32],
    moments: &'a mut [Moments],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        let Scales { gamma, beta, epsilon } = self.scales;
        let width = gamma.len();
        let rows = self.input.chunks_exact(width).zip(self.output.chunks_exact_mut(width));
        for ((from, to), moments) in rows.zip(self.moments) {
            let mean = sum(from, |x| x) / width as f32;
            let variance = sum(from, |x| (x - mean) * (x - mean)) / width as f32;
            let inverse = 1.0 / (variance + epsilon).sqrt();
            *moments = [mean, inverse];
            for (((to, &x), &gamma), &beta) in to.iter_mut().zip(from).zip(gamma).zip(beta) {
                *to = A::mul_add((x - mean) * inverse, gamma, beta);
            }
        }
    }
}

struct Backward<'a> {
    gamma: &'a [f32],
    input: &'a [f32],
    moments: &'a [Moments],
    delta: &'a mut [f32],
    d_gamma: &'a mut [f32],
    d_beta: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        let width = self.gamma.len();
        let rows = self.input.chunks_exact(width).zip(self.delta.chunks_exact_mut(width));
        for ((row, delta), &[mean, inverse]) in rows.zip(self.moments) {
            let sums = self.d_gamma.iter_mut().zip(self.d_beta.iter_mut());
            for (((&x, d), &gamma), (d_gamma, d_beta)) in
                row.iter().zip(&mut *delta).zip(self.gamma).zip(sums)
            {
                *d_gamma = A::mul_add(*d, (x - mean) * inverse, *d_gamma);
                *d_beta += *d;
                *d *= gamma;
            }
            // dx = inverse · (g − mean(g) − x̂ · mean(g · x̂)), with g = dy · gamma and x̂ the normalised value.
            let [all, along] = sums_along(row, delta, mean);
            let shift = all / width as f32 * inverse;
            let slope = along / width as f32 * inverse * inverse * inverse;
            for (d, &x) in delta.iter_mut().zip(row) {
                *d = A::mul_add(*d, inverse, -shift) - (x - mean) * slope;
            }
        }
    }
}

#[inline(always)]
fn sum(row: &[f32], value: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let chunks = row.chunks_exact(LANES);
    let rest: f32 = chunks.remainder().iter().map(|&x| value(x)).sum();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane += value(x);
        }
    }
    rest + lanes.iter().sum::<f32>()
}

/// Σg and Σg·(x − mean).
#[inline(always)]
fn sums_along(row: &[f32], slopes: &[f32], mean: f32) -> [f32; 2] {
    let mut lanes = [[0.0; LANES]; 2];
    let (rows, gs) = (row.chunks_exact(LANES), slopes.chunks_exact(LANES));
    let (mut all, mut along) = (0.0, 0.0);
    for (&x, &g) in rows.remainder().iter().zip(gs.remainder()) {
        all += g;
        along += g * (x - mean);
    }
    for (row, gs) in rows.zip(gs) {
        for lane in 0..LANES {
            lanes[0][lane] += gs[lane];
            lanes[1][lane] += gs[lane] * (row[lane] - mean);
        }
    }
    [all + lanes[0].iter().sum::<f32>(), along + lanes[1].iter().sum::<f32>()]
}
