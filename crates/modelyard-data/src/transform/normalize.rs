//! Channel statistics of images, given or learnt.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Block, Declared, Form, Training, Transform};
use crate::error::Problem;

/// Moves and stretches each channel of an image of numbers: (x - mean) / std.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Normalize {
    /// One mean per channel; learnt from the training rows when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean: Option<Vec<f64>>,
    /// One standard deviation per channel; learnt from the training rows when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub std: Option<Vec<f64>>,
}

/// The fitted form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FittedNormalize {
    mean: Vec<f64>,
    std: Vec<f64>,
}

impl Declared for Normalize {
    type Fitted = FittedNormalize;

    fn fit(&self, training: &Training<'_>) -> Result<FittedNormalize, Problem> {
        let Form::Image { shape } = training.form else { return Err(wrong_form(training.form)) };
        let (mean, std) = match (&self.mean, &self.std) {
            (Some(mean), Some(std)) => (mean.clone(), std.clone()),
            (mean, std) => {
                // Pixels follow each other channel by channel, so the channels are interleaved components.
                let moments = training.moments(shape[2]);
                let learnt_std = moments.iter().map(|m| if m.std() > 0.0 { m.std() } else { 1.0 }).collect();
                (
                    mean.clone().unwrap_or_else(|| moments.iter().map(|m| m.mean).collect()),
                    std.clone().unwrap_or(learnt_std),
                )
            }
        };
        let fitted = FittedNormalize { mean, std };
        fitted.output(training.form)?;
        Ok(fitted)
    }
}

fn wrong_form(form: &Form) -> Problem {
    Problem::new(format!("normalize takes an image of numbers, not {}", form.describe()))
        .hint("put image_to_float before it; numbers and vectors take standard")
}

impl Transform for FittedNormalize {
    fn output(&self, incoming: &Form) -> Result<Form, Problem> {
        let Form::Image { shape } = incoming else { return Err(wrong_form(incoming)) };
        for (name, values) in [("mean", &self.mean), ("std", &self.std)] {
            if values.len() != shape[2] {
                return Err(Problem::new(format!(
                    "normalize has {} values of {name} for {} channels",
                    values.len(),
                    shape[2]
                )));
            }
        }
        let sound = self.mean.iter().chain(&self.std).all(|value| value.is_finite())
            && self.std.iter().all(|value| *value > 0.0);
        if sound { Ok(incoming.clone()) } else { Err(Problem::new("normalize needs each std above 0")) }
    }

    fn apply(&self, block: &mut Block) {
        for pixel in block.floats.chunks_exact_mut(self.mean.len()) {
            for ((value, mean), std) in pixel.iter_mut().zip(&self.mean).zip(&self.std) {
                *value = (*value - mean) / std;
            }
        }
    }

    fn undo(&self, block: &mut Block, before: &Form) -> Option<Form> {
        for pixel in block.floats.chunks_exact_mut(self.mean.len()) {
            for ((value, mean), std) in pixel.iter_mut().zip(&self.mean).zip(&self.std) {
                *value = *value * std + mean;
            }
        }
        Some(before.clone())
    }
}
