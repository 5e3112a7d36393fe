//! Softmax over attention scores, forward and back, in one pass with scale, padding and causality.

use super::math;
use crate::cpu::{self, Arithmetic, Kernel};

/// Stands in the place of the scores of padding: small enough to leave nothing of them beside a real key, and a row of
/// nothing but padding is shared out evenly instead of being no number at all.
pub(crate) const PADDING_SCORE: f32 = -1e9;

/// Sums that are added up side by side: as many as the widest vectors hold.
const LANES: usize = 16;

/// How the scores of some queries become shares that add up to one. Each query has a row of `stride` values, of
/// which the first `keys` count and the others are 0.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Softmax<'a> {
    pub(crate) keys: usize,
    pub(crate) stride: usize,
    /// What scores are multiplied with.
    pub(crate) scale: f32,
    /// Whether the query at step i sees the keys of steps up to i only.
    pub(crate) causal: bool,
    /// 0 where a key is padding.
    pub(crate) mask: Option<&'a [f32]>,
}

impl Softmax<'_> {
    /// Turns scores into shares, in place.
    pub(crate) fn forward(self, scores: &mut [f32]) {
        cpu::run(Forward { softmax: self, scores });
    }

    /// Turns the derivative by the shares into that by the products of query and key, in place.
    pub(crate) fn backward(self, shares: &[f32], delta: &mut [f32]) {
        cpu::run(Backward { softmax: self, shares, delta });
    }
}

struct Forward<'a> {
    softmax: Softmax<'a>,
    scores: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        let Softmax { keys, stride, scale, causal, mask } = self.softmax;
        for (query, row) in self.scores.chunks_exact_mut(stride).enumerate() {
            let seen = if causal { (query + 1).min(keys) } else { keys };
            let (row, unseen) = row.split_at_mut(seen);
            unseen.fill(0.0);
            match mask {
                None => row.iter_mut().for_each(|score| *score *= scale),
                Some(mask) => {
                    for (score, &mask) in row.iter_mut().zip(mask) {
                        *score = if mask == 0.0 { PADDING_SCORE } else { *score * scale };
                    }
                }
            }
            let largest = largest(row);
            row.iter_mut().for_each(|score| *score = math::exp::<A>(*score - largest));
            let share = 1.0 / sum(row);
            row.iter_mut().for_each(|score| *score *= share);
        }
    }
}

struct Backward<'a> {
    softmax: Softmax<'a>,
    shares: &'a [f32],
    delta: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        let Softmax { stride, scale, mask, .. } = self.softmax;
        let rows = self.shares.chunks_exact(stride).zip(self.delta.chunks_exact_mut(stride));
        for (shares, delta) in rows {
            let mean = dot::<A>(shares, delta);
            for (d, &share) in delta.iter_mut().zip(shares) {
                *d = (*d - mean) * (share * scale);
            }
            // Whatever the product of query and padding was, nothing came of it.
            for (d, _) in delta.iter_mut().zip(mask.into_iter().flatten()).filter(|(_, mask)| **mask == 0.0) {
                *d = 0.0;
            }
        }
    }
}

#[inline(always)]
fn largest(row: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let chunks = row.chunks_exact(LANES);
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let rest = chunks.remainder().iter().fold(f32::NEG_INFINITY, |a, &b| larger(a, b));
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = larger(*lane, x);
        }
    }
    lanes.into_iter().fold(rest, larger)
}

#[inline(always)]
fn sum(row: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let chunks = row.chunks_exact(LANES);
    let rest: f32 = chunks.remainder().iter().sum();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane += x;
        }
    }
    rest + lanes.iter().sum::<f32>()
}

#[inline(always)]
fn dot<A: Arithmetic>(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a.zip(b) {
        for ((lane, &a), &b) in lanes.iter_mut().zip(a).zip(b) {
            *lane = A::mul_add(a, b, *lane);
        }
    }
    rest + lanes.iter().sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(softmax: Softmax<'_>, scores: &[f32], wanted: &[f32]) {
        let mut got = scores.to_vec();
        softmax.forward(&mut got);
        for (got, wanted) in got.iter().zip(wanted) {
            assert!((got - wanted).abs() < 1e-6, "{got} {wanted}");
        }
    }

    #[test]
    fn shares_are_of_what_is_seen() {
        let softmax = Softmax { keys: 3, stride: 3, scale: 2.0, causal: false, mask: None };
        let [a, b] = [1f32, 3.0].map(f32::exp);
        check(softmax, &[0.5, 1.5, 1.5], &[a, b, b].map(|x| x / (a + 2.0 * b)));
        let causal = Softmax { causal: true, ..softmax };
        check(causal, &[0.5, 9.0, 9.0, 1.5, 0.5, 9.0], &[1.0, 0.0, 0.0, b / (a + b), a / (a + b), 0.0]);
        let masked = Softmax { mask: Some(&[7.0, 2.0, 0.0]), ..softmax };
        check(masked, &[0.5, 0.5, 80.0], &[0.5, 0.5, 0.0]);
        let nothing = Softmax { mask: Some(&[0.0; 3]), ..softmax };
        check(nothing, &[0.5, 3.5, 8.0], &[1.0 / 3.0; 3]);
        let huge = Softmax { mask: Some(&[1.0, 0.0, 1.0]), ..softmax };
        check(huge, &[0.0, 4e9, 0.0], &[0.5, 0.0, 0.5]);
        check(Softmax { stride: 4, ..causal }, &[0.5, 9.0, 9.0, 9.0], &[1.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn nothing_flows_back_to_padding() {
        let nothing = Softmax { keys: 3, stride: 3, scale: 2.0, causal: false, mask: Some(&[0.0; 3]) };
        let mut delta = [1.0, 2.0, 4.0];
        nothing.backward(&[1.0 / 3.0; 3], &mut delta);
        assert_eq!(delta, [0.0; 3]);
    }
}
