//! Cuts numbers off at bounds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::affine::width_of;
use super::{Block, Declared, Form, Training, Transform};
use crate::error::Problem;

/// Cuts off below `min` and above `max`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Clip {
    /// The smallest value let through; none when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The largest value let through; none when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
}

/// The fitted form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FittedClip {
    bounds: Clip,
}

impl Declared for Clip {
    type Fitted = FittedClip;

    fn fit(&self, training: &Training<'_>) -> Result<FittedClip, Problem> {
        let fitted = FittedClip { bounds: self.clone() };
        fitted.output(training.form)?;
        Ok(fitted)
    }
}

impl Transform for FittedClip {
    fn output(&self, incoming: &Form) -> Result<Form, Problem> {
        width_of(incoming, "clip")?;
        match (self.bounds.min, self.bounds.max) {
            (None, None) => Err(Problem::new("clip needs min, max or both")),
            (Some(min), Some(max)) if min > max => {
                Err(Problem::new(format!("clip has min = {min} above max = {max}")))
            }
            (min, max) if min.is_some_and(f64::is_nan) || max.is_some_and(f64::is_nan) => {
                Err(Problem::new("clip bounds must be numbers"))
            }
            _ => Ok(incoming.clone()),
        }
    }

    fn apply(&self, block: &mut Block) {
        // Comparisons, not f64::min and max: those would turn a missing value into a bound.
        let (min, max) =
            (self.bounds.min.unwrap_or(f64::NEG_INFINITY), self.bounds.max.unwrap_or(f64::INFINITY));
        for value in &mut block.floats {
            if *value < min {
                *value = min;
            } else if *value > max {
                *value = max;
            }
        }
    }

    fn undo(&self, _block: &mut Block, before: &Form) -> Option<Form> {
        Some(before.clone())
    }
}
