//! Loops over rows of values: bias and activation in one pass, column sums.

use crate::Activation;
use crate::activation;
use crate::cpu::{self, Arithmetic, Kernel};

/// Adds the bias to each row and applies the activation, while the row is in cache.
///
/// `before` receives the values before the activation, where the backward pass will need them.
pub(crate) fn bias_activate(
    values: &mut [f32],
    bias: Option<&[f32]>,
    width: usize,
    activation: Option<Activation>,
    before: Option<&mut [f32]>,
) {
    match (bias, activation) {
        (None, None) => {}
        (Some(bias), None) => cpu::run(AddBias { values, bias }),
        (Some(bias), Some(Activation::Relu)) => cpu::run(AddBiasRelu { values, bias }),
        (bias, Some(activation)) => {
            if let Some(bias) = bias {
                cpu::run(AddBias { values, bias });
            }
            if let Some(before) = before {
                before.copy_from_slice(values);
            }
            activation::apply(activation, values, width);
        }
    }
}

/// Adds up the rows: the gradient of a bias.
pub(crate) fn sum_rows(rows: &[f32], sums: &mut [f32], write: super::product::Write) {
    if write == super::product::Write::Replace {
        sums.fill(0.0);
    }
    cpu::run(SumRows { rows, sums });
}

/// `to += from`, value by value.
pub(crate) fn add(to: &mut [f32], from: &[f32]) {
    assert_eq!(to.len(), from.len(), "both sides of an addition");
    cpu::run(Add { to, from });
}

/// `to = a + b`, value by value.
pub(crate) fn sum(to: &mut [f32], a: &[f32], b: &[f32]) {
    assert!(to.len() == a.len() && to.len() == b.len(), "both sides of an addition");
    cpu::run(Sum { to, a, b });
}

/// `to += factor · from`, value by value.
pub(crate) fn add_scaled(to: &mut [f32], from: &[f32], factor: f32) {
    assert_eq!(to.len(), from.len(), "both sides of an addition");
    cpu::run(AddScaled { to, from, factor });
}

/// `to = keep · to + (1 − keep) · from`, value by value.
pub(crate) fn blend(to: &mut [f32], from: &[f32], keep: f32) {
    assert_eq!(to.len(), from.len(), "both sides of a mean");
    cpu::run(Blend { to, from, keep });
}

/// The sum of squares, in double precision.
pub(crate) fn sum_of_squares(values: &[f32]) -> f64 {
    cpu::run(SumOfSquares(values))
}

struct SumOfSquares<'a>(&'a [f32]);

impl Kernel for SumOfSquares<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<A: Arithmetic>(self) -> f64 {
        let mut lanes = [0.0; 16];
        let chunks = self.0.chunks_exact(lanes.len());
        let rest: f64 = chunks.remainder().iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        for chunk in chunks {
            for (lane, &x) in lanes.iter_mut().zip(chunk) {
                *lane += f64::from(x) * f64::from(x);
            }
        }
        rest + lanes.iter().sum::<f64>()
    }
}

struct AddBias<'a> {
    values: &'a mut [f32],
    bias: &'a [f32],
}

impl Kernel for AddBias<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        for row in self.values.chunks_exact_mut(self.bias.len()) {
            for (value, &bias) in row.iter_mut().zip(self.bias) {
                *value += bias;
            }
        }
    }
}

struct AddBiasRelu<'a> {
    values: &'a mut [f32],
    bias: &'a [f32],
}

impl Kernel for AddBiasRelu<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        for row in self.values.chunks_exact_mut(self.bias.len()) {
            for (value, &bias) in row.iter_mut().zip(self.bias) {
                *value = activation::relu(*value + bias);
            }
        }
    }
}

struct SumRows<'a> {
    rows: &'a [f32],
    sums: &'a mut [f32],
}

impl Kernel for SumRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        for row in self.rows.chunks_exact(self.sums.len()) {
            for (sum, &value) in self.sums.iter_mut().zip(row) {
                *sum += value;
            }
        }
    }
}

struct Add<'a> {
    to: &'a mut [f32],
    from: &'a [f32],
}

impl Kernel for Add<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        for (to, &from) in self.to.iter_mut().zip(self.from) {
            *to += from;
        }
    }
}

struct Sum<'a> {
    to: &'a mut [f32],
    a: &'a [f32],
    b: &'a [f32],
}

impl Kernel for Sum<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        for ((to, &a), &b) in self.to.iter_mut().zip(self.a).zip(self.b) {
            *to = a + b;
        }
    }
}

struct AddScaled<'a> {
    to: &'a mut [f32],
    from: &'a [f32],
    factor: f32,
}

impl Kernel for AddScaled<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        for (to, &from) in self.to.iter_mut().zip(self.from) {
            *to = A::mul_add(from, self.factor, *to);
        }
    }
}

struct Blend<'a> {
    to: &'a mut [f32],
    from: &'a [f32],
    keep: f32,
}

impl Kernel for Blend<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        for (to, &from) in self.to.iter_mut().zip(self.from) {
            *to = A::mul_add(self.keep, *to - from, from);
        }
    }
}
