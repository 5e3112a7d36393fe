//! Separable convolution: a depthwise one over space, then a 1×1 one over channels, at a fraction of a full
//! convolution's work (Chollet 2017).

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::convolution::BLOCK_VALUES;
use super::depthwise_conv2d::{check_multiplier, export_depthwise, kernel};
use super::window::{Padding, Size2d, Window};
use super::{Layer, Misfit, Parameter};
use crate::Activation;
use crate::activation::{self, Saved};
use crate::export::{Export, ExportedLayer};
use crate::initializer::{Fans, Initializer};
use crate::kernels::depthwise::{Depthwise, Images};
use crate::kernels::product::{Matrix, Write, multiply};
use crate::kernels::rows;
use crate::memory::Hidden;
use crate::op::{Op, Pass, Place, Purpose, Tape};

/// `activation((input ∗ depthwise) ∗ pointwise + bias)` on an image [h, w, c].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SeparableConv2d {
    /// Number of output channels.
    pub filters: usize,
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
    /// How many channels each channel gives before they are mixed (default 1).
    #[serde(default = "super::default_one")]
    pub depth_multiplier: usize,
    /// Applied to the outputs; none leaves them as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activation: Option<Activation>,
    /// Whether a bias is added (default true).
    #[serde(default = "super::default_true")]
    pub use_bias: bool,
    /// How the depthwise kernel starts (default glorot_uniform).
    #[serde(default)]
    pub depthwise_initializer: Initializer,
    /// How the pointwise kernel starts (default glorot_uniform).
    #[serde(default)]
    pub pointwise_initializer: Initializer,
    /// How the bias starts (default zeros).
    #[serde(default = "super::default_zeros")]
    pub bias_initializer: Initializer,
}

impl SeparableConv2d {
    /// A convolution with Keras's defaults.
    pub fn new(filters: usize, kernel_size: usize, activation: Option<Activation>) -> Self {
        Self {
            filters,
            kernel_size: Size2d::Square(kernel_size),
            strides: Size2d::Square(1),
            dilation_rate: Size2d::Square(1),
            padding: Padding::Valid,
            depth_multiplier: 1,
            activation,
            use_bias: true,
            depthwise_initializer: Initializer::GlorotUniform,
            pointwise_initializer: Initializer::GlorotUniform,
            bias_initializer: Initializer::Zeros,
        }
    }

    fn window(&self, input: &[usize]) -> Result<Window, Misfit> {
        check_multiplier(self.depth_multiplier)?;
        let steps = (self.strides, self.dilation_rate);
        Window::dilated(input, ("kernel_size", self.kernel_size), steps, self.padding)
    }
}

impl Layer for SeparableConv2d {
    fn kind(&self) -> &'static str {
        "separable_conv2d"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, Misfit> {
        if self.filters == 0 {
            return Err(Misfit::field("filters", "must be at least 1"));
        }
        let window = self.window(input)?;
        Ok(vec![window.rows.output, window.columns.output, self.filters])
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        let (height, width, multiplier) =
            (self.kernel_size.height(), self.kernel_size.width(), self.depth_multiplier);
        let size = [height, width, input[2], multiplier];
        let depthwise = kernel("depthwise_kernel", size, self.depthwise_initializer);
        let fans = Fans { inputs: input[2] * multiplier, outputs: self.filters };
        let shape = vec![1, 1, input[2] * multiplier, self.filters];
        let pointwise = Parameter::trained("pointwise_kernel", shape, self.pointwise_initializer, fans);
        let bias = Parameter::trained("bias", vec![self.filters], self.bias_initializer, fans);
        if self.use_bias { vec![depthwise, pointwise, bias] } else { vec![depthwise, pointwise] }
    }

    fn hidden(&self, inputs: &[Vec<usize>], purpose: Purpose) -> Hidden {
        let window = self.window(&inputs[0]).expect("the shape was checked when the network was declared");
        let middle = [window.positions(), window.channels, self.depth_multiplier];
        let training = purpose == Purpose::Training;
        let before = Hidden::per_row(&[window.positions(), self.filters]);
        Hidden::fixed(&middle)
            .and(Hidden::fixed(&[BLOCK_VALUES]))
            .and(Hidden::per_row(&middle).and(before).when(training))
    }

    fn plan(&self, place: &Place<'_>) -> Option<Box<dyn Op>> {
        let window = self.window(place.input).expect("the shape was checked when the network was declared");
        let depthwise = Depthwise::new(window, self.depth_multiplier);
        let (training, len) = (place.purpose == Purpose::Training, depthwise.output_len());
        let block = (BLOCK_VALUES / len.max(1)).clamp(1, place.rows_max);
        Some(Box::new(SeparableConv2dOp {
            channels: window.channels * self.depth_multiplier,
            filters: self.filters,
            positions: window.positions(),
            depthwise_kernel: place.weights[0].clone(),
            pointwise_kernel: place.weights[1].clone(),
            bias: place.weights.get(2).cloned(),
            activation: self.activation,
            middle: vec![0.0; len * if training { place.rows_max } else { block }],
            d_middle: vec![0.0; if training { len * block } else { 0 }],
            block,
            before: Saved::new(self.activation, place, window.positions() * self.filters),
            keeps_middle: training,
            depthwise,
        }))
    }

    fn export(&self, layer: &ExportedLayer<'_>, graph: &mut Export) {
        let window = self.window(layer.input).expect("the shape was checked when the network was declared");
        export_depthwise(layer, graph, &window, false);
        let pointwise = graph.convolution_kernel(layer, 1);
        let mut inputs = vec![pointwise.as_str()];
        let bias = self.use_bias.then(|| graph.weights(layer, 2));
        inputs.extend(bias.as_deref());
        graph.chain("Conv", &inputs, graph.window_attributes(&Window::whole([1, 1, self.filters])));
        graph.activation(self.activation);
    }
}

struct SeparableConv2dOp {
    depthwise: Depthwise,
    /// Channels between the two convolutions.
    channels: usize,
    filters: usize,
    positions: usize,
    depthwise_kernel: Range<usize>,
    pointwise_kernel: Range<usize>,
    bias: Option<Range<usize>>,
    activation: Option<Activation>,
    /// What the depthwise convolution gave: of all rows where there is a way back, otherwise of one block.
    middle: Vec<f32>,
    keeps_middle: bool,
    d_middle: Vec<f32>,
    /// Images per block.
    block: usize,
    before: Saved,
}

impl SeparableConv2dOp {
    /// Values of one output image.
    fn output_len(&self) -> usize {
        self.positions * self.filters
    }

    /// Both convolutions back, for the images from `first` on.
    fn backward_block(&mut self, pass: &Pass<'_>, first: usize, block: Images<'_>, gradients: &mut [f32]) {
        let Images { images, delta, d_images } = block;
        let len = self.depthwise.output_len();
        let rows = delta.len() / self.filters;
        let delta = Matrix::new(delta, rows, self.filters);
        let start = first * len;
        let middle = Matrix::new(&self.middle[start..start + rows * self.channels], rows, self.channels);
        let write = if first == 0 { Write::Replace } else { Write::Add };
        let d_pointwise = &mut gradients[self.pointwise_kernel.clone()];
        multiply(d_pointwise, write, middle.transposed(), delta, pass.parallelism);
        let pointwise = &pass.parameters[self.pointwise_kernel.clone()];
        let pointwise = Matrix::new(pointwise, self.channels, self.filters).transposed();
        let d_middle = &mut self.d_middle[..rows * self.channels];
        multiply(d_middle, Write::Replace, delta, pointwise, pass.parallelism);
        let kernel = &pass.parameters[self.depthwise_kernel.clone()];
        let d_kernel = &mut gradients[self.depthwise_kernel.clone()];
        self.depthwise.backward(kernel, Images { images, delta: d_middle, d_images }, d_kernel);
    }
}

impl Op for SeparableConv2dOp {
    fn forward(&mut self, pass: &Pass<'_>, input: &[f32], output: &mut [f32]) {
        let (block, output_len) = (self.block, self.output_len());
        let depthwise_kernel = &pass.parameters[self.depthwise_kernel.clone()];
        let pointwise =
            Matrix::new(&pass.parameters[self.pointwise_kernel.clone()], self.channels, self.filters);
        let bias = self.bias.clone().map(|bias| &pass.parameters[bias]);
        let inputs = input.chunks(block * self.depthwise.input_len());
        for (at, (images, output)) in inputs.zip(output.chunks_mut(block * output_len)).enumerate() {
            let rows = output.len() / self.filters;
            let start = if self.keeps_middle { at * block * self.depthwise.output_len() } else { 0 };
            let middle = &mut self.middle[start..start + rows * self.channels];
            self.depthwise.forward(depthwise_kernel, images, middle);
            let middle = Matrix::new(middle, rows, self.channels);
            multiply(output, Write::Replace, middle, pointwise, pass.parallelism);
            let start = at * block * output_len;
            let before = self.before.part_mut(start..start + output.len());
            rows::bias_activate(output, bias, self.filters, self.activation, before);
        }
    }

    fn backward(&mut self, pass: &Pass<'_>, tape: Tape<'_>) {
        let Tape { input, output, d_output, mut d_input, gradients } = tape;
        if let Some(activation) = self.activation {
            activation::back(activation, output, self.before.part(0..output.len()), d_output, self.filters);
        }
        if let Some(bias) = self.bias.clone() {
            rows::sum_rows(d_output, &mut gradients[bias], Write::Replace);
        }
        gradients[self.depthwise_kernel.clone()].fill(0.0);
        let (input_len, output_len) = (self.depthwise.input_len(), self.output_len());
        for first in (0..pass.rows).step_by(self.block) {
            let end = (first + self.block).min(pass.rows);
            let images = first * input_len..end * input_len;
            let block = Images {
                images: &input[images.clone()],
                delta: &d_output[first * output_len..end * output_len],
                d_images: d_input.as_deref_mut().map(|d_input| &mut d_input[images]),
            };
            self.backward_block(pass, first, block, gradients);
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
        let base = SeparableConv2d::new(4, 3, None);
        let kinds = [
            base.clone(),
            SeparableConv2d { activation: Some(Activation::Gelu), padding: Padding::Same, ..base.clone() },
            SeparableConv2d { depth_multiplier: 2, use_bias: false, ..base.clone() },
            SeparableConv2d {
                strides: Size2d::Square(2),
                activation: Some(Activation::Relu),
                ..base.clone()
            },
            SeparableConv2d { dilation_rate: Size2d::Square(2), padding: Padding::Same, ..base },
        ];
        for conv in kinds {
            for input in [[7, 6, 2], [5, 5, 1], [4, 7, 17]] {
                contract::check(&LayerSpec::SeparableConv2d(conv.clone()), &input);
                contract::check_inference(&LayerSpec::SeparableConv2d(conv.clone()), &input);
            }
        }
    }

    #[test]
    fn blocks_do_not_show() {
        let conv = SeparableConv2d::new(2, 3, None);
        contract::check(&LayerSpec::SeparableConv2d(conv), &[150, 140, 5]);
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let conv = SeparableConv2d::new(4, 3, None);
        contract::check_error(LayerSpec::SeparableConv2d(conv.clone()), &[12], "takes an image", "before");
        let none = LayerSpec::SeparableConv2d(SeparableConv2d { filters: 0, ..conv });
        contract::check_error(none, &[9, 9, 2], "filters must be at least 1", "");
    }
}
