//! ln(1 + x), for amounts and counts with a long tail.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::affine::width_of;
use super::{Block, Declared, Form, Training, Transform};
use crate::error::Problem;

/// Takes ln(1 + x). Values at or below -1 have no logarithm and are refused in training; in serving they
/// count as the smallest value that training saw.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Log1p {}

/// The fitted form: the smallest value of each component in training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FittedLog1p {
    min: Vec<f64>,
}

impl Declared for Log1p {
    type Fitted = FittedLog1p;

    fn fit(&self, training: &Training<'_>) -> Result<FittedLog1p, Problem> {
        let moments = training.moments(width_of(training.form, "log1p")?);
        let min: Vec<f64> = moments.iter().map(|m| if m.count == 0 { 0.0 } else { m.min }).collect();
        match min.iter().find(|value| **value <= -1.0) {
            Some(value) => Err(Problem::new(format!("log1p needs values above -1, and {value} comes"))
                .hint("put a clip transform with min = 0 first, or use standard or robust instead")),
            None => Ok(FittedLog1p { min }),
        }
    }
}

impl Transform for FittedLog1p {
    fn output(&self, incoming: &Form) -> Result<Form, Problem> {
        let width = width_of(incoming, "log1p")?;
        if self.min.len() != width || self.min.iter().any(|value| *value <= -1.0) {
            return Err(Problem::new("log1p does not fit what comes in"));
        }
        Ok(incoming.clone())
    }

    fn apply(&self, block: &mut Block) {
        for row in block.floats.chunks_exact_mut(self.min.len().max(1)) {
            for (value, min) in row.iter_mut().zip(&self.min) {
                *value = if *value <= -1.0 { min.ln_1p() } else { value.ln_1p() };
            }
        }
    }

    fn invert(&self, values: &mut [f64]) -> Result<(), Problem> {
        values.iter_mut().for_each(|value| *value = value.exp_m1());
        Ok(())
    }
}
