//! Min-max scale: the training rows' smallest value becomes 0, their largest 1.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::affine::{Affine, all_missing, numbers_width};
use super::{Declared, Training};
use crate::error::Problem;

/// Moves and stretches into the range from 0 to 1, per column of a vector. Later rows may fall outside.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MinMax {}

impl Declared for MinMax {
    type Fitted = Affine;

    fn fit(&self, training: &Training<'_>) -> Result<Affine, Problem> {
        let moments = training.moments(numbers_width(training, "min_max")?);
        if moments.iter().any(|component| component.count == 0) {
            return Err(all_missing());
        }
        Affine::new(moments.iter().map(|component| (component.min, component.max - component.min)))
    }
}
