//! exp, tanh, sigmoid and erf without branches, so that loops over them become vector instructions.
//!
//! Bounds, tested below over the whole range against the double-precision functions: relative error of
//! `exp` at most 3e-7 for |x| ≤ 87; absolute error of `sigmoid` and `tanh` at most 3e-7, of `erf` at most 1e-6.

use crate::cpu::Arithmetic;

/// eˣ for −87 ≤ x ≤ 88, clamped beyond: 2ⁿ by its exponent bits times a polynomial for 2ᶠ, |f| ≤ ½.
/// NaN stays NaN.
#[inline(always)]
pub(crate) fn exp<A: Arithmetic>(x: f32) -> f32 {
    // Adding 1.5·2²³ leaves the nearest integer in the low bits.
    const SHIFT: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let clamped = if x > 88.0 { 88.0 } else { x };
    let clamped = if clamped < -87.0 { -87.0 } else { clamped };
    let shifted = A::mul_add(clamped, std::f32::consts::LOG2_E, SHIFT);
    let whole = shifted - SHIFT;
    let f = A::mul_add(whole, -LN2_HIGH, clamped);
    let f = A::mul_add(whole, -LN2_LOW, f);
    // Taylor's series with the tail's coefficients adjusted (Cephes, expf).
    let p = A::mul_add(1.987_569_1e-4, f, 1.398_2e-3);
    let p = A::mul_add(p, f, 8.333_452e-3);
    let p = A::mul_add(p, f, 4.166_579_6e-2);
    let p = A::mul_add(p, f, 1.666_666_5e-1);
    let p = A::mul_add(p, f, 0.5);
    let p = A::mul_add(p, f * f, f) + 1.0;
    f32::from_bits(p.to_bits().wrapping_add(shifted.to_bits() << 23))
}

/// 1 / (1 + e⁻ˣ).
#[inline(always)]
pub(crate) fn sigmoid<A: Arithmetic>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<A>(-x))
}

/// The hyperbolic tangent.
#[inline(always)]
pub(crate) fn tanh<A: Arithmetic>(x: f32) -> f32 {
    1.0 - 2.0 / (1.0 + exp::<A>(2.0 * x))
}

/// The error function (Abramowitz & Stegun 1964, 7.1.26).
#[inline(always)]
pub(crate) fn erf<A: Arithmetic>(x: f32) -> f32 {
    let a = x.abs();
    let t = 1.0 / A::mul_add(0.327_591_1, a, 1.0);
    let p = A::mul_add(1.061_405_4, t, -1.453_152);
    let p = A::mul_add(p, t, 1.421_413_7);
    let p = A::mul_add(p, t, -0.284_496_74);
    let p = A::mul_add(p, t, 0.254_829_6);
    (1.0 - p * t * exp::<A>(-a * a)).copysign(x)
}

/// The logarithm of 1 + e^−|x|, for losses: exact enough through the standard library.
#[inline]
pub(crate) fn log1p_exp_neg_abs(x: f32) -> f32 {
    (-x.abs()).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::{Fused, Plain};

    /// The largest error of `got` over a fine grid, where `error` compares a result with the exact one.
    fn worst(
        low: f32,
        high: f32,
        got: fn(f32) -> f32,
        exact: fn(f64) -> f64,
        error: fn(f64, f64) -> f64,
    ) -> f64 {
        let steps = 400_000;
        let at = |step: i32| low + (high - low) * step as f32 / steps as f32;
        (0..=steps)
            .map(|step| error(f64::from(got(at(step))), exact(f64::from(at(step)))))
            .fold(0.0, f64::max)
    }

    fn relative(got: f64, exact: f64) -> f64 {
        (got / exact - 1.0).abs()
    }

    fn absolute(got: f64, exact: f64) -> f64 {
        (got - exact).abs()
    }

    /// erf by its series, and near ±1 by what is left of it.
    fn erf_exact(x: f64) -> f64 {
        let (mut term, mut sum) = (x, x);
        for n in 1..200 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        if x.abs() > 5.0 { x.signum() } else { sum * std::f64::consts::FRAC_2_SQRT_PI }
    }

    #[test]
    fn errors_stay_within_the_stated_bounds() {
        fn sigmoid_exact(x: f64) -> f64 {
            1.0 / (1.0 + (-x).exp())
        }
        for exp in [exp::<Fused>, exp::<Plain>] {
            let error = worst(-87.0, 88.0, exp, f64::exp, relative);
            assert!(error < 3e-7, "exp {error}");
        }
        for (sigmoid, tanh, erf) in [
            (
                sigmoid::<Fused> as fn(f32) -> f32,
                tanh::<Fused> as fn(f32) -> f32,
                erf::<Fused> as fn(f32) -> f32,
            ),
            (sigmoid::<Plain>, tanh::<Plain>, erf::<Plain>),
        ] {
            let errors = [
                worst(-100.0, 100.0, sigmoid, sigmoid_exact, absolute),
                worst(-50.0, 50.0, tanh, f64::tanh, absolute),
                worst(-6.0, 6.0, erf, erf_exact, absolute),
            ];
            let within = errors.iter().zip([3e-7, 3e-7, 1e-6]).all(|(error, bound)| *error < bound);
            assert!(within, "sigmoid, tanh, erf {errors:?}");
        }
    }

    #[test]
    fn what_is_not_a_number_stays_so() {
        for function in [exp::<Fused>, sigmoid::<Fused>, tanh::<Fused>, erf::<Fused>] {
            assert!(function(f32::NAN).is_nan());
        }
        assert_eq!(exp::<Fused>(0.0), 1.0);
        assert!(exp::<Fused>(-1e30) < 2e-38 && exp::<Fused>(f32::INFINITY) > 1e38);
    }
}
