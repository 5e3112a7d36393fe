//! Add: the sum of several values of one shape, as residual connections need it.

use std::ops::RangeInclusive;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Layer, MaskRule, Misfit, same_shape};
use crate::export::{Export, ExportedLayer};
use crate::kernels::rows;
use crate::op::{Op, Pass, Place, Tape};

/// Adds what `from` names, value by value; all must have one shape. Padding that one of several sequences has counts
/// for all of them; two that are padded differently are refused.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Add {}

impl Layer for Add {
    fn kind(&self) -> &'static str {
        "add"
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
        Some(Box::new(AddOp { len: place.input.iter().product(), terms: place.inputs.len() }))
    }

    fn export(&self, layer: &ExportedLayer<'_>, graph: &mut Export) {
        for other in &layer.others {
            graph.chain("Add", &[other], vec![]);
        }
    }
}

struct AddOp {
    /// Values of each term.
    len: usize,
    terms: usize,
}

impl Op for AddOp {
    fn forward(&mut self, _pass: &Pass<'_>, input: &[f32], output: &mut [f32]) {
        for (sum, row) in output.chunks_exact_mut(self.len).zip(input.chunks_exact(self.terms * self.len)) {
            let (first, others) = row.split_at(self.len);
            sum.copy_from_slice(first);
            others.chunks_exact(self.len).for_each(|term| rows::add(sum, term));
        }
    }

    fn backward(&mut self, _pass: &Pass<'_>, tape: Tape<'_>) {
        let Some(d_input) = tape.d_input else { return };
        let rows = d_input.chunks_exact_mut(self.terms * self.len);
        for (row, delta) in rows.zip(tape.d_output.chunks_exact(self.len)) {
            row.chunks_exact_mut(self.len).for_each(|term| term.copy_from_slice(delta));
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
        let layer = LayerSpec::Add(Add {});
        contract::check_join(&layer, &[vec![5], vec![5]]);
        contract::check_join(&layer, &[vec![3, 2, 4], vec![3, 2, 4], vec![3, 2, 4]]);
    }

    #[test]
    fn terms_of_other_shapes_are_named() {
        contract::check_join_error(
            LayerSpec::Add(Add {}),
            &[vec![5], vec![6]],
            "takes inputs of one shape, but the input part 'part0' gives [5], the input part 'part1' gives [6]",
        );
    }
}
