//! PNG and JPEG bytes into pixels, with limits: an image file may say any size it likes.

use std::io::Cursor;

use image::{DynamicImage, ExtendedColorType, ImageEncoder, ImageReader, Limits};

use crate::error::Problem;
use crate::transform::{Block, Fitted, Form};

/// The longest side that is decoded.
const SIDE_MAX: u32 = 16_384;
/// The most memory that decoding one image may take.
const DECODE_BYTES_MAX: u64 = 128 << 20;

/// An image, row-major, channels last: one channel (grey) or three (red, green, blue).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Height, width, channels.
    pub shape: [usize; 3],
    /// The values.
    pub bytes: Vec<u8>,
}

impl Picture {
    /// Decodes PNG or JPEG bytes; transparency is dropped, 16-bit values are brought to 8.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Problem> {
        let mut reader = ImageReader::new(Cursor::new(bytes))
            .with_guessed_format()
            .expect("reading from memory does not fail");
        if reader.format().is_none() {
            return Err(Problem::new("these bytes are no PNG or JPEG image"));
        }
        let mut limits = Limits::default();
        limits.max_image_width = Some(SIDE_MAX);
        limits.max_image_height = Some(SIDE_MAX);
        limits.max_alloc = Some(DECODE_BYTES_MAX);
        reader.limits(limits);
        let image =
            reader.decode().map_err(|error| Problem::new(format!("the image cannot be decoded: {error}")))?;
        Ok(Self::from_image(image))
    }

    fn from_image(image: DynamicImage) -> Self {
        let (height, width) = (image.height() as usize, image.width() as usize);
        if image.color().has_color() {
            Self { shape: [height, width, 3], bytes: image.into_rgb8().into_raw() }
        } else {
            Self { shape: [height, width, 1], bytes: image.into_luma8().into_raw() }
        }
    }

    /// Runs the transforms that images go through as they come in.
    pub(crate) fn prepare(self, intake: &[Fitted]) -> Result<Self, Problem> {
        if intake.is_empty() {
            return Ok(self);
        }
        let mut form = Form::Bytes { shape: self.shape };
        let mut block = Block { rows: 1, bytes: self.bytes, ..Block::default() };
        for step in intake {
            block.form = Some(form.clone());
            let next = step.as_transform().output(&form)?;
            step.as_transform().apply(&mut block);
            form = next;
        }
        match form {
            Form::Bytes { shape } => Ok(Self { shape, bytes: block.bytes }),
            other => unreachable!("resize and grey leave an image, not {}", other.describe()),
        }
    }

    /// Repeats the grey channel as red, green and blue.
    pub(crate) fn into_colour(self) -> Self {
        match self.shape {
            [height, width, 1] => Self {
                shape: [height, width, 3],
                bytes: self.bytes.iter().flat_map(|&grey| [grey; 3]).collect(),
            },
            _ => self,
        }
    }

    /// The image as the bytes of a PNG file.
    pub(crate) fn to_png(&self) -> Option<Vec<u8>> {
        let color = if self.shape[2] == 1 { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 };
        let (height, width) = (u32::try_from(self.shape[0]).ok()?, u32::try_from(self.shape[1]).ok()?);
        let mut png = Vec::new();
        image::codecs::png::PngEncoder::new(&mut png)
            .write_image(&self.bytes, width, height, color)
            .ok()
            .map(|()| png)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn colour() -> Picture {
        Picture { shape: [2, 3, 3], bytes: (0..18).map(|v| v * 10).collect() }
    }

    #[test]
    fn what_is_encoded_decodes_to_the_same() {
        for picture in [colour(), Picture { shape: [1, 2, 1], bytes: vec![0, 255] }] {
            let png = picture.to_png().expect("encodes");
            assert_eq!(Picture::decode(&png).expect("decodes"), picture);
        }
    }

    #[test]
    fn an_image_that_lies_about_its_size_is_refused() {
        let mut png = colour().to_png().expect("encodes");
        // Width and height stand at bytes 16 to 23 of the header chunk, its checksum at 29 to 32.
        png[16..24].copy_from_slice(&[0, 0, 0x3f, 0xff, 0, 0, 0x3f, 0xff]);
        assert!(Picture::decode(&png).is_err(), "huge");
        let png = colour().to_png().expect("encodes");
        assert!(Picture::decode(&png[..png.len() / 2]).is_err(), "truncated");
        assert!(Picture::decode(b"not an image").is_err());
        assert!(Picture::decode(b"").is_err());
    }
}
