//! Dense: every output is a weighted sum of every input.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::linear::{Linear, Then};
use super::{Layer, MaskRule, Misfit, Parameter, last_axis};
use crate::Activation;
use crate::activation::{self, Saved};
use crate::export::{Export, ExportedLayer};
use crate::initializer::{Fans, Initializer};
use crate::kernels::product::Write;
use crate::op::{Op, Pass, Place, Tape};

/// `activation(input · kernel + bias)`. Takes a row of values [features], or each step of a sequence
/// [steps, features] by the same weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dense {
    /// Number of outputs.
    pub units: usize,
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

impl Dense {
    /// A dense layer with Keras's defaults.
    pub fn new(units: usize, activation: Option<Activation>) -> Self {
        Self {
            units,
            activation,
            use_bias: true,
            kernel_initializer: Initializer::GlorotUniform,
            bias_initializer: Initializer::Zeros,
        }
    }
}

impl Layer for Dense {
    fn kind(&self) -> &'static str {
        "dense"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, Misfit> {
        if self.units == 0 {
            return Err(Misfit::field("units", "must be at least 1"));
        }
        match input {
            [_] => Ok(vec![self.units]),
            [steps, _] => Ok(vec![*steps, self.units]),
            _ => Err(Misfit::Shape {
                wanted: "one row of values [features], or a sequence [steps, features]".to_owned(),
                hint: "put a flatten layer between the two".to_owned(),
            }),
        }
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Keeps
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        let inputs = last_axis(input);
        let fans = Fans { inputs, outputs: self.units };
        let kernel = Parameter::trained("kernel", vec![inputs, self.units], self.kernel_initializer, fans);
        let bias = Parameter::trained("bias", vec![self.units], self.bias_initializer, fans);
        if self.use_bias { vec![kernel, bias] } else { vec![kernel] }
    }

    fn plan(&self, place: &Place<'_>) -> Option<Box<dyn Op>> {
        let inputs = last_axis(place.input);
        let width = place.input.iter().product::<usize>() / inputs * self.units;
        Some(Box::new(DenseOp {
            linear: Linear::take(&mut place.weights.iter(), [inputs, self.units], self.use_bias),
            activation: self.activation,
            before: Saved::new(self.activation, place, width),
        }))
    }

    fn export(&self, layer: &ExportedLayer<'_>, graph: &mut Export) {
        let kernel = graph.weights(layer, 0);
        let bias = self.use_bias.then(|| graph.weights(layer, 1));
        match bias {
            Some(bias) if layer.input.len() == 1 => graph.chain("Gemm", &[&kernel, &bias], vec![]),
            Some(bias) => {
                graph.chain("MatMul", &[&kernel], vec![]);
                graph.chain("Add", &[&bias], vec![]);
            }
            None => graph.chain("MatMul", &[&kernel], vec![]),
        }
        graph.activation(self.activation);
    }
}

struct DenseOp {
    linear: Linear,
    activation: Option<Activation>,
    before: Saved,
}

impl Op for DenseOp {
    fn forward(&mut self, pass: &Pass<'_>, input: &[f32], output: &mut [f32]) {
        let before = self.before.part_mut(0..output.len());
        self.linear.forward(pass, input, output, Then { activation: self.activation, before });
    }

    fn backward(&mut self, pass: &Pass<'_>, tape: Tape<'_>) {
        let Tape { input, output, d_output, d_input, gradients } = tape;
        if let Some(activation) = self.activation {
            let before = self.before.part(0..output.len());
            activation::back(activation, output, before, d_output, self.linear.units);
        }
        self.linear.gradients(pass, input, d_output, gradients);
        if let Some(d_input) = d_input {
            self.linear.back(pass, d_output, d_input, Write::Replace);
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
        for activation in [None].into_iter().chain(Activation::ALL.map(Some)) {
            let layer = LayerSpec::Dense(Dense::new(5, activation));
            contract::check(&layer, &[7]);
            contract::check_inference(&layer, &[7]);
        }
        for activation in [None, Some(Activation::Gelu), Some(Activation::Softmax)] {
            let layer = LayerSpec::Dense(Dense::new(5, activation));
            contract::check(&layer, &[4, 7]);
            contract::check_inference(&layer, &[4, 7]);
        }
        contract::check(&LayerSpec::Dense(Dense { use_bias: false, ..Dense::new(3, None) }), &[4]);
        contract::check_inference(&LayerSpec::Dense(Dense::new(70, Some(Activation::Relu))), &[33]);
    }

    #[test]
    fn images_need_a_flatten_layer() {
        let layer = LayerSpec::Dense(Dense::new(5, None));
        contract::check_error(
            layer,
            &[4, 4, 1],
            "takes one row of values [features], or a sequence [steps, features], but the input",
            "flatten",
        );
        contract::check_error(LayerSpec::Dense(Dense::new(0, None)), &[4], "units must be at least 1", "");
    }
}
