//! Convolution over height and width.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::convolution::{Convolution, ConvolutionOp};
use super::window::{Padding, Size2d, Window};
use super::{Layer, Misfit, Parameter};
use crate::Activation;
use crate::export::{Export, ExportedLayer};
use crate::initializer::{Fans, Initializer};
use crate::memory::Hidden;
use crate::op::{Op, Place, Purpose};

/// `activation(input ∗ kernel + bias)` on an image [h, w, c].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Conv2d {
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

impl Conv2d {
    /// A convolution with Keras's defaults.
    pub fn new(filters: usize, kernel_size: usize, activation: Option<Activation>) -> Self {
        Self {
            filters,
            kernel_size: Size2d::Square(kernel_size),
            strides: Size2d::Square(1),
            dilation_rate: Size2d::Square(1),
            padding: Padding::Valid,
            activation,
            use_bias: true,
            kernel_initializer: Initializer::GlorotUniform,
            bias_initializer: Initializer::Zeros,
        }
    }

    fn window(&self, input: &[usize]) -> Result<Window, Misfit> {
        let steps = (self.strides, self.dilation_rate);
        Window::dilated(input, ("kernel_size", self.kernel_size), steps, self.padding)
    }

    fn convolution(&self, input: &[usize]) -> Convolution {
        let window = self.window(input).expect("the shape was checked when the network was declared");
        Convolution { window, filters: self.filters, activation: self.activation }
    }
}

impl Layer for Conv2d {
    fn kind(&self) -> &'static str {
        "conv2d"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, Misfit> {
        if self.filters == 0 {
            return Err(Misfit::field("filters", "must be at least 1"));
        }
        let window = self.window(input)?;
        Ok(vec![window.rows.output, window.columns.output, self.filters])
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        let (height, width, channels) = (self.kernel_size.height(), self.kernel_size.width(), input[2]);
        let area = height.saturating_mul(width);
        let fans = Fans { inputs: area.saturating_mul(channels), outputs: area.saturating_mul(self.filters) };
        let shape = vec![height, width, channels, self.filters];
        let kernel = Parameter::trained("kernel", shape, self.kernel_initializer, fans);
        let bias = Parameter::trained("bias", vec![self.filters], self.bias_initializer, fans);
        if self.use_bias { vec![kernel, bias] } else { vec![kernel] }
    }

    fn hidden(&self, inputs: &[Vec<usize>], purpose: Purpose) -> Hidden {
        self.convolution(&inputs[0]).hidden(purpose)
    }

    fn plan(&self, place: &Place<'_>) -> Option<Box<dyn Op>> {
        Some(Box::new(ConvolutionOp::new(self.convolution(place.input), place)))
    }

    fn export(&self, layer: &ExportedLayer<'_>, graph: &mut Export) {
        let window = self.window(layer.input).expect("the shape was checked when the network was declared");
        let kernel = graph.convolution_kernel(layer, 0);
        let mut inputs = vec![kernel.as_str()];
        let bias = self.use_bias.then(|| graph.weights(layer, 1));
        inputs.extend(bias.as_deref());
        graph.chain("Conv", &inputs, graph.window_attributes(&window));
        graph.activation(self.activation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::contract;
    use crate::rng::Rng;
    use crate::{Forward, LayerSpec, MaxPool2d, Network, NetworkSpec};
    use std::sync::Arc;

    fn kinds() -> Vec<Conv2d> {
        let base = Conv2d::new(4, 3, None);
        vec![
            base.clone(),
            Conv2d { activation: Some(Activation::Relu), ..base.clone() },
            Conv2d { activation: Some(Activation::Gelu), padding: Padding::Same, ..base.clone() },
            Conv2d { strides: Size2d::Square(2), padding: Padding::Same, ..base.clone() },
            Conv2d {
                strides: Size2d::Rectangle([2, 3]),
                kernel_size: Size2d::Rectangle([2, 4]),
                ..base.clone()
            },
            Conv2d { kernel_size: Size2d::Square(1), activation: Some(Activation::Softmax), ..base.clone() },
            Conv2d { kernel_size: Size2d::Square(1), strides: Size2d::Square(2), ..base.clone() },
            Conv2d {
                kernel_size: Size2d::Square(5),
                padding: Padding::Same,
                use_bias: false,
                ..base.clone()
            },
            Conv2d { filters: 16, activation: Some(Activation::Tanh), ..base.clone() },
            Conv2d { filters: 16, ..base.clone() },
            Conv2d { filters: 32, padding: Padding::Same, ..base.clone() },
            Conv2d { filters: 16, strides: Size2d::Square(2), padding: Padding::Same, ..base.clone() },
            Conv2d {
                filters: 32,
                kernel_size: Size2d::Rectangle([2, 3]),
                padding: Padding::Same,
                ..base.clone()
            },
            Conv2d { dilation_rate: Size2d::Square(2), ..base.clone() },
            Conv2d {
                filters: 16,
                dilation_rate: Size2d::Rectangle([1, 2]),
                padding: Padding::Same,
                ..base.clone()
            },
            Conv2d {
                filters: 16,
                dilation_rate: Size2d::Rectangle([3, 1]),
                padding: Padding::Same,
                activation: Some(Activation::Relu),
                ..base
            },
        ]
    }

    #[test]
    fn contract() {
        for conv in kinds() {
            for input in [[7, 6, 2], [5, 5, 1], [6, 7, 3]] {
                contract::check(&LayerSpec::Conv2d(conv.clone()), &input);
                contract::check_inference(&LayerSpec::Conv2d(conv.clone()), &input);
            }
        }
        let transformed = LayerSpec::Conv2d(Conv2d::new(16, 3, Some(Activation::Relu)));
        contract::check(&transformed, &[10, 9, 16]);
        contract::check_inference(&transformed, &[10, 9, 16]);
    }

    /// The definition, without any cleverness.
    fn by_definition(
        conv: &Conv2d,
        input: &[usize],
        image: &[f32],
        kernel: &[f32],
        bias: &[f32],
    ) -> Vec<f32> {
        let window = conv.window(input).expect("it fits");
        let (rows, columns, channels) = (window.rows, window.columns, window.channels);
        let mut output = Vec::new();
        for (y, x) in (0..rows.output).flat_map(|y| (0..columns.output).map(move |x| (y, x))) {
            for (filter, &bias) in bias.iter().enumerate() {
                let mut sum = f64::from(bias);
                for (ky, kx) in rows.inside(y).flat_map(|ky| columns.inside(x).map(move |kx| (ky, kx))) {
                    for channel in 0..channels {
                        let at =
                            (rows.source(y, ky) * columns.input + columns.source(x, kx)) * channels + channel;
                        let tap = ((ky * columns.size + kx) * channels + channel) * conv.filters + filter;
                        sum += f64::from(image[at]) * f64::from(kernel[tap]);
                    }
                }
                output.push(sum as f32);
            }
        }
        output
    }

    #[test]
    fn answers_as_the_definition_says_in_every_block() {
        for conv in kinds().into_iter().filter(|conv| conv.activation.is_none() && conv.use_bias) {
            for input in [[41, 38, 9], [13, 22, 16], [12, 15, 32]] {
                check_definition(&conv, &input);
            }
        }
    }

    fn check_definition(conv: &Conv2d, input: &[usize]) {
        let layers = vec![LayerSpec::Conv2d(conv.clone())];
        let network = Network::init(NetworkSpec::new(input.to_vec(), layers), 3).expect("it fits");
        let mut rng = Rng::new(1);
        let len: usize = input.iter().product();
        let images: Vec<f32> = (0..5 * len).map(|_| rng.normal()).collect();
        let mut outputs = Vec::new();
        Forward::new(&Arc::new(network.clone())).run(&images, 5, &mut outputs).expect("five images");
        let (kernel, bias) = (network.array(0, 0), network.array(0, 1));
        let wanted = images.chunks(len).flat_map(|image| by_definition(conv, input, image, kernel, bias));
        for (got, wanted) in outputs.iter().zip(wanted) {
            assert!((got - wanted).abs() < 1e-4, "{conv:?} on {input:?}: {got}, not {wanted}");
        }
    }

    /// The largest of each 2×2 of an image [h, w, c], an odd last row or column left out.
    fn halved(image: &[f32], [height, width, channels]: [usize; 3]) -> Vec<f32> {
        let at = |y: usize, x: usize, c: usize| image[(y * width + x) * channels + c];
        let positions = (0..height / 2).flat_map(|y| (0..width / 2).map(move |x| (2 * y, 2 * x)));
        let largest = |(y, x)| {
            (0..channels)
                .map(move |c| at(y, x, c).max(at(y, x + 1, c)).max(at(y + 1, x, c).max(at(y + 1, x + 1, c))))
        };
        positions.flat_map(largest).collect()
    }

    #[test]
    fn pooling_inside_answers_as_the_definition_says() {
        for (filters, padding, dilation) in [
            (5, Padding::Same, 1),
            (16, Padding::Valid, 1),
            (32, Padding::Same, 1),
            (48, Padding::Valid, 1),
            (16, Padding::Valid, 2),
        ] {
            let dilation_rate = Size2d::Square(dilation);
            let conv = Conv2d { padding, dilation_rate, ..Conv2d::new(filters, 3, Some(Activation::Relu)) };
            for channels in [3, 16, 48] {
                check_pooling(&conv, &[11, 29, channels]);
            }
        }
    }

    fn check_pooling(conv: &Conv2d, input: &[usize]) {
        let layers = vec![LayerSpec::Conv2d(conv.clone()), LayerSpec::MaxPool2d(MaxPool2d::default())];
        let network = Network::init(NetworkSpec::new(input.to_vec(), layers), 3).expect("it fits");
        let mut rng = Rng::new(1);
        let len: usize = input.iter().product();
        let images: Vec<f32> = (0..2 * len).map(|_| rng.normal()).collect();
        let mut outputs = Vec::new();
        Forward::new(&Arc::new(network.clone())).run(&images, 2, &mut outputs).expect("two images");
        let (kernel, bias) = (network.array(0, 0), network.array(0, 1));
        let window = conv.window(input).expect("it fits");
        let shape = [window.rows.output, window.columns.output, conv.filters];
        let wanted: Vec<f32> = images
            .chunks(len)
            .flat_map(|image| halved(&by_definition(conv, input, image, kernel, bias), shape))
            .collect();
        assert_eq!(outputs.len(), wanted.len());
        for (got, wanted) in outputs.iter().zip(wanted) {
            assert!((got - wanted.max(0.0)).abs() < 1e-4, "{conv:?}: {got}, not {wanted}");
        }
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let conv = |size| LayerSpec::Conv2d(Conv2d::new(4, size, None));
        contract::check_error(
            conv(3),
            &[12],
            "takes an image [height, width, channels]",
            "image layers before",
        );
        contract::check_error(conv(3), &[28, 28], "but the input gives [28, 28]", "[28, 28, 1]");
        contract::check_error(conv(5), &[4, 9, 1], "an image of at least [5, 5, …]", "smaller kernel_size");
        contract::check_error(conv(0), &[4, 9, 1], "kernel_size must be at least 1", "");
        contract::check_error(conv(1 << 40), &[4, 9, 1], "kernel_size", "");
        let holes = |rate, strides| {
            let (dilation_rate, strides) = (Size2d::Rectangle([1, rate]), Size2d::Square(strides));
            LayerSpec::Conv2d(Conv2d { dilation_rate, strides, ..Conv2d::new(4, 3, None) })
        };
        contract::check_error(holes(2, 2), &[9, 9, 1], "dilation_rate and strides are both", "leave one");
        contract::check_error(holes(0, 1), &[9, 9, 1], "dilation_rate must be at least 1", "");
        let far = "an image of at least [3, 13, …] for its kernel_size and dilation_rate";
        contract::check_error(holes(6, 1), &[9, 9, 1], far, "padding = \"same\"");
        let dilation_rate = Size2d::Rectangle([1, 4096]);
        let wide = Conv2d { dilation_rate, padding: Padding::Same, ..Conv2d::new(4, 5, None) };
        let beyond = "dilation_rate and kernel_size let a window reach 8192 positions beyond the edge";
        contract::check_error(LayerSpec::Conv2d(wide), &[9, 9, 1], beyond, "smaller dilation_rate");
        let none = Conv2d { strides: Size2d::Square(0), ..Conv2d::new(4, 3, None) };
        contract::check_error(LayerSpec::Conv2d(none), &[4, 9, 1], "strides must be at least 1", "");
    }
}
