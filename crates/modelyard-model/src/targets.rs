//! What a mini-batch should have given: class numbers or values.

use crate::ModelError;
use crate::losses::LossShape;

/// A class target that is not there: of a step that is padding. It counts in no loss.
pub const NO_CLASS: u32 = u32::MAX;

/// The wanted outputs of a mini-batch.
#[derive(Clone, Copy, Debug)]
pub enum Targets<'a> {
    /// One class number for each row; for outputs [steps, classes] one for each step of each row.
    /// [`NO_CLASS`] counts in no loss.
    Classes(&'a [u32]),
    /// One value for each output of each row, row by row; for quantiles one for each number that is asked for.
    Values(&'a [f32]),
}

/// The wanted output of one row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target<'a> {
    Class(u32),
    Values(&'a [f32]),
}

impl<'a> Targets<'a> {
    /// The target of one loss, where it has one; `width` is the number of its values.
    #[inline(always)]
    pub(crate) fn get(&self, at: usize, width: usize) -> Option<Target<'a>> {
        match *self {
            Self::Classes(classes) => (classes[at] != NO_CLASS).then_some(Target::Class(classes[at])),
            Self::Values(values) => Some(Target::Values(&values[at * width..(at + 1) * width])),
        }
    }

    /// Checks that there is a usable target for each loss of each row; `classes` is how many classes there are.
    pub(crate) fn check(&self, rows: usize, shape: LossShape, classes: usize) -> Result<(), ModelError> {
        let wanted = rows * shape.steps;
        match self {
            Self::Classes(targets) => {
                check_len("class targets", targets.len(), wanted)?;
                let is_wrong = |&class: &u32| class as usize >= classes && class != NO_CLASS;
                match targets.iter().position(is_wrong) {
                    None => Ok(()),
                    Some(at) => {
                        Err(value("the class", at / shape.steps, targets[at], format!("below {classes}")))
                    }
                }
            }
            Self::Values(targets) => {
                check_len("target values", targets.len(), wanted * shape.targets)?;
                match targets.iter().position(|value| !value.is_finite()) {
                    None => Ok(()),
                    Some(at) => {
                        let row = at / (shape.targets * shape.steps);
                        Err(value("the target", row, targets[at], "a finite number".to_owned()))
                    }
                }
            }
        }
    }

    /// How many of a row's losses count.
    fn counted(&self, row: usize, steps: usize) -> usize {
        match self {
            Self::Classes(classes) => {
                classes[row * steps..(row + 1) * steps].iter().filter(|&&class| class != NO_CLASS).count()
            }
            Self::Values(_) => steps,
        }
    }

    /// Checks row weights and gives the weight of all losses together; without weights each row weighs 1, and
    /// each loss weighs what its row weighs.
    pub(crate) fn total_weight(
        &self,
        row_weights: Option<&[f32]>,
        rows: usize,
        steps: usize,
    ) -> Result<f64, ModelError> {
        let counted = |row| self.counted(row, steps) as f64;
        let Some(weights) = row_weights else { return Ok((0..rows).map(counted).sum()) };
        check_len("row weights", weights.len(), rows)?;
        match weights.iter().position(|&weight| !(weight.is_finite() && weight >= 0.0)) {
            None => {
                Ok(weights.iter().enumerate().map(|(row, &weight)| f64::from(weight) * counted(row)).sum())
            }
            Some(row) => Err(value("the weight", row, weights[row], "finite and not negative".to_owned())),
        }
    }
}

pub(crate) fn check_len(what: &'static str, got: usize, wanted: usize) -> Result<(), ModelError> {
    if got == wanted { Ok(()) } else { Err(ModelError::Length { what, wanted, got }) }
}

fn value(what: &'static str, row: usize, got: impl ToString, wanted: String) -> ModelError {
    ModelError::Value { what, row, got: got.to_string(), wanted }
}
