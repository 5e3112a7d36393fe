//! Max pooling: the largest value of each window, channel by channel.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::window::{Padding, Size2d, Window};
use super::{Layer, Misfit};
use crate::export::{Export, ExportedLayer};
use crate::kernels::pooling;
use crate::op::{Op, Pass, Place, Purpose, Tape};

/// Takes an image [h, w, c]; padded positions never win.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MaxPool2d {
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

impl Default for MaxPool2d {
    fn default() -> Self {
        Self { pool_size: Size2d::Square(2), strides: None, padding: Padding::Valid }
    }
}

impl MaxPool2d {
    fn window(&self, input: &[usize]) -> Result<Window, Misfit> {
        let strides = self.strides.unwrap_or(self.pool_size);
        Window::new(input, ("pool_size", self.pool_size), strides, self.padding)
    }

    /// True for 2×2 windows side by side: those that a convolution computes along with itself.
    pub(crate) fn is_halving(&self) -> bool {
        let two = |size: Size2d| size.height() == 2 && size.width() == 2;
        two(self.pool_size) && self.strides.is_none_or(two) && self.padding == Padding::Valid
    }
}

impl Layer for MaxPool2d {
    fn kind(&self) -> &'static str {
        "max_pool2d"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, Misfit> {
        let window = self.window(input)?;
        Ok(vec![window.rows.output, window.columns.output, window.channels])
    }

    fn plan(&self, place: &Place<'_>) -> Option<Box<dyn Op>> {
        let window = self.window(place.input).expect("the shape was checked when the network was declared");
        Some(Box::new(MaxPoolOp::new(window, place)))
    }

    fn export(&self, layer: &ExportedLayer<'_>, graph: &mut Export) {
        let window = self.window(layer.input).expect("the shape was checked when the network was declared");
        graph.chain("MaxPool", &[], graph.window_attributes(&window));
    }
}

/// The maximum over any window, of an image or a series.
pub(super) struct MaxPoolOp {
    window: Window,
    /// For each output value the place of the largest value in its image.
    winners: Vec<u32>,
}

impl MaxPoolOp {
    pub(super) fn new(window: Window, place: &Place<'_>) -> Self {
        let kept = if place.purpose == Purpose::Training { place.rows_max } else { 1 };
        Self { winners: vec![0; kept * window.positions() * window.channels], window }
    }
}

impl Op for MaxPoolOp {
    fn forward(&mut self, _pass: &Pass<'_>, input: &[f32], output: &mut [f32]) {
        let len = self.window.positions() * self.window.channels;
        let images = input.chunks_exact(self.window.input_len());
        for (row, (image, pooled)) in images.zip(output.chunks_exact_mut(len)).enumerate() {
            let start = if self.winners.len() == len { 0 } else { row * len };
            pooling::max(&self.window, image, pooled, &mut self.winners[start..start + len]);
        }
    }

    fn backward(&mut self, _pass: &Pass<'_>, tape: Tape<'_>) {
        let Some(d_input) = tape.d_input else { return };
        d_input.fill(0.0);
        let len = self.window.positions() * self.window.channels;
        let images = d_input.chunks_exact_mut(self.window.input_len());
        for ((image, delta), winners) in
            images.zip(tape.d_output.chunks_exact(len)).zip(self.winners.chunks_exact(len))
        {
            for (&d, &winner) in delta.iter().zip(winners) {
                image[winner as usize] += d;
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
        let same = MaxPool2d { padding: Padding::Same, ..MaxPool2d::default() };
        let overlapping = MaxPool2d {
            pool_size: Size2d::Rectangle([3, 2]),
            strides: Some(Size2d::Square(1)),
            padding: Padding::Same,
        };
        for pool in [MaxPool2d::default(), same, overlapping] {
            for input in [[4, 6, 3], [5, 7, 1]] {
                contract::check(&LayerSpec::MaxPool2d(pool.clone()), &input);
                contract::check_inference(&LayerSpec::MaxPool2d(pool.clone()), &input);
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let layer = LayerSpec::MaxPool2d(MaxPool2d::default());
        contract::check_error(layer.clone(), &[9], "takes an image", "image layers before flatten");
        contract::check_error(layer, &[1, 9, 2], "an image of at least [2, 2, …] for its pool_size", "same");
    }
}
