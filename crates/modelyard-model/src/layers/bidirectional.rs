//! A recurrent layer twice, once from each end of the sequence (Schuster & Paliwal 1997), as in Keras.

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::recurrent::{self, Direction, Recurrent, exported};
use super::{Gru, Layer, Lstm, MaskRule, Misfit, Parameter, SimpleRnn};
use crate::export::{Export, ExportedLayer};
use crate::kernels::rows;
use crate::memory::Hidden;
use crate::op::{Op, Pass, Place, Purpose, Tape};

/// Walks a sequence [steps, features] from both ends with weights of their own, and merges what comes out. With
/// `return_sequences` in the layer inside, both walks' outputs meet at each step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bidirectional {
    /// The recurrent layer that is doubled: lstm, gru or simple_rnn.
    pub layer: RecurrentSpec,
    /// How the outputs of the two are merged (default concat).
    #[serde(default)]
    pub merge: Merge,
}

/// The layers that a bidirectional one can double.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum RecurrentSpec {
    /// Long short-term memory.
    Lstm(Lstm),
    /// The gated recurrent unit.
    Gru(Gru),
    /// The plain recurrent layer.
    SimpleRnn(SimpleRnn),
}

/// How two outputs become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Merge {
    /// Side by side: twice as many outputs.
    #[default]
    Concat,
    /// Added up.
    Sum,
    /// Their mean.
    Ave,
    /// Multiplied.
    Mul,
}

impl RecurrentSpec {
    pub(crate) fn recurrent(&self) -> &dyn Recurrent {
        match self {
            Self::Lstm(layer) => layer,
            Self::Gru(layer) => layer,
            Self::SimpleRnn(layer) => layer,
        }
    }
}

impl Bidirectional {
    /// This layer from both ends, the outputs side by side.
    pub fn new(layer: RecurrentSpec) -> Self {
        Self { layer, merge: Merge::Concat }
    }
}

impl Layer for Bidirectional {
    fn kind(&self) -> &'static str {
        "bidirectional"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, Misfit> {
        let settings = self.layer.recurrent().settings();
        if settings.go_backwards {
            return Err(Misfit::field("layer", "must not go_backwards: both ways are walked anyway"));
        }
        let mut shape = recurrent::output_shape(&settings, input)?;
        if let (Merge::Concat, Some(outputs)) = (self.merge, shape.last_mut()) {
            *outputs *= 2;
        }
        Ok(shape)
    }

    fn mask_rule(&self) -> MaskRule {
        if self.layer.recurrent().settings().return_sequences { MaskRule::Keeps } else { MaskRule::Ends }
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        let names = [
            ["forward_kernel", "forward_recurrent_kernel", "forward_bias"],
            ["backward_kernel", "backward_recurrent_kernel", "backward_bias"],
        ];
        let parameters = |names| recurrent::parameters(self.layer.recurrent(), input[1], names);
        names.into_iter().flat_map(parameters).collect()
    }

    fn hidden(&self, inputs: &[Vec<usize>], purpose: Purpose) -> Hidden {
        let walk = recurrent::hidden(self.layer.recurrent(), &inputs[0], purpose);
        let given = Hidden::per_row(&[2, inputs[0][0], self.layer.recurrent().settings().units]);
        walk.and(walk).and(given).and(Hidden::per_row(&inputs[0]))
    }

    fn plan(&self, place: &Place<'_>) -> Option<Box<dyn Op>> {
        let layer = self.layer.recurrent();
        let settings = layer.settings();
        let (forward, backward) = place.weights.split_at(place.weights.len() / 2);
        let positions = if settings.return_sequences { place.input[0] } else { 1 };
        let outputs = vec![0.0; place.rows_max * positions * settings.units];
        let inputs = match place.purpose {
            Purpose::Training => place.rows_max * place.input.iter().product::<usize>(),
            Purpose::Inference => 0,
        };
        Some(Box::new(BidirectionalOp {
            merge: self.merge,
            units: settings.units,
            row_len: positions * settings.units,
            ops: [
                layer.op(&Place { weights: forward, ..*place }, Direction::Forwards),
                layer.op(&Place { weights: backward, ..*place }, Direction::BackwardsInPlace),
            ],
            outputs: [outputs.clone(), outputs],
            d_input: vec![0.0; inputs],
        }))
    }

    fn export(&self, layer: &ExportedLayer<'_>, graph: &mut Export) {
        exported::both_directions(self.layer.recurrent(), self.merge, layer, graph);
    }
}

struct BidirectionalOp {
    merge: Merge,
    units: usize,
    /// Values of one row of each walk's output.
    row_len: usize,
    /// From the first step and from the last.
    ops: [Box<dyn Op>; 2],
    /// What each gave; on the way back, the derivatives by it.
    outputs: [Vec<f32>; 2],
    d_input: Vec<f32>,
}

impl BidirectionalOp {
    /// The part of an output [units, units] that a walk fills where they stand side by side.
    fn side(&self, walk: usize) -> Range<usize> {
        walk * self.units..(walk + 1) * self.units
    }

    fn merge(&self, len: usize, output: &mut [f32]) {
        let [first, second] = self.outputs.each_ref().map(|values| &values[..len]);
        let pairs = first.iter().zip(second);
        match self.merge {
            Merge::Concat => {
                for (walk, from) in [first, second].into_iter().enumerate() {
                    let to = output.chunks_exact_mut(2 * self.units);
                    for (to, from) in to.zip(from.chunks_exact(self.units)) {
                        to[self.side(walk)].copy_from_slice(from);
                    }
                }
            }
            Merge::Sum => output.iter_mut().zip(pairs).for_each(|(to, (a, b))| *to = a + b),
            Merge::Ave => output.iter_mut().zip(pairs).for_each(|(to, (a, b))| *to = 0.5 * (a + b)),
            Merge::Mul => output.iter_mut().zip(pairs).for_each(|(to, (a, b))| *to = a * b),
        }
    }

    /// From the derivative by the merged output to those by the two, in place of them.
    fn part(&mut self, len: usize, d_output: &[f32]) {
        let sides = [self.side(0), self.side(1)];
        let [first, second] = self.outputs.each_mut().map(|values| &mut values[..len]);
        match self.merge {
            Merge::Concat => {
                for (side, to) in sides.into_iter().zip([first, second]) {
                    let from = d_output.chunks_exact(2 * self.units);
                    for (to, from) in to.chunks_exact_mut(self.units).zip(from) {
                        to.copy_from_slice(&from[side.clone()]);
                    }
                }
            }
            Merge::Sum => [first, second].into_iter().for_each(|to| to.copy_from_slice(d_output)),
            Merge::Ave => {
                for to in [first, second] {
                    to.iter_mut().zip(d_output).for_each(|(to, d)| *to = 0.5 * d);
                }
            }
            Merge::Mul => {
                for ((a, b), d) in first.iter_mut().zip(second).zip(d_output) {
                    (*a, *b) = (*b * d, *a * d);
                }
            }
        }
    }
}

impl Op for BidirectionalOp {
    fn forward(&mut self, pass: &Pass<'_>, input: &[f32], output: &mut [f32]) {
        let len = pass.rows * self.row_len;
        for (op, output) in self.ops.iter_mut().zip(&mut self.outputs) {
            op.forward(pass, input, &mut output[..len]);
        }
        self.merge(len, output);
    }

    fn backward(&mut self, pass: &Pass<'_>, mut tape: Tape<'_>) {
        let len = pass.rows * self.row_len;
        self.part(len, tape.d_output);
        for (walk, (op, d_output)) in self.ops.iter_mut().zip(&mut self.outputs).enumerate() {
            let second = &mut self.d_input[..tape.input.len()];
            let d_input = match &mut tape.d_input {
                None => None,
                Some(first) if walk == 0 => Some(&mut **first),
                Some(_) => Some(&mut *second),
            };
            op.backward(
                pass,
                Tape {
                    input: tape.input,
                    output: &[],
                    d_output: &mut d_output[..len],
                    d_input,
                    gradients: &mut *tape.gradients,
                },
            );
        }
        if let Some(d_input) = tape.d_input {
            rows::add(d_input, &self.d_input[..tape.input.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LayerSpec;
    use crate::layers::contract;

    fn lstm(return_sequences: bool) -> RecurrentSpec {
        RecurrentSpec::Lstm(Lstm { return_sequences, ..Lstm::new(4) })
    }

    #[test]
    fn contract() {
        let kinds = [
            Bidirectional::new(lstm(false)),
            Bidirectional { merge: Merge::Sum, layer: lstm(true) },
            Bidirectional {
                merge: Merge::Ave,
                layer: RecurrentSpec::Gru(Gru { return_sequences: true, ..Gru::new(16) }),
            },
            Bidirectional { merge: Merge::Mul, layer: RecurrentSpec::SimpleRnn(SimpleRnn::new(3)) },
            Bidirectional::new(lstm(true)),
        ];
        for layer in kinds {
            let layer = LayerSpec::Bidirectional(layer);
            contract::check(&layer, &[5, 3]);
            contract::check_masked(&layer, &[5, 3]);
            contract::check_masked_inference(&layer, &[5, 3]);
            contract::check_inference(&layer, &[5, 3]);
        }
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let layer = LayerSpec::Bidirectional(Bidirectional::new(lstm(false)));
        contract::check_error(layer, &[12], "takes a sequence [steps, features]", "embedding layer");
        let backwards = RecurrentSpec::Gru(Gru { go_backwards: true, ..Gru::new(3) });
        let layer = LayerSpec::Bidirectional(Bidirectional::new(backwards));
        contract::check_error(layer, &[4, 3], "must not go_backwards", "");
    }
}
