//! exp, sigmoid and tanh of whole vectors, for loops over so many arrays that the compiler would not make vectors
//! of them by itself. The method is that of [`super::math`].
//!
//! Bound, tested below against the double-precision functions: absolute errors of at most 6e-7.

use pulp::Simd;

/// Beyond this, a sigmoid is 0 or 1 to within 3e-9.
const STEEP: f32 = 20.0;

/// eˣ, with x clamped to ±`limit`, which is at most 87. NaN stays NaN.
#[inline(always)]
fn exp<S: Simd>(simd: S, x: S::f32s, limit: f32) -> S::f32s {
    // Adding 1.5·2²³ leaves the nearest integer in the low bits.
    let shift = simd.splat_f32s(12_582_912.0);
    let fused = |a, b: f32, c| simd.mul_add_e_f32s(a, simd.splat_f32s(b), c);
    let (high, low) = (simd.splat_f32s(limit), simd.splat_f32s(-limit));
    let x = simd.select_f32s(simd.greater_than_f32s(x, high), high, x);
    let x = simd.select_f32s(simd.less_than_f32s(x, low), low, x);
    let shifted = fused(x, std::f32::consts::LOG2_E, shift);
    let whole = simd.sub_f32s(shifted, shift);
    let f = fused(whole, -0.693_359_4, x);
    let f = fused(whole, 2.121_944_4e-4, f);
    let p = fused(f, 1.987_569_1e-4, simd.splat_f32s(1.398_2e-3));
    let p = simd.mul_add_e_f32s(p, f, simd.splat_f32s(8.333_452e-3));
    let p = simd.mul_add_e_f32s(p, f, simd.splat_f32s(4.166_579_6e-2));
    let p = simd.mul_add_e_f32s(p, f, simd.splat_f32s(1.666_666_5e-1));
    let p = simd.mul_add_e_f32s(p, f, simd.splat_f32s(0.5));
    let p = simd.mul_add_e_f32s(p, simd.mul_f32s(f, f), f);
    let p = simd.add_f32s(p, simd.splat_f32s(1.0));
    let exponent = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(23));
    simd.transmute_f32s_u32s(simd.add_u32s(simd.transmute_u32s_f32s(p), exponent))
}

/// 1 + e⁻ˣ, whose inverse is the sigmoid.
#[inline(always)]
fn below<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    simd.add_f32s(simd.splat_f32s(1.0), exp(simd, simd.neg_f32s(x), STEEP))
}

/// 1 + e²ˣ.
#[inline(always)]
fn below_tanh<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    simd.add_f32s(simd.splat_f32s(1.0), exp(simd, simd.add_f32s(x, x), STEEP))
}

/// 1 − 2 · x: the hyperbolic tangent from the inverse of [`below_tanh`].
#[inline(always)]
fn tanh_from<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    simd.mul_add_e_f32s(x, simd.splat_f32s(-2.0), simd.splat_f32s(1.0))
}

/// The hyperbolic tangent.
#[inline(always)]
pub(crate) fn tanh<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    tanh_from(simd, simd.div_f32s(simd.splat_f32s(1.0), below_tanh(simd, x)))
}

/// Two sigmoids by one division, which costs as much as the rest.
#[inline(always)]
pub(crate) fn two_sigmoids<S: Simd>(simd: S, [a, b]: [S::f32s; 2]) -> [S::f32s; 2] {
    let (a, b) = (below(simd, a), below(simd, b));
    let inverse = simd.div_f32s(simd.splat_f32s(1.0), simd.mul_f32s(a, b));
    [simd.mul_f32s(inverse, b), simd.mul_f32s(inverse, a)]
}

/// Three sigmoids and a hyperbolic tangent by one division: the product of the four denominators stays below
/// 6e34.
#[inline(always)]
pub(crate) fn three_sigmoids_and_tanh<S: Simd>(
    simd: S,
    [a, b, c]: [S::f32s; 3],
    d: S::f32s,
) -> ([S::f32s; 3], S::f32s) {
    let (a, b) = (below(simd, a), below(simd, b));
    let (c, d) = (below(simd, c), below_tanh(simd, d));
    let (ab, cd) = (simd.mul_f32s(a, b), simd.mul_f32s(c, d));
    let inverse = simd.div_f32s(simd.splat_f32s(1.0), simd.mul_f32s(ab, cd));
    let (of_ab, of_cd) = (simd.mul_f32s(inverse, cd), simd.mul_f32s(inverse, ab));
    let sigmoids = [simd.mul_f32s(of_ab, b), simd.mul_f32s(of_ab, a), simd.mul_f32s(of_cd, d)];
    (sigmoids, tanh_from(simd, simd.mul_f32s(of_cd, c)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulp::{Arch, WithSimd};

    /// Three sigmoids of x, −x and x/2, the tangents of x and of x beside steep gates, two sigmoids of x and −x.
    struct All<'a>(&'a [f32; 16], &'a mut [[f32; 16]; 7]);

    impl WithSimd for All<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let (inputs, _) = S::as_simd_f32s(self.0);
            for (at, &x) in inputs.iter().enumerate() {
                let half = simd.mul_f32s(x, simd.splat_f32s(0.5));
                let (three, _) = three_sigmoids_and_tanh(simd, [x, simd.neg_f32s(x), half], x);
                let steep = simd.splat_f32s(-90.0);
                let (_, beside) = three_sigmoids_and_tanh(simd, [steep, steep, steep], x);
                let two = two_sigmoids(simd, [x, simd.neg_f32s(x)]);
                let all = [three[0], three[1], three[2], tanh(simd, x), beside, two[0], two[1]];
                for (to, value) in self.1.iter_mut().zip(all) {
                    S::as_mut_simd_f32s(to).0[at] = value;
                }
            }
        }
    }

    #[test]
    fn errors_stay_within_the_stated_bounds() {
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        for step in -5_000..5_000 {
            let xs: [f32; 16] = std::array::from_fn(|lane| 0.01 * step as f32 + 0.000_6 * lane as f32);
            let mut got = [[0.0; 16]; 7];
            Arch::new().dispatch(All(&xs, &mut got));
            for (lane, &x) in xs.iter().enumerate() {
                let x = f64::from(x);
                let (one, tanh) = (sigmoid(x), x.tanh());
                let wanted = [one, 1.0 - one, sigmoid(x / 2.0), tanh, tanh, one, 1.0 - one];
                for (at, wanted) in wanted.into_iter().enumerate() {
                    let error = (f64::from(got[at][lane]) - wanted).abs();
                    assert!(error < 6e-7, "function {at} of {x}: off by {error}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_a_number_stays_so() {
        let mut got = [[0.0; 16]; 7];
        Arch::new().dispatch(All(&[f32::NAN; 16], &mut got));
        assert!(got.iter().flatten().all(|value| value.is_nan()));
    }
}
