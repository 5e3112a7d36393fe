//! Colour images made grey, as they come in.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Block, Declared, Form, Training, Transform};
use crate::error::Problem;

/// Makes images grey (one channel) by the weights of ITU-R BT.601. Stands before `image_to_float`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Grey {}

/// The fitted form: nothing is learnt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FittedGrey {}

impl Declared for Grey {
    type Fitted = FittedGrey;

    fn fit(&self, training: &Training<'_>) -> Result<FittedGrey, Problem> {
        FittedGrey {}.output(training.form)?;
        Ok(FittedGrey {})
    }
}

impl Transform for FittedGrey {
    fn output(&self, incoming: &Form) -> Result<Form, Problem> {
        match incoming {
            Form::Bytes { shape: [height, width, 1 | 3] } => Ok(Form::Bytes { shape: [*height, *width, 1] }),
            other => Err(Problem::new(format!("grey takes an image, not {}", other.describe()))
                .hint("put grey before image_to_float")),
        }
    }

    fn apply(&self, block: &mut Block) {
        if matches!(block.form, Some(Form::Bytes { shape: [_, _, 3] })) {
            block.bytes = block.bytes.chunks_exact(3).map(luma).collect();
        }
    }

    fn undo(&self, block: &mut Block, _before: &Form) -> Option<Form> {
        block.form.clone()
    }
}

/// 0.299 R + 0.587 G + 0.114 B in 16-bit fixed point, rounded.
fn luma(pixel: &[u8]) -> u8 {
    let sum = 19_595 * u32::from(pixel[0]) + 38_470 * u32::from(pixel[1]) + 7_471 * u32::from(pixel[2]);
    ((sum + 32_768) >> 16) as u8
}
