//! Image bytes as numbers from 0 to 1.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Block, Declared, Form, Training, Transform};
use crate::error::Problem;

/// Divides bytes by 255.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageToFloat {}

/// The fitted form: nothing is learnt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FittedImageToFloat {}

impl Declared for ImageToFloat {
    type Fitted = FittedImageToFloat;

    fn fit(&self, training: &Training<'_>) -> Result<FittedImageToFloat, Problem> {
        FittedImageToFloat {}.output(training.form)?;
        Ok(FittedImageToFloat {})
    }
}

impl Transform for FittedImageToFloat {
    fn output(&self, incoming: &Form) -> Result<Form, Problem> {
        match incoming {
            Form::Bytes { shape } => Ok(Form::Image { shape: *shape }),
            other => Err(Problem::new(format!("image_to_float takes an image, not {}", other.describe()))),
        }
    }

    fn apply(&self, block: &mut Block) {
        block.floats.clear();
        block.floats.extend(block.bytes.iter().map(|&byte| f64::from(byte) / 255.0));
    }

    fn undo(&self, block: &mut Block, before: &Form) -> Option<Form> {
        block.bytes.clear();
        // Numbers below 0 and above 255 become the nearest byte.
        block.bytes.extend(block.floats.iter().map(|&value| (value * 255.0).round() as u8));
        Some(before.clone())
    }
}
