//! Standard scale: mean 0, standard deviation 1.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::affine::{Affine, all_missing, numbers_width};
use super::{Declared, Training};
use crate::error::Problem;

/// Moves and stretches to mean 0 and standard deviation 1, per column of a vector.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Standard {}

impl Declared for Standard {
    type Fitted = Affine;

    fn fit(&self, training: &Training<'_>) -> Result<Affine, Problem> {
        let moments = training.moments(numbers_width(training, "standard")?);
        if moments.iter().any(|component| component.count == 0) {
            return Err(all_missing());
        }
        Affine::new(moments.iter().map(|component| (component.mean, component.std())))
    }
}
