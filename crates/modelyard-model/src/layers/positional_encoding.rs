//! Positional encoding: attention sees a set of steps; what is added here tells it their order.

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Layer, MaskRule, Misfit, Parameter, sequence_shape};
use crate::export::{Export, ExportedLayer};
use crate::initializer::{Fans, Initializer};
use crate::kernels::rows;
use crate::op::{Op, Pass, Place, Tape};

/// Adds to each step of a sequence [steps, features] values that say where it stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PositionalEncoding {
    /// Which values (default sine).
    #[serde(default)]
    pub kind: PositionalKind,
}

/// Where the values of a positional encoding come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PositionalKind {
    /// Sines and cosines by turns, of wavelengths from 2π to 10000 · 2π (Vaswani et al. 2017, section 3.5).
    #[default]
    Sine,
    /// One trained row of values for each step.
    Learned,
}

impl Layer for PositionalEncoding {
    fn kind(&self) -> &'static str {
        "positional_encoding"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, Misfit> {
        Ok(sequence_shape(input)?.to_vec())
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Keeps
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        match self.kind {
            PositionalKind::Sine => Vec::new(),
            PositionalKind::Learned => {
                let fans = Fans { inputs: input[0], outputs: input[1] };
                vec![Parameter::trained("embeddings", input.to_vec(), Initializer::GlorotUniform, fans)]
            }
        }
    }

    fn plan(&self, place: &Place<'_>) -> Option<Box<dyn Op>> {
        let [steps, features] = [place.input[0], place.input[1]];
        let values = match place.weights.first() {
            Some(place) => Values::Learned(place.clone()),
            None => Values::Fixed(sines(steps.max(place.steps_kept), features)),
        };
        Some(Box::new(PositionalOp { values, len: steps * features }))
    }

    fn export(&self, layer: &ExportedLayer<'_>, graph: &mut Export) {
        let values = match self.kind {
            PositionalKind::Sine => {
                let name = format!("{}_positions", graph.last());
                graph.constant_f32(&name, layer.input, &sines(layer.input[0], layer.input[1]))
            }
            PositionalKind::Learned => graph.weights(layer, 0),
        };
        graph.chain("Add", &[&values], vec![]);
    }
}

/// sin(step / 10000^(2i/features)) at 2i, cos of the same at 2i + 1.
fn sines(steps: usize, features: usize) -> Vec<f32> {
    let value = |at: usize| {
        let (step, feature) = (at / features, at % features);
        let exponent = (feature - feature % 2) as f64 / features as f64;
        let angle = step as f64 / 10_000f64.powf(exponent);
        (if feature.is_multiple_of(2) { angle.sin() } else { angle.cos() }) as f32
    };
    (0..steps * features).map(value).collect()
}

enum Values {
    Fixed(Vec<f32>),
    Learned(Range<usize>),
}

struct PositionalOp {
    values: Values,
    /// Values of one row.
    len: usize,
}

impl Op for PositionalOp {
    fn forward(&mut self, pass: &Pass<'_>, input: &[f32], output: &mut [f32]) {
        let values = match &self.values {
            Values::Fixed(values) => values,
            Values::Learned(place) => &pass.parameters[place.clone()],
        };
        // Of steps that come one at a time, a row is one step.
        let values = &values[pass.first_step * self.len..][..self.len];
        output.copy_from_slice(input);
        for row in output.chunks_exact_mut(self.len) {
            rows::add(row, values);
        }
    }

    fn backward(&mut self, _pass: &Pass<'_>, tape: Tape<'_>) {
        if let Values::Learned(place) = &self.values {
            let sums = &mut tape.gradients[place.clone()];
            sums.fill(0.0);
            for row in tape.d_output.chunks_exact(sums.len()) {
                rows::add(sums, row);
            }
        }
        if let Some(d_input) = tape.d_input {
            d_input.copy_from_slice(tape.d_output);
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
        for kind in [PositionalKind::Sine, PositionalKind::Learned] {
            let layer = LayerSpec::PositionalEncoding(PositionalEncoding { kind });
            contract::check(&layer, &[4, 5]);
            contract::check_inference(&layer, &[4, 5]);
        }
    }

    #[test]
    fn sines_are_as_published() {
        let values = sines(3, 4);
        assert_eq!(values[..4], [0.0, 1.0, 0.0, 1.0]);
        let wanted = [2f32.sin(), 2f32.cos(), 0.02f32.sin(), 0.02f32.cos()];
        for (got, wanted) in values[8..].iter().zip(wanted) {
            assert!((got - wanted).abs() < 1e-6, "{got} {wanted}");
        }
    }

    #[test]
    fn what_is_no_sequence_is_refused() {
        let layer = LayerSpec::PositionalEncoding(PositionalEncoding::default());
        contract::check_error(
            layer.clone(),
            &[7],
            "takes a sequence [steps, features]",
            "an embedding layer",
        );
        contract::check_error(layer, &[7, 7, 3], "takes a sequence [steps, features]", "reshape");
    }
}
