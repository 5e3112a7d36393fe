//! What standard, min-max and robust scale all become: `(x - offset) * factor`, component by component.

use serde::{Deserialize, Serialize};

use super::{Block, Form, Training, Transform};
use crate::error::Problem;

/// A shift and a stretch for each component.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Affine {
    offset: Vec<f64>,
    scale: Vec<f64>,
}

impl Affine {
    /// From offset and scale pairs. A scale of 0 (a constant component) counts as 1, so that the constant
    /// becomes 0 rather than NaN.
    pub(crate) fn new(pairs: impl Iterator<Item = (f64, f64)>) -> Result<Self, Problem> {
        let (offset, scale): (Vec<f64>, Vec<f64>) =
            pairs.map(|(offset, scale)| (offset, if scale > 0.0 { scale } else { 1.0 })).unzip();
        let finite = offset.iter().chain(&scale).all(|value| value.is_finite());
        if !finite {
            return Err(Problem::new("the values are too large to be scaled")
                .hint("put a clip or log1p transform before the scaling"));
        }
        Ok(Self { offset, scale })
    }
}

/// The width of the numbers that come in, or why they cannot be scaled.
pub(crate) fn numbers_width(training: &Training<'_>, transform: &str) -> Result<usize, Problem> {
    width_of(training.form, transform)
}

/// The width of a form of numbers, or why `transform` does not fit it.
pub(crate) fn width_of(form: &Form, transform: &str) -> Result<usize, Problem> {
    match form {
        Form::Numbers { width } => Ok(*width),
        other => Err(Problem::new(format!("{transform} takes numbers, not {}", other.describe()))
            .hint(hint_for(other))),
    }
}

fn hint_for(form: &Form) -> &'static str {
    match form {
        Form::Category { .. } => "a category needs one_hot or ordinal first",
        Form::Datetime => "a datetime needs datetime_parts first",
        Form::Bytes { .. } | Form::Image { .. } => "images take image_to_float, normalize, resize and grey",
        Form::Text => "a text needs tokenize or bag_of_words",
        Form::Numbers { .. } => "check the order of the transforms",
    }
}

/// The error of a column in which no training row has a value.
pub(crate) fn all_missing() -> Problem {
    Problem::new("every training row is missing this value")
        .hint("remove the input, or put an impute transform with strategy = \"constant\" first")
}

impl Transform for Affine {
    fn output(&self, incoming: &Form) -> Result<Form, Problem> {
        let width = width_of(incoming, "scaling")?;
        if self.offset.len() != width || self.scale.len() != width {
            return Err(Problem::new(format!(
                "fitted on {} numbers, but {width} come in",
                self.offset.len().min(self.scale.len())
            )));
        }
        Ok(incoming.clone())
    }

    fn apply(&self, block: &mut Block) {
        for row in block.floats.chunks_exact_mut(self.offset.len().max(1)) {
            for ((value, offset), scale) in row.iter_mut().zip(&self.offset).zip(&self.scale) {
                *value = (*value - offset) / scale;
            }
        }
    }

    fn invert(&self, values: &mut [f64]) -> Result<(), Problem> {
        for row in values.chunks_exact_mut(self.offset.len().max(1)) {
            for ((value, offset), scale) in row.iter_mut().zip(&self.offset).zip(&self.scale) {
                *value = *value * scale + offset;
            }
        }
        Ok(())
    }
}
