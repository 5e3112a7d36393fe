//! A weighted sum of the last axis: the body of dense layers and of every projection inside a larger operation.

use std::ops::Range;

use crate::Activation;
use crate::kernels::few_rows;
use crate::kernels::product::{Matrix, Write, multiply};
use crate::kernels::rows;
use crate::op::Pass;

/// `activation(input · kernel + bias)` over any number of rows; [inputs, units] is the kernel's shape.
#[derive(Clone, Debug)]
pub(crate) struct Linear {
    pub(crate) inputs: usize,
    pub(crate) units: usize,
    /// Where the weights lie in [`Pass::parameters`].
    pub(crate) kernel: Range<usize>,
    pub(crate) bias: Option<Range<usize>>,
}

/// What happens to the sums while they are in cache.
#[derive(Debug, Default)]
pub(crate) struct Then<'a> {
    pub(crate) activation: Option<Activation>,
    /// Receives the sums before the activation, where they will be needed.
    pub(crate) before: Option<&'a mut [f32]>,
}

impl Linear {
    /// Takes the next places: a kernel's and, with `use_bias`, a bias's.
    pub(crate) fn take(
        places: &mut std::slice::Iter<'_, Range<usize>>,
        [inputs, units]: [usize; 2],
        use_bias: bool,
    ) -> Self {
        let mut next = || places.next().expect("a place for each array that was declared").clone();
        Self { inputs, units, kernel: next(), bias: use_bias.then(next) }
    }

    /// Computes the output.
    pub(crate) fn forward(&self, pass: &Pass<'_>, input: &[f32], output: &mut [f32], then: Then<'_>) {
        let kernel = &pass.parameters[self.kernel.clone()];
        if !few_rows::multiply(output, input, kernel, self.units) {
            let kernel = Matrix::new(kernel, self.inputs, self.units);
            let input = Matrix::new(input, input.len() / self.inputs, self.inputs);
            multiply(output, Write::Replace, input, kernel, pass.parallelism);
        }
        let bias = self.bias.clone().map(|bias| &pass.parameters[bias]);
        rows::bias_activate(output, bias, self.units, then.activation, then.before);
    }

    /// The derivatives by kernel and bias, from those by the sums before any activation.
    pub(crate) fn gradients(&self, pass: &Pass<'_>, input: &[f32], d_output: &[f32], gradients: &mut [f32]) {
        if let Some(bias) = self.bias.clone() {
            rows::sum_rows(d_output, &mut gradients[bias], Write::Replace);
        }
        let rows = d_output.len() / self.units;
        let (input, delta) = (Matrix::new(input, rows, self.inputs), Matrix::new(d_output, rows, self.units));
        let kernel = &mut gradients[self.kernel.clone()];
        multiply(kernel, Write::Replace, input.transposed(), delta, pass.parallelism);
    }

    /// The derivative by the input.
    pub(crate) fn back(&self, pass: &Pass<'_>, d_output: &[f32], d_input: &mut [f32], write: Write) {
        let delta = Matrix::new(d_output, d_output.len() / self.units, self.units);
        let kernel = Matrix::new(&pass.parameters[self.kernel.clone()], self.inputs, self.units);
        multiply(d_input, write, delta, kernel.transposed(), pass.parallelism);
    }
}
