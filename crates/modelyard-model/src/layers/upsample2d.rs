//! Upsampling: images stretched by whole factors, as decoders do between convolutions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::window::{LARGEST, Size2d};
use super::{Layer, Misfit, image_shape};
use crate::export::{Export, ExportedLayer};
use crate::kernels::resize::{self, Stretch};
use crate::onnx::proto::AttributeProto;
use crate::op::{Op, Pass, Place, Tape};

/// Takes an image [h, w, c] and gives [h · size, w · size, c].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Upsample2d {
    /// How many times as high and wide (default 2): one number or [height, width].
    #[serde(default = "super::window::two")]
    pub size: Size2d,
    /// What stands between pixels (default nearest).
    #[serde(default)]
    pub interpolation: Interpolation,
}

/// How an image is stretched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    /// Each pixel is repeated.
    #[default]
    Nearest,
    /// Straight lines from each pixel's centre to the next, along both axes.
    Bilinear,
}

impl Default for Upsample2d {
    fn default() -> Self {
        Self { size: Size2d::Square(2), interpolation: Interpolation::Nearest }
    }
}

impl Layer for Upsample2d {
    fn kind(&self) -> &'static str {
        "upsample2d"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, Misfit> {
        let [height, width, channels] = image_shape(input)?;
        let factors = [self.size.height(), self.size.width()];
        if let Some(factor) = factors.into_iter().find(|factor| !(1..=LARGEST).contains(factor)) {
            return Err(Misfit::field("size", format!("must be between 1 and {LARGEST}, it is {factor}")));
        }
        Ok(vec![height * factors[0], width * factors[1], channels])
    }

    fn plan(&self, place: &Place<'_>) -> Option<Box<dyn Op>> {
        let shape = image_shape(place.input).expect("the shape was checked when the network was declared");
        let sources = match self.interpolation {
            Interpolation::Nearest => resize::nearest,
            Interpolation::Bilinear => resize::linear,
        };
        let rows = sources(shape[0], self.size.height());
        let columns = sources(shape[1], self.size.width());
        let stretch = Stretch::new(rows, columns, shape);
        Some(Box::new(UpsampleOp { stretch, input_len: shape.iter().product() }))
    }

    fn export(&self, _layer: &ExportedLayer<'_>, graph: &mut Export) {
        let factors = [1.0, 1.0, self.size.height() as f32, self.size.width() as f32];
        let scales = graph.constant_f32(&graph.name_of("scales"), &[4], &factors);
        let (mode, places) = match self.interpolation {
            Interpolation::Nearest => ("nearest", "asymmetric"),
            Interpolation::Bilinear => ("linear", "half_pixel"),
        };
        let attributes = vec![
            AttributeProto::text("mode", mode),
            AttributeProto::text("coordinate_transformation_mode", places),
            AttributeProto::text("nearest_mode", "floor"),
        ];
        graph.chain("Resize", &["", &scales], attributes);
    }
}

struct UpsampleOp {
    stretch: Stretch,
    /// Values of one input image.
    input_len: usize,
}

impl Op for UpsampleOp {
    fn forward(&mut self, _pass: &Pass<'_>, input: &[f32], output: &mut [f32]) {
        let outputs = output.chunks_exact_mut(self.stretch.output_len());
        for (image, output) in input.chunks_exact(self.input_len).zip(outputs) {
            self.stretch.forward(image, output);
        }
    }

    fn backward(&mut self, _pass: &Pass<'_>, tape: Tape<'_>) {
        let Some(d_input) = tape.d_input else { return };
        let slopes = tape.d_output.chunks_exact(self.stretch.output_len());
        for (d_image, delta) in d_input.chunks_exact_mut(self.input_len).zip(slopes) {
            self.stretch.backward(delta, d_image);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::contract;
    use crate::{Forward, LayerSpec, Network, NetworkSpec};
    use std::sync::Arc;

    #[test]
    fn contract() {
        for interpolation in [Interpolation::Nearest, Interpolation::Bilinear] {
            for size in [Size2d::Square(2), Size2d::Rectangle([3, 1])] {
                let layer = LayerSpec::Upsample2d(Upsample2d { size, interpolation });
                for input in [[3, 4, 2], [1, 5, 1]] {
                    contract::check(&layer, &input);
                    contract::check_inference(&layer, &input);
                }
            }
        }
    }

    fn check(interpolation: Interpolation, image: &[f32], wanted: &[f32]) {
        let layers = vec![LayerSpec::Upsample2d(Upsample2d { interpolation, ..Upsample2d::default() })];
        let spec = NetworkSpec::new(vec![1, image.len(), 1], layers);
        let mut output = Vec::new();
        let network = Arc::new(Network::init(spec, 1).expect("it fits"));
        Forward::new(&network).run(image, 1, &mut output).expect("one image");
        assert_eq!(output, [wanted, wanted].concat());
    }

    #[test]
    fn pixels_are_repeated_or_joined_by_lines() {
        check(Interpolation::Nearest, &[4.0, 8.0], &[4.0, 4.0, 8.0, 8.0]);
        check(Interpolation::Bilinear, &[4.0, 8.0], &[4.0, 5.0, 7.0, 8.0]);
    }

    #[test]
    fn what_does_not_fit_is_said() {
        contract::check_error(LayerSpec::Upsample2d(Upsample2d::default()), &[9], "takes an image", "before");
        let none = Upsample2d { size: Size2d::Square(0), ..Upsample2d::default() };
        contract::check_error(LayerSpec::Upsample2d(none), &[9, 9, 1], "size must be between 1 and 4096", "");
    }
}
