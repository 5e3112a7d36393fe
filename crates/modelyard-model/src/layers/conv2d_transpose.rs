//! Transposed convolution: a convolution's way back as a layer of its own, so that images grow (Zeiler et al.
//! 2010).

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::convolution::BLOCK_VALUES;
use super::window::{Axis, LARGEST, Padding, Size2d, Window};
use super::{Layer, Misfit, Parameter, image_shape};
use crate::Activation;
use crate::activation::{self, Saved};
use crate::export::{Export, ExportedLayer, signed};
use crate::initializer::{Fans, Initializer};
use crate::kernels::columns;
use crate::kernels::product::{Matrix, Write, multiply};
use crate::kernels::rows;
use crate::memory::Hidden;
use crate::onnx::proto::AttributeProto;
use crate::op::{Op, Pass, Place, Purpose, Tape};

/// Each value of an image [h, w, c] lays the kernel, times itself, over the output; where they overlap, they add
/// up. Gives [h · stride, w · stride, filters] with the padding `same`, and what hangs over as well with `valid`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Conv2dTranspose {
    /// Number of output channels.
    pub filters: usize,
    /// The window: one number or [height, width].
    pub kernel_size: Size2d,
    /// Distance between windows in the output (default 1): how much the image grows.
    #[serde(default = "super::window::one")]
    pub strides: Size2d,
    /// Whether what hangs over the edge is cut off (same) or kept (valid, the default).
    #[serde(default)]
    pub padding: Padding,
    /// Applied to the outputs; none leaves them as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activation: Option<Activation>,
    /// Whether a bias is added (default true).
    #[serde(default = "super::default_true")]
    pub use_bias: bool,
    /// How the kernel starts (default glorot_uniform).
    #[serde(default)]
    pub kernel_initializer: Initializer,
    /// How the bias starts (default zeros).
    #[serde(default = "super::default_zeros")]
    pub bias_initializer: Initializer,
}

impl Conv2dTranspose {
    /// A transposed convolution with Keras's defaults.
    pub fn new(filters: usize, kernel_size: usize, activation: Option<Activation>) -> Self {
        Self {
            filters,
            kernel_size: Size2d::Square(kernel_size),
            strides: Size2d::Square(1),
            padding: Padding::Valid,
            activation,
            use_bias: true,
            kernel_initializer: Initializer::GlorotUniform,
            bias_initializer: Initializer::Zeros,
        }
    }

    /// The window of the convolution that this one is the way back of: over the output, as many positions as
    /// the input has.
    fn window(&self, input: &[usize]) -> Result<Window, Misfit> {
        let [height, width, _] = image_shape(input)?;
        for (field, value) in [("filters", self.filters)]
            .into_iter()
            .chain([self.kernel_size.height(), self.kernel_size.width()].map(|size| ("kernel_size", size)))
            .chain([self.strides.height(), self.strides.width()].map(|stride| ("strides", stride)))
        {
            if value == 0 {
                return Err(Misfit::field(field, "must be at least 1"));
            }
            if field != "filters" && value > LARGEST {
                return Err(Misfit::field(field, format!("must be at most {LARGEST}, it is {value}")));
            }
        }
        let grown = |extent: usize, size: usize, stride: usize| match self.padding {
            Padding::Same => extent * stride,
            Padding::Valid => extent * stride + size.saturating_sub(stride),
        };
        let output = [
            grown(height, self.kernel_size.height(), self.strides.height()),
            grown(width, self.kernel_size.width(), self.strides.width()),
            self.filters,
        ];
        Window::new(&output, ("kernel_size", self.kernel_size), self.strides, self.padding)
    }
}

impl Layer for Conv2dTranspose {
    fn kind(&self) -> &'static str {
        "conv2d_transpose"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, Misfit> {
        let window = self.window(input)?;
        Ok(vec![window.rows.input, window.columns.input, self.filters])
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        let (height, width, channels) = (self.kernel_size.height(), self.kernel_size.width(), input[2]);
        let area = height.saturating_mul(width);
        let fans = Fans { inputs: area.saturating_mul(self.filters), outputs: area.saturating_mul(channels) };
        let shape = vec![height, width, self.filters, channels];
        let kernel = Parameter::trained("kernel", shape, self.kernel_initializer, fans);
        let bias = Parameter::trained("bias", vec![self.filters], self.bias_initializer, fans);
        if self.use_bias { vec![kernel, bias] } else { vec![kernel] }
    }

    fn hidden(&self, inputs: &[Vec<usize>], purpose: Purpose) -> Hidden {
        let window = self.window(&inputs[0]).expect("the shape was checked when the network was declared");
        Hidden::fixed(&[window.positions(), window.taps()])
            .and(Hidden::fixed(&[BLOCK_VALUES]))
            .and(Hidden::per_row(&[window.input_len()]).when(purpose == Purpose::Training))
    }

    fn plan(&self, place: &Place<'_>) -> Option<Box<dyn Op>> {
        let window = self.window(place.input).expect("the shape was checked when the network was declared");
        let column_len = window.positions() * window.taps();
        let block = (BLOCK_VALUES / column_len.max(1)).clamp(1, place.rows_max);
        Some(Box::new(Conv2dTransposeOp {
            channels: place.input[2],
            kernel: place.weights[0].clone(),
            bias: place.weights.get(1).cloned(),
            activation: self.activation,
            block,
            columns: vec![0.0; block * column_len],
            before: Saved::new(self.activation, place, window.input_len()),
            window,
        }))
    }

    fn export(&self, layer: &ExportedLayer<'_>, graph: &mut Export) {
        let window = self.window(layer.input).expect("the shape was checked when the network was declared");
        let kernel = graph.convolution_kernel(layer, 0);
        let mut inputs = vec![kernel.as_str()];
        let bias = self.use_bias.then(|| graph.weights(layer, 1));
        inputs.extend(bias.as_deref());
        let mut attributes = graph.window_attributes(&window);
        // Where windows do not touch, ONNX ends with the last one.
        let rest = |axis: Axis| {
            let reached = (axis.output - 1) * axis.stride + axis.size;
            signed(axis.input + axis.before + axis.after() - reached)
        };
        attributes.push(AttributeProto::ints("output_padding", &[rest(window.rows), rest(window.columns)]));
        graph.chain("ConvTranspose", &inputs, attributes);
        graph.activation(self.activation);
    }
}

struct Conv2dTransposeOp {
    /// Over the output; its positions are the input's.
    window: Window,
    /// Channels of the input.
    channels: usize,
    kernel: Range<usize>,
    bias: Option<Range<usize>>,
    activation: Option<Activation>,
    /// Images per block.
    block: usize,
    columns: Vec<f32>,
    before: Saved,
}

impl Conv2dTransposeOp {
    fn input_len(&self) -> usize {
        self.window.positions() * self.channels
    }
}

impl Op for Conv2dTransposeOp {
    fn forward(&mut self, pass: &Pass<'_>, input: &[f32], output: &mut [f32]) {
        let (taps, filters) = (self.window.taps(), self.window.channels);
        let kernel = Matrix::new(&pass.parameters[self.kernel.clone()], taps, self.channels).transposed();
        let bias = self.bias.clone().map(|bias| &pass.parameters[bias]);
        let output_len = self.block * self.window.input_len();
        let inputs = input.chunks(self.block * self.input_len());
        for (at, (images, output)) in inputs.zip(output.chunks_mut(output_len)).enumerate() {
            let positions = images.len() / self.channels;
            let images = Matrix::new(images, positions, self.channels);
            let columns = &mut self.columns[..positions * taps];
            multiply(columns, Write::Replace, images, kernel, pass.parallelism);
            columns::scatter(&self.window, columns, output);
            let before = self.before.part_mut(at * output_len..at * output_len + output.len());
            rows::bias_activate(output, bias, filters, self.activation, before);
        }
    }

    fn backward(&mut self, pass: &Pass<'_>, tape: Tape<'_>) {
        let Tape { input, output, d_output, mut d_input, gradients } = tape;
        let (taps, filters) = (self.window.taps(), self.window.channels);
        if let Some(activation) = self.activation {
            activation::back(activation, output, self.before.part(0..output.len()), d_output, filters);
        }
        if let Some(bias) = self.bias.clone() {
            rows::sum_rows(d_output, &mut gradients[bias], Write::Replace);
        }
        let kernel = Matrix::new(&pass.parameters[self.kernel.clone()], taps, self.channels);
        let (input_len, output_len) = (self.input_len(), self.window.input_len());
        for first in (0..pass.rows).step_by(self.block) {
            let end = (first + self.block).min(pass.rows);
            let positions = (end - first) * self.window.positions();
            let columns = &mut self.columns[..positions * taps];
            columns::gather(&self.window, &d_output[first * output_len..end * output_len], columns);
            let columns = Matrix::new(columns, positions, taps);
            let images = &input[first * input_len..end * input_len];
            let images = Matrix::new(images, positions, self.channels);
            let write = if first == 0 { Write::Replace } else { Write::Add };
            let d_kernel = &mut gradients[self.kernel.clone()];
            multiply(d_kernel, write, columns.transposed(), images, pass.parallelism);
            if let Some(d_input) = d_input.as_deref_mut() {
                let d_images = &mut d_input[first * input_len..end * input_len];
                multiply(d_images, Write::Replace, columns, kernel, pass.parallelism);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LayerSpec;
    use crate::layers::contract;

    fn kinds() -> Vec<Conv2dTranspose> {
        let base = Conv2dTranspose::new(3, 3, None);
        vec![
            base.clone(),
            Conv2dTranspose { strides: Size2d::Square(2), padding: Padding::Same, ..base.clone() },
            Conv2dTranspose { strides: Size2d::Square(2), activation: Some(Activation::Elu), ..base.clone() },
            Conv2dTranspose { strides: Size2d::Rectangle([4, 1]), use_bias: false, ..base.clone() },
            Conv2dTranspose {
                kernel_size: Size2d::Rectangle([2, 4]),
                strides: Size2d::Rectangle([3, 2]),
                padding: Padding::Same,
                activation: Some(Activation::Gelu),
                ..base
            },
        ]
    }

    #[test]
    fn contract() {
        for conv in kinds() {
            for input in [[3, 4, 2], [2, 2, 5], [1, 5, 1]] {
                contract::check(&LayerSpec::Conv2dTranspose(conv.clone()), &input);
                contract::check_inference(&LayerSpec::Conv2dTranspose(conv.clone()), &input);
            }
        }
    }

    #[test]
    fn images_grow_as_in_keras() {
        let shapes = kinds().into_iter().map(|conv| conv.output_shape(&[3, 4, 2]).expect("it fits"));
        let wanted = [[5, 6, 3], [6, 8, 3], [7, 9, 3], [12, 6, 3], [9, 8, 3]];
        assert!(shapes.zip(wanted).all(|(shape, wanted)| shape == wanted));
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let conv = Conv2dTranspose::new(4, 3, None);
        contract::check_error(LayerSpec::Conv2dTranspose(conv.clone()), &[12], "takes an image", "before");
        let none = LayerSpec::Conv2dTranspose(Conv2dTranspose { strides: Size2d::Square(0), ..conv.clone() });
        contract::check_error(none, &[9, 9, 2], "strides must be at least 1", "");
        let vast = Conv2dTranspose { kernel_size: Size2d::Square(1 << 40), ..conv };
        contract::check_error(
            LayerSpec::Conv2dTranspose(vast),
            &[9, 9, 2],
            "kernel_size must be at most",
            "",
        );
    }
}
