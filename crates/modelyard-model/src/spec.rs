//! The declaration of a network: its layers in order, and every shape that follows from them.

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::shape_text;
use crate::layers::{LayerSpec, Misfit, Parameter, Role};
use crate::{Activation, ModelError};

/// A network as declared: the shape of one input row and the layers, read like Keras's `Sequential`.
///
/// ```
/// use modelyard_model::{Activation, Dense, LayerSpec, NetworkSpec};
///
/// let spec = NetworkSpec {
///     input: vec![64],
///     layers: vec![
///         LayerSpec::Dense(Dense::new(32, Some(Activation::Relu))),
///         LayerSpec::Dense(Dense::new(10, Some(Activation::Softmax))),
///     ],
/// };
/// assert_eq!(spec.output_shape()?, [10]);
/// assert_eq!(spec.summary()?[1].parameters, 330);
/// # Ok::<(), modelyard_model::ModelError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NetworkSpec {
    /// The input's shape without the batch dimension: [features], or [height, width, channels] for images.
    pub input: Vec<usize>,
    /// The layers, first to last.
    pub layers: Vec<LayerSpec>,
}

/// One line of a network's summary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerSummary {
    /// Index and kind, as weights are named: `0.dense`.
    pub name: String,
    /// The shape that comes out, without the batch dimension.
    pub output_shape: Vec<usize>,
    /// Number of weights, running statistics included.
    pub parameters: usize,
}

/// More weights than this (4 GiB) are refused.
pub(crate) const PARAMETERS_MAX: usize = 1 << 30;
/// More values between two layers for one row than this (256 MiB) are refused.
const ROW_VALUES_MAX: usize = 1 << 26;
/// Each array of weights starts at a multiple of this many values: a cache line.
const ALIGNMENT: usize = 16;

/// A declared network with everything that follows: shapes, and where each array of weights lies.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) layers: Vec<LayoutLayer>,
    /// Length of the array that holds all trained weights, gaps included.
    pub(crate) trained_len: usize,
    /// Length of the array that holds all running statistics, gaps included.
    pub(crate) state_len: usize,
    pub(crate) input: Vec<usize>,
    pub(crate) output: Vec<usize>,
}

/// One layer of a [`Layout`].
#[derive(Clone, Debug)]
pub(crate) struct LayoutLayer {
    pub(crate) index: usize,
    pub(crate) kind: &'static str,
    pub(crate) input: Vec<usize>,
    pub(crate) output: Vec<usize>,
    pub(crate) parameters: Vec<Parameter>,
    /// Where each parameter lies in the array of its role.
    pub(crate) places: Vec<Range<usize>>,
}

impl LayoutLayer {
    /// The name under which a parameter is stored: `0.dense.kernel`.
    pub(crate) fn parameter_name(&self, parameter: &Parameter) -> String {
        format!("{}.{}.{}", self.index, self.kind, parameter.name)
    }

    pub(crate) fn parameter_count(&self) -> usize {
        self.places.iter().map(Range::len).sum()
    }
}

impl NetworkSpec {
    /// The shape after each layer, without the batch dimension.
    ///
    /// # Errors
    /// Where a layer does not fit the one before it, a setting can never work, or sizes are absurd.
    pub fn shapes(&self) -> Result<Vec<Vec<usize>>, ModelError> {
        Ok(self.layout()?.layers.into_iter().map(|layer| layer.output).collect())
    }

    /// The shape of one output row.
    ///
    /// # Errors
    /// As [`Self::shapes`].
    pub fn output_shape(&self) -> Result<Vec<usize>, ModelError> {
        Ok(self.layout()?.output)
    }

    /// The activation that the network ends in: `softmax` and `sigmoid` outputs are probabilities, without
    /// one they are logits.
    pub fn output_activation(&self) -> Option<Activation> {
        activation_of(self.layers.iter().rev().find(|layer| !matches!(layer, LayerSpec::Flatten(_)))?)
    }

    /// Name, output shape and number of weights of each layer.
    ///
    /// # Errors
    /// As [`Self::shapes`].
    pub fn summary(&self) -> Result<Vec<LayerSummary>, ModelError> {
        let lines = self.layout()?.layers.into_iter().map(|layer| LayerSummary {
            name: format!("{}.{}", layer.index, layer.kind),
            parameters: layer.parameter_count(),
            output_shape: layer.output,
        });
        Ok(lines.collect())
    }

    /// Infers everything, or says which layer cannot be and why.
    pub(crate) fn layout(&self) -> Result<Layout, ModelError> {
        self.check_input()?;
        let mut shape = self.input.clone();
        let mut layout = Layout {
            layers: Vec::with_capacity(self.layers.len()),
            trained_len: 0,
            state_len: 0,
            input: self.input.clone(),
            output: Vec::new(),
        };
        for (index, spec) in self.layers.iter().enumerate() {
            let output =
                spec.layer().output_shape(&shape).map_err(|misfit| self.misfit(index, &shape, misfit))?;
            check_row(&output, &format!("the output of layer {index} ({})", spec.kind()))?;
            let mut layer = LayoutLayer {
                index,
                kind: spec.kind(),
                parameters: spec.layer().parameters(&shape),
                places: Vec::new(),
                input: shape,
                output: output.clone(),
            };
            layout.place(&mut layer)?;
            layout.layers.push(layer);
            shape = output;
        }
        layout.output = shape;
        self.check_end()?;
        Ok(layout)
    }

    /// Refuses dropout behind probabilities: their sum would no longer be one while training, and nothing
    /// could be fused with the loss.
    fn check_end(&self) -> Result<(), ModelError> {
        let idle = |layer: &LayerSpec| matches!(layer, LayerSpec::Flatten(_) | LayerSpec::Dropout(_));
        let idle_from = self.layers.iter().rposition(|layer| !idle(layer)).map_or(0, |at| at + 1);
        let gives_probabilities = idle_from > 0
            && matches!(
                activation_of(&self.layers[idle_from - 1]),
                Some(Activation::Softmax | Activation::Sigmoid)
            );
        let is_dropout = |layer: &LayerSpec| matches!(layer, LayerSpec::Dropout(_));
        match self.layers[idle_from..].iter().position(is_dropout) {
            Some(at) if gives_probabilities => Err(ModelError::Spec {
                message: format!(
                    "its layer {} (dropout) would drop the network's own answers; put it before the last layer \
                     that has weights, or leave it out",
                    idle_from + at
                ),
            }),
            _ => Ok(()),
        }
    }

    fn check_input(&self) -> Result<(), ModelError> {
        let spec = |message: String| Err(ModelError::Spec { message });
        if self.layers.is_empty() {
            return spec("it has no layers".to_owned());
        }
        if self.input.is_empty() || self.input.len() > 3 {
            let input = shape_text(&self.input);
            return spec(format!("its input is {input}, it must be [features] or [height, width, channels]"));
        }
        if self.input.contains(&0) {
            return spec(format!("its input {} holds a zero", shape_text(&self.input)));
        }
        check_row(&self.input, "the input")
    }

    /// Says in the user's terms why a layer cannot stand where it stands.
    fn misfit(&self, index: usize, shape: &[usize], misfit: Misfit) -> ModelError {
        let kind = self.layers[index].kind();
        match misfit {
            Misfit::Field { field, message } => ModelError::Layer { index, kind, field, message },
            Misfit::Shape { wanted, hint } => {
                let before = match index.checked_sub(1) {
                    Some(before) => format!("layer {before} ({})", self.layers[before].kind()),
                    None => "the input".to_owned(),
                };
                ModelError::Shape { index, kind, wanted, before, shape: shape.to_vec(), hint }
            }
        }
    }
}

impl Layout {
    /// Gives each of the layer's parameters its place.
    fn place(&mut self, layer: &mut LayoutLayer) -> Result<(), ModelError> {
        for parameter in &layer.parameters {
            let end = match parameter.role {
                Role::Trained => &mut self.trained_len,
                Role::State => &mut self.state_len,
            };
            let start = end.next_multiple_of(ALIGNMENT);
            let len = values_of(&parameter.shape).filter(|len| start + len <= PARAMETERS_MAX);
            let Some(len) = len else {
                return Err(ModelError::TooLarge {
                    what: format!(
                        "{} of shape {}",
                        layer.parameter_name(parameter),
                        shape_text(&parameter.shape)
                    ),
                    needed: values_of(&parameter.shape).map_or(u64::MAX, |len| (start + len) as u64),
                    limit: PARAMETERS_MAX as u64,
                });
            };
            layer.places.push(start..start + len);
            *end = start + len;
        }
        Ok(())
    }

    /// Number of weights, running statistics included, gaps not.
    pub(crate) fn parameter_count(&self) -> usize {
        self.layers.iter().map(LayoutLayer::parameter_count).sum()
    }
}

/// The activation that a layer ends in.
fn activation_of(layer: &LayerSpec) -> Option<Activation> {
    match layer {
        LayerSpec::Dense(layer) => layer.activation,
        LayerSpec::Conv2d(layer) => layer.activation,
        LayerSpec::Activation(layer) => Some(layer.activation),
        _ => None,
    }
}

/// The number of values of a shape, where it can be counted at all.
fn values_of(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n)).filter(|&n| n <= usize::MAX / 8)
}

fn check_row(shape: &[usize], what: &str) -> Result<(), ModelError> {
    match values_of(shape) {
        Some(len) if len <= ROW_VALUES_MAX => Ok(()),
        len => Err(ModelError::TooLarge {
            what: format!("one row of {what}, {},", shape_text(shape)),
            needed: len.map_or(u64::MAX, |len| len as u64),
            limit: ROW_VALUES_MAX as u64,
        }),
    }
}
