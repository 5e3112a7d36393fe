//! A declared network with everything that follows from it: every shape, and where each array of weights lies.

use std::ops::Range;

use crate::ModelError;
use crate::error::shape_text;
use crate::layers::{Parameter, Role};
use crate::masks::ReadMasks;
use crate::wiring::Value;

/// More weights than this (4 GiB) are refused.
const PARAMETERS_MAX: usize = 1 << 30;
/// More values between two layers for one row than this (256 MiB) are refused.
const ROW_VALUES_MAX: usize = 1 << 26;
/// Each array of weights starts at a multiple of this many values: a cache line.
const ALIGNMENT: usize = 16;

/// The shape of an input part, and where in a row its values lie.
pub(crate) type Part = (Vec<usize>, Range<usize>);

/// What follows from a network's declaration.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) layers: Vec<LayoutLayer>,
    /// Length of the array that holds all trained weights, gaps included.
    pub(crate) trained_len: usize,
    /// Length of the array that holds all running statistics, gaps included.
    pub(crate) state_len: usize,
    pub(crate) input: Vec<usize>,
    /// The shape of each input part, and where in a row its values lie.
    pub(crate) parts: Vec<Part>,
    pub(crate) output: Vec<usize>,
}

/// One layer of a [`Layout`].
#[derive(Clone, Debug)]
pub(crate) struct LayoutLayer {
    pub(crate) index: usize,
    /// As the user named it, or index and kind: `0.dense`.
    pub(crate) name: String,
    /// Whose values the layer takes.
    pub(crate) sources: Vec<Value>,
    /// Their shapes.
    pub(crate) inputs: Vec<Vec<usize>>,
    pub(crate) output: Vec<usize>,
    /// The values, [steps] of numbers, that tell the padding in the layer's input apart, and in its memory.
    pub(crate) masks: ReadMasks,
    /// Whether training moves the weights.
    pub(crate) trainable: bool,
    pub(crate) parameters: Vec<Parameter>,
    /// Where each parameter lies in the array of its role.
    pub(crate) places: Vec<Range<usize>>,
}

impl LayoutLayer {
    /// The shape that goes in; of several the first.
    pub(crate) fn input(&self) -> &[usize] {
        &self.inputs[0]
    }

    /// The name under which a parameter is stored: `0.dense.kernel`.
    pub(crate) fn parameter_name(&self, parameter: &Parameter) -> String {
        format!("{}.{}", self.name, parameter.name)
    }

    pub(crate) fn parameter_count(&self) -> usize {
        self.places.iter().map(Range::len).sum()
    }
}

impl Layout {
    /// Gives each of the layer's parameters its place.
    pub(crate) fn place(&mut self, layer: &mut LayoutLayer) -> Result<(), ModelError> {
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

    /// The stretches of the trained weights that training moves, in order.
    pub(crate) fn moved(&self) -> Vec<Range<usize>> {
        let mut moved: Vec<Range<usize>> = Vec::new();
        let mut frozen = true;
        for layer in &self.layers {
            let trained = layer.parameters.iter().zip(&layer.places);
            for (_, place) in trained.filter(|(parameter, _)| parameter.role == Role::Trained) {
                match moved.last_mut() {
                    _ if !layer.trainable => {}
                    Some(last) if !frozen => last.end = place.end,
                    _ => moved.push(place.clone()),
                }
                frozen = !layer.trainable;
            }
        }
        moved
    }

    /// The shape of a value.
    pub(crate) fn shape(&self, value: Value) -> &[usize] {
        match value {
            Value::Input(part) => &self.parts[part].0,
            Value::Layer(index) => &self.layers[index].output,
        }
    }

    /// Values of one input row.
    pub(crate) fn input_len(&self) -> usize {
        self.input.iter().product()
    }

    /// Number of weights, running statistics included, gaps not.
    pub(crate) fn parameter_count(&self) -> usize {
        self.layers.iter().map(LayoutLayer::parameter_count).sum()
    }
}

/// The number of values of a shape, where it can be counted at all.
fn values_of(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n)).filter(|&n| n <= usize::MAX / 8)
}

/// Refuses more values for one row than any network of ours has; gives their number.
pub(crate) fn check_row(shapes: &[Vec<usize>], what: &str) -> Result<usize, ModelError> {
    let total = shapes.iter().try_fold(0usize, |sum, shape| sum.checked_add(values_of(shape)?));
    match total {
        Some(len) if len <= ROW_VALUES_MAX => Ok(len),
        len => Err(ModelError::TooLarge {
            what: format!(
                "one row of {what}, {},",
                shapes.iter().map(|shape| shape_text(shape)).collect::<Vec<_>>().join(" and ")
            ),
            needed: len.map_or(u64::MAX, |len| len as u64),
            limit: ROW_VALUES_MAX as u64,
        }),
    }
}
