//! Concatenate: several values side by side along one axis.

use std::ops::RangeInclusive;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Layer, MaskRule, Misfit};
use crate::export::{Export, ExportedLayer};
use crate::op::{Op, Pass, Place, Tape};

/// Puts what `from` names side by side; the shapes may differ along the axis only. Padding that one of several
/// sequences has counts for all of them; two that are padded differently are refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Concatenate {
    /// The axis along which values are joined, as in Keras: −1 is the last one (features, channels), 1 the
    /// first one behind the batch (steps, height) (default −1).
    #[serde(default = "last_axis")]
    pub axis: i32,
}

fn last_axis() -> i32 {
    -1
}

impl Default for Concatenate {
    fn default() -> Self {
        Self { axis: last_axis() }
    }
}

impl Concatenate {
    /// The axis of a row's shape, for shapes of this many dimensions.
    fn axis(&self, rank: usize) -> Result<usize, Misfit> {
        let rank = i32::try_from(rank).expect("shapes have few dimensions");
        let axis = if self.axis < 0 { self.axis + rank } else { self.axis - 1 };
        match usize::try_from(axis) {
            Ok(axis) if self.axis != 0 && axis < rank as usize => Ok(axis),
            _ => Err(Misfit::field(
                "axis",
                format!(
                    "must be between 1 and {rank}, or negative, counted from the end; it is {}",
                    self.axis
                ),
            )),
        }
    }
}

impl Layer for Concatenate {
    fn kind(&self) -> &'static str {
        "concatenate"
    }

    fn joins(&self) -> RangeInclusive<usize> {
        2..=usize::MAX
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, Misfit> {
        self.axis(input.len())?;
        Ok(input.to_vec())
    }

    fn joined_shape(&self, inputs: &[Vec<usize>]) -> Result<Vec<usize>, Misfit> {
        let mut joined = self.output_shape(&inputs[0])?;
        let axis = self.axis(joined.len())?;
        for input in &inputs[1..] {
            let fits = input.len() == joined.len()
                && input.iter().zip(&joined).enumerate().all(|(at, (a, b))| at == axis || a == b);
            if !fits {
                return Err(Misfit::Shape {
                    wanted: format!("inputs that differ in dimension {} at most", axis + 1),
                    hint: "bring them to one shape first, with a flatten, reshape or pooling layer"
                        .to_owned(),
                });
            }
            joined[axis] += input[axis];
        }
        Ok(joined)
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule::Joins { axis: self.axis }
    }

    /// Nothing is to be done where the inputs' values lie side by side in any case.
    fn plan(&self, place: &Place<'_>) -> Option<Box<dyn Op>> {
        let axis = self.axis(place.input.len()).expect("the axis was checked when the network was declared");
        let blocks = place.input[..axis].iter().product();
        let widths = place.inputs.iter().map(|input| input[axis..].iter().product()).collect();
        (blocks > 1).then(|| Box::new(ConcatenateOp { blocks, widths }) as Box<dyn Op>)
    }

    fn export(&self, layer: &ExportedLayer<'_>, graph: &mut Export) {
        let axis = self.axis(layer.input.len()).expect("the axis was checked when the network was declared");
        let others: Vec<&str> = layer.others.iter().map(String::as_str).collect();
        graph.concatenate(axis, &others);
    }
}

/// Each row comes as all of the first input, then all of the second, …; it leaves as one block of each by
/// turns.
struct ConcatenateOp {
    /// How often an input gives a block.
    blocks: usize,
    /// Values in one block of each input.
    widths: Vec<usize>,
}

impl ConcatenateOp {
    /// Calls `copy` with the start of each block among the joined values and among the inputs', and its length.
    fn each(&self, len: usize, mut copy: impl FnMut(usize, usize, usize)) {
        let width: usize = self.widths.iter().sum();
        let row_len = self.blocks * width;
        for row in (0..len).step_by(row_len) {
            let mut before = 0;
            for &own in &self.widths {
                for block in 0..self.blocks {
                    copy(row + block * width + before, row + self.blocks * before + block * own, own);
                }
                before += own;
            }
        }
    }
}

impl Op for ConcatenateOp {
    fn forward(&mut self, _pass: &Pass<'_>, input: &[f32], output: &mut [f32]) {
        self.each(input.len(), |to, from, len| {
            output[to..to + len].copy_from_slice(&input[from..from + len]);
        });
    }

    fn backward(&mut self, _pass: &Pass<'_>, tape: Tape<'_>) {
        let (d_output, Some(d_input)) = (tape.d_output, tape.d_input) else { return };
        self.each(d_output.len(), |from, to, len| {
            d_input[to..to + len].copy_from_slice(&d_output[from..from + len]);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LayerSpec;
    use crate::layers::contract;

    #[test]
    fn contract() {
        let last = LayerSpec::Concatenate(Concatenate::default());
        contract::check_join(&last, &[vec![4, 2], vec![4, 3], vec![4, 1]]);
        contract::check_join(&last, &[vec![2, 3, 2], vec![2, 3, 5]]);
        let second = LayerSpec::Concatenate(Concatenate { axis: 2 });
        contract::check_join(&second, &[vec![2, 3, 2], vec![2, 1, 2]]);
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let join = |axis| LayerSpec::Concatenate(Concatenate { axis });
        let inputs = [vec![4, 2], vec![3, 2]];
        contract::check_join_error(join(-1), &inputs, "takes inputs that differ in dimension 2 at most");
        contract::check_join_error(join(-1), &[vec![4, 2], vec![4]], "gives [4, 2], the input part");
        for axis in [0, 3, -3, i32::MIN] {
            contract::check_join_error(join(axis), &inputs, "axis must be between 1 and 2");
        }
    }
}
