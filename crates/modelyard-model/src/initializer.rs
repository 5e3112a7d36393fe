//! How weights start, by Keras's names.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rng::Rng;

/// The distribution that a layer's first weights are drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Initializer {
    /// Uniform, variance 2 / (inputs + outputs) (Glorot & Bengio 2010). The default.
    #[default]
    GlorotUniform,
    /// Truncated normal, variance 2 / (inputs + outputs).
    GlorotNormal,
    /// Uniform, variance 2 / inputs (He et al. 2015): for relu.
    HeUniform,
    /// Truncated normal, variance 2 / inputs.
    HeNormal,
    /// Uniform, variance 1 / inputs (LeCun et al. 1998).
    LecunUniform,
    /// Truncated normal, variance 1 / inputs.
    LecunNormal,
    /// All 0.
    Zeros,
    /// All 1.
    Ones,
    /// Uniform in ±0.05.
    RandomUniform,
    /// Normal with deviation 0.05.
    RandomNormal,
    /// Normal with deviation 0.05, redrawn beyond two deviations.
    TruncatedNormal,
    /// Rows or columns, whichever are fewer, of length 1 and at right angles (Saxe et al. 2014): for the
    /// recurrent weights of LSTM and GRU.
    Orthogonal,
}

/// How many values a weight combines and how many it reaches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fans {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
}

/// The deviation of a unit normal after cutting at ±2: what is drawn is divided by it to keep the variance.
const TRUNCATED_DEVIATION: f32 = 0.879_625_7;

impl Initializer {
    /// Fills the weights.
    pub(crate) fn fill(self, weights: &mut [f32], fans: Fans, rng: &mut Rng) {
        let (inputs, outputs) = (fans.inputs.max(1) as f32, fans.outputs.max(1) as f32);
        let glorot = 2.0 / (inputs + outputs);
        match self {
            Self::GlorotUniform => uniform(weights, (3.0 * glorot).sqrt(), rng),
            Self::GlorotNormal => truncated(weights, glorot.sqrt() / TRUNCATED_DEVIATION, rng),
            Self::HeUniform => uniform(weights, (6.0 / inputs).sqrt(), rng),
            Self::HeNormal => truncated(weights, (2.0 / inputs).sqrt() / TRUNCATED_DEVIATION, rng),
            Self::LecunUniform => uniform(weights, (3.0 / inputs).sqrt(), rng),
            Self::LecunNormal => truncated(weights, (1.0 / inputs).sqrt() / TRUNCATED_DEVIATION, rng),
            Self::Zeros => weights.fill(0.0),
            Self::Ones => weights.fill(1.0),
            Self::RandomUniform => uniform(weights, 0.05, rng),
            Self::RandomNormal => weights.fill_with(|| 0.05 * rng.normal()),
            Self::TruncatedNormal => truncated(weights, 0.05, rng),
            Self::Orthogonal => orthogonal(weights, fans.inputs.max(1), rng),
        }
    }
}

fn uniform(weights: &mut [f32], limit: f32, rng: &mut Rng) {
    weights.fill_with(|| limit * (2.0 * rng.uniform() - 1.0));
}

fn truncated(weights: &mut [f32], deviation: f32, rng: &mut Rng) {
    weights.fill_with(|| {
        loop {
            let value = rng.normal();
            if value.abs() <= 2.0 {
                return deviation * value;
            }
        }
    });
}

/// A matrix of `rows` rows; what has another number of values is taken as one row.
fn orthogonal(weights: &mut [f32], rows: usize, rng: &mut Rng) {
    let rows = if weights.len().is_multiple_of(rows) { rows } else { 1 };
    let columns = weights.len() / rows;
    let (count, len) = (rows.min(columns), rows.max(columns));
    let mut vectors: Vec<Vec<f64>> = Vec::with_capacity(count);
    while vectors.len() < count {
        let mut vector: Vec<f64> = (0..len).map(|_| f64::from(rng.normal())).collect();
        // Twice: what rounding left of the others the first time.
        for _ in 0..2 {
            for other in &vectors {
                let share = dot(&vector, other);
                vector.iter_mut().zip(other).for_each(|(x, o)| *x -= share * o);
            }
            let length = dot(&vector, &vector).sqrt();
            vector.iter_mut().for_each(|x| *x /= length);
        }
        vectors.push(vector);
    }
    for (at, weight) in weights.iter_mut().enumerate() {
        let (row, column) = (at / columns, at % columns);
        *weight = if rows <= columns { vectors[row][column] } else { vectors[column][row] } as f32;
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(initializer: Initializer, variance: f64) {
        let mut weights = vec![0.0; 40_000];
        initializer.fill(&mut weights, Fans { inputs: 200, outputs: 50 }, &mut Rng::new(3));
        let got = weights.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>() / 40_000.0;
        assert!((got / variance - 1.0).abs() < 0.04, "{initializer:?}: {got} for {variance}");
    }

    #[test]
    fn variances_are_as_published() {
        check(Initializer::GlorotUniform, 2.0 / 250.0);
        check(Initializer::GlorotNormal, 2.0 / 250.0);
        check(Initializer::HeUniform, 2.0 / 200.0);
        check(Initializer::HeNormal, 2.0 / 200.0);
        check(Initializer::LecunUniform, 1.0 / 200.0);
        check(Initializer::LecunNormal, 1.0 / 200.0);
        check(Initializer::Ones, 1.0);
        check(Initializer::RandomUniform, 0.05 * 0.05 / 3.0);
        check(Initializer::RandomNormal, 0.05 * 0.05);
        let cut = f64::from(0.05 * TRUNCATED_DEVIATION);
        check(Initializer::TruncatedNormal, cut * cut);
    }
    #[test]
    fn orthogonal_rows_stand_at_right_angles() {
        for (rows, columns) in [(6, 20), (20, 6), (8, 8), (1, 5)] {
            let mut weights = vec![0.0; rows * columns];
            let fans = Fans { inputs: rows, outputs: columns };
            Initializer::Orthogonal.fill(&mut weights, fans, &mut Rng::new(3));
            let (count, len) = (rows.min(columns), rows.max(columns));
            let at = |vector: usize, k: usize| {
                if rows <= columns { weights[vector * columns + k] } else { weights[k * columns + vector] }
            };
            for (a, b) in (0..count).flat_map(|a| (0..count).map(move |b| (a, b))) {
                let product: f32 = (0..len).map(|k| at(a, k) * at(b, k)).sum();
                let wanted = if a == b { 1.0 } else { 0.0 };
                assert!((product - wanted).abs() < 1e-5, "{rows}×{columns}: {a}·{b} is {product}");
            }
        }
    }
}
