//! Reductions over all steps of one series, padded steps left out.

use crate::cpu::{self, Arithmetic, Kernel};

/// One series [steps, features]; `mask` holds a number per step, 0 where it is padding.
#[derive(Clone, Copy)]
pub(crate) struct Series<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) mask: Option<&'a [f32]>,
}

/// Says that no step won: the whole series is padding.
pub(crate) const NOBODY: u32 = u32::MAX;

/// One row's part of the mask of several.
pub(crate) fn row_mask(mask: Option<&[f32]>, row: usize, steps: usize) -> Option<&[f32]> {
    mask.map(|mask| &mask[row * steps..(row + 1) * steps])
}

/// The mean of each feature; 0 where the whole series is padding.
pub(crate) fn mean(series: Series<'_>, means: &mut [f32]) {
    cpu::run(Mean { series, means });
}

/// Hands each mean's derivative to the steps that it was taken from.
pub(crate) fn mean_back(mask: Option<&[f32]>, delta: &[f32], d_series: &mut [f32]) {
    cpu::run(MeanBack { mask, delta, d_series });
}

/// The largest value of each feature, and its place in the series; 0 where the whole series is padding.
pub(crate) fn max(series: Series<'_>, largest: &mut [f32], winners: &mut [u32]) {
    cpu::run(Max { series, largest, winners });
}

/// Whether a step counts.
#[inline(always)]
fn counts(mask: Option<&[f32]>, step: usize) -> bool {
    mask.is_none_or(|mask| mask[step] != 0.0)
}

/// One over the number of steps that count.
#[inline(always)]
fn share(mask: Option<&[f32]>, steps: usize) -> f32 {
    let count = (0..steps).filter(|&step| counts(mask, step)).count();
    1.0 / count.max(1) as f32
}

struct Mean<'a> {
    series: Series<'a>,
    means: &'a mut [f32],
}

impl Kernel for Mean<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        let Self { series: Series { values, mask }, means } = self;
        let features = means.len();
        means.fill(0.0);
        let steps = values.chunks_exact(features).enumerate();
        for (_, values) in steps.filter(|&(at, _)| counts(mask, at)) {
            for (sum, &value) in means.iter_mut().zip(values) {
                *sum += value;
            }
        }
        let share = share(mask, values.len() / features);
        for mean in means {
            *mean *= share;
        }
    }
}

struct MeanBack<'a> {
    mask: Option<&'a [f32]>,
    delta: &'a [f32],
    d_series: &'a mut [f32],
}

impl Kernel for MeanBack<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        let Self { mask, delta, d_series } = self;
        let share = share(mask, d_series.len() / delta.len());
        for (step, to) in d_series.chunks_exact_mut(delta.len()).enumerate() {
            let share = if counts(mask, step) { share } else { 0.0 };
            for (to, &d) in to.iter_mut().zip(delta) {
                *to = d * share;
            }
        }
    }
}

struct Max<'a> {
    series: Series<'a>,
    largest: &'a mut [f32],
    winners: &'a mut [u32],
}

impl Kernel for Max<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        let Self { series: Series { values, mask }, largest, winners } = self;
        let features = largest.len();
        largest.fill(0.0);
        winners.fill(NOBODY);
        let steps = values.chunks_exact(features).enumerate();
        for (step, values) in steps.filter(|&(at, _)| counts(mask, at)) {
            let places = (step * features) as u32..;
            for (((largest, winner), &value), place) in
                largest.iter_mut().zip(winners.iter_mut()).zip(values).zip(places)
            {
                let wins = *winner == NOBODY || value > *largest;
                *largest = if wins { value } else { *largest };
                *winner = if wins { place } else { *winner };
            }
        }
    }
}
