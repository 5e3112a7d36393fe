//! What a mini-batch should have given: class numbers or values.

use crate::ModelError;

/// The wanted outputs of a mini-batch.
#[derive(Clone, Copy, Debug)]
pub enum Targets<'a> {
    /// One class number for each row.
    Classes(&'a [u32]),
    /// One value for each output of each row, row by row.
    Values(&'a [f32]),
}

/// The wanted output of one row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target<'a> {
    Class(u32),
    Values(&'a [f32]),
}

impl<'a> Targets<'a> {
    /// The target of one row; `width` is the number of outputs.
    #[inline(always)]
    pub(crate) fn row(&self, row: usize, width: usize) -> Target<'a> {
        match *self {
            Self::Classes(classes) => Target::Class(classes[row]),
            Self::Values(values) => Target::Values(&values[row * width..(row + 1) * width]),
        }
    }

    /// Checks that there is a usable target for each row; `classes` is how many classes there are.
    pub(crate) fn check(&self, rows: usize, width: usize, classes: usize) -> Result<(), ModelError> {
        match self {
            Self::Classes(targets) => {
                check_len("class targets", targets.len(), rows)?;
                match targets.iter().position(|&class| class as usize >= classes) {
                    None => Ok(()),
                    Some(row) => Err(value("the class", row, targets[row], format!("below {classes}"))),
                }
            }
            Self::Values(targets) => {
                check_len("target values", targets.len(), rows * width)?;
                match targets.iter().position(|value| !value.is_finite()) {
                    None => Ok(()),
                    Some(at) => {
                        Err(value("the target", at / width, targets[at], "a finite number".to_owned()))
                    }
                }
            }
        }
    }
}

/// Checks row weights and gives their sum; without weights each row weighs 1.
pub(crate) fn total_weight(row_weights: Option<&[f32]>, rows: usize) -> Result<f64, ModelError> {
    let Some(weights) = row_weights else { return Ok(rows as f64) };
    check_len("row weights", weights.len(), rows)?;
    match weights.iter().position(|&weight| !(weight.is_finite() && weight >= 0.0)) {
        None => Ok(weights.iter().map(|&weight| f64::from(weight)).sum()),
        Some(row) => Err(value("the weight", row, weights[row], "finite and not negative".to_owned())),
    }
}

pub(crate) fn check_len(what: &'static str, got: usize, wanted: usize) -> Result<(), ModelError> {
    if got == wanted { Ok(()) } else { Err(ModelError::Length { what, wanted, got }) }
}

fn value(what: &'static str, row: usize, got: impl ToString, wanted: String) -> ModelError {
    ModelError::Value { what, row, got: got.to_string(), wanted }
}
