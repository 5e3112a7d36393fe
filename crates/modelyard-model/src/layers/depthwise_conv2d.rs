//! Depthwise convolution: each channel under windows of its own, none mixed with another (Chollet 2017).

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::window::{Padding, Size2d, Window};
use super::{Layer, Misfit, Parameter};
use crate::Activation;
use crate::activation::{self, Saved};
use crate::export::{Export, ExportedLayer, signed};
use crate::initializer::{Fans, Initializer};
use crate::kernels::depthwise::{Depthwise, Images};
use crate::kernels::product::Write;
use crate::kernels::rows;
use crate::onnx::proto::AttributeProto;
use crate::op::{Op, Pass, Place, Tape};

/// `activation(input ∗ kernel + bias)` on an image [h, w, c], channel by channel; gives
/// c · `depth_multiplier` channels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DepthwiseConv2d {
    /// The window: one number or [height, width].
    pub kernel_size: Size2d,
    /// Distance between windows (default 1).
    #[serde(default = "super::window::one")]
    pub strides: Size2d,
    /// Distance between the window's own positions (default 1); above 1 only where `strides` is 1.
    #[serde(default = "super::window::one", skip_serializing_if = "Size2d::is_one")]
    pub dilation_rate: Size2d,
    /// What happens at the edge (default valid).
    #[serde(default)]
    pub padding: Padding,
    /// How many channels each channel gives (default 1).
    #[serde(default = "super::default_one")]
    pub depth_multiplier: usize,
    /// Applied to the outputs; none leaves them as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activation: Option<Activation>,
    /// Whether a bias is added (default true).
    #[serde(default = "super::default_true")]
    pub use_bias: bool,
    /// How the kernel starts (default glorot_uniform).
    #[serde(default)]
    pub depthwise_initializer: Initializer,
    /// How the bias starts (default zeros).
    #[serde(default = "super::default_zeros")]
    pub bias_initializer: Initializer,
}

impl DepthwiseConv2d {
    /// A convolution with Keras's defaults.
    pub fn new(kernel_size: usize, activation: Option<Activation>) -> Self {
        Self {
            kernel_size: Size2d::Square(kernel_size),
            strides: Size2d::Square(1),
            dilation_rate: Size2d::Square(1),
            padding: Padding::Valid,
            depth_multiplier: 1,
            activation,
            use_bias: true,
            depthwise_initializer: Initializer::GlorotUniform,
            bias_initializer: Initializer::Zeros,
        }
    }

    fn window(&self, input: &[usize]) -> Result<Window, Misfit> {
        check_multiplier(self.depth_multiplier)?;
        let steps = (self.strides, self.dilation_rate);
        Window::dilated(input, ("kernel_size", self.kernel_size), steps, self.padding)
    }
}

/// Refuses a number of channels per channel that can only be a slip of the pen.
pub(super) fn check_multiplier(depth_multiplier: usize) -> Result<(), Misfit> {
    if (1..=super::window::LARGEST).contains(&depth_multiplier) {
        return Ok(());
    }
    let message = format!("must be between 1 and {}, it is {depth_multiplier}", super::window::LARGEST);
    Err(Misfit::field("depth_multiplier", message))
}

/// The kernel of a depthwise convolution: [h, w, channels, multiplier].
pub(super) fn kernel(name: &'static str, size: [usize; 4], initializer: Initializer) -> Parameter {
    let [height, width, channels, multiplier] = size;
    let area = height.saturating_mul(width);
    let fans = Fans { inputs: area.saturating_mul(channels), outputs: area.saturating_mul(multiplier) };
    Parameter::trained(name, size.to_vec(), initializer, fans)
}

/// Adds a depthwise convolution with the kernel of [`kernel`] to a graph.
pub(super) fn export_depthwise(layer: &ExportedLayer<'_>, graph: &mut Export, window: &Window, bias: bool) {
    let shape = graph.weights_shape(layer, 0);
    let turned = [shape[2] * shape[3], 1, shape[0], shape[1]];
    let kernel = graph.turned_weights(layer, 0, &[2, 3, 0, 1], &turned);
    let mut inputs = vec![kernel.as_str()];
    let bias = bias.then(|| graph.weights(layer, 1));
    inputs.extend(bias.as_deref());
    let mut attributes = graph.window_attributes(window);
    attributes.push(AttributeProto::int("group", signed(window.channels)));
    graph.chain("Conv", &inputs, attributes);
}

impl Layer for DepthwiseConv2d {
    fn kind(&self) -> &'static str {
        "depthwise_conv2d"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, Misfit> {
        let window = self.window(input)?;
        Ok(vec![window.rows.output, window.columns.output, window.channels * self.depth_multiplier])
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        let (height, width, multiplier) =
            (self.kernel_size.height(), self.kernel_size.width(), self.depth_multiplier);
        let kernel = kernel("kernel", [height, width, input[2], multiplier], self.depthwise_initializer);
        let bias =
            Parameter::trained("bias", vec![input[2] * multiplier], self.bias_initializer, kernel.fans);
        if self.use_bias { vec![kernel, bias] } else { vec![kernel] }
    }

    fn plan(&self, place: &Place<'_>) -> Option<Box<dyn Op>> {
        let window = self.window(place.input).expect("the shape was checked when the network was declared");
        let depthwise = Depthwise::new(window, self.depth_multiplier);
        Some(Box::new(DepthwiseConv2dOp {
            channels: window.channels * self.depth_multiplier,
            kernel: place.weights[0].clone(),
            bias: place.weights.get(1).cloned(),
            activation: self.activation,
            before: Saved::new(self.activation, place, depthwise.output_len()),
            depthwise,
        }))
    }

    fn export(&self, layer: &ExportedLayer<'_>, graph: &mut Export) {
        let window = self.window(layer.input).expect("the shape was checked when the network was declared");
        export_depthwise(layer, graph, &window, self.use_bias);
        graph.activation(self.activation);
    }
}

struct DepthwiseConv2dOp {
    depthwise: Depthwise,
    /// Channels that come out.
    channels: usize,
    kernel: Range<usize>,
    bias: Option<Range<usize>>,
    activation: Option<Activation>,
    before: Saved,
}

impl Op for DepthwiseConv2dOp {
    fn forward(&mut self, pass: &Pass<'_>, input: &[f32], output: &mut [f32]) {
        let bias = self.bias.clone().map(|bias| &pass.parameters[bias]);
        let kernel = &pass.parameters[self.kernel.clone()];
        let (input_len, output_len) = (self.depthwise.input_len(), self.depthwise.output_len());
        let images = input.chunks_exact(input_len).zip(output.chunks_exact_mut(output_len));
        for (row, (image, output)) in images.enumerate() {
            self.depthwise.forward(kernel, image, output);
            let before = self.before.part_mut(row * output_len..(row + 1) * output_len);
            rows::bias_activate(output, bias, self.channels, self.activation, before);
        }
    }

    fn backward(&mut self, pass: &Pass<'_>, tape: Tape<'_>) {
        let Tape { input, output, d_output, d_input, gradients } = tape;
        if let Some(activation) = self.activation {
            activation::back(activation, output, self.before.part(0..output.len()), d_output, self.channels);
        }
        if let Some(bias) = self.bias.clone() {
            rows::sum_rows(d_output, &mut gradients[bias], Write::Replace);
        }
        let kernel = &pass.parameters[self.kernel.clone()];
        let d_kernel = &mut gradients[self.kernel.clone()];
        d_kernel.fill(0.0);
        let images = Images { images: input, delta: d_output, d_images: d_input };
        self.depthwise.backward(kernel, images, d_kernel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::contract;
    use crate::{LayerSpec, layers::Layer};

    fn kinds() -> Vec<DepthwiseConv2d> {
        let base = DepthwiseConv2d::new(3, None);
        vec![
            base.clone(),
            DepthwiseConv2d { activation: Some(Activation::Relu), padding: Padding::Same, ..base.clone() },
            DepthwiseConv2d { depth_multiplier: 2, activation: Some(Activation::Silu), ..base.clone() },
            DepthwiseConv2d { strides: Size2d::Square(2), padding: Padding::Same, ..base.clone() },
            DepthwiseConv2d { kernel_size: Size2d::Rectangle([2, 4]), use_bias: false, ..base.clone() },
            DepthwiseConv2d {
                kernel_size: Size2d::Square(2),
                dilation_rate: Size2d::Rectangle([3, 2]),
                ..base.clone()
            },
            DepthwiseConv2d { dilation_rate: Size2d::Square(2), padding: Padding::Same, ..base },
        ]
    }

    #[test]
    fn contract() {
        for conv in kinds() {
            for input in [[7, 6, 2], [5, 9, 1], [4, 7, 19]] {
                contract::check(&LayerSpec::DepthwiseConv2d(conv.clone()), &input);
                contract::check_inference(&LayerSpec::DepthwiseConv2d(conv.clone()), &input);
            }
        }
    }

    #[test]
    fn each_channel_has_its_own_window() {
        let conv = DepthwiseConv2d { depth_multiplier: 3, ..DepthwiseConv2d::new(2, None) };
        assert_eq!(conv.output_shape(&[5, 4, 2]).expect("it fits"), [4, 3, 6]);
        let shapes: Vec<_> = conv.parameters(&[5, 4, 2]).into_iter().map(|weights| weights.shape).collect();
        assert_eq!(shapes, [vec![2, 2, 2, 3], vec![6]]);
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let conv = DepthwiseConv2d::new(3, None);
        contract::check_error(LayerSpec::DepthwiseConv2d(conv.clone()), &[12], "takes an image", "before");
        let none = LayerSpec::DepthwiseConv2d(DepthwiseConv2d { depth_multiplier: 0, ..conv });
        contract::check_error(none, &[9, 9, 2], "depth_multiplier must be between 1 and 4096", "");
    }
}
