//! The forward pass alone, in blocks of rows, through two buffers that are reused by turns.

use crate::kernels::product::Parallelism;
use crate::op::{Op, Pass, Purpose};
use crate::plan::Plan;

/// The operations of a network for inference, with their buffers; the weights are the caller's.
pub(crate) struct Inference {
    ops: Vec<(Box<dyn Op>, usize)>,
    buffers: [Vec<f32>; 2],
    input_len: usize,
    output_len: usize,
    rows_max: usize,
}

/// Each buffer stays near this many values (256 KiB), so that a block of rows stays in a core's own cache.
const BUFFER_VALUES: usize = 1 << 16;

impl Inference {
    pub(crate) fn new(plan: &Plan) -> Self {
        let rows_max = (BUFFER_VALUES / plan.widest()).clamp(1, 512);
        let ops = plan.build(rows_max, Purpose::Inference);
        let len = if ops.len() < 2 { 0 } else { rows_max * plan.widest() };
        Self {
            ops,
            buffers: [vec![0.0; len], vec![0.0; len]],
            input_len: plan.input_len,
            output_len: plan.output_len,
            rows_max,
        }
    }

    pub(crate) fn input_len(&self) -> usize {
        self.input_len
    }

    pub(crate) fn output_len(&self) -> usize {
        self.output_len
    }

    /// Computes all rows of `inputs` into `outputs`.
    pub(crate) fn run(&mut self, weights: Weights<'_>, inputs: &[f32], outputs: &mut [f32]) {
        let inputs = inputs.chunks(self.rows_max * self.input_len);
        let outputs = outputs.chunks_mut(self.rows_max * self.output_len);
        for (inputs, outputs) in inputs.zip(outputs) {
            self.run_block(weights, inputs, outputs);
        }
    }

    fn run_block(&mut self, weights: Weights<'_>, inputs: &[f32], outputs: &mut [f32]) {
        let rows = inputs.len() / self.input_len;
        let pass = Pass {
            parameters: weights.parameters,
            state: weights.state,
            rows,
            rows_total: rows,
            first_row: 0,
            key: 0,
            scale: 1.0,
            mask: None,
            parallelism: weights.parallelism,
        };
        let Some((last, before)) = self.ops.split_last_mut() else {
            return outputs.copy_from_slice(inputs);
        };
        let [from, to] = &mut self.buffers;
        let (mut from, mut to, mut len) = (from, to, None);
        for (op, output_len) in before {
            let input = len.map_or(inputs, |len| &from[..len]);
            let output = rows * *output_len;
            op.forward(&pass, input, &mut to[..output]);
            (from, to, len) = (to, from, Some(output));
        }
        last.0.forward(&pass, len.map_or(inputs, |len| &from[..len]), outputs);
    }
}

/// The weights to compute with, and on how many threads.
#[derive(Clone, Copy)]
pub(crate) struct Weights<'a> {
    pub(crate) parameters: &'a [f32],
    pub(crate) state: &'a [f32],
    pub(crate) parallelism: Parallelism,
}
