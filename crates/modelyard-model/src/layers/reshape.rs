//! Reshape: the same values, in the same order, in another shape.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Layer, Misfit};
use crate::error::shape_text;
use crate::export::{Export, ExportedLayer};
use crate::op::{Op, Place};

/// Gives a row another shape, without touching its values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reshape {
    /// The new shape without the batch dimension; one entry may be −1: whatever is left.
    pub target_shape: Vec<i64>,
}

/// No shape of ours has more dimensions.
const RANK_MAX: usize = 4;

impl Layer for Reshape {
    fn kind(&self) -> &'static str {
        "reshape"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, Misfit> {
        let open = self.target_shape.iter().filter(|&&n| n == -1).count();
        let is_wrong = |&n: &i64| n == 0 || n < -1;
        if self.target_shape.is_empty()
            || self.target_shape.len() > RANK_MAX
            || open > 1
            || self.target_shape.iter().any(is_wrong)
        {
            let message = format!(
                "must be 1 to {RANK_MAX} numbers above 0, one of them may be -1; it is {:?}",
                self.target_shape
            );
            return Err(Misfit::field("target_shape", message));
        }
        let len: usize = input.iter().product();
        let known = self.target_shape.iter().filter_map(|&n| usize::try_from(n).ok());
        let product = known.fold(1usize, usize::saturating_mul);
        if (open == 0 && product != len) || !len.is_multiple_of(product) {
            return Err(Misfit::Shape {
                wanted: format!("values that fill {:?}", self.target_shape),
                hint: format!("{} holds {len} values; a -1 stands for whatever is left", shape_text(input)),
            });
        }
        Ok(self.target_shape.iter().map(|&n| usize::try_from(n).unwrap_or(len / product)).collect())
    }

    /// Rows lie one after the other in any case: there is nothing to do.
    fn plan(&self, _place: &Place<'_>) -> Option<Box<dyn Op>> {
        None
    }

    fn export(&self, layer: &ExportedLayer<'_>, graph: &mut Export) {
        let target = self.output_shape(layer.input).expect("it was checked when the network was declared");
        graph.reshape(layer.input, &target);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::contract;
    use crate::{LayerSpec, NetworkSpec};

    fn reshape(target_shape: &[i64]) -> LayerSpec {
        LayerSpec::Reshape(Reshape { target_shape: target_shape.to_vec() })
    }

    #[test]
    fn shapes_follow_and_one_may_be_left_open() {
        for (target, wanted) in [(&[4, 6][..], vec![4, 6]), (&[-1, 3, 2], vec![4, 3, 2]), (&[24], vec![24])] {
            contract::check_round_trip(&reshape(target));
            let spec = NetworkSpec::new(vec![2, 12], [reshape(target)]);
            assert_eq!(spec.output_shape().expect("it fits"), wanted);
        }
    }

    #[test]
    fn what_does_not_fit_is_said() {
        contract::check_error(reshape(&[5, 5]), &[24], "takes values that fill [5, 5]", "holds 24 values");
        contract::check_error(reshape(&[-1, 5]), &[24], "takes values that fill [-1, 5]", "holds 24");
        for target in [&[][..], &[0, 24], &[-2, 12], &[-1, -1], &[1, 1, 1, 1, 24]] {
            contract::check_error(reshape(target), &[24], "target_shape must be 1 to 4 numbers", "");
        }
    }
}
