//! Robust scale: median 0, interquartile range 1.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::affine::{Affine, all_missing, numbers_width};
use super::block::quantile;
use super::{Declared, Training};
use crate::error::Problem;

/// Moves and stretches to median 0 and interquartile range 1, per column of a vector: outliers count less.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Robust {}

impl Declared for Robust {
    type Fitted = Affine;

    fn fit(&self, training: &Training<'_>) -> Result<Affine, Problem> {
        let components = training.sorted_components(numbers_width(training, "robust")?);
        if components.iter().any(Vec::is_empty) {
            return Err(all_missing());
        }
        Affine::new(
            components
                .iter()
                .map(|sorted| (quantile(sorted, 0.5), quantile(sorted, 0.75) - quantile(sorted, 0.25))),
        )
    }
}
