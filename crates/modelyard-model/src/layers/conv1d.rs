//! Convolution along the steps of a series; with causal padding and dilation the building block of temporal
//! convolutional networks (Bai, Kolter & Koltun 2018).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::convolution::{Convolution, ConvolutionOp};
use super::series::{Slide, StepPadding};
use super::{Layer, Misfit, Parameter};
use crate::Activation;
use crate::export::{Export, ExportedLayer, signed};
use crate::initializer::{Fans, Initializer};
use crate::memory::Hidden;
use crate::onnx::proto::AttributeProto;
use crate::op::{Op, Place, Purpose};

/// `activation(input ∗ kernel + bias)` on a series [steps, features]; gives [steps, filters].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Conv1d {
    /// Number of output features.
    pub filters: usize,
    /// Steps under one window.
    pub kernel_size: usize,
    /// Steps from one window to the next (default 1).
    #[serde(default = "super::default_one")]
    pub strides: usize,
    /// Steps from one position of the window to the next (default 1).
    #[serde(default = "super::default_one")]
    pub dilation_rate: usize,
    /// What happens at the ends (default valid).
    #[serde(default)]
    pub padding: StepPadding,
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

impl Conv1d {
    /// A convolution with Keras's defaults.
    pub fn new(filters: usize, kernel_size: usize, activation: Option<Activation>) -> Self {
        Self {
            filters,
            kernel_size,
            strides: 1,
            dilation_rate: 1,
            padding: StepPadding::Valid,
            activation,
            use_bias: true,
            kernel_initializer: Initializer::GlorotUniform,
            bias_initializer: Initializer::Zeros,
        }
    }

    fn slide(&self) -> Slide {
        Slide {
            size: ("kernel_size", self.kernel_size),
            strides: self.strides,
            dilation: self.dilation_rate,
            padding: self.padding,
        }
    }

    fn convolution(&self, input: &[usize]) -> Convolution {
        let window = self.slide().window(input).expect("the shape was checked when the network was declared");
        Convolution { window, filters: self.filters, activation: self.activation }
    }
}

impl Layer for Conv1d {
    fn kind(&self) -> &'static str {
        "conv1d"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, Misfit> {
        if self.filters == 0 {
            return Err(Misfit::field("filters", "must be at least 1"));
        }
        Ok(vec![self.slide().window(input)?.positions(), self.filters])
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        let (size, features) = (self.kernel_size, input[1]);
        let fans = Fans { inputs: size.saturating_mul(features), outputs: size.saturating_mul(self.filters) };
        let shape = vec![size, features, self.filters];
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
        let steps =
            self.slide().axis(layer.input[0]).expect("the shape was checked when the network was declared");
        let kernel = graph.convolution_kernel(layer, 0);
        let mut inputs = vec![kernel.as_str()];
        let bias = self.use_bias.then(|| graph.weights(layer, 1));
        inputs.extend(bias.as_deref());
        let mut attributes = graph.steps_attributes(steps);
        attributes.push(AttributeProto::ints("dilations", &[signed(steps.dilation)]));
        graph.chain_over_steps("Conv", &inputs, attributes);
        graph.activation(self.activation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::contract;
    use crate::rng::Rng;
    use crate::{Forward, LayerSpec, Network, NetworkSpec};
    use std::sync::Arc;

    fn kinds() -> Vec<Conv1d> {
        let base = Conv1d::new(4, 3, None);
        vec![
            base.clone(),
            Conv1d { activation: Some(Activation::Gelu), padding: StepPadding::Same, ..base.clone() },
            Conv1d { strides: 2, padding: StepPadding::Causal, use_bias: false, ..base.clone() },
            Conv1d { dilation_rate: 2, padding: StepPadding::Causal, ..base.clone() },
            Conv1d { dilation_rate: 3, activation: Some(Activation::Tanh), ..base.clone() },
            Conv1d { dilation_rate: 4, strides: 3, padding: StepPadding::Same, ..base.clone() },
            Conv1d { kernel_size: 1, ..base.clone() },
            Conv1d { filters: 16, kernel_size: 5, padding: StepPadding::Causal, ..base },
        ]
    }

    #[test]
    fn contract() {
        for conv in kinds() {
            for input in [[9, 2], [12, 1], [7, 5]] {
                contract::check(&LayerSpec::Conv1d(conv.clone()), &input);
                contract::check_inference(&LayerSpec::Conv1d(conv.clone()), &input);
            }
        }
    }

    #[test]
    fn answers_as_the_definition_says() {
        for conv in kinds().into_iter().filter(|conv| conv.activation.is_none() && conv.use_bias) {
            let [steps, features] = [300, 7];
            let layers = vec![LayerSpec::Conv1d(conv.clone())];
            let network = Network::init(NetworkSpec::new(vec![steps, features], layers), 3).expect("it fits");
            let mut rng = Rng::new(1);
            let series: Vec<f32> = (0..2 * steps * features).map(|_| rng.normal()).collect();
            let mut outputs = Vec::new();
            Forward::new(&Arc::new(network.clone())).run(&series, 2, &mut outputs).expect("two series");
            let axis = conv.slide().axis(steps).expect("it fits");
            let kernel = network.array(0, 0);
            let mut outputs = outputs.into_iter();
            for row in series.chunks(steps * features) {
                for (at, filter) in
                    (0..axis.output).flat_map(|at| (0..conv.filters).map(move |filter| (at, filter)))
                {
                    let taps = axis.inside(at).flat_map(|tap| (0..features).map(move |c| (tap, c)));
                    let wanted: f32 = taps
                        .map(|(tap, c)| {
                            row[axis.source(at, tap) * features + c]
                                * kernel[(tap * features + c) * conv.filters + filter]
                        })
                        .sum();
                    let got = outputs.next().expect("as many as declared");
                    assert!((got - wanted).abs() < 1e-4, "{conv:?} at {at}: {got}, not {wanted}");
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let conv = |size| LayerSpec::Conv1d(Conv1d::new(4, size, None));
        contract::check_error(conv(3), &[12], "a series [steps, features]", "[12, 1]");
        contract::check_error(conv(3), &[8, 8, 1], "a series [steps, features]", "2d");
        contract::check_error(conv(5), &[4, 9], "a series of at least 5 steps", "smaller kernel_size");
        contract::check_error(conv(0), &[4, 9], "kernel_size must be between 1 and 4096", "");
        let holes = Conv1d { dilation_rate: 2, ..Conv1d::new(4, 3, None) };
        contract::check_error(LayerSpec::Conv1d(holes), &[4, 9], "a series of at least 5 steps", "");
        let none = Conv1d { strides: 0, ..Conv1d::new(4, 3, None) };
        contract::check_error(LayerSpec::Conv1d(none), &[4, 9], "strides must be between", "");
        let far = |dilation_rate, padding| Conv1d { dilation_rate, padding, ..Conv1d::new(4, 3, None) };
        assert!(far(2048, StepPadding::Causal).output_shape(&[4, 9]).is_ok());
        for (rate, padding) in [(2049, StepPadding::Causal), (4096, StepPadding::Same)] {
            let wide = LayerSpec::Conv1d(Conv1d { kernel_size: 4, ..far(rate, padding) });
            contract::check_error(wide, &[4, 9], "kernel_size let a window reach", "smaller");
        }
    }
}
