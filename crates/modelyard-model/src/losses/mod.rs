//! The losses: one file each, one trait, and the one list that names them.

mod binary_cross_entropy;
mod cross_entropy;
mod huber;
mod mae;
mod mse;
mod quantile;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use binary_cross_entropy::BinaryCrossEntropy;
pub use cross_entropy::CrossEntropy;
pub use huber::Huber;
pub use mae::MeanAbsoluteError;
pub use mse::MeanSquaredError;
pub use quantile::Quantile;

use crate::cpu::{self, Arithmetic, Kernel};
use crate::targets::{Target, Targets};
use crate::{Activation, ModelError};

/// What training makes small.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum LossSpec {
    /// Mean squared error.
    #[serde(rename = "mse")]
    MeanSquaredError(MeanSquaredError),
    /// Mean absolute error.
    #[serde(rename = "mae")]
    MeanAbsoluteError(MeanAbsoluteError),
    /// Squared near zero, absolute further out.
    Huber(Huber),
    /// For quantiles of forecasts.
    Quantile(Quantile),
    /// For one of several classes.
    CrossEntropy(CrossEntropy),
    /// For yes or no, each output on its own.
    BinaryCrossEntropy(BinaryCrossEntropy),
}

/// Hands the loss of each kind to a generic expression.
macro_rules! with_loss {
    ($spec:expr, $loss:ident => $result:expr) => {
        match $spec {
            LossSpec::MeanSquaredError($loss) => $result,
            LossSpec::MeanAbsoluteError($loss) => $result,
            LossSpec::Huber($loss) => $result,
            LossSpec::Quantile($loss) => $result,
            LossSpec::CrossEntropy($loss) => $result,
            LossSpec::BinaryCrossEntropy($loss) => $result,
        }
    };
}

/// What a kind of loss must know about itself.
trait Loss {
    /// The loss's name in the project file.
    fn name(&self) -> &'static str;

    /// Checks its own settings and the number of outputs; `Err` holds the message and a hint.
    fn check(&self, width: usize) -> Result<(), (String, Option<String>)>;

    /// The trailing activation that this loss computes itself, more exactly than in two steps.
    fn fused(&self) -> Option<Activation>;

    /// How many classes a class target may name; 0 where only values will do.
    fn classes(&self, width: usize) -> usize;

    /// The loss of one row, without the row's weight; `slope` receives its derivative by the outputs, which
    /// are logits for losses that fuse an activation.
    fn row<A: Arithmetic>(&self, output: &[f32], target: Target<'_>, slope: &mut [f32]) -> f32;

    /// The loss of one row from the outputs of the fused activation: probabilities.
    fn row_from_probabilities(&self, output: &[f32], target: Target<'_>) -> f32;
}

/// Rows of outputs beside what they should be.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) outputs: &'a [f32],
    pub(crate) targets: Targets<'a>,
    pub(crate) weights: Option<&'a [f32]>,
    /// The place of the first row of `outputs` among the targets and weights.
    pub(crate) first_row: usize,
    pub(crate) width: usize,
}

impl LossSpec {
    /// The loss's name in the project file.
    pub fn name(&self) -> &'static str {
        with_loss!(self, loss => loss.name())
    }

    /// The trailing activation that this loss computes itself.
    pub(crate) fn fused(&self) -> Option<Activation> {
        with_loss!(self, loss => loss.fused())
    }

    /// Checks the loss against the network's number of outputs and last activation.
    pub(crate) fn check(&self, width: usize, last: Option<Activation>) -> Result<(), ModelError> {
        let error = |(message, hint)| ModelError::Loss { loss: self.name(), message, hint };
        with_loss!(self, loss => loss.check(width)).map_err(error)?;
        match (self.fused(), last) {
            (Some(fused), Some(last @ (Activation::Softmax | Activation::Sigmoid))) if fused != last => {
                Err(error((
                    format!("does not go with a network that ends in {last:?}").to_lowercase(),
                    Some(format!("end the network in {fused:?}, or in no activation").to_lowercase()),
                )))
            }
            _ => Ok(()),
        }
    }

    /// Checks targets against this loss.
    pub(crate) fn check_targets(
        &self,
        targets: Targets<'_>,
        rows: usize,
        width: usize,
    ) -> Result<(), ModelError> {
        let classes = with_loss!(self, loss => loss.classes(width));
        if classes == 0 && matches!(targets, Targets::Classes(_)) {
            let hint = Some("use cross_entropy for classes".to_owned());
            let message = "compares values, and the targets are classes".to_owned();
            return Err(ModelError::Loss { loss: self.name(), message, hint });
        }
        targets.check(rows, width, classes)
    }

    /// The weighted sum of the rows' losses; `slopes` receives `scale` times its derivatives.
    pub(crate) fn rows(&self, rows: Rows<'_>, scale: f32, slopes: &mut [f32]) -> f64 {
        with_loss!(self, loss => cpu::run(LossRows { loss, rows, scale, slopes }))
    }

    /// The weighted sum of the rows' losses, from outputs as the network gives them.
    pub(crate) fn sum(&self, rows: Rows<'_>, probabilities: bool, slope: &mut [f32]) -> f64 {
        with_loss!(self, loss => loss_sum(loss, rows, probabilities, slope))
    }
}

struct LossRows<'a, L> {
    loss: &'a L,
    rows: Rows<'a>,
    scale: f32,
    slopes: &'a mut [f32],
}

impl<L: Loss> Kernel for LossRows<'_, L> {
    type Output = f64;

    #[inline(always)]
    fn run<A: Arithmetic>(self) -> f64 {
        let Rows { outputs, targets, weights, first_row, width } = self.rows;
        let mut sum = 0.0;
        let rows = outputs.chunks_exact(width).zip(self.slopes.chunks_exact_mut(width));
        for (row, (output, slope)) in rows.enumerate() {
            let weight = weights.map_or(1.0, |weights| weights[first_row + row]);
            let loss = self.loss.row::<A>(output, targets.row(first_row + row, width), slope);
            sum += f64::from(weight) * f64::from(loss);
            let scale = weight * self.scale;
            for slope in slope {
                *slope *= scale;
            }
        }
        sum
    }
}

fn loss_sum<L: Loss>(loss: &L, rows: Rows<'_>, probabilities: bool, slope: &mut [f32]) -> f64 {
    let Rows { outputs, targets, weights, first_row, width } = rows;
    let mut sum = 0.0;
    for (row, output) in outputs.chunks_exact(width).enumerate() {
        let target = targets.row(first_row + row, width);
        let value = if probabilities {
            loss.row_from_probabilities(output, target)
        } else {
            loss.row::<cpu::Plain>(output, target, slope)
        };
        sum += f64::from(weights.map_or(1.0, |weights| weights[first_row + row])) * f64::from(value);
    }
    sum
}

/// The values of a target for losses that take nothing else, which `classes() == 0` has made sure of.
#[inline(always)]
fn values(target: Target<'_>) -> &[f32] {
    match target {
        Target::Values(values) => values,
        Target::Class(_) => &[],
    }
}

/// The smallest probability that a logarithm is taken of: 10⁻⁷, as in Keras.
const PROBABILITY_MIN: f32 = 1e-7;

/// Checks a share that is mixed into targets.
fn check_smoothing(smoothing: f32) -> Result<(), (String, Option<String>)> {
    if (0.0..1.0).contains(&smoothing) {
        return Ok(());
    }
    Err((format!("needs label_smoothing of at least 0 and below 1, it is {smoothing}"), None))
}
