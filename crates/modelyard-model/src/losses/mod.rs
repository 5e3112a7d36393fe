//! The losses: one file each, one trait, and the one list that names them.

mod binary_cross_entropy;
mod cross_entropy;
mod error_losses;
mod focal;
mod huber;
mod mae;
mod mse;
mod quantile;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use binary_cross_entropy::BinaryCrossEntropy;
pub use cross_entropy::CrossEntropy;
pub use focal::Focal;
pub use huber::Huber;
pub use mae::MeanAbsoluteError;
pub use mse::MeanSquaredError;
pub use quantile::Quantile;

use crate::cpu::{self, Arithmetic, Kernel};
use crate::ending::Ending;
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
    /// For one of several classes.
    CrossEntropy(CrossEntropy),
    /// For yes or no, each output on its own.
    BinaryCrossEntropy(BinaryCrossEntropy),
    /// For classes of which some are rare.
    Focal(Focal),
    /// For intervals: outputs that the truth stays below with given probabilities.
    Quantile(Quantile),
}

/// Hands the loss of each kind to a generic expression.
macro_rules! with_loss {
    ($spec:expr, $loss:ident => $result:expr) => {
        match $spec {
            LossSpec::MeanSquaredError($loss) => $result,
            LossSpec::MeanAbsoluteError($loss) => $result,
            LossSpec::Huber($loss) => $result,
            LossSpec::CrossEntropy($loss) => $result,
            LossSpec::BinaryCrossEntropy($loss) => $result,
            LossSpec::Focal($loss) => $result,
            LossSpec::Quantile($loss) => $result,
        }
    };
}

/// What is wrong with a loss's settings, and a hint.
type Problem = (String, Option<String>);

/// What a kind of loss must know about itself. A row here is what one loss is computed of: where the loss is
/// over steps, one step.
trait Loss {
    /// The loss's name in the project file.
    fn name(&self) -> &'static str;

    /// Checks its own settings and the number of outputs.
    fn check(&self, width: usize) -> Result<(), Problem>;

    /// The trailing activation that this loss computes itself, more exactly than in two steps.
    fn fused(&self, width: usize) -> Option<Activation>;

    /// How many classes a class target may name; 0 where only values will do.
    fn classes(&self, width: usize) -> usize;

    /// Whether targets may be values.
    fn takes_values(&self) -> bool {
        true
    }

    /// How many values the target of this many outputs has.
    fn targets(&self, width: usize) -> usize {
        width
    }

    /// The loss of one row, without the row's weight; `slope` receives its derivative by the outputs, which
    /// are logits for losses that fuse an activation.
    fn row<A: Arithmetic>(&self, output: &[f32], target: Target<'_>, slope: &mut [f32]) -> f32;

    /// The loss of one row from the outputs of the fused activation: probabilities.
    fn row_from_probabilities(&self, output: &[f32], target: Target<'_>) -> f32;
}

/// How many losses a row of outputs has, and of how many outputs each is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LossShape {
    /// Losses of one row: more than one where each step of a sequence (or pixel) has a class of its own.
    pub(crate) steps: usize,
    /// Outputs of one loss.
    pub(crate) width: usize,
    /// Values of one loss's target, where targets are values.
    pub(crate) targets: usize,
}

/// Rows of outputs beside what they should be.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) outputs: &'a [f32],
    pub(crate) targets: Targets<'a>,
    pub(crate) weights: Option<&'a [f32]>,
    /// The place of the first row of `outputs` among the targets and weights.
    pub(crate) first_row: usize,
    pub(crate) shape: LossShape,
}

impl<'a> Rows<'a> {
    /// The weight and target of a loss, counted from the first row's first; `None` where there is none.
    #[inline(always)]
    fn wanted(&self, at: usize) -> Option<(f32, Target<'a>)> {
        let LossShape { steps, targets, .. } = self.shape;
        let target = self.targets.get(self.first_row * steps + at, targets)?;
        Some((self.weights.map_or(1.0, |weights| weights[self.first_row + at / steps]), target))
    }
}

impl LossSpec {
    /// The loss's name in the project file.
    pub fn name(&self) -> &'static str {
        with_loss!(self, loss => loss.name())
    }

    /// The trailing activation that this loss computes itself, behind an output of this shape.
    pub(crate) fn fused(&self, output: &[usize]) -> Option<Activation> {
        let width = output.last().copied().unwrap_or(1);
        with_loss!(self, loss => loss.fused(width))
    }

    /// The losses of one row of outputs of this shape: one for each step or pixel where outputs are classes,
    /// else one.
    pub(crate) fn shape(&self, output: &[usize]) -> LossShape {
        let of_classes =
            self.fused(output) == Some(Activation::Softmax) || !with_loss!(self, loss => loss.takes_values());
        let width = if of_classes { output.last().copied().unwrap_or(1) } else { output.iter().product() };
        let targets = with_loss!(self, loss => loss.targets(width));
        LossShape { steps: output.iter().product::<usize>() / width, width, targets }
    }

    /// Checks the loss against the network's output and how it comes about.
    pub(crate) fn check(&self, output: &[usize], ending: Ending) -> Result<(), ModelError> {
        let error = |(message, hint)| ModelError::Loss { loss: self.name(), message, hint };
        with_loss!(self, loss => loss.check(self.shape(output).width)).map_err(error)?;
        let Some(fused) = self.fused(output) else { return Ok(()) };
        let fused_text = format!("{fused:?}").to_lowercase();
        match ending {
            Ending::Activation { activation: last @ (Activation::Softmax | Activation::Sigmoid), .. }
                if fused != last =>
            {
                Err(error((
                    format!("does not go with a network that ends in {last:?}").to_lowercase(),
                    Some(format!("end the network in {fused_text}, or in no activation")),
                )))
            }
            Ending::Mixed { layer, activation, by } => {
                let given = format!("{activation:?}").to_lowercase();
                Err(error((
                    format!("would take for logits what layer {by} makes of the {given} of layer {layer}"),
                    Some(format!(
                        "put the {given} behind layer {by}, or leave it out: the loss brings its own"
                    )),
                )))
            }
            _ => Ok(()),
        }
    }

    /// Checks the targets of this many rows against this loss.
    pub(crate) fn check_targets(
        &self,
        targets: Targets<'_>,
        rows: usize,
        shape: LossShape,
    ) -> Result<(), ModelError> {
        let classes = with_loss!(self, loss => loss.classes(shape.width));
        let takes_values = with_loss!(self, loss => loss.takes_values());
        let (message, hint) = match targets {
            Targets::Classes(_) if classes == 0 => {
                ("compares values, and the targets are classes", "use cross_entropy for classes")
            }
            Targets::Values(_) if !takes_values => {
                ("compares classes, and the targets are values", "use cross_entropy for shares of classes")
            }
            targets => return targets.check(rows, shape, classes),
        };
        let hint = Some(hint.to_owned());
        Err(ModelError::Loss { loss: self.name(), message: message.to_owned(), hint })
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
        let width = self.rows.shape.width;
        let mut sum = 0.0;
        let rows = self.rows.outputs.chunks_exact(width).zip(self.slopes.chunks_exact_mut(width));
        for (at, (output, slope)) in rows.enumerate() {
            let Some((weight, target)) = self.rows.wanted(at) else {
                slope.fill(0.0);
                continue;
            };
            let loss = self.loss.row::<A>(output, target, slope);
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
    let mut sum = 0.0;
    for (at, output) in rows.outputs.chunks_exact(rows.shape.width).enumerate() {
        let Some((weight, target)) = rows.wanted(at) else { continue };
        let value = if probabilities {
            loss.row_from_probabilities(output, target)
        } else {
            loss.row::<cpu::Plain>(output, target, slope)
        };
        sum += f64::from(weight) * f64::from(value);
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
fn check_smoothing(smoothing: f32) -> Result<(), Problem> {
    if (0.0..1.0).contains(&smoothing) {
        return Ok(());
    }
    Err((format!("needs label_smoothing of at least 0 and below 1, it is {smoothing}"), None))
}
