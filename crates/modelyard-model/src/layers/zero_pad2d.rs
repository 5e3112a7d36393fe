//! Zeros around an image.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::window::LARGEST;
use super::{Layer, Misfit, image_shape};
use crate::export::{Export, ExportedLayer, signed};
use crate::op::{Op, Pass, Place, Tape};

/// Takes an image [h, w, c] and puts rows and columns of zeros around it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ZeroPad2d {
    /// How many (default 1): one number for all sides, [height, width], or [[top, bottom], [left, right]].
    #[serde(default)]
    pub padding: Sides2d,
}

/// Rows and columns on the four sides of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a number, [height, width], or [[top, bottom], [left, right]]")]
pub enum Sides2d {
    /// The same on all sides.
    All(usize),
    /// Above and below, and left and right.
    Axes([usize; 2]),
    /// Each side by itself.
    Each([[usize; 2]; 2]),
}

impl Default for Sides2d {
    fn default() -> Self {
        Self::All(1)
    }
}

impl Sides2d {
    /// [[top, bottom], [left, right]].
    pub fn sides(self) -> [[usize; 2]; 2] {
        match self {
            Self::All(n) => [[n; 2]; 2],
            Self::Axes([height, width]) => [[height; 2], [width; 2]],
            Self::Each(sides) => sides,
        }
    }
}

/// The number of positions with padding on both sides, or why it cannot be.
pub(super) fn padded(input: usize, sides: [usize; 2]) -> Result<usize, Misfit> {
    match sides.into_iter().find(|&side| side > LARGEST) {
        Some(side) => Err(Misfit::field("padding", format!("must be at most {LARGEST}, it is {side}"))),
        None => Ok(sides[0] + input + sides[1]),
    }
}

impl Layer for ZeroPad2d {
    fn kind(&self) -> &'static str {
        "zero_pad2d"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, Misfit> {
        let [height, width, channels] = image_shape(input)?;
        let [rows, columns] = self.padding.sides();
        Ok(vec![padded(height, rows)?, padded(width, columns)?, channels])
    }

    fn plan(&self, place: &Place<'_>) -> Option<Box<dyn Op>> {
        let shape = image_shape(place.input).expect("the shape was checked when the network was declared");
        Some(Box::new(PadOp { shape, sides: self.padding.sides() }))
    }

    fn export(&self, _layer: &ExportedLayer<'_>, graph: &mut Export) {
        let [[top, bottom], [left, right]] = self.padding.sides().map(|sides| sides.map(signed));
        let pads = graph.constant_i64(&graph.name_of("pads"), &[0, 0, top, left, 0, 0, bottom, right]);
        graph.chain("Pad", &[&pads], vec![]);
    }
}

/// Zeros around an image, or before and after a series as an image of one line.
pub(super) struct PadOp {
    /// What goes in: height, width, channels.
    pub(super) shape: [usize; 3],
    /// Top and bottom, left and right.
    pub(super) sides: [[usize; 2]; 2],
}

impl PadOp {
    /// Values of one padded image, of one of its lines, and those before the first one that is not padding.
    fn sizes(&self) -> (usize, usize, usize) {
        let [height, width, channels] = self.shape;
        let [[top, bottom], [left, right]] = self.sides;
        let line = (left + width + right) * channels;
        ((top + height + bottom) * line, line, top * line + left * channels)
    }
}

impl Op for PadOp {
    fn forward(&mut self, _pass: &Pass<'_>, input: &[f32], output: &mut [f32]) {
        let [height, width, channels] = self.shape;
        let (padded_len, padded_line, start) = self.sizes();
        let line_len = width * channels;
        output.fill(0.0);
        let images = input.chunks_exact(height * line_len);
        for (image, padded) in images.zip(output.chunks_exact_mut(padded_len)) {
            for (to, line) in padded[start..].chunks_mut(padded_line).zip(image.chunks_exact(line_len)) {
                to[..line_len].copy_from_slice(line);
            }
        }
    }

    fn backward(&mut self, _pass: &Pass<'_>, tape: Tape<'_>) {
        let Some(d_input) = tape.d_input else { return };
        let [height, width, channels] = self.shape;
        let (padded_len, padded_line, start) = self.sizes();
        let line_len = width * channels;
        let images = d_input.chunks_exact_mut(height * line_len);
        for (d_image, delta) in images.zip(tape.d_output.chunks_exact(padded_len)) {
            for (to, delta) in d_image.chunks_exact_mut(line_len).zip(delta[start..].chunks(padded_line)) {
                to.copy_from_slice(&delta[..line_len]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LayerSpec;
    use crate::layers::contract;

    #[test]
    fn contract() {
        for padding in [Sides2d::All(1), Sides2d::Axes([0, 2]), Sides2d::Each([[1, 0], [0, 3]])] {
            for input in [[3, 4, 2], [1, 5, 1]] {
                contract::check(&LayerSpec::ZeroPad2d(ZeroPad2d { padding }), &input);
                contract::check_inference(&LayerSpec::ZeroPad2d(ZeroPad2d { padding }), &input);
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let layer = |padding| LayerSpec::ZeroPad2d(ZeroPad2d { padding });
        contract::check_error(layer(Sides2d::All(1)), &[9], "takes an image", "before");
        contract::check_error(layer(Sides2d::All(5000)), &[9, 9, 1], "padding must be at most 4096", "");
    }
}
