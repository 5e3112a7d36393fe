//! Repeat: one row at each step of a sequence, between an encoder and a recurrent decoder.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Layer, Misfit};
use crate::export::{Export, ExportedLayer};
use crate::kernels::rows;
use crate::op::{Op, Pass, Place, Tape};

/// Gives a row [features] as [n, features]: the same values at each of `n` steps. Keras's `RepeatVector`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Repeat {
    /// Number of steps.
    pub n: usize,
}

impl Layer for Repeat {
    fn kind(&self) -> &'static str {
        "repeat"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, Misfit> {
        if self.n == 0 {
            return Err(Misfit::field("n", "must be at least 1"));
        }
        match input {
            [features] => Ok(vec![self.n, *features]),
            _ => Err(Misfit::Shape {
                wanted: "one row of values [features]".to_owned(),
                hint: "put a flatten layer between the two".to_owned(),
            }),
        }
    }

    fn plan(&self, place: &Place<'_>) -> Option<Box<dyn Op>> {
        Some(Box::new(RepeatOp { len: place.input[0], times: self.n }))
    }

    fn export(&self, layer: &ExportedLayer<'_>, graph: &mut Export) {
        graph.repeat(layer.input[0], self.n);
    }
}

struct RepeatOp {
    len: usize,
    times: usize,
}

impl Op for RepeatOp {
    fn forward(&mut self, _pass: &Pass<'_>, input: &[f32], output: &mut [f32]) {
        for (steps, row) in output.chunks_exact_mut(self.times * self.len).zip(input.chunks_exact(self.len)) {
            steps.chunks_exact_mut(self.len).for_each(|step| step.copy_from_slice(row));
        }
    }

    fn backward(&mut self, _pass: &Pass<'_>, tape: Tape<'_>) {
        let Some(d_input) = tape.d_input else { return };
        let deltas = tape.d_output.chunks_exact(self.times * self.len);
        for (slope, steps) in d_input.chunks_exact_mut(self.len).zip(deltas) {
            slope.fill(0.0);
            steps.chunks_exact(self.len).for_each(|step| rows::add(slope, step));
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
        let layer = LayerSpec::Repeat(Repeat { n: 3 });
        contract::check(&layer, &[7]);
        contract::check_inference(&layer, &[7]);
    }

    #[test]
    fn what_does_not_fit_is_said() {
        contract::check_error(LayerSpec::Repeat(Repeat { n: 0 }), &[3], "n must be at least 1", "");
        contract::check_error(
            LayerSpec::Repeat(Repeat { n: 2 }),
            &[3, 2],
            "takes one row of values",
            "flatten",
        );
    }
}
