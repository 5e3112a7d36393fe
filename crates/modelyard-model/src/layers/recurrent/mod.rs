//! What the recurrent layers share: settings, shapes, weights, and the walk over the steps of a sequence.
//! Each kind of cell says in its own file what happens within one step.

mod cell;
pub(super) mod exported;
mod op;
mod weights;

pub(crate) use cell::{After, Back, Before, Cell, StepBack};
use op::BLOCK_ROWS;
pub(crate) use op::{Direction, RecurrentOp};

use super::{Layer, MaskRule, Misfit, Parameter, sequence_shape};
use crate::export::{Export, ExportedLayer};
use crate::initializer::{Fans, Initializer};
use crate::kernels::panels::padded;
use crate::memory::{Hidden, product};
use crate::op::{Op, Place, Purpose};

/// The settings that every recurrent layer has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) units: usize,
    pub(crate) return_sequences: bool,
    pub(crate) go_backwards: bool,
    pub(crate) use_bias: bool,
    pub(crate) kernel_initializer: Initializer,
    pub(crate) recurrent_initializer: Initializer,
    pub(crate) bias_initializer: Initializer,
}

/// The ONNX operator of a layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operator {
    pub(crate) name: &'static str,
    /// For each gate in the operator's order, which of Keras's gates it is.
    pub(crate) gates: &'static [usize],
    /// Whether inputs and state have a bias each.
    pub(crate) two_biases: bool,
    /// The name of the activation function, where it is not the operator's own.
    pub(crate) activation: Option<&'static str>,
}

/// A kind of recurrent layer.
pub(crate) trait Recurrent {
    /// The kind as the project file names it.
    fn name(&self) -> &'static str;

    /// The settings that all kinds have.
    fn settings(&self) -> Settings;

    /// How it is written as ONNX.
    fn operator(&self) -> Operator;

    /// The operation that walks in this direction; `place.weights` holds this layer's arrays only.
    fn op(&self, place: &Place<'_>, direction: Direction) -> Box<dyn Op>;

    /// Which values of the bias start at 1.
    fn ones(&self) -> std::ops::Range<usize> {
        0..0
    }
}

/// More units than this are a slip of the pen; sums of sizes below it cannot overflow.
const UNITS_MAX: usize = 1 << 20;

/// The shape that comes out of a recurrent layer over [steps, features].
pub(crate) fn output_shape(settings: &Settings, input: &[usize]) -> Result<Vec<usize>, Misfit> {
    if settings.units == 0 {
        return Err(Misfit::field("units", "must be at least 1"));
    }
    if settings.units > UNITS_MAX {
        return Err(Misfit::field("units", format!("must be at most {UNITS_MAX}, it is {}", settings.units)));
    }
    let [steps, _] = sequence_shape(input)?;
    Ok(if settings.return_sequences { vec![steps, settings.units] } else { vec![settings.units] })
}

/// kernel [features, gates · units], recurrent_kernel [units, gates · units] and bias, as Keras lays them out.
pub(crate) fn parameters(layer: &dyn Recurrent, features: usize, names: [&'static str; 3]) -> Vec<Parameter> {
    let settings = layer.settings();
    let (units, operator) = (settings.units, layer.operator());
    let columns = operator.gates.len() * units;
    let kernel = Fans { inputs: features, outputs: columns };
    let recurrent = Fans { inputs: units, outputs: columns };
    let bias = if operator.two_biases { vec![2, columns] } else { vec![columns] };
    let mut all = vec![
        Parameter::trained(names[0], vec![features, columns], settings.kernel_initializer, kernel),
        Parameter::trained(names[1], vec![units, columns], settings.recurrent_initializer, recurrent),
    ];
    if settings.use_bias {
        let bias = Parameter::trained(names[2], bias, settings.bias_initializer, kernel);
        all.push(Parameter { ones: layer.ones(), ..bias });
    }
    all
}

/// What a walk keeps: of every step on the way back, otherwise of a block of steps.
pub(crate) fn hidden(layer: &dyn Recurrent, input: &[usize], purpose: Purpose) -> Hidden {
    let ([steps, features], units) = ([input[0], input[1]], layer.settings().units);
    let (width, sums) = (padded(units), layer.operator().gates.len() + 1);
    let step = product(&[width, sums + 3]).saturating_add(product(&[2, features]));
    let kernels = Hidden::fixed(&[3, product(&[width, sums]), features.saturating_add(width)]);
    match purpose {
        Purpose::Training => kernels.and(Hidden::per_row(&[steps.saturating_add(1), step])),
        Purpose::Inference => {
            kernels.and(Hidden::per_row(&[2, step])).and(Hidden::fixed(&[BLOCK_ROWS, step]))
        }
    }
}

impl<R: Recurrent> Layer for R {
    fn kind(&self) -> &'static str {
        self.name()
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, Misfit> {
        output_shape(&self.settings(), input)
    }

    fn mask_rule(&self) -> MaskRule {
        if self.settings().return_sequences { MaskRule::Keeps } else { MaskRule::Ends }
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        parameters(self, input[1], ["kernel", "recurrent_kernel", "bias"])
    }

    fn hidden(&self, inputs: &[Vec<usize>], purpose: Purpose) -> Hidden {
        hidden(self, &inputs[0], purpose)
    }

    fn plan(&self, place: &Place<'_>) -> Option<Box<dyn Op>> {
        let settings = self.settings();
        let direction = if settings.go_backwards { Direction::Backwards } else { Direction::Forwards };
        Some(self.op(place, direction))
    }

    fn export(&self, layer: &ExportedLayer<'_>, graph: &mut Export) {
        exported::one_direction(self, layer, graph);
    }
}
