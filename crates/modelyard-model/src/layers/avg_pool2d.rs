//! Average pooling: the mean of each window, channel by channel.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::window::{Padding, Size2d, Window};
use super::{Layer, Misfit};
use crate::export::{Export, ExportedLayer};
use crate::kernels::pooling;
use crate::op::{Op, Pass, Place, Tape};

/// Takes an image [h, w, c]; padded positions do not count.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AvgPool2d {
    /// The window (default 2).
    #[serde(default = "super::window::two")]
    pub pool_size: Size2d,
    /// Distance between windows (default: the window's own size).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strides: Option<Size2d>,
    /// What happens at the edge (default valid).
    #[serde(default)]
    pub padding: Padding,
}

impl Default for AvgPool2d {
    fn default() -> Self {
        Self { pool_size: Size2d::Square(2), strides: None, padding: Padding::Valid }
    }
}

impl AvgPool2d {
    fn window(&self, input: &[usize]) -> Result<Window, Misfit> {
        let strides = self.strides.unwrap_or(self.pool_size);
        Window::new(input, ("pool_size", self.pool_size), strides, self.padding)
    }
}

impl Layer for AvgPool2d {
    fn kind(&self) -> &'static str {
        "avg_pool2d"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, Misfit> {
        let window = self.window(input)?;
        Ok(vec![window.rows.output, window.columns.output, window.channels])
    }

    fn plan(&self, place: &Place<'_>) -> Option<Box<dyn Op>> {
        let window = self.window(place.input).expect("the shape was checked when the network was declared");
        Some(Box::new(AvgPoolOp::new(window)))
    }

    fn export(&self, layer: &ExportedLayer<'_>, graph: &mut Export) {
        let window = self.window(layer.input).expect("the shape was checked when the network was declared");
        graph.chain("AveragePool", &[], graph.window_attributes(&window));
    }
}

/// The mean over any window, of an image or a series.
pub(super) struct AvgPoolOp {
    window: Window,
}

impl AvgPoolOp {
    pub(super) fn new(window: Window) -> Self {
        Self { window }
    }
}

impl Op for AvgPoolOp {
    fn forward(&mut self, _pass: &Pass<'_>, input: &[f32], output: &mut [f32]) {
        let images = input.chunks_exact(self.window.input_len());
        let len = self.window.positions() * self.window.channels;
        for (image, pooled) in images.zip(output.chunks_exact_mut(len)) {
            pooling::average(&self.window, image, pooled);
        }
    }

    fn backward(&mut self, _pass: &Pass<'_>, tape: Tape<'_>) {
        let Some(d_input) = tape.d_input else { return };
        d_input.fill(0.0);
        let images = d_input.chunks_exact_mut(self.window.input_len());
        let len = self.window.positions() * self.window.channels;
        for (image, delta) in images.zip(tape.d_output.chunks_exact(len)) {
            pooling::average_back(&self.window, delta, image);
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
        let same = AvgPool2d { padding: Padding::Same, ..AvgPool2d::default() };
        let overlapping = AvgPool2d {
            pool_size: Size2d::Rectangle([3, 2]),
            strides: Some(Size2d::Square(1)),
            padding: Padding::Same,
        };
        for pool in [AvgPool2d::default(), same, overlapping] {
            for input in [[4, 6, 3], [5, 7, 1]] {
                contract::check(&LayerSpec::AvgPool2d(pool.clone()), &input);
                contract::check_inference(&LayerSpec::AvgPool2d(pool.clone()), &input);
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let layer = LayerSpec::AvgPool2d(AvgPool2d::default());
        contract::check_error(layer, &[9], "takes an image", "image layers before flatten");
    }
}
