//! Dense: every output is a weighted sum of every input.

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Layer, Misfit, Parameter};
use crate::Activation;
use crate::activation::{self, Saved};
use crate::export::{Export, ExportedLayer};
use crate::initializer::{Fans, Initializer};
use crate::kernels::few_rows;
use crate::kernels::product::{Matrix, Write, multiply};
use crate::kernels::rows;
use crate::op::{Op, Pass, Place, Tape};

/// `activation(input · kernel + bias)`. Takes a row of values [features].
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
        if input.len() != 1 {
            return Err(Misfit::Shape {
                wanted: "one row of values [features]".to_owned(),
                hint: "put a flatten layer between the two".to_owned(),
            });
        }
        Ok(vec![self.units])
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        let fans = Fans { inputs: input[0], outputs: self.units };
        let kernel = Parameter::trained("kernel", vec![input[0], self.units], self.kernel_initializer, fans);
        let bias = Parameter::trained("bias", vec![self.units], self.bias_initializer, fans);
        if self.use_bias { vec![kernel, bias] } else { vec![kernel] }
    }

    fn plan(&self, place: &Place<'_>) -> Option<Box<dyn Op>> {
        Some(Box::new(DenseOp {
            inputs: place.input[0],
            units: self.units,
            kernel: place.weights[0].clone(),
            bias: place.weights.get(1).cloned(),
            activation: self.activation,
            before: Saved::new(self.activation, place, self.units),
        }))
    }

    fn export(&self, layer: &ExportedLayer<'_>, graph: &mut Export) {
        let kernel = graph.weights(layer, 0);
        if self.use_bias {
            let bias = graph.weights(layer, 1);
            graph.chain("Gemm", &[&kernel, &bias], vec![]);
        } else {
            graph.chain("MatMul", &[&kernel], vec![]);
        }
        graph.activation(self.activation);
    }
}

struct DenseOp {
    inputs: usize,
    units: usize,
    kernel: Range<usize>,
    bias: Option<Range<usize>>,
    activation: Option<Activation>,
    before: Saved,
}

impl Op for DenseOp {
    fn forward(&mut self, pass: &Pass<'_>, input: &[f32], output: &mut [f32]) {
        let kernel = &pass.parameters[self.kernel.clone()];
        if !few_rows::multiply(output, input, kernel, self.units) {
            let kernel = Matrix::new(kernel, self.inputs, self.units);
            let input = Matrix::new(input, pass.rows, self.inputs);
            multiply(output, Write::Replace, input, kernel, pass.parallelism);
        }
        let bias = self.bias.clone().map(|bias| &pass.parameters[bias]);
        let before = self.before.part_mut(0..output.len());
        rows::bias_activate(output, bias, self.units, self.activation, before);
    }

    fn backward(&mut self, pass: &Pass<'_>, tape: Tape<'_>) {
        let Tape { input, output, d_output, d_input, gradients } = tape;
        if let Some(activation) = self.activation {
            activation::back(activation, output, self.before.part(0..output.len()), d_output, self.units);
        }
        if let Some(bias) = self.bias.clone() {
            rows::sum_rows(d_output, &mut gradients[bias], Write::Replace);
        }
        let delta = Matrix::new(d_output, pass.rows, self.units);
        let rows = Matrix::new(input, pass.rows, self.inputs);
        multiply(
            &mut gradients[self.kernel.clone()],
            Write::Replace,
            rows.transposed(),
            delta,
            pass.parallelism,
        );
        if let Some(d_input) = d_input {
            let kernel = Matrix::new(&pass.parameters[self.kernel.clone()], self.inputs, self.units);
            multiply(d_input, Write::Replace, delta, kernel.transposed(), pass.parallelism);
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
        contract::check(&LayerSpec::Dense(Dense { use_bias: false, ..Dense::new(3, None) }), &[4]);
        contract::check_inference(&LayerSpec::Dense(Dense::new(70, Some(Activation::Relu))), &[33]);
    }

    #[test]
    fn images_need_a_flatten_layer() {
        let layer = LayerSpec::Dense(Dense::new(5, None));
        contract::check_error(
            layer,
            &[4, 4, 1],
            "takes one row of values [features], but the input",
            "flatten",
        );
        contract::check_error(LayerSpec::Dense(Dense::new(0, None)), &[4], "units must be at least 1", "");
    }
}
