//! Multiply: the product of several values of one shape, as gates need it.

use std::ops::RangeInclusive;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Layer, MaskRule, Misfit, same_shape};
use crate::export::{Export, ExportedLayer};
use crate::op::{Op, Pass, Place, Tape};

/// Multiplies what `from` names, value by value; all must have one shape. Padding is treated as by `add`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Multiply {}

impl Layer for Multiply {
    fn kind(&self) -> &'static str {
        "multiply"
    }

    fn joins(&self) -> RangeInclusive<usize> {
        2..=usize::MAX
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, Misfit> {
        Ok(input.to_vec())
    }

    fn joined_shape(&self, inputs: &[Vec<usize>]) -> Result<Vec<usize>, Misfit> {
        same_shape(inputs)
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Keeps
    }

    fn plan(&self, place: &Place<'_>) -> Option<Box<dyn Op>> {
        Some(Box::new(MultiplyOp { len: place.input.iter().product(), factors: place.inputs.len() }))
    }

    fn export(&self, layer: &ExportedLayer<'_>, graph: &mut Export) {
        for other in &layer.others {
            graph.chain("Mul", &[other], vec![]);
        }
    }
}

struct MultiplyOp {
    /// Values of each factor.
    len: usize,
    factors: usize,
}

/// Multiplies the values of one slice by those of another.
fn scale(to: &mut [f32], by: &[f32]) {
    for (to, by) in to.iter_mut().zip(by) {
        *to *= by;
    }
}

impl Op for MultiplyOp {
    fn forward(&mut self, _pass: &Pass<'_>, input: &[f32], output: &mut [f32]) {
        let rows = input.chunks_exact(self.factors * self.len);
        for (product, row) in output.chunks_exact_mut(self.len).zip(rows) {
            let (first, others) = row.split_at(self.len);
            product.copy_from_slice(first);
            others.chunks_exact(self.len).for_each(|factor| scale(product, factor));
        }
    }

    /// Each factor's derivative is the output's times all other factors.
    fn backward(&mut self, _pass: &Pass<'_>, tape: Tape<'_>) {
        let Some(d_input) = tape.d_input else { return };
        let width = self.factors * self.len;
        let rows = d_input.chunks_exact_mut(width).zip(tape.input.chunks_exact(width));
        for ((slopes, input), delta) in rows.zip(tape.d_output.chunks_exact(self.len)) {
            for (at, slope) in slopes.chunks_exact_mut(self.len).enumerate() {
                slope.copy_from_slice(delta);
                let factors = input.chunks_exact(self.len).enumerate();
                factors.filter(|(other, _)| *other != at).for_each(|(_, factor)| scale(slope, factor));
            }
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
        let layer = LayerSpec::Multiply(Multiply {});
        contract::check_join(&layer, &[vec![5], vec![5]]);
        contract::check_join(&layer, &[vec![3, 4], vec![3, 4], vec![3, 4]]);
    }

    #[test]
    fn factors_of_other_shapes_are_named() {
        let inputs = [vec![2, 3], vec![3, 2]];
        contract::check_join_error(
            LayerSpec::Multiply(Multiply {}),
            &inputs,
            "takes inputs of one shape, but the input part 'part0' gives [2, 3], the input part 'part1' gives \
             [3, 2]",
        );
    }
}
