//! The activation functions, by Keras's names: values and derivatives over whole rows.

use std::marker::PhantomData;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cpu::{self, Arithmetic, Kernel};
use crate::kernels::math;
use crate::op::{Place, Purpose};

/// Slope of `leaky_relu` below zero, as in Keras's `activations.leaky_relu`.
pub(crate) const LEAKY_SLOPE: f32 = 0.2;

/// A function applied to every value (softmax: to every row of the last axis).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Activation {
    /// max(x, 0).
    Relu,
    /// x above zero, 0.2 x below.
    LeakyRelu,
    /// x above zero, eˣ − 1 below.
    Elu,
    /// x Φ(x), with the exact normal distribution function (Hendrycks & Gimpel 2016).
    Gelu,
    /// x σ(x), also called swish.
    Silu,
    /// 1 / (1 + e⁻ˣ).
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// eˣ over the row's sum of eˣ.
    Softmax,
}

impl Activation {
    /// Every activation, in the order of the reference page.
    pub const ALL: [Self; 8] = [
        Self::Relu,
        Self::LeakyRelu,
        Self::Elu,
        Self::Gelu,
        Self::Silu,
        Self::Sigmoid,
        Self::Tanh,
        Self::Softmax,
    ];

    /// True where the derivative cannot be had from the output alone.
    fn needs_input(self) -> bool {
        matches!(self, Self::Gelu | Self::Silu)
    }

    /// True where a larger value never gives a smaller one, so that it may be swapped with a maximum.
    pub(crate) fn is_monotone(self) -> bool {
        !matches!(self, Self::Gelu | Self::Silu | Self::Softmax)
    }
}

/// The values before an activation, kept only where its backward pass needs them.
#[derive(Debug, Default)]
pub(crate) struct Saved {
    values: Vec<f32>,
}

impl Saved {
    pub(crate) fn new(activation: Option<Activation>, place: &Place<'_>, width: usize) -> Self {
        let needed = place.purpose == Purpose::Training && activation.is_some_and(Activation::needs_input);
        Self { values: if needed { vec![0.0; place.rows_max * width] } else { Vec::new() } }
    }

    /// The place for these values, where it is needed.
    pub(crate) fn part_mut(&mut self, part: std::ops::Range<usize>) -> Option<&mut [f32]> {
        if self.values.is_empty() { None } else { Some(&mut self.values[part]) }
    }

    /// What was kept; empty where nothing was.
    pub(crate) fn part(&self, part: std::ops::Range<usize>) -> &[f32] {
        if self.values.is_empty() { &[] } else { &self.values[part] }
    }
}

/// Applies the activation in place; `width` is the length of the last axis.
pub(crate) fn apply(activation: Activation, values: &mut [f32], width: usize) {
    match activation {
        Activation::Relu => map::<Relu>(values),
        Activation::LeakyRelu => map::<LeakyRelu>(values),
        Activation::Elu => map::<Elu>(values),
        Activation::Gelu => map::<Gelu>(values),
        Activation::Silu => map::<Silu>(values),
        Activation::Sigmoid => map::<Sigmoid>(values),
        Activation::Tanh => map::<Tanh>(values),
        Activation::Softmax => {
            for row in values.chunks_exact_mut(width) {
                softmax(row);
            }
        }
    }
}

/// Multiplies the derivative by the output with the activation's own, in place.
///
/// `before` holds the activation's inputs where [`Saved`] kept them.
pub(crate) fn back(activation: Activation, output: &[f32], before: &[f32], delta: &mut [f32], width: usize) {
    match activation {
        Activation::Relu => map_back::<Relu>(output, delta),
        Activation::LeakyRelu => map_back::<LeakyRelu>(output, delta),
        Activation::Elu => map_back::<Elu>(output, delta),
        Activation::Gelu => map_back::<Gelu>(before, delta),
        Activation::Silu => map_back::<Silu>(before, delta),
        Activation::Sigmoid => map_back::<Sigmoid>(output, delta),
        Activation::Tanh => map_back::<Tanh>(output, delta),
        Activation::Softmax => softmax_back(output, delta, width),
    }
}

/// max(x, 0); NaN stays NaN, so that a diverged network is noticed.
#[inline(always)]
pub(crate) fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

/// Probabilities from logits, in place.
pub(crate) fn softmax(row: &mut [f32]) {
    cpu::run(SoftmaxRow(row));
}

struct SoftmaxRow<'a>(&'a mut [f32]);

impl Kernel for SoftmaxRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        let largest = self.0.iter().fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a });
        for value in self.0.iter_mut() {
            *value = math::exp::<A>(*value - largest);
        }
        let scale = 1.0 / self.0.iter().sum::<f32>();
        for value in self.0.iter_mut() {
            *value *= scale;
        }
    }
}

fn softmax_back(output: &[f32], delta: &mut [f32], width: usize) {
    for (row, delta) in output.chunks_exact(width).zip(delta.chunks_exact_mut(width)) {
        let mean: f32 = row.iter().zip(delta.iter()).map(|(y, d)| y * d).sum();
        for (d, y) in delta.iter_mut().zip(row) {
            *d = y * (*d - mean);
        }
    }
}

/// An activation that treats every value alone.
trait Pointwise {
    /// The value.
    fn value<A: Arithmetic>(x: f32) -> f32;
    /// The derivative, from the output (from the input for those that `needs_input`).
    fn slope<A: Arithmetic>(y: f32) -> f32;
}

struct Relu;
struct LeakyRelu;
struct Elu;
struct Gelu;
struct Silu;
struct Sigmoid;
struct Tanh;

impl Pointwise for Relu {
    #[inline(always)]
    fn value<A: Arithmetic>(x: f32) -> f32 {
        relu(x)
    }
    #[inline(always)]
    fn slope<A: Arithmetic>(y: f32) -> f32 {
        if y > 0.0 { 1.0 } else { 0.0 }
    }
}

impl Pointwise for LeakyRelu {
    #[inline(always)]
    fn value<A: Arithmetic>(x: f32) -> f32 {
        if x > 0.0 { x } else { LEAKY_SLOPE * x }
    }
    #[inline(always)]
    fn slope<A: Arithmetic>(y: f32) -> f32 {
        if y > 0.0 { 1.0 } else { LEAKY_SLOPE }
    }
}

impl Pointwise for Elu {
    #[inline(always)]
    fn value<A: Arithmetic>(x: f32) -> f32 {
        let below = math::exp::<A>(x) - 1.0;
        if x > 0.0 { x } else { below }
    }
    #[inline(always)]
    fn slope<A: Arithmetic>(y: f32) -> f32 {
        if y > 0.0 { 1.0 } else { y + 1.0 }
    }
}

impl Pointwise for Gelu {
    #[inline(always)]
    fn value<A: Arithmetic>(x: f32) -> f32 {
        0.5 * x * (1.0 + math::erf::<A>(x * std::f32::consts::FRAC_1_SQRT_2))
    }
    #[inline(always)]
    fn slope<A: Arithmetic>(x: f32) -> f32 {
        const ONE_BY_SQRT_TAU: f32 = 0.398_942_3;
        let below = 0.5 * (1.0 + math::erf::<A>(x * std::f32::consts::FRAC_1_SQRT_2));
        A::mul_add(x * ONE_BY_SQRT_TAU, math::exp::<A>(-0.5 * x * x), below)
    }
}

impl Pointwise for Silu {
    #[inline(always)]
    fn value<A: Arithmetic>(x: f32) -> f32 {
        x * math::sigmoid::<A>(x)
    }
    #[inline(always)]
    fn slope<A: Arithmetic>(x: f32) -> f32 {
        let s = math::sigmoid::<A>(x);
        s * (1.0 + x * (1.0 - s))
    }
}

impl Pointwise for Sigmoid {
    #[inline(always)]
    fn value<A: Arithmetic>(x: f32) -> f32 {
        math::sigmoid::<A>(x)
    }
    #[inline(always)]
    fn slope<A: Arithmetic>(y: f32) -> f32 {
        y * (1.0 - y)
    }
}

impl Pointwise for Tanh {
    #[inline(always)]
    fn value<A: Arithmetic>(x: f32) -> f32 {
        math::tanh::<A>(x)
    }
    #[inline(always)]
    fn slope<A: Arithmetic>(y: f32) -> f32 {
        1.0 - y * y
    }
}

fn map<P: Pointwise>(values: &mut [f32]) {
    cpu::run(Map::<P> { values, function: PhantomData });
}

fn map_back<P: Pointwise>(at: &[f32], delta: &mut [f32]) {
    assert_eq!(at.len(), delta.len(), "activation and derivative");
    cpu::run(MapBack::<P> { at, delta, function: PhantomData });
}

struct Map<'a, P> {
    values: &'a mut [f32],
    function: PhantomData<P>,
}

impl<P: Pointwise> Kernel for Map<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        for value in self.values {
            *value = P::value::<A>(*value);
        }
    }
}

struct MapBack<'a, P> {
    at: &'a [f32],
    delta: &'a mut [f32],
    function: PhantomData<P>,
}

impl<P: Pointwise> Kernel for MapBack<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<A: Arithmetic>(self) {
        for (delta, &at) in self.delta.iter_mut().zip(self.at) {
            *delta *= P::slope::<A>(at);
        }
    }
}
