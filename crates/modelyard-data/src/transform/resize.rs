//! Images of any size brought to one, as they come in.

use image::imageops::FilterType;
use image::{ImageBuffer, Luma, Pixel, Rgb};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Block, Declared, Form, Training, Transform};
use crate::error::Problem;

/// The largest side an image may be brought to.
const SIDE_MAX: usize = 8192;

/// Scales every image to one size, without keeping its proportions. Stands before `image_to_float`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resize {
    /// The height in pixels.
    pub height: usize,
    /// The width in pixels.
    pub width: usize,
}

/// The fitted form: nothing is learnt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FittedResize {
    height: usize,
    width: usize,
}

impl Declared for Resize {
    type Fitted = FittedResize;

    fn fit(&self, training: &Training<'_>) -> Result<FittedResize, Problem> {
        let fitted = FittedResize { height: self.height, width: self.width };
        fitted.output(training.form)?;
        Ok(fitted)
    }
}

impl Transform for FittedResize {
    fn output(&self, incoming: &Form) -> Result<Form, Problem> {
        if !(1..=SIDE_MAX).contains(&self.height) || !(1..=SIDE_MAX).contains(&self.width) {
            return Err(Problem::new(format!("resize takes a height and width from 1 to {SIDE_MAX}")));
        }
        match incoming {
            Form::Bytes { shape: [_, _, channels @ (1 | 3)] } => {
                Ok(Form::Bytes { shape: [self.height, self.width, *channels] })
            }
            other => Err(Problem::new(format!("resize takes an image, not {}", other.describe()))
                .hint("put resize before image_to_float")),
        }
    }

    fn apply(&self, block: &mut Block) {
        let Some(Form::Bytes { shape }) = block.form else { return };
        if shape[0] == self.height && shape[1] == self.width {
            return;
        }
        let mut resized = Vec::with_capacity(block.rows * self.height * self.width * shape[2]);
        for bytes in block.bytes.chunks_exact(shape.iter().product()) {
            match shape[2] {
                1 => self.scale::<Luma<u8>>(bytes, shape, &mut resized),
                _ => self.scale::<Rgb<u8>>(bytes, shape, &mut resized),
            }
        }
        block.bytes = resized;
    }

    fn undo(&self, block: &mut Block, _before: &Form) -> Option<Form> {
        block.form.clone()
    }
}

impl FittedResize {
    fn scale<P: Pixel<Subpixel = u8> + Send + Sync + 'static>(
        &self,
        bytes: &[u8],
        shape: [usize; 3],
        out: &mut Vec<u8>,
    ) {
        let (height, width) = (shape[0] as u32, shape[1] as u32);
        let image: ImageBuffer<P, &[u8]> =
            ImageBuffer::from_raw(width, height, bytes).expect("the bytes are of this shape");
        let scaled =
            image::imageops::resize(&image, self.width as u32, self.height as u32, FilterType::Triangle);
        out.extend_from_slice(scaled.as_raw());
    }
}
